/** What a mission keeps of its events. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ListHistory, RECENT_EVENTS, TextHistory } from '#actors/history.js';
import { Slab } from '#actors/slab.js';

const ids = { missionId: 'a mission of its own', executorId: '11111111-1111-4111-8111-111111111111' };
/** JSON texts, some of which have the ids in them, also where nobody would look for them. */
const jsonTexts = fc
  .array(fc.constantFrom(ids.missionId, ids.executorId, ids.missionId + ids.executorId, '"', '\\u0001', 'ü', '$&', ' '))
  .map((parts) => JSON.stringify({ parts: parts.join('') }));
/** Characters that take one byte to four. */
const ofManyBytes = fc.constantFrom('x', 'ü', '€', '😀');
const texts = fc.oneof(
  { weight: 5, arbitrary: jsonTexts },
  { weight: 5, arbitrary: fc.string({ maxLength: 600 }).map((text) => JSON.stringify(text)) },
  { weight: 2, arbitrary: fc.string({ unit: ofManyBytes, maxLength: 300 }).map((text) => JSON.stringify(text)) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 5_000 }).map((length) => 'x'.repeat(length)) },
  { weight: 1, arbitrary: fc.constantFrom('', 'ü'.repeat(70_000), 'x'.repeat(1024 * 1024)) },
);
/** Which of three histories a text is added to; or that one is freed, and a new one takes its place. */
const steps = fc.array(
  fc.oneof(
    { weight: 60, arbitrary: fc.record({ history: fc.nat(2), text: texts }) },
    { weight: 1, arbitrary: fc.record({ history: fc.nat(2), text: fc.constant(undefined) }) },
  ),
  { minLength: 1, maxLength: 300, size: 'max' },
);

/** Takes so many bytes of a slab. @returns the blocks */
function fillTo(slab: Slab, bytes: number): number[] {
  const blocks: number[] = [];
  while (slab.used * Slab.blockSize < bytes) blocks.push(slab.take());
  return blocks;
}

test('histories that share a slab keep the newest fifty texts each, and give back every block', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      const slab = new Slab();
      // So that ids are left out of some texts, and not of others.
      const ballast = fillTo(slab, 32 * 1024 * 1024 - 20_000);
      const before = slab.used;
      const histories = [0, 1, 2].map(() => new TextHistory(slab, ids));
      const models: string[][] = [[], [], []];
      for (const { history, text } of sequence) {
        if (text === undefined) {
          histories[history]?.free();
          histories[history] = new TextHistory(slab, ids);
          models[history] = [];
        } else {
          histories[history]?.add(text);
          models[history] = [...(models[history] ?? []), text].slice(-RECENT_EVENTS);
        }
      }
      assert.deepEqual(
        histories.map((history) => history.show().events),
        models,
      );
      const bytes = models.flat().reduce((sum, text) => sum + Buffer.byteLength(text) + 3, 0);
      // Of each history, the first block and the last may be in use in part.
      const used = slab.used - before;
      assert.ok(used <= Math.ceil(bytes / Slab.blockSize) + 6, `${used} blocks for ${bytes} bytes`);
      for (const history of histories) history.free();
      for (const block of ballast) slab.give(block);
      assert.equal(slab.used, 0);
    }),
    { numRuns: 20 },
  );
});

test('fifty events of 250 bytes take little more than their bytes', () => {
  const slab = new Slab();
  const history = new TextHistory(slab, ids);
  for (let i = 0; i < 1_000; i++) history.add(String(i).padStart(250));
  assert.ok(slab.used * (Slab.blockSize + 4) < 13_200);
});

test('once there is much to keep, the ids that every event repeats take next to nothing', () => {
  const slab = new Slab();
  fillTo(slab, 33 * 1024 * 1024);
  const before = slab.used;
  const history = new TextHistory(slab, ids);
  const { executorId: executor_id, missionId: mission_id } = ids;
  const text = JSON.stringify({ event: 'mission.progress', executor_id, mission_id, ts: '2026-01-01T00:00:00Z' });
  for (let i = 0; i < 50; i++) history.add(text);
  assert.deepEqual(history.show().events, Array(50).fill(text));
  assert.ok((slab.used - before) * Slab.blockSize < 50 * (text.length - 45));
});

test('while a slab is full, a history keeps fewer of its newest texts; when others are gone, fifty again', () => {
  const slab = new Slab(3 * 1024 * 1024);
  const [large, small] = [new TextHistory(slab, ids), new TextHistory(slab, ids)];
  const text = (i: number) => String(i).padStart(100_000);
  for (let i = 0; i < 60; i++) large.add(text(i));
  const kept = large.show().events;
  assert.ok(kept.length > 20 && kept.length < 32, `${kept.length}`);
  assert.deepEqual(
    kept,
    Array.from({ length: kept.length }, (_, i) => text(60 - kept.length + i)),
  );
  small.add('x'.repeat(1_000_000));
  assert.deepEqual(small.show().events, []);
  large.free();
  for (let i = 0; i < 60; i++) small.add(`${i}`);
  assert.equal(small.show().events.length, 50);
});

test('a list of objects is the live one, and outlives the history', () => {
  const history = new ListHistory<{ n: number }>();
  const list = history.live;
  for (let n = 0; n < 60; n++) history.add({ n });
  assert.deepEqual([list.length, list[0]?.n, list.at(-1)?.n], [50, 10, 59]);
  history.free();
  assert.equal(list.length, 50);
});
