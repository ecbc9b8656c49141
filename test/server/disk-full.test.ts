/** A disk that is full, and folders that a server must not touch: the real process, on a small file system. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import * as v from 'valibot';
import { openLmdb, STORE_FILE } from '#src/store/lmdb-engine.js';
import { newFolder } from '../folder.js';
import {
  assertError,
  dial,
  endpoint,
  inState,
  mission,
  post,
  register,
  registration,
  type Served,
  send,
  until,
} from './helpers.js';
import { ServerProcess } from './server-process.js';

const MIB = 2 ** 20;
const IDLE = '99999999-9999-4999-8999-999999999999';
const WORKER = '11111111-1111-4111-8111-111111111111';
const LATE = '22222222-2222-4222-8222-222222222222';

/** A server on a small file system of its own, gone when the test is over; undefined where mounting is not allowed. */
async function onSmallDisk(t: TestContext): Promise<{ disk: string; server: ServerProcess } | undefined> {
  const disk = mkdtempSync(join(tmpdir(), 'callboard-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk], { stdio: 'pipe' });
  } catch (error) {
    rmdirSync(disk);
    t.skip(`no small disk can be mounted: ${error instanceof Error ? error.message.trim() : error}`);
    return undefined;
  }
  const server = await ServerProcess.make(t, { dataDir: join(disk, 'data') });
  t.after(async () => {
    await server.kill().finally(() => execFileSync('umount', [disk]));
    rmdirSync(disk);
  });
  return { disk, server };
}

/** Fills a disk to its last byte. @returns the file that does */
function fill(disk: string): string {
  const path = join(disk, 'filler');
  const file = openSync(path, 'w');
  for (let size = MIB; size > 0; )
    try {
      if (writeSync(file, Buffer.alloc(size)) < size) size >>= 1;
    } catch {
      size >>= 1;
    }
  closeSync(file);
  return path;
}

const pageSchema = v.object({
  events: v.array(v.object({ event: v.string(), data: v.record(v.string(), v.unknown()) })),
  next_after: v.optional(v.number()),
});

async function iterations(server: Served, missionId: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const { status, body } = await send(`${server.url}/api/v1/missions/${missionId}/events?after=${after}&limit=1000`);
    assert.equal(status, 200);
    const page: v.InferOutput<typeof pageSchema> = v.parse(pageSchema, body);
    found.push(...page.events.flatMap(({ data }) => (typeof data.iteration === 'number' ? data.iteration : [])));
    after = page.next_after;
  }
  return found;
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

const readiness = async (server: Served): Promise<[number, unknown]> => {
  const { status, body } = await send(`${server.url}/readyz`);
  return [status, v.parse(v.object({ status: v.string() }), body).status];
};

const dispatch = (server: Served, missionId: string) =>
  post(`${server.url}/api/v1/sessions/s/dispatch`, { mission_id: missionId, objective: 'o', completion: 'c' });

test('on a full disk what is new is refused and what runs goes on; all of it is kept with space again, also over a kill', {
  timeout: 120_000,
}, async (t) => {
  const made = await onSmallDisk(t);
  if (made === undefined) return;
  const { disk, server } = made;
  const rest = await endpoint(t, (_, response) => response.end('{}'));
  await server.start();
  assert.deepEqual(await readiness(server), [200, 'ready']);
  const more = { transport_endpoints: { rest, ws: 'ws://127.0.0.1:9' } };
  const token = await register(server, WORKER, more);
  await register(server, IDLE, more);
  const worker = await dial(t, server, WORKER, token);
  const answers = new Map<string, unknown>();
  for (const id of ['runs', 'ends', 'asks', 'ended']) {
    const { status, body } = await dispatch(server, id);
    assert.equal(status, 202);
    answers.set(id, body);
    worker.event('mission.started', id, { state: 'running' });
  }
  worker.event('mission.hitl_required', 'asks', { hitl_id: 'h', prompt: 'p' });
  worker.event('mission.completed', 'ended', { state: 'done', exit_code: 3 });
  for (const iteration of upTo(100)) worker.event('mission.progress', 'runs', { iteration });
  await inState(server, 'ended', 'done');
  await until(async () => {
    const last = (await mission(server, 'runs')).recent_events?.at(-1);
    return last?.event === 'mission.progress' && last.data?.iteration === 100;
  });
  // With this answer, all of it is durable.
  assert.deepEqual(await iterations(server, 'runs'), upTo(100));
  const ended = await mission(server, 'ended');

  const filler = fill(disk);
  // Missions run on, with more than the store's file has room for.
  for (let iteration = 101; iteration <= 600; iteration++)
    worker.event('mission.progress', 'runs', { iteration, summary: 'x'.repeat(2_000) });
  await until(async () => (await readiness(server))[0] === 503);
  assert.deepEqual(await readiness(server), [503, 'storage_unavailable']);
  assertError(await dispatch(server, 'new'), 'storage_unavailable');
  assert.equal((await send(`${server.url}/api/v1/missions/new`)).status, 404);
  assertError(await post(`${server.url}/api/v1/executors/register`, registration(LATE, more)), 'storage_unavailable');
  // It is said of what an operator wants that it may not hold; it takes effect all the same.
  assertError(
    await post(`${server.url}/api/v1/missions/asks/hitl_response`, { hitl_id: 'h', response: 'yes' }),
    'storage_unavailable',
  );
  await until(() => worker.received.some(({ event }) => event === 'mission.hitl_responded'));
  await inState(server, 'asks', 'running');
  worker.event('mission.completed', 'ends', { state: 'done', exit_code: 7 });
  await inState(server, 'ends', 'done');
  // What was durable before is there, be it over or not.
  assert.deepEqual(await mission(server, 'ended'), ended);
  assert.deepEqual((await iterations(server, 'runs')).slice(0, 100), upTo(100));
  assert.equal((await send(`${server.url}/healthz`)).status, 200);

  rmSync(filler);
  await until(async () => (await readiness(server))[0] === 200);
  assert.deepEqual(await iterations(server, 'runs'), upTo(600));
  const afterwards = await dispatch(server, 'new');
  assert.equal(afterwards.status, 202);
  answers.set('new', afterwards.body);
  await register(server, LATE, more);
  const before = new Map<string, unknown>();
  for (const id of answers.keys()) before.set(id, await mission(server, id));

  // Killed and started while the disk is full: what was durable before is there…
  const again = fill(disk);
  for (let iteration = 601; iteration <= 1_100; iteration++)
    worker.event('mission.progress', 'runs', { iteration, summary: 'x'.repeat(2_000) });
  await until(async () => (await readiness(server))[0] === 503);
  await server.kill();
  await server.start();
  for (const [id, was] of before) if (id !== 'runs') assert.deepEqual(await mission(server, id), was);
  assert.equal((await mission(server, 'ends')).exit_code, 7);
  for (const id of [WORKER, IDLE, LATE]) assert.equal((await send(`${server.url}/api/v1/executors/${id}`)).status, 200);
  // …and what came after that in order, as far as there was room.
  const kept = await iterations(server, 'runs');
  assert.ok(kept.length >= 600);
  assert.deepEqual(kept, upTo(kept.length));
  const back = await dial(t, server, WORKER, token);
  for (let iteration = kept.length + 1; iteration <= kept.length + 500; iteration++)
    back.event('mission.progress', 'runs', { iteration, summary: 'x'.repeat(2_000) });
  await until(async () => (await readiness(server))[0] === 503);
  assertError(await dispatch(server, 'newer'), 'storage_unavailable');

  rmSync(again);
  await until(async () => (await readiness(server))[0] === 200);
  // The last of them may be on their way still.
  await until(async () => (await iterations(server, 'runs')).length === kept.length + 500);
  assert.deepEqual(await iterations(server, 'runs'), upTo(kept.length + 500));
  for (const [id, answer] of answers) assert.deepEqual((await dispatch(server, id)).body, answer);
  assert.equal(await register(server, WORKER, more), token);
  await server.stop();
});

/** Every file of a folder, byte for byte; but the one that LMDB keeps its readers in, which is of no worth at rest. */
const contents = (dataDir: string): Map<string, string> =>
  new Map(
    readdirSync(dataDir)
      .filter((name) => name !== `${STORE_FILE}-lock`)
      .map((name) => [name, readFileSync(join(dataDir, name)).toString('hex')]),
  );

/** That a server refuses its folder: exit code 1, one line, every byte as it was. */
async function assertRefused(t: TestContext, dataDir: string, why: RegExp): Promise<void> {
  const before = contents(dataDir);
  const server = await ServerProcess.make(t, { dataDir });
  const { code, stdout, stderr } = await server.failToStart();
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
  assert.match(stderr, /^callboard serve: .+\n$/);
  assert.match(stderr, why);
  assert.deepEqual(contents(dataDir), before);
}

test('a store that a newer version made is one clear line and exit code 1, and stays as it was', async (t) => {
  const dataDir = newFolder();
  const engine = openLmdb(dataDir);
  engine.commit(new Map([['version', Buffer.from('2')]]));
  engine.close();
  await assertRefused(t, dataDir, /has version 2, which a newer Callboard wrote/);
});

test('a store that is damaged is one clear line and exit code 1, and stays as it was', async (t) => {
  const dataDir = newFolder();
  const engine = openLmdb(dataDir);
  engine.commit(new Map(upTo(1_000).map((key) => [`x${key}`, Buffer.alloc(500)])));
  engine.close();
  const whole = readFileSync(join(dataDir, STORE_FILE));
  writeFileSync(join(dataDir, STORE_FILE), whole.subarray(0, whole.length / 2));
  await assertRefused(t, dataDir, /its end is missing/);
});
