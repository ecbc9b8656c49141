import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BatchReader, BatchWriter } from '#src/lane/batch.js';

/** What arrives on the other side of a batch. */
function cross(messages: readonly unknown[]): unknown[] {
  const writer = new BatchWriter();
  for (const message of messages) writer.add(1, message);
  const { batch, transfer } = writer.take();
  const reader = new BatchReader(structuredClone(batch, { transfer: [...transfer] }), 0);
  const received: unknown[] = [];
  while (!reader.done) received.push(reader.next());
  return received;
}

test('objects arrive as structuredClone copies them, flat or not, however many kinds are mixed', () => {
  const name = fc.oneof(fc.constantFrom('type', 'id', '1', '0', '__proto__', 'constructor'), fc.string());
  const value = fc.oneof(
    fc.string(),
    fc.double(),
    fc.constantFrom(null, undefined, true, -0, Number.NaN, 2n ** 70n),
    fc.record({ deep: fc.integer() }),
    fc.date({ noInvalidDate: true }), // No invalid one equals another.
  );
  const object = fc
    .array(fc.tuple(name, value), { maxLength: 6 })
    .map((entries): unknown => Object.fromEntries(entries));
  fc.assert(
    fc.property(fc.array(fc.oneof(object, fc.string(), fc.uint8Array()), { maxLength: 40 }), (messages) => {
      const received = cross(messages);
      assert.deepEqual(received, structuredClone(messages));
      const names = (all: unknown[]) => all.map((each) => Object.keys(Object(each)));
      assert.deepEqual(names(received), names(messages), 'in the same order');
    }),
    { numRuns: 300 },
  );
});

test('only what an object owns and shows crosses; instances and arrays are no flat objects', () => {
  class Point {
    x = 1;
    #hidden = 2;
    get sum(): number {
      return this.x + this.#hidden;
    }
  }
  const shown = Object.defineProperty({ [Symbol('secret')]: 1, seen: 1 }, 'hidden', { value: 2, enumerable: false });
  const messages = [
    shown,
    new Point(),
    [1, 2],
    new Map([[1, 2]]),
    {
      get computed() {
        return 7;
      },
    },
    Object.create(null),
  ];
  assert.deepEqual(cross(messages), [{ seen: 1 }, { x: 1 }, [1, 2], new Map([[1, 2]]), { computed: 7 }, {}]);
});

test('an object that changes after it was sent arrives as it was, if it is flat', () => {
  const message = { count: 1 };
  const writer = new BatchWriter();
  writer.add(1, message);
  message.count = 2;
  assert.deepEqual(new BatchReader(writer.take().batch, 0).next(), { count: 1 });
});
