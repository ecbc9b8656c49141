import { ImportError } from './importer.js';

/** The longest line that is read, in bytes: all of it is in memory at once. */
export const LONGEST_LINE = 64 * 1024 * 1024;

/**
 * The lines of a text that comes in pieces, without their line feeds.
 * @throws ImportError for a line longer than `longest`
 */
export async function* splitLines(
  pieces: AsyncIterable<Uint8Array>,
  longest = LONGEST_LINE,
): AsyncGenerator<Uint8Array, void> {
  /** The beginning of a line whose end is yet to come. */
  let begun: Uint8Array[] = [];
  let length = 0;
  let count = 1;
  for await (const piece of pieces) {
    let start = 0;
    for (;;) {
      const end = piece.indexOf(LINE_FEED, start);
      const part = piece.subarray(start, end === -1 ? undefined : end);
      length += part.length;
      if (length > longest) throw new ImportError(`line ${count}: more than ${longest} bytes`);
      begun.push(part);
      if (end === -1) break;
      yield begun.length === 1 ? part : Buffer.concat(begun);
      begun = [];
      length = 0;
      count++;
      start = end + 1;
    }
  }
  if (length > 0) yield Buffer.concat(begun);
}

const LINE_FEED = 0x0a;
