/** An engine with changes over it shows what the engine would show with the changes committed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemoryEngine } from '#src/store/memory-engine.js';
import { Overlay } from '#src/store/overlay.js';

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'ä', '\u{1f600}', '\uffee');
const changes = fc
  .array(fc.tuple(key, fc.option(fc.uint8Array({ maxLength: 2 }), { nil: undefined })))
  .map((all) => new Map(all));

test('it shows the changes, over what they leave', () => {
  fc.assert(
    fc.property(
      changes,
      changes,
      key,
      key,
      fc.record({ reverse: fc.boolean(), limit: fc.nat({ max: 5 }) }, { requiredKeys: [] }),
      (committed, waiting, from, to, options) => {
        const engine = new MemoryEngine();
        engine.commit(committed);
        const overlay = new Overlay(engine, () => waiting);
        const expected = new MemoryEngine();
        expected.commit(committed);
        expected.commit(waiting);
        assert.deepEqual([...overlay.range(from, to, options)], [...expected.range(from, to, options)]);
        assert.deepEqual(overlay.get(from), expected.get(from));
      },
    ),
  );
});
