import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createJournal, JournalWriter } from '#src/store/journal.js';
import type { KeptMission, KeptState } from '#src/store/kept.js';
import { keys } from '#src/store/keys.js';
import { MemoryEngine } from '#src/store/memory-engine.js';
import { type EventPage, Reader } from '#src/store/reader.js';
import type { Position } from '#src/store/record.js';
import { nextStream, Writer } from '#src/store/writer.js';

const at = '2026-01-31T12:00:00.000Z';

const missionOf = (number: number): KeptMission => ({
  missionId: `mission-${number}`,
  executorId: `executor-${number % 2}`,
  createdAt: new Date(Date.parse(at) + number * 1000).toISOString(),
  sessionId: `session-${number % 3}`,
});
const queued: KeptState = { state: 'queued', updatedAt: at, events: 0 };

/** What an actor keeps of a mission's events. */
class Actor {
  readonly number: number;
  count = 0;
  latest: Position | undefined;
  readonly texts: string[] = [];

  constructor(number: number) {
    this.number = number;
  }

  write(journal: JournalWriter, text: string): void {
    this.latest = { stream: journal.stream, offset: journal.event(this.number, this.count++, this.latest, text) };
    journal.publish();
    this.texts.push(text);
  }
}

test('a mission, its state and its events are read back as they were written', () => {
  const engine = new MemoryEngine();
  const shared = createJournal(nextStream(engine), 64 * 1024);
  const writer = new Writer(engine, [shared]);
  const journal = new JournalWriter(shared);
  const reader = new Reader(engine);
  const actor = new Actor(1);
  writer.order({ type: 'mission', number: 1, mission: missionOf(1), state: queued });
  actor.write(journal, 'one');
  journal.state(1, JSON.stringify({ state: 'running', updatedAt: at, events: 1 }));
  actor.write(journal, 'zwei ü');
  assert.deepEqual(journal.pending(1, actor.latest), { texts: ['one', 'zwei ü'], before: undefined });
  assert.equal(reader.find('mission-1'), undefined);
  writer.flush();
  assert.deepEqual(journal.pending(1, actor.latest), { texts: [], before: actor.latest });
  assert.equal(reader.find('mission-1'), 1);
  assert.deepEqual(reader.mission(1), {
    number: 1,
    mission: missionOf(1),
    state: { state: 'running', updatedAt: at, events: 1 },
  });
  assert.deepEqual(reader.recent(1, actor.latest && { position: actor.latest, count: actor.count }, 50), [
    'one',
    'zwei ü',
  ]);
});

test('a state that arrives before its mission waits for it; what is over stays over', () => {
  const engine = new MemoryEngine();
  const shared = createJournal(1, 64 * 1024);
  const writer = new Writer(engine, [shared]);
  const journal = new JournalWriter(shared);
  journal.state(1, JSON.stringify({ state: 'done', updatedAt: at, completedAt: at, events: 0 }));
  writer.flush();
  writer.order({ type: 'mission', number: 1, mission: missionOf(1), state: queued });
  journal.state(1, JSON.stringify({ state: 'running', updatedAt: at, events: 0 }));
  writer.flush();
  const reader = new Reader(engine);
  assert.equal(reader.mission(1)?.state.state, 'done');
  assert.deepEqual(reader.list({ state: 'queued' }, 0, 10), { missions: [], next: undefined });
  assert.equal(reader.list({ state: 'done' }, 0, 10).missions.length, 1);
});

test('every event is found in its place, over marks, chunks, streams, crashes and clean stops', () => {
  const step = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({ mission: fc.integer({ min: 1, max: 4 }), events: fc.integer({ min: 1, max: 90 }) }),
    },
    { weight: 3, arbitrary: fc.constant('flush' as const) },
    { weight: 1, arbitrary: fc.constant('crash' as const) },
    { weight: 1, arbitrary: fc.constant('stop' as const) },
    { weight: 1, arbitrary: fc.record({ end: fc.integer({ min: 1, max: 4 }) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 70 }), (steps, limit) => {
      const engine = new MemoryEngine();
      let shared = createJournal(nextStream(engine), 256 * 1024);
      let writer = new Writer(engine, [shared]);
      let journal = new JournalWriter(shared);
      const actors = [1, 2, 3, 4].map((number) => new Actor(number));
      const ended = new Set<number>();
      for (const { number } of actors)
        writer.order({ type: 'mission', number, mission: missionOf(number), state: queued });
      writer.flush();
      const durable = new Map(actors.map(({ number, texts }) => [number, texts.length]));
      const flush = (): void => {
        writer.flush();
        for (const { number, texts } of actors) durable.set(number, texts.length);
      };
      const restart = (): void => {
        shared = createJournal(nextStream(engine), 256 * 1024);
        writer = new Writer(engine, [shared]);
        journal = new JournalWriter(shared);
        for (const actor of actors) {
          const head = writer.head(actor.number);
          actor.texts.length = durable.get(actor.number) ?? 0;
          assert.equal(head?.count ?? 0, actor.texts.length);
          actor.count = head?.count ?? 0;
          actor.latest = head?.position;
        }
      };
      let counter = 0;
      for (const step of steps) {
        if (step === 'flush') flush();
        else if (step === 'crash') restart();
        else if (step === 'stop') {
          writer.close();
          for (const { number, texts } of actors) durable.set(number, texts.length);
          restart();
        } else if ('end' in step) {
          const actor = actors[step.end - 1];
          if (actor === undefined || ended.has(step.end)) continue;
          ended.add(step.end);
          journal.state(
            step.end,
            JSON.stringify({ state: 'done', updatedAt: at, completedAt: at, events: actor.count }),
          );
          flush();
        } else if (!ended.has(step.mission)) {
          for (let count = 0; count < step.events; count++)
            actors[step.mission - 1]?.write(journal, `${counter++} ${'x'.repeat(counter % 400)}`);
          if (counter % 2 === 0) flush();
        }
      }
      flush();
      const reader = new Reader(engine);
      for (const { number, texts, latest, count } of actors) {
        assert.deepEqual(
          reader.recent(number, latest && { position: latest, count: texts.length }, 50),
          texts.slice(-50),
        );
        const head = latest && { position: latest, count };
        const pages: string[] = [];
        for (let after: number | undefined = 0; after !== undefined; ) {
          const page: EventPage = reader.history(number, after, limit, ended.has(number) ? undefined : head);
          pages.push(...page.texts);
          after = page.next;
          assert.ok(after === undefined || after === pages.length);
        }
        assert.deepEqual(pages, texts);
      }
    }),
    { numRuns: 60 },
  );
});

test('missions are listed in the order of their creation, by what they are asked for, page by page', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('queued', 'running', 'done'), { minLength: 1, maxLength: 60 }),
      fc.record(
        {
          state: fc.constantFrom('queued', 'running', 'done'),
          executorId: fc.constantFrom('executor-0', 'executor-1', 'nobody'),
          sessionId: fc.constantFrom('session-0', 'session-1', 'session-2'),
          since: fc.integer({ min: -5, max: 70 }).map((seconds) => Date.parse(at) + seconds * 1000),
        },
        { requiredKeys: [] },
      ),
      fc.integer({ min: 1, max: 20 }),
      (states, filter, limit) => {
        const engine = new MemoryEngine();
        const writer = new Writer(engine, [createJournal(1, 1024)]);
        states.forEach((state, index) => {
          const number = index + 1;
          writer.order({ type: 'mission', number, mission: missionOf(number), state: queued });
          if (state !== 'queued') writer.order({ type: 'state', number, state: { state, updatedAt: at, events: 0 } });
        });
        writer.flush();
        const reader = new Reader(engine);
        const expected = states.flatMap((state, index) => {
          const mission = missionOf(index + 1);
          const fits =
            (filter.state === undefined || filter.state === state) &&
            (filter.executorId === undefined || filter.executorId === mission.executorId) &&
            (filter.sessionId === undefined || filter.sessionId === mission.sessionId) &&
            (filter.since === undefined || filter.since <= Date.parse(mission.createdAt));
          return fits ? [mission.missionId] : [];
        });
        const found: string[] = [];
        for (let after: number | undefined = 0; after !== undefined; ) {
          const page: ReturnType<Reader['list']> = reader.list(filter, after, limit);
          assert.ok(page.missions.length <= limit);
          found.push(...page.missions.map(({ mission }) => mission.missionId));
          after = page.next;
        }
        assert.deepEqual(found, expected);
      },
    ),
    { numRuns: 100 },
  );
});

test('where a part of the log was given up, the events before it are still found', () => {
  const engine = new MemoryEngine();
  const shared = createJournal(1, 1024 * 1024);
  const writer = new Writer(engine, [shared]);
  const journal = new JournalWriter(shared);
  const actor = new Actor(1);
  writer.order({ type: 'mission', number: 1, mission: missionOf(1), state: queued });
  const write = (count: number): void => {
    for (let i = 0; i < count; i++) actor.write(journal, String(actor.count));
    writer.flush();
  };
  write(100);
  const kept = new Set(Array.from(engine.range('log/', keys.end('log/')), ({ key }) => key));
  write(50);
  const lost = Array.from(engine.range('log/', keys.end('log/')), ({ key }) => key).filter((key) => !kept.has(key));
  assert.ok(lost.length > 0);
  engine.commit(new Map(lost.map((key) => [key, undefined])));
  write(10);
  const reader = new Reader(engine);
  const head = actor.latest && { position: actor.latest, count: actor.count };
  const found: number[] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const page: EventPage = reader.history(1, after, 20, head);
    found.push(...page.texts.map(Number));
    after = page.next;
  }
  // Up to the mark before the gap, the 64th event; and after it.
  const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  assert.deepEqual(found, [...numbers(0, 64), ...numbers(150, 160)]);
});

test('a mission that could not be kept leaves nothing behind, and its id can be used anew', () => {
  const engine = new MemoryEngine();
  const writer = new Writer(engine, [createJournal(1, 1024)]);
  const before = [...engine.range('', keys.end(''))].map(({ key }) => key);
  writer.order({ type: 'mission', number: 1, mission: missionOf(1), state: queued });
  writer.order({ type: 'mission-gone', number: 1 });
  writer.flush();
  assert.deepEqual(
    [...engine.range('', keys.end(''))].map(({ key }) => key).filter((key) => key !== keys.checkpoint),
    before,
  );
});

test('a number whose mission was lost in a crash, and which has events in the log, is not given out again', () => {
  const engine = new MemoryEngine();
  const shared = createJournal(1, 64 * 1024);
  const writer = new Writer(engine, [shared]);
  new Actor(7).write(new JournalWriter(shared), 'an event of a mission whose creation is on its way');
  writer.flush();
  const next = new Writer(engine, [createJournal(nextStream(engine), 64 * 1024)]);
  assert.equal(next.latest, 7);
  assert.equal(next.head(7), undefined);
});
