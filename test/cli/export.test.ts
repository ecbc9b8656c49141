/** `callboard export` and `callboard import` as commands, also beside a process that writes to the store. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { createJournal, JournalWriter } from '#src/store/journal.js';
import type { KeptMission, KeptState } from '#src/store/kept.js';
import { openLmdb } from '#src/store/lmdb-engine.js';
import type { Position } from '#src/store/record.js';
import { nextStream, Writer } from '#src/store/writer.js';
import { main } from '../built.js';
import { callboard } from './callboard.js';

const executorId = '00000000-0000-4000-8000-000000000001';
const at = '2026-01-31T12:00:00.000Z';
const missionOf = (number: number): KeptMission => ({ missionId: `mission ${number} ü`, executorId, createdAt: at });
const running: KeptState = { state: 'running', updatedAt: at, events: 0 };

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-export-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A store that is open for writing, as a server has it. */
class OpenStore {
  readonly writer: Writer;
  readonly #engine;
  readonly #journal: JournalWriter;
  readonly #heads = new Map<number, { count: number; latest: Position | undefined }>();

  constructor(folder: string) {
    this.#engine = openLmdb(folder);
    const shared = createJournal(nextStream(this.#engine));
    this.writer = new Writer(this.#engine, [shared]);
    this.#journal = new JournalWriter(shared);
    this.writer.order({
      type: 'executor',
      executor: {
        executorId,
        name: 'one',
        version: '1',
        specVersion: '1.0.0',
        transportEndpoints: { rest: 'http://127.0.0.1:1/', ws: 'ws://127.0.0.1:1/' },
        capabilities: ['resumable'],
        token: 'secret',
        registeredAt: at,
      },
    });
  }

  mission(number: number): void {
    this.writer.order({ type: 'mission', number, mission: missionOf(number), state: running });
  }

  event(number: number, text: string): void {
    const { count, latest } = this.#heads.get(number) ?? { count: 0, latest: undefined };
    const offset = this.#journal.event(number, count, latest, text);
    this.#journal.publish();
    this.#heads.set(number, { count: count + 1, latest: { stream: this.#journal.stream, offset } });
  }

  close(): void {
    this.writer.close();
    this.#engine.close();
  }
}

function eventsOf(text: string): unknown[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'event');
}

test('export, import and export again give the same, also while a writer has the store open', async (t) => {
  const folder = newFolder(t);
  const data = join(folder, 'data');
  const store = new OpenStore(data);
  t.after(() => store.close());
  for (let number = 1; number <= 3; number++) store.mission(number);
  for (let count = 0; count < 300; count++) store.event(1 + (count % 3), `{\n"count": ${count}, "ü":"\\u0000" }`);
  store.writer.flush();

  const piped = await callboard(['export', '--data-dir', data]).ended;
  assert.deepEqual({ code: piped.code, stderr: piped.stderr }, { code: 0, stderr: '' });
  assert.equal(eventsOf(piped.stdout).length, 300);
  assert.deepEqual(eventsOf(piped.stdout)[1], {
    type: 'event',
    missionId: 'mission 1 ü',
    text: '{\n"count": 3, "ü":"\\u0000" }',
  });

  const out = join(folder, 'out.ndjson');
  writeFileSync(out, 'older', { mode: 0o644 });
  const filed = await callboard(['export', '--out', out], { CALLBOARD_DATA_DIR: data }).ended;
  assert.deepEqual(filed, { ...filed, code: 0, stderr: '' });
  assert.deepEqual(JSON.parse(filed.stdout), { executors: 1, missions: 3, events: 300 });
  assert.equal(readFileSync(out, 'utf8'), piped.stdout);
  assert.equal(statSync(out).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(folder).toSorted(), ['data', 'out.ndjson']);

  const refused = await callboard(['import', '--data-dir', data, out]).ended;
  assert.deepEqual({ code: refused.code, stdout: refused.stdout }, { code: 1, stdout: '' });
  assert.match(
    refused.stderr,
    /^callboard import: The store .* is in use by another Callboard: stop that one first\.\n$/,
  );

  const copy = join(folder, 'copy');
  const imported = await callboard(['import', out, '--data-dir', copy]).ended;
  assert.deepEqual(imported, { ...imported, code: 0, stderr: '' });
  assert.deepEqual(JSON.parse(imported.stdout), { executors: 1, missions: 3, events: 300 });
  const again = await callboard(['export', '--data-dir', copy]).ended;
  assert.equal(again.stdout, piped.stdout);

  const taken = await callboard(['import', '--data-dir', copy, out]).ended;
  assert.equal(taken.code, 1);
  assert.match(taken.stderr, /^callboard import: The store .* holds something already: import into a new folder.*\n$/);
});

test('an export is of one moment while a writer goes on, and a pipe goes from one store into another', async (t) => {
  const folder = newFolder(t);
  const data = join(folder, 'data');
  const store = new OpenStore(data);
  t.after(() => store.close());
  store.mission(1);
  store.mission(2);
  let count = 0;
  const write = (pairs: number): void => {
    // Whoever sees one of a pair sees the other.
    for (let pair = 0; pair < pairs; pair++, count++)
      for (const number of [1, 2]) store.event(number, JSON.stringify({ count, filler: 'x'.repeat(500) }));
    store.writer.flush();
  };
  write(500);
  const writing = setInterval(write, 5, 20);
  t.after(() => clearInterval(writing));
  const command = `"$0" "${main}"`;
  const piped = `${command} export --data-dir "$1" | ${command} import --data-dir "$2"`;
  const copy = join(folder, 'copy');
  const { stdout } = await promisify(execFile)('sh', ['-c', piped, process.execPath, data, copy]);
  clearInterval(writing);
  const { events } = JSON.parse(stdout);
  assert.ok(events >= 1_000 && events < count * 2, `${events} of ${count * 2}`);
  const { stdout: text } = await callboard(['export', '--data-dir', copy]).ended;
  const counts = [1, 2].map(
    (number) =>
      text.split('\n').filter((line) => line.startsWith(`{"type":"event","missionId":"mission ${number} `)).length,
  );
  assert.deepEqual(counts, [events / 2, events / 2]);

  const reader = spawn('sh', ['-c', `${command} export --data-dir "$1" | head -n 2`, process.execPath, data]);
  let stderr = '';
  reader.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  reader.stdout.resume();
  const [code] = await once(reader, 'close');
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
});

test('what cannot be exported or imported is told in a line, and leaves nothing behind', async (t) => {
  const folder = newFolder(t);
  const file = join(folder, 'half.ndjson');
  const data = join(folder, 'data');
  writeFileSync(file, '{"type":"callboard","version":1}\n{"type":"executor","token":"secret"}\n');
  const cases: readonly { args: string[]; says: RegExp }[] = [
    { args: ['export', '--data-dir', data], says: /There is no store in .*\. Give its folder with --data-dir\.$/ },
    {
      args: ['import', '--data-dir', data, file],
      says: /half\.ndjson, line 2: .* is required\. Nothing was imported\.$/,
    },
    { args: ['import', '--data-dir', data, folder], says: /cannot be read: EISDIR/ },
    { args: ['import', '--data-dir', data, join(folder, 'none')], says: /none cannot be read: ENOENT/ },
    { args: ['import', '--data-dir', data], says: /^callboard import: standard input, line 1: missing/ },
  ];
  for (const { args, says } of cases) {
    const { code, stdout, stderr } = await callboard(args).ended;
    assert.match(stderr, /^callboard \w+: .*\n$/);
    assert.match(stderr.trimEnd(), says);
    assert.doesNotMatch(stderr, /secret/);
    assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  }
  assert.equal(existsSync(join(data, 'store.mdb')), false);
  new OpenStore(data).close();
  for (const out of [folder, '/dev/null', join(folder, 'no', 'file')]) {
    const { code, stderr } = await callboard(['export', '--data-dir', data, '--out', out]).ended;
    assert.match(stderr, /^callboard export: .* (is not a file: name one|cannot be written: ENOENT).*\n$/);
    assert.equal(code, 1);
  }
  assert.deepEqual(readdirSync(folder).toSorted(), ['data', 'half.ndjson']);
});

test('a signal ends an import, and nothing of it is left', async (t) => {
  const data = join(newFolder(t), 'data');
  const child = spawn(process.execPath, [main, 'import', '--data-dir', data]);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdin.write('{"type":"callboard","version":1}\n');
  while (!existsSync(join(data, 'new-store', 'store.mdb'))) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill('SIGINT');
  const [code] = await once(child, 'close');
  assert.deepEqual([code, stderr], [1, 'callboard import: stopped by SIGINT: nothing was imported.\n']);
  assert.deepEqual(
    readdirSync(data).filter((name) => name !== 'writer.lock'),
    [],
  );
});
