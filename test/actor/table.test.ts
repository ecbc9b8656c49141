import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { firstAddress } from '#src/actor/ref.js';
import { AddressTable } from '#src/actor/table.js';

interface Entry {
  readonly ref: number;
}

/**
 * A thread's table and the calling thread's, as in a system: one gives out even addresses, the other odd ones, and the
 * actors at the odd ones live in both, until the calling thread has heard that they ended.
 */
test('no address is given out twice, and each finds what was added at it, whoever gave it out and whatever was removed', () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('add here' as const, 'add from elsewhere' as const) },
    { weight: 3, arbitrary: fc.record({ remove: fc.nat(), heard: fc.boolean() }) },
  );
  fc.assert(
    fc.property(fc.nat({ max: 255 }), fc.array(step, { maxLength: 300, size: 'max' }), (thread, steps) => {
      const first = firstAddress(thread);
      const here = new AddressTable<Entry>(first + 2);
      const elsewhere = new AddressTable<Entry>(first + 1);
      const model = new Map<number, Entry>();
      const given = new Set<number>();
      for (const each of steps) {
        if (typeof each !== 'string') {
          const entry = [...model.values()][each.remove % Math.max(1, model.size)];
          if (entry === undefined) continue;
          model.delete(entry.ref);
          here.remove(entry);
          if (each.heard) elsewhere.remove(entry);
        } else {
          const entry = { ref: (each === 'add here' ? here : elsewhere).free() };
          assert.equal(given.has(entry.ref), false, `${entry.ref} was given out before`);
          assert.equal(entry.ref % 2, each === 'add here' ? 0 : 1);
          given.add(entry.ref);
          model.set(entry.ref, entry);
          here.add(entry);
          if (each !== 'add here') elsewhere.add(entry);
        }
        assert.equal(here.size, model.size);
      }
      for (const ref of given) assert.equal(here.get(ref), model.get(ref));
      assert.deepEqual(new Set(here), new Set(model.values()));
    }),
    { numRuns: 300 },
  );
});

test('a successor that starts at what was reserved repeats no address', () => {
  let reserved = 0;
  const table = new AddressTable<Entry>(2, (below) => {
    reserved = below;
  });
  for (let i = 0; i < 1_000; i++) {
    const ref = table.free();
    assert.ok(ref < reserved);
    table.add({ ref });
  }
  assert.equal(reserved % 2, 0);
});

test('removing something that is not there, or that another has replaced, changes nothing', () => {
  const table = new AddressTable<Entry>(2);
  const entry = { ref: table.free() };
  table.add(entry);
  table.remove({ ref: entry.ref });
  table.remove({ ref: entry.ref + 32 });
  assert.equal(table.get(entry.ref), entry);
  assert.equal(table.get(entry.ref + 32), undefined);
  assert.equal(table.size, 1);
});
