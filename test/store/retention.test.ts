import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { Engine, Entry, RangeOptions } from '#src/store/engine.js';
import { createJournal, JournalWriter } from '#src/store/journal.js';
import type { KeptMission, KeptState } from '#src/store/kept.js';
import { keys } from '#src/store/keys.js';
import { openLmdb } from '#src/store/lmdb-engine.js';
import { MemoryEngine } from '#src/store/memory-engine.js';
import { Reader } from '#src/store/reader.js';
import type { Position } from '#src/store/record.js';
import { type Progress, Retention, type RetentionOptions } from '#src/store/retention.js';
import { StorageError } from '#src/store/storage-error.js';
import { nextStream, Writer } from '#src/store/writer.js';
import { newFolder } from '../folder.js';
import { AFTER_ALL } from './engines.js';

const RETAIN = 10_000;
const JOURNAL = 512 * 1024;
const START = Date.parse('2026-01-31T12:00:00.000Z');
const iso = (time: number): string => new Date(time).toISOString();

/** An engine whose commits can be made to fail. */
class Failing implements Engine {
  fails = false;
  commits = 0;
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get size(): number {
    return this.#engine.size;
  }

  get(key: string): Uint8Array | undefined {
    return this.#engine.get(key);
  }

  range(from: string, to: string, options?: RangeOptions): Iterable<Entry> {
    return this.#engine.range(from, to, options);
  }

  commit(changes: ReadonlyMap<string, Uint8Array | undefined>): void {
    if (this.fails) throw new StorageError('storage_full', 'There is no room.');
    this.commits++;
    this.#engine.commit(changes);
  }

  refresh(): void {
    this.#engine.refresh();
  }

  close(): void {
    this.#engine.close();
  }
}

/** What has to be there of a mission. */
interface Expected {
  readonly number: number;
  readonly mission: KeptMission;
  state: KeptState;
  readonly texts: string[];
  latest: Position | undefined;
  endedAt: number | undefined;
}

interface Parts {
  readonly writer: Writer;
  readonly retention: Retention;
  readonly journals: readonly JournalWriter[];
}

/** A store with two threads that write to it, and what it should hold. */
class Scene {
  now = START;
  readonly engine: Failing;
  readonly reader: Reader;
  readonly #options: RetentionOptions;
  #parts: Parts;
  /** Those that were created and not deleted, by number. */
  readonly missions = new Map<number, Expected>();
  /** As of the last flush that succeeded. */
  #durable: { readonly expected: Expected; readonly copy: Expected }[] = [];
  /** The last stream of which something is durable, be it deleted by now. */
  #lastUsed = 0;
  #lastWritten = 0;
  #text = 0;
  /** Bytes in the journals, or a little more. */
  #unread = 0;

  constructor(engine: Engine, options: RetentionOptions) {
    this.engine = new Failing(engine);
    this.reader = new Reader(this.engine);
    this.#options = options;
    this.#parts = this.#start();
  }

  get live(): Expected[] {
    return [...this.missions.values()].filter(({ endedAt }) => endedAt === undefined);
  }

  #start(): Parts {
    const stream = nextStream(this.engine);
    assert.ok(stream > this.#lastUsed);
    const shared = [0, 1].map((index) => createJournal(stream + index, JOURNAL));
    const writer = new Writer(this.engine, shared);
    const retention = new Retention(this.engine, writer, this.#options);
    return { writer, retention, journals: shared.map((journal) => new JournalWriter(journal)) };
  }

  /** An id may be used again once its mission is over. */
  create(missionId: string): void {
    if (this.live.some(({ mission }) => mission.missionId === missionId)) return;
    const number = Math.max(this.reader.latest(), ...this.missions.keys()) + 1;
    const mission: KeptMission = {
      missionId,
      executorId: `executor-${number % 2}`,
      createdAt: iso(this.now),
      ...(number % 3 > 0 && { sessionId: `session-${number % 3}` }),
    };
    const state: KeptState = { state: 'queued', updatedAt: iso(this.now), events: 0 };
    this.missions.set(number, { number, mission, state, texts: [], latest: undefined, endedAt: undefined });
    this.#parts.writer.order({ type: 'mission', number, mission, state });
  }

  events(expected: Expected, count: number, size: number): void {
    const journal = this.#parts.journals[expected.number % 2];
    assert.ok(journal);
    for (let index = 0; index < count; index++) {
      const text = `${this.#text++} ${'ü'.repeat(size)}`;
      // Nobody empties it while this writes.
      this.#unread += 2 * size + 64;
      if (this.#unread > JOURNAL / 4) this.flush();
      const offset = journal.event(expected.number, expected.texts.length, expected.latest, text);
      journal.publish();
      expected.latest = { stream: journal.stream, offset };
      this.#lastWritten = Math.max(this.#lastWritten, journal.stream);
      expected.texts.push(text);
    }
  }

  end(expected: Expected): void {
    const completedAt = iso(this.now);
    expected.state = { state: 'done', updatedAt: completedAt, completedAt, events: expected.texts.length };
    expected.endedAt = this.now;
    this.#parts.journals[expected.number % 2]?.state(expected.number, JSON.stringify(expected.state));
  }

  flush(): void {
    try {
      this.#parts.writer.flush();
    } catch (error) {
      assert.ok(error instanceof StorageError);
      return;
    }
    this.#remember();
  }

  #remember(): void {
    this.#unread = 0;
    this.#lastUsed = this.#lastWritten;
    this.#durable = [...this.missions.values()].map((expected) => ({
      expected,
      copy: { ...expected, texts: [...expected.texts] },
    }));
  }

  stop(): void {
    this.#parts.writer.close();
    this.#remember();
    this.restart();
  }

  restart(): void {
    this.#parts = this.#start();
    this.#lastWritten = this.#lastUsed;
    this.missions.clear();
    for (const { expected, copy } of this.#durable) {
      // What was deleted since is gone for good.
      if (this.reader.mission(expected.number) === undefined) continue;
      const { number, state, latest, endedAt } = copy;
      Object.assign(expected, { state, latest, endedAt });
      expected.texts.length = copy.texts.length;
      this.missions.set(number, expected);
      const head = latest && { position: latest, count: copy.texts.length };
      assert.deepEqual(this.#parts.writer.head(number), head);
    }
    this.#remember();
  }

  step(): Progress {
    this.flush();
    const before = this.#ended();
    const { commits } = this.engine;
    try {
      return this.#parts.retention.step(this.now);
    } catch (error) {
      assert.ok(error instanceof StorageError);
      return 'more';
    } finally {
      // All or nothing.
      assert.ok(this.engine.commits <= commits + 1);
      this.#notice(before);
    }
  }

  #ended(): Expected[] {
    const ended = [...this.missions.values()].filter(({ endedAt }) => endedAt !== undefined);
    return ended.sort((one, other) => (one.endedAt ?? 0) - (other.endedAt ?? 0) || one.number - other.number);
  }

  /** Checks that none was deleted but those that had to be, first of all those that ended first. */
  #notice(ended: readonly Expected[]): void {
    const isGone = ended.map(({ number }) => this.reader.mission(number) === undefined);
    assert.deepEqual(isGone, [...isGone].sort().reverse());
    ended.forEach(({ number, endedAt = 0 }, index) => {
      if (!isGone[index]) return;
      if (this.#options.maxBytes === undefined) assert.ok(endedAt < this.now - RETAIN);
      this.missions.delete(number);
    });
    this.#durable = this.#durable.filter(({ expected }) => this.missions.get(expected.number) === expected);
  }

  /** Steps until there is nothing to do. */
  settle(): Progress {
    for (let steps = 0; steps < 5_000; steps++) {
      const progress = this.step();
      if (progress !== 'more') return progress;
    }
    throw new Error('it never comes to an end');
  }

  /** All that should be there is read back, and lists hold nothing else. */
  check(): void {
    this.flush();
    this.flush();
    const { reader } = this;
    const expected = [...this.missions.values()].sort((one, other) => one.number - other.number);
    for (const { number, mission, state, texts, latest, endedAt } of expected) {
      assert.deepEqual(reader.mission(number), { number, mission, state });
      assert.deepEqual(
        reader.recent(number, latest && { position: latest, count: texts.length }, 50),
        texts.slice(-50),
      );
      const head = latest && { position: latest, count: texts.length };
      assert.deepEqual(this.#parts.writer.head(number), head);
      const read: string[] = [];
      for (let after: number | undefined = 0; after !== undefined; ) {
        const page = reader.history(number, after, 70, endedAt === undefined ? head : reader.head(number));
        read.push(...page.texts);
        after = page.next;
        assert.ok(after === undefined || after === read.length);
      }
      assert.deepEqual(read, texts);
    }
    for (const filter of [
      {},
      { state: 'queued' },
      { state: 'done' },
      { executorId: 'executor-0' },
      { executorId: 'executor-1' },
      { sessionId: 'session-1' },
      { sessionId: 'session-2' },
    ] as const)
      assert.deepEqual(
        reader.list(filter, 0, 1_000).missions.map(({ number }) => number),
        expected
          .filter(({ mission, state }) =>
            isDeepStrictEqual({ ...mission, ...state, ...filter }, { ...mission, ...state }),
          )
          .map(({ number }) => number),
      );
    const found = new Map(expected.map(({ number, mission }) => [mission.missionId, number]));
    for (const [missionId, number] of found) assert.equal(reader.find(missionId), number);
  }

  keys(): string[] {
    return Array.from(this.engine.range('', AFTER_ALL), ({ key }) => key);
  }
}

const pick = fc.nat(7);
const doing = fc.oneof(
  { weight: 4, arbitrary: fc.record({ create: fc.nat(5) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      events: fc.integer({ min: 1, max: 150 }),
      of: pick,
      size: fc.oneof(fc.nat(100), fc.constant(400)),
    }),
  },
  { weight: 4, arbitrary: fc.record({ end: pick }) },
  { weight: 4, arbitrary: fc.record({ wait: fc.oneof(fc.nat(RETAIN / 10), fc.nat(RETAIN * 2)) }) },
  { weight: 6, arbitrary: fc.record({ steps: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 2, arbitrary: fc.constant('flush' as const) },
  { weight: 1, arbitrary: fc.constant('settle' as const) },
  { weight: 1, arbitrary: fc.constant('crash' as const) },
  { weight: 1, arbitrary: fc.constant('stop' as const) },
  { weight: 1, arbitrary: fc.constant('fail' as const) },
);
type Doing = typeof doing extends fc.Arbitrary<infer Step> ? Step : never;

function run(engine: Engine, steps: readonly Doing[], options: RetentionOptions): void {
  const scene = new Scene(engine, options);
  const any = (index: number): Expected | undefined => scene.live[index % scene.live.length];
  const settle = (): void => {
    // What was full for a while is looked at again.
    scene.now += RETAIN;
    const progress = scene.settle();
    if (options.maxBytes === undefined) assert.equal(progress, 'idle');
    else assert.equal(progress, scene.engine.size > options.maxBytes ? 'full' : 'idle');
    for (const { endedAt } of scene.missions.values())
      assert.ok(endedAt === undefined || (progress === 'idle' && endedAt >= scene.now - RETAIN));
    scene.check();
  };
  for (const step of steps) {
    if (step === 'flush') scene.flush();
    else if (step === 'settle') settle();
    else if (step === 'crash') scene.restart();
    else if (step === 'stop') scene.stop();
    else if (step === 'fail') {
      scene.flush();
      scene.engine.fails = true;
      scene.step();
      scene.engine.fails = false;
    } else if ('create' in step) scene.create(`mission-${step.create}`);
    else if ('wait' in step) scene.now += step.wait;
    else if ('steps' in step) {
      for (let count = 0; count < step.steps; count++) scene.step();
      scene.check();
    } else if ('end' in step) {
      const expected = any(step.end);
      if (expected !== undefined) scene.end(expected);
    } else {
      const expected = any(step.of);
      if (expected !== undefined) scene.events(expected, step.events, step.size);
      if (step.events % 2 === 0) scene.flush();
    }
  }
  scene.check();
  settle();
  for (const expected of scene.live) scene.end(expected);
  for (let times = 0; times < 3; times++) {
    scene.flush();
    scene.now += RETAIN + 1;
    assert.equal(scene.settle(), 'idle');
  }
  const left = scene.keys().filter((key) => !['checkpoint', 'latest', 'version'].includes(key));
  assert.deepEqual(left, []);
  scene.restart();
  assert.equal(scene.reader.latest() > 0, scene.engine.get(keys.latest) !== undefined);
}

const steps = fc.array(doing, { maxLength: 80, size: 'max' });
const bounds = fc.option(fc.integer({ min: 2_000, max: 400_000 }), { nil: undefined });
const optionsOf = (maxBytes: number | undefined): RetentionOptions => ({
  retain: RETAIN,
  ...(maxBytes !== undefined && { maxBytes }),
});

test('what is to be kept is read back whole, what is not is gone: over crashes, failures and bounds', () => {
  fc.assert(
    fc.property(steps, bounds, (steps, maxBytes) => run(new MemoryEngine(), steps, optionsOf(maxBytes))),
    { numRuns: 50 },
  );
});

test('so it is on disk', () => {
  fc.assert(
    fc.property(steps, fc.option(fc.constantFrom(100_000, 500_000), { nil: undefined }), (steps, maxBytes) => {
      const folder = newFolder();
      const engine = openLmdb(folder);
      try {
        run(engine, steps, optionsOf(maxBytes));
      } finally {
        engine.close();
        rmSync(folder, { recursive: true });
      }
    }),
    { numRuns: 8 },
  );
});

test('a mission of many events is gone at once for readers, and wholly after some steps, over a crash', () => {
  const scene = new Scene(new MemoryEngine(), { retain: RETAIN });
  scene.create('long');
  const [mission] = scene.live;
  assert.ok(mission);
  for (let count = 0; count < 70; count++) {
    scene.events(mission, 1_000, 0);
    scene.flush();
    // Some of its log has to outlive its chunks.
    if (count === 1) for (let times = 0; times < 3; times++, scene.now += RETAIN + 1) scene.settle();
  }
  const count = (prefix: string): number => scene.keys().filter((key) => key.startsWith(prefix)).length;
  assert.ok(count('outlived/') > 1_500);
  scene.check();
  scene.end(mission);
  scene.flush();
  scene.now += RETAIN + 1;
  assert.equal(scene.step(), 'more');
  assert.equal(scene.reader.find('long'), undefined);
  assert.deepEqual(scene.reader.list({}, 0, 10).missions, []);
  assert.ok(count('mark/') > 0);
  scene.restart();
  for (let times = 0; times < 2; times++, scene.now += RETAIN + 1) assert.equal(scene.settle(), 'idle');
  for (const prefix of ['mark/', 'outlived/', 'ended/', 'log/']) assert.equal(count(prefix), 0);
});

test('events that came before their mission was created outlive their log', () => {
  const engine = new MemoryEngine();
  const shared = createJournal(1, 64 * 1024);
  const writer = new Writer(engine, [shared]);
  const retention = new Retention(engine, writer, { retain: RETAIN, maxBytes: 1 });
  const journal = new JournalWriter(shared);
  const latest = { stream: 1, offset: journal.event(1, 0, undefined, 'early') };
  journal.publish();
  const settle = (now: number): Progress => {
    for (;;) {
      writer.flush();
      const progress = retention.step(now);
      if (progress !== 'more') return progress;
    }
  };
  assert.equal(settle(START), 'full');
  assert.deepEqual([...engine.range('log/', keys.end('log/'))], []);
  const mission = { missionId: 'late', executorId: 'executor', createdAt: iso(START) };
  writer.order({ type: 'mission', number: 1, mission, state: { state: 'queued', updatedAt: iso(START), events: 0 } });
  assert.equal(settle(START + 2 * RETAIN), 'full');
  const reader = new Reader(engine);
  assert.deepEqual(reader.recent(1, { position: latest, count: 1 }, 10), ['early']);
  assert.deepEqual(reader.history(1, 0, 10).texts, ['early']);
});

test('where the store is too large, what ended first goes first, and no more than it takes', () => {
  const maxBytes = 400_000;
  const scene = new Scene(new MemoryEngine(), { retain: RETAIN * 1_000, maxBytes });
  for (let count = 0; count < 500; count++) {
    scene.create(`mission-${count}`);
    const [mission] = scene.live;
    assert.ok(mission);
    scene.events(mission, 5, 100);
    scene.end(mission);
    // A checkpoint is asked for every RETAIN * 31.
    scene.now += RETAIN;
    assert.notEqual(scene.step(), 'full');
  }
  assert.equal(scene.settle(), 'idle');
  assert.ok(scene.engine.size > maxBytes / 2 && scene.engine.size <= maxBytes);
  scene.check();
});

test('nothing of a deleted mission comes back by what came late: an answer or an event', () => {
  const engine = new MemoryEngine();
  const shared = createJournal(1, 64 * 1024);
  const writer = new Writer(engine, [shared]);
  const retention = new Retention(engine, writer, { retain: RETAIN });
  const journal = new JournalWriter(shared);
  const updatedAt = iso(START);
  const mission = { missionId: 'late', executorId: 'executor', createdAt: updatedAt };
  writer.order({ type: 'mission', number: 2, mission, state: { state: 'queued', updatedAt, events: 0 } });
  writer.order({ type: 'state', number: 2, state: { state: 'done', updatedAt, completedAt: updatedAt, events: 0 } });
  writer.flush();
  journal.event(2, 0, undefined, 'late');
  journal.publish();
  writer.flush();
  writer.order({ type: 'answer', number: 2, answer: { status: 200, body: {} } });
  assert.equal(retention.step(START + RETAIN + 1), 'more');
  assert.notEqual(engine.get(keys.mission(2)), undefined);
  writer.flush();
  assert.equal(retention.step(START + RETAIN + 1), 'more');
  writer.close();
  for (const key of [keys.mission(2), keys.state(2), keys.head(2)]) assert.equal(engine.get(key), undefined);
});
