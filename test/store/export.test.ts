/** Exports and imports: what they hold, that nothing is lost on the way, and what is refused. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTerminal, liveStates, terminalStates } from '#src/contract/index.js';
import type { Engine } from '#src/store/engine.js';
import { Exporter } from '#src/store/exporter.js';
import { ImportError, Importer } from '#src/store/importer.js';
import { createJournal, JournalWriter } from '#src/store/journal.js';
import type { KeptExecutor, KeptMission, KeptState } from '#src/store/kept.js';
import { openLmdb, STORE_FILE } from '#src/store/lmdb-engine.js';
import { MemoryEngine } from '#src/store/memory-engine.js';
import { makeStore } from '#src/store/new-store.js';
import { Reader } from '#src/store/reader.js';
import type { Position } from '#src/store/record.js';
import { splitLines } from '#src/store/split-lines.js';
import { StorageError } from '#src/store/storage-error.js';
import { nextStream, Writer } from '#src/store/writer.js';
import { codePoints } from '../code-points.js';
import { newFolder } from '../folder.js';
import { entriesOf, openFor } from './engines.js';

const text = fc.string({ unit: codePoints, maxLength: 12 });
const name = fc.oneof(text, fc.constantFrom('zwei ü', 'line\nfeed', '\u2028', '😀', '\ud800', '"', '\\', ''));
const time = fc
  .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
  .map((date) => date.toISOString());
const keyed = fc.dictionary(fc.string({ maxLength: 5 }), fc.jsonValue(), { maxKeys: 3, noNullPrototype: true });
/** Without the fields that are undefined. */
const optional = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc.record(model, { requiredKeys: [] });

const executor: fc.Arbitrary<KeptExecutor> = fc
  .tuple(
    fc.record({ executorId: fc.uuid(), name, version: name, specVersion: fc.constant('1.0.0') }),
    fc.record({
      transportEndpoints: fc.constant<KeptExecutor['transportEndpoints']>({
        rest: 'http://127.0.0.1:1/',
        ws: 'ws://127.0.0.1:1/',
      }),
      capabilities: fc.constantFrom<string[]>([], ['resumable', 'x-a']),
      token: name,
      registeredAt: time,
    }),
    optional({
      a2aInstanceId: name,
      lastEventTs: time,
      left: fc.constantFrom('suspended' as const, 'failed' as const),
    }),
  )
  .map(([one, two, three]) => ({ ...one, ...two, ...three }));

const state: fc.Arbitrary<Omit<KeptState, 'events'>> = fc
  .tuple(
    fc.record({ state: fc.constantFrom(...liveStates, ...terminalStates), updatedAt: time }),
    optional({ completedAt: time, ptySessionRef: name, exitCode: fc.integer(), error: name }),
    fc.oneof(fc.constant({}), fc.record({ question: fc.record({ hitlId: name }) }), fc.record({ expired: name })),
    optional({ checkpointId: name }),
  )
  .map(([one, two, three, four]) => ({ ...one, ...two, ...three, ...four }));

const mission: fc.Arbitrary<Omit<KeptMission, 'missionId'>> = fc
  .tuple(
    fc.record({ executorId: fc.uuid(), createdAt: time }),
    optional({
      sessionId: name,
      payload: keyed,
      answer: fc.record({ status: fc.integer({ min: 100, max: 599 }), body: keyed }),
    }),
  )
  .map(([one, two]) => ({ ...one, ...two }));

/** As an executor may write it: with white space, line feeds and escapes. */
const eventText = fc
  .tuple(keyed, fc.constantFrom('', ' ', '\n', '\r\n\t'), fc.constantFrom(undefined, 2))
  .map(([data, space, indent]) => `${space}${JSON.stringify({ event: 'ü', data }, undefined, indent)}${space}`);

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      mission: fc.nat(5),
      text: eventText,
      times: fc.oneof({ weight: 4, arbitrary: fc.nat(9) }, { weight: 1, arbitrary: fc.nat(150) }),
    }),
  },
  { weight: 2, arbitrary: fc.constant('flush' as const) },
  { weight: 1, arbitrary: fc.constant('crash' as const) },
  { weight: 1, arbitrary: fc.constant('stop' as const) },
);

/** What a store holds, and how it came there. */
const stories = fc.record({
  executors: fc.uniqueArray(executor, { selector: ({ executorId }) => executorId, maxLength: 4 }),
  missions: fc.array(fc.record({ mission, state }), { maxLength: 6 }),
  suffix: name,
  steps: fc.array(step, { maxLength: 30 }),
});
type Story = typeof stories extends fc.Arbitrary<infer T> ? T : never;

interface Written {
  readonly number: number;
  readonly mission: KeptMission;
  readonly state: Omit<KeptState, 'events'>;
  readonly texts: string[];
  latest: Position | undefined;
}

/** Writes it into a store. @returns the lines that an export must have */
function write(engine: Engine, { executors, missions, suffix, steps }: Story): string[] {
  let shared = createJournal(nextStream(engine), 256 * 1024);
  let writer = new Writer(engine, [shared]);
  let journal = new JournalWriter(shared);
  const restart = (): void => {
    shared = createJournal(nextStream(engine), 256 * 1024);
    writer = new Writer(engine, [shared]);
    journal = new JournalWriter(shared);
  };
  for (const executor of executors) writer.order({ type: 'executor', executor });
  const all = missions.map(
    ({ mission, state }, index): Written => ({
      number: index + 1,
      mission: { missionId: `mission ${index} ${suffix}`, ...mission },
      state,
      texts: [],
      latest: undefined,
    }),
  );
  for (const { number, mission } of all)
    writer.order({ type: 'mission', number, mission, state: { state: 'queued', updatedAt: 'then', events: 0 } });
  writer.flush();
  for (const step of steps) {
    if (step === 'flush') writer.flush();
    else if (step === 'stop') {
      writer.close();
      restart();
    } else if (step === 'crash') {
      writer.flush();
      restart();
    } else {
      const found = all[step.mission];
      if (found === undefined) continue;
      for (let count = 0; count < step.times; count++) {
        const offset = journal.event(found.number, found.texts.length, found.latest, step.text);
        journal.publish();
        found.latest = { stream: journal.stream, offset };
        found.texts.push(step.text);
        if (count % 32 === 0) writer.flush();
      }
    }
  }
  const told = all.map(({ number, mission, state, texts }) => {
    const kept: KeptState = { ...state, events: texts.length };
    if (isTerminal(kept.state)) journal.state(number, JSON.stringify(kept));
    else writer.order({ type: 'state', number, state: kept });
    return [
      { type: 'mission', ...mission, ...kept },
      ...texts.map((text) => ({ type: 'event', missionId: mission.missionId, text })),
    ];
  });
  writer.flush();
  const sorted = executors.toSorted((one, other) => (one.executorId < other.executorId ? -1 : 1));
  const lines = [
    { type: 'callboard', version: 1 },
    ...sorted.map((executor) => ({ type: 'executor', ...executor })),
    ...told.flat(),
    { type: 'end' },
  ];
  return lines.map((line) => `${JSON.stringify(line)}\n`);
}

const exported = (engine: Engine): string => [...new Exporter(engine).lines()].join('');

function imported(engine: Engine, lines: readonly string[]): Importer {
  const importer = new Importer(engine);
  for (const line of lines) importer.line(Buffer.from(line));
  importer.close();
  return importer;
}

const linesOf = (text: string): string[] => text.split(/(?<=\n)/);
/** Whatever the order of the fields. */
const values = (lines: readonly string[]): unknown[] => lines.map((line) => JSON.parse(line));

test('an export holds all that was written, and a store that is made from it has the same export', () => {
  fc.assert(
    fc.property(stories, (story) => {
      const engine = new MemoryEngine();
      const expected = write(engine, story);
      const first = exported(engine);
      assert.deepEqual(values(linesOf(first)), values(expected));
      const other = new MemoryEngine();
      const { counts } = imported(other, linesOf(first));
      assert.equal(exported(other), first);
      const events = expected.filter((line) => line.startsWith('{"type":"event"')).length;
      assert.deepEqual(counts, { executors: story.executors.length, missions: story.missions.length, events });
    }),
    { numRuns: 60 },
  );
});

const heading = '{"type":"callboard","version":1}\n';
const end = '{"type":"end"}\n';
const executorId = '00000000-0000-4000-8000-000000000001';
const plain: KeptMission = { missionId: 'one', executorId, createdAt: '2026-01-31T12:00:00Z' };
const running: KeptState = { state: 'running', updatedAt: '2026-01-31T12:00:00Z', events: 0 };
const one = `${JSON.stringify({ type: 'mission', ...plain, ...running })}\n`;
const event = (text: string, missionId = 'one'): string => `${JSON.stringify({ type: 'event', missionId, text })}\n`;

const refused: readonly { what: string; lines: string[]; says: RegExp }[] = [
  { what: 'an empty file', lines: [], says: /^line 1: missing/ },
  { what: 'a file that was cut off', lines: [heading, one], says: /^line 3: missing.*export again$/ },
  { what: 'another file', lines: ['{}\n'], says: /^line 1: not the first line/ },
  { what: 'a later version', lines: ['{"type":"callboard","version":2}\n'], says: /^line 1: version 2, where/ },
  { what: 'half a line', lines: [heading, one.slice(0, 30)], says: /^line 2: not JSON/ },
  { what: 'an unknown type', lines: [heading, '{"type":"secret"}\n'], says: /^line 2: type: / },
  { what: 'an unknown field', lines: [heading, one.replace('{', '{"more":1,')], says: /^line 2: more: is not a known/ },
  {
    what: 'a missing field',
    lines: [heading, one.replace(/"createdAt":"[^"]*",/, '')],
    says: /^line 2: createdAt: is req/,
  },
  {
    what: 'a number beyond all',
    lines: [heading, one.replace('{', '{"exitCode":1e999,')],
    says: /^line 2: exitCode: /,
  },
  { what: 'the same mission twice', lines: [heading, one, one], says: /^line 3: a mission of that missionId was/ },
  { what: 'an event without its mission', lines: [heading, one, event('{}', 'two')], says: /^line 3: an event must/ },
  { what: 'an event that is no JSON', lines: [heading, one, event('{')], says: /^line 3: text: must be the text of/ },
  { what: 'half a character', lines: [heading, one, event('{"a":"\ud800"}')], says: /^line 3: text: must be/ },
  {
    what: 'an event too large for a journal',
    lines: [heading, one, event(`{"a":"${'x'.repeat(2 ** 22)}"}`)],
    says: /^line 3: more than the 4194304 bytes/,
  },
  { what: 'anything after the end', lines: [heading, end, one], says: /^line 3: nothing may come after/ },
];

for (const { what, lines, says } of refused)
  test(`${what} is refused, and the line named`, () => {
    assert.throws(() => imported(new MemoryEngine(), lines), { name: 'ImportError', message: says });
  });

test('more than a journal holds is imported, and missions are found again however they stand', () => {
  const engine = new MemoryEngine();
  const long = event(`{"a":"${'x'.repeat(3_000_000)}"}`);
  const done = one.replace('"one"', '"two"').replace('running', 'done');
  imported(engine, [heading, one, ...new Array<string>(12).fill(long), done, event('{}', 'two'), end]);
  const reader = new Reader(engine);
  assert.equal(reader.find('two'), 2);
  assert.deepEqual([reader.head(1)?.count, reader.head(2)?.count], [12, 1]);
  const ids = (state: 'queued' | 'running' | 'done'): string[] =>
    reader.list({ state }, 0, 9).missions.map(({ mission }) => mission.missionId);
  assert.deepEqual([ids('queued'), ids('running'), ids('done')], [[], ['one'], ['two']]);
  assert.equal(entriesOf(engine, 'ended/', 'ended0').length, 1);
});

test('an export shows one moment, whatever is written meanwhile', async (t) => {
  const folder = newFolder();
  const engine = openFor(t, folder);
  const shared = createJournal(nextStream(engine));
  const writer = new Writer(engine, [shared]);
  const journal = new JournalWriter(shared);
  writer.order({ type: 'mission', number: 1, mission: plain, state: running });
  const first = journal.event(1, 0, undefined, '{"event":1}');
  journal.publish();
  writer.flush();
  const snapshot = openFor(t, folder, { readOnly: 'snapshot' });
  const lines = new Exporter(snapshot).lines()[Symbol.iterator]();
  const shown = [lines.next().value];
  journal.event(1, 1, { stream: journal.stream, offset: first }, '{"event":2}');
  journal.publish();
  writer.order({ type: 'state', number: 1, state: { ...running, state: 'done' } });
  writer.order({ type: 'mission', number: 2, mission: { ...plain, missionId: 'two' }, state: running });
  writer.close();
  await new Promise((resolve) => setTimeout(resolve, 20));
  for (let next = lines.next(); !next.done; next = lines.next()) {
    shown.push(next.value);
    await new Promise(setImmediate);
  }
  assert.deepEqual(shown, [heading, one, event('{"event":1}'), end]);
  snapshot.refresh();
  assert.equal(linesOf(exported(snapshot)).length, 6);
});

test('a store that is made is there when all of it is, and only where there was none', async (t) => {
  const folder = join(newFolder(), 'new');
  const failing = makeStore(folder, async (engine) => {
    imported(engine, [heading, one, end]);
    assert.equal(existsSync(join(folder, STORE_FILE)), false);
    assert.throws(() => openLmdb(folder), { code: 'storage_locked' });
    throw new ImportError('no more');
  });
  await assert.rejects(failing, { message: 'no more' });
  assert.deepEqual(
    readdirSync(folder).filter((name) => name !== 'writer.lock'),
    [],
  );
  openLmdb(folder).close();
  const counts = await makeStore(folder, async (engine) => imported(engine, [heading, one, event('{}'), end]).counts);
  assert.deepEqual(counts, { executors: 0, missions: 1, events: 1 });
  const again = makeStore(folder, () => assert.fail('it is not empty'));
  await assert.rejects(again, (error) => error instanceof StorageError && error.code === 'storage_taken');
  assert.equal(linesOf(exported(openFor(t, folder, { readOnly: true }))).length, 4);
});

test('lines are found in pieces of any length', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        name.filter((text) => !text.includes('\n')),
        { minLength: 1 },
      ),
      fc.integer({ min: 1, max: 9 }),
      async (texts, size) => {
        const bytes = Buffer.from(texts.join('\n'));
        async function* pieces() {
          for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
        }
        const found: string[] = [];
        for await (const line of splitLines(pieces())) found.push(Buffer.from(line).toString());
        const last = texts.at(-1) === '' ? -1 : undefined;
        assert.deepEqual(
          found,
          texts.slice(0, last).map((text) => Buffer.from(text).toString()),
        );
      },
    ),
  );
  async function* long() {
    yield Buffer.from('short\nlon');
    yield Buffer.from('g long');
  }
  await assert.rejects(
    async () => {
      for await (const _ of splitLines(long(), 6));
    },
    { name: 'ImportError', message: 'line 2: more than 6 bytes' },
  );
});
