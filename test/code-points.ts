/**
 * Any character of Unicode but the halves of pairs, as the unit of random strings. fast-check's own, `binary`, makes a table
 * of all of them first, which takes a second of CPU time in each process.
 */
import fc from 'fast-check';

export const codePoints: fc.Arbitrary<string> = fc
  .integer({ min: 0, max: 0x10ffff - 0x800 })
  .map((index) => String.fromCodePoint(index < 0xd800 ? index : index + 0x800));
