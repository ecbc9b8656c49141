import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { createJournal, JournalReader, JournalWriter } from '#src/store/journal.js';
import { HEADER_BYTES, type Position, readHeader, recordSize, STATE } from '#src/store/record.js';

/** What a reader is shown of a journal: events in order, the last states, and the chunks' records. */
function take(reader: JournalReader) {
  const events: { mission: number; ordinal: number; offset: number }[] = [];
  const states: [mission: number, json: string][] = [];
  const records: { offset: number; mission: number; ordinal: number; text: string; before: Position | undefined }[] =
    [];
  const end = reader.read({
    event: (mission, ordinal, offset) => events.push({ mission, ordinal, offset }),
    state: (mission, json) => states.push([mission, Buffer.from(json).toString()]),
    chunk(offset, bytes) {
      for (let at = 0; at < bytes.length; ) {
        const { textBytes, mission, ordinal, before } = readHeader(bytes, at);
        const text = Buffer.from(bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + textBytes)).toString();
        records.push({ offset: offset + at, mission, ordinal, text, before });
        at += recordSize(textBytes);
      }
    },
  });
  reader.release(end);
  return { events, states, records };
}

const text = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.integer({ min: 0, max: 150 }).map((length) => 'x'.repeat(length)),
);

test('what is written is read, every record once and in order, however often the ring goes round', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ mission: fc.integer({ min: 0, max: 3 }), text }) },
    { weight: 2, arbitrary: fc.record({ state: fc.integer({ min: 0, max: 3 }), text }) },
    { weight: 2, arbitrary: fc.constant('take' as const) },
    { weight: 1, arbitrary: fc.constant('succeed' as const) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 250, max: 300 }), (steps, words) => {
      const shared = createJournal(7, words * 4);
      const reader = new JournalReader(shared);
      let writer = new JournalWriter(shared);
      const latest = new Map<number, Position>();
      const counts = new Map<number, number>();
      /** By mission: the texts since the last take. */
      let fresh = new Map<number, string[]>();
      let expected: { mission: number; ordinal: number; text: string; before: Position | undefined }[] = [];
      const check = (): void => {
        for (let mission = 0; mission <= 3; mission++) {
          const { texts, before } = writer.pending(mission, latest.get(mission));
          assert.deepEqual(texts, fresh.get(mission) ?? []);
          const first = expected.find((record) => record.mission === mission && record.ordinal !== STATE);
          assert.deepEqual(before, first ? first.before : latest.get(mission));
        }
        const taken = take(reader);
        assert.deepEqual(
          taken.records.map(({ offset: _, ...record }) => record),
          expected,
        );
        const ofEvents = taken.records.filter(({ ordinal }) => ordinal !== STATE);
        assert.deepEqual(
          taken.events,
          ofEvents.map(({ mission, ordinal, offset }) => ({ mission, ordinal, offset })),
        );
        const ofStates = taken.records.filter(({ ordinal }) => ordinal === STATE);
        assert.deepEqual(
          taken.states,
          ofStates.map(({ mission, text }) => [mission, text]),
        );
        for (const { mission, offset, ordinal } of ofEvents)
          if (ordinal === (counts.get(mission) ?? 0) - 1) assert.deepEqual(latest.get(mission), { stream: 7, offset });
        expected = [];
        fresh = new Map();
      };
      let written = 0;
      for (const step of steps) {
        if (step === 'take' || written > words * 2) {
          check();
          written = 0;
        }
        if (step === 'take') continue;
        if (step === 'succeed') {
          writer = new JournalWriter(shared);
          continue;
        }
        const size = recordSize(Buffer.byteLength(step.text));
        if (size > writer.largest) continue;
        written += size;
        if ('state' in step) {
          writer.state(step.state, step.text);
          expected.push({ mission: step.state, ordinal: STATE, text: step.text, before: undefined });
          continue;
        }
        const { mission } = step;
        const ordinal = counts.get(mission) ?? 0;
        const before = latest.get(mission);
        const offset = writer.event(mission, ordinal, before, step.text);
        writer.publish();
        latest.set(mission, { stream: 7, offset });
        counts.set(mission, ordinal + 1);
        expected.push({ mission, ordinal, text: step.text, before });
        fresh.set(mission, [...(fresh.get(mission) ?? []), step.text]);
      }
      check();
    }),
    { numRuns: 300 },
  );
});

test('what is read at once over the end of the ring is whole, also where a record ends just there', () => {
  const size = recordSize(4);
  const shared = createJournal(1, size * 10);
  const writer = new JournalWriter(shared);
  const reader = new JournalReader(shared);
  const write = (from: number, to: number): void => {
    for (let ordinal = from; ordinal < to; ordinal++) writer.event(0, ordinal, undefined, String(1_000 + ordinal));
    writer.publish();
  };
  write(0, 8);
  take(reader);
  write(8, 14);
  assert.deepEqual(
    take(reader).records.map(({ text, offset }) => [text, offset]),
    Array.from({ length: 6 }, (_, index) => [String(1_008 + index), size * (8 + index)]),
  );
});

test('a record that is larger than a quarter of the journal is refused', () => {
  const writer = new JournalWriter(createJournal(1, 400));
  assert.throws(() => writer.event(0, 0, undefined, 'x'.repeat(100)), RangeError);
  writer.event(0, 0, undefined, 'x'.repeat(76));
});

test('a full journal holds its writer until there is room, and nothing is lost', async () => {
  const shared = createJournal(1, 4_000);
  const reader = new JournalReader(shared);
  const module = JSON.stringify(new URL('./full-journal.ts', import.meta.url).href);
  // A worker has to ask for TypeScript itself.
  const code = `import('tsx/esm/api').then((tsx) => { tsx.register(); return import(${module}); });`;
  const worker = new Worker(code, { eval: true, workerData: shared });
  const ended = new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
  const texts: string[] = [];
  while (texts.length < 5_000) {
    for (const record of take(reader).records) texts.push(record.text);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(
    texts,
    Array.from({ length: 5_000 }, (_, count) => String(count)),
  );
  assert.equal(await ended, 0);
});

test('records that fill the ring to its very end are read whole, and so are those after them', () => {
  const size = 40;
  const words = '0123456789abcdef';
  assert.equal(recordSize(words.length), size);
  const shared = createJournal(1, size * 6);
  const reader = new JournalReader(shared);
  const writer = new JournalWriter(shared);
  const read: { offset: number; text: string }[] = [];
  for (let count = 0; count < 20; count++) {
    writer.event(1, count, undefined, words);
    writer.publish();
    // Four at a time: so some end where the ring does, with others behind them.
    if (count % 4 === 3) read.push(...take(reader).records.map(({ offset, text }) => ({ offset, text })));
  }
  assert.deepEqual(
    read,
    Array.from({ length: 20 }, (_, index) => ({ offset: index * size, text: words })),
  );
});

test('an event is seen with what follows it, or not at all', () => {
  const shared = createJournal(1, 4_000);
  const reader = new JournalReader(shared);
  const writer = new JournalWriter(shared);
  writer.event(1, 0, undefined, 'first');
  assert.equal(reader.waiting, 0);
  writer.state(1, '{}');
  assert.deepEqual(
    take(reader).records.map(({ text }) => text),
    ['first', '{}'],
  );
  writer.event(1, 1, undefined, 'of a thread that died over it');
  const successor = new JournalWriter(shared);
  successor.event(1, 1, undefined, 'second');
  successor.publish();
  assert.deepEqual(
    take(reader).records.map(({ text }) => text),
    ['second'],
  );
});
