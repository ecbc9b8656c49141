import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BatchReader, BatchWriter } from '#src/lane/batch.js';

interface Sent {
  readonly address: number;
  readonly message: unknown;
}

const address = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -5, max: 5 }));
const bytes = fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 3_000, maxLength: 6_000 }));
const message = fc.oneof(
  bytes,
  bytes.map((each) => Buffer.from(each)),
  fc.string(),
  fc.constantFrom(null, undefined, 0, true),
  fc.record({ id: fc.integer(), nested: fc.array(fc.string(), { maxLength: 3 }) }, { noNullPrototype: true }),
);
const sent: fc.Arbitrary<Sent> = fc.record({ address, message });

const read = (reader: BatchReader): Sent[] => {
  const received: Sent[] = [];
  while (!reader.done) {
    const next = reader.next();
    received.push({ address: reader.address, message: next });
  }
  return received;
};

/** As it arrives: a Buffer is a Uint8Array on the other side. */
const plain = ({ address: to, message: body }: Sent): Sent => ({
  address: to,
  message: body instanceof Uint8Array ? Uint8Array.from(body) : body,
});

test('a batch that crossed a thread boundary holds the same messages, in the order in which they were added', () => {
  fc.assert(
    fc.property(fc.array(fc.array(sent, { maxLength: 30 }), { maxLength: 4 }), (batches) => {
      const writer = new BatchWriter();
      for (const messages of batches) {
        for (const each of messages) writer.add(each.address, each.message);
        const weight = writer.weight;
        const { batch, transfer } = writer.take();
        const crossed = structuredClone(batch, { transfer: [...transfer] });
        assert.deepEqual(read(new BatchReader(crossed, weight)).map(plain), messages.map(plain));
        assert.equal(batch[0].byteLength, 0, 'the bytes were moved, not copied');
      }
    }),
    { numRuns: 200 },
  );
});

test('a message of bytes is a copy: what the sender does to it later has no effect', () => {
  const writer = new BatchWriter();
  const original = Uint8Array.of(1, 2, 3);
  writer.add(7, original);
  original.fill(0);
  assert.deepEqual(read(new BatchReader(writer.take().batch, 0)), [{ address: 7, message: Uint8Array.of(1, 2, 3) }]);
});

test('bytes that are handed over arrive as they were; large ones with a buffer to themselves are not copied', () => {
  for (const [length, spare, moved] of [
    [100, 0, false],
    [16 * 1024, 0, true],
    [64 * 1024, 0, true],
    [64 * 1024, 8, false],
  ] as const) {
    const writer = new BatchWriter();
    const bytes = new Uint8Array(new ArrayBuffer(length + spare), 0, length).fill(7);
    writer.add(1, 'before');
    writer.transfer(2, bytes);
    writer.add(3, Uint8Array.of(9));
    assert.ok(writer.weight > length);
    const { batch, transfer } = writer.take();
    const crossed = structuredClone(batch, { transfer: [...transfer] });
    assert.deepEqual(read(new BatchReader(crossed, 0)).map(plain), [
      { address: 1, message: 'before' },
      { address: 2, message: new Uint8Array(length).fill(7) },
      { address: 3, message: Uint8Array.of(9) },
    ]);
    assert.equal(bytes.byteLength, moved ? 0 : length);
  }
});

test('texts and bytes weigh what they are wherever they are in a message; one that can not be read weighs little', () => {
  const writer = new BatchWriter();
  const long = 'x'.repeat(100_000);
  for (const message of [
    long,
    { text: long },
    { ask: { type: 'event', envelope: { data: { summary: long } } } },
    { events: [long.slice(50_000), { text: long.slice(50_000) }] },
    { bytes: new Uint8Array(100_000) },
  ]) {
    const before = writer.weight;
    writer.add(1, message);
    assert.ok(writer.weight - before >= 100_000 && writer.weight - before < 101_000);
  }
  const before = writer.weight;
  writer.add(1, {
    get broken() {
      throw new Error('on purpose');
    },
  });
  assert.ok(writer.weight - before < 1_000);
});

test('the weight grows with every message, by at least its bytes or characters, and starts anew with each batch', () => {
  fc.assert(
    fc.property(fc.array(sent, { maxLength: 20 }), (messages) => {
      const writer = new BatchWriter();
      for (const each of messages) {
        const before = writer.weight;
        writer.add(each.address, each.message);
        const size = each.message instanceof Uint8Array || typeof each.message === 'string' ? each.message.length : 0;
        assert.ok(writer.weight > before + size);
      }
      writer.take();
      assert.equal(writer.weight, 0);
    }),
  );
});
