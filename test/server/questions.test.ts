/** The list of the human questions that are open. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as v from 'valibot';
import type { CallboardServer } from '#src/server/index.js';
import type blockingActor from '#test/blocking-actor.js';
import { blockingModule } from '#test/blocking-actor.js';
import { newFolder } from '../folder.js';
import {
  assertError,
  dial,
  type Executor,
  executor,
  executorOn,
  inState,
  post,
  send,
  serve,
  until,
} from './helpers.js';

const id = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
const resync = (peer: Executor, listed: readonly string[]): void =>
  peer.event('executor.resync', undefined, { owned_mission_ids: listed });

const questionsPage = v.strictObject({
  questions: v.array(
    v.strictObject({
      mission_id: v.string(),
      executor_id: v.string(),
      hitl_id: v.string(),
      prompt: v.string(),
      context: v.optional(v.string()),
      asked_at: v.string(),
      expires_at: v.optional(v.string()),
    }),
  ),
  unread: v.optional(v.array(v.string())),
  next_cursor: v.optional(v.string()),
});

const questions = async (server: CallboardServer, query = '') => {
  const { status, body } = await send(`${server.url}/api/v1/hitl?${query}`);
  assert.equal(status, 200);
  return v.parse(questionsPage, body);
};
/** An executor asks. Each question a millisecond after the one before: they are listed in that order. */
let asked = 0;
async function ask(server: CallboardServer, peer: Executor, mission_id: string, more: object = {}): Promise<void> {
  await server.registry.assignMission(mission_id, peer.executorId);
  const ts = new Date(Date.UTC(2026, 0, 1) + ++asked).toISOString();
  const data = { hitl_id: `of ${mission_id}`, prompt: `May ${mission_id}?`, ...more };
  peer.ws.send(JSON.stringify({ event: 'mission.hitl_required', executor_id: peer.executorId, mission_id, ts, data }));
  await inState(server, mission_id, 'hitl-required');
}

const ids = async (server: CallboardServer): Promise<string[]> =>
  (await questions(server)).questions.map(({ mission_id }) => mission_id);

for (const kept of [true, false])
  test(`open questions are listed, the oldest first, in pages, ${kept ? 'also after a restart' : 'without a store'}`, async (t) => {
    const dataDir = kept ? newFolder() : undefined;
    const server = await serve(t, { dataDir, threads: 2 });
    const peer = await executor(t, server, {}, id);
    const ask = (missionId: string, ts: string, more: object = {}): void =>
      peer.ws.send(
        JSON.stringify({
          event: 'mission.hitl_required',
          executor_id: id,
          mission_id: missionId,
          ts,
          data: { hitl_id: `of ${missionId}`, prompt: `May ${missionId}?`, ...more },
        }),
      );
    for (const missionId of ['b', 'a', 'c', 'd', 'e']) await server.registry.assignMission(missionId, id);
    ask('a', '2026-01-01T00:00:01Z', { context: 'c', expires_at: '2100-01-01T00:00:00Z' });
    ask('b', '2026-01-01T00:00:03Z');
    ask('c', '2026-01-01T02:00:02+02:00');
    ask('d', '2026-01-01T00:00:03Z');
    ask('e', '2026-01-01T00:00:00Z');
    await until(async () => (await ids(server)).length === 5);
    assert.equal(
      (await post(`${server.url}/api/v1/missions/e/hitl_response`, { hitl_id: 'of e', response: 'r' })).status,
      202,
    );
    assert.deepEqual(await ids(server), ['a', 'c', 'b', 'd']);

    let now = server;
    if (kept) {
      await server.close();
      now = await serve(t, { dataDir, threads: 1 });
    }
    assert.deepEqual(await ids(now), ['a', 'c', 'b', 'd']);
    const first = await questions(now, 'limit=3');
    assert.deepEqual(first.questions[0], {
      mission_id: 'a',
      executor_id: id,
      hitl_id: 'of a',
      prompt: 'May a?',
      context: 'c',
      asked_at: '2026-01-01T00:00:01Z',
      expires_at: '2100-01-01T00:00:00Z',
    });
    const second = await questions(now, `limit=3&cursor=${first.next_cursor}`);
    assert.deepEqual([second.questions.map(({ mission_id }) => mission_id), second.next_cursor], [['d'], undefined]);

    // One whose mission is over, and one that a resync finds, which stays.
    const back = kept ? await dial(t, now, id, peer.token) : peer;
    assert.equal((await post(`${now.url}/api/v1/missions/b/abort`)).status, 202);
    resync(back, ['a', 'c', 'd']);
    await inState(now, 'a', 'running');
    await until(async () => (await ids(now)).length === 3);
    assert.deepEqual(await ids(now), ['a', 'c', 'd']);
    const answered = await post(`${now.url}/api/v1/missions/a/hitl_response`, { hitl_id: 'of a', response: 'yes' });
    assert.equal(answered.status, 202);
    await until(async () => (await ids(now)).length === 2);
    await until(() =>
      back.received.some(({ event, mission_id }) => event === 'mission.hitl_responded' && mission_id === 'a'),
    );
  });

const shared = await serve({ after }, { threads: 2 });

test('the list of questions knows executor_id, limit and cursor, and nothing else', async () => {
  for (const query of [
    'executor_id=x',
    'limit=0',
    'limit=1001',
    'cursor=1',
    'cursor=x-1',
    'cursor=1-1-1',
    'state=running',
  ])
    assertError(await send(`${shared.url}/api/v1/hitl?${query}`), 'invalid_payload');
  assert.deepEqual(await questions(shared), { questions: [] });
});

test('questions of a thread that does not answer are left out, and that is said; of one executor: unavailable', async (t) => {
  const { system } = shared.registry.supervisor;
  const there = await executorOn(t, shared, 0);
  const hung = await executorOn(t, shared, 1);
  // Of each more than are read at once.
  const numbers = Array.from({ length: 17 }, (_, n) => n);
  for (const n of numbers) await Promise.all([ask(shared, there, `there ${n}`), ask(shared, hung, `hung ${n}`)]);
  assert.equal((await ids(shared)).length, 34);
  const wake = new Int32Array(new SharedArrayBuffer(4));
  const ref = system.spawnOnThread<typeof blockingActor>(blockingModule, wake, { thread: 1 });
  await system.settle();
  system.tell(ref, 'block');
  system.flush();
  const [all, ofThere, ofHung] = await Promise.all(
    ['', `executor_id=${there.executorId}`, `executor_id=${hung.executorId}`].map((query) =>
      send(`${shared.url}/api/v1/hitl?${query}`),
    ),
  );
  Atomics.store(wake, 0, 1);
  Atomics.notify(wake, 0);
  await system.settle();
  const { questions: read, unread } = v.parse(questionsPage, all?.body);
  assert.deepEqual(
    read.map(({ mission_id }) => mission_id),
    numbers.map((n) => `there ${n}`),
  );
  assert.deepEqual(
    unread,
    numbers.map((n) => `hung ${n}`),
  );
  assert.deepEqual(v.parse(questionsPage, ofThere?.body), { questions: read });
  assert.ok(ofHung);
  assertError(ofHung, 'unavailable');
  assert.equal((await questions(shared)).questions.length, 34);
});

test('open questions of one executor are listed, in pages', async (t) => {
  const peer = await executor(t, shared);
  for (const missionId of ['x', 'y', 'z']) await ask(shared, peer, missionId);
  const of = `executor_id=${peer.executorId}`;
  const { questions: first, next_cursor: next } = await questions(shared, `${of}&limit=2`);
  const { questions: rest } = await questions(shared, `${of}&limit=2&cursor=${next}`);
  assert.deepEqual(
    [first, rest].map((page) => page.map(({ mission_id }) => mission_id)),
    [['x', 'y'], ['z']],
  );
  assert.deepEqual(await questions(shared, `executor_id=${id}`), { questions: [] });
});

test('a page of questions ends once it has 4 MiB, and leaves none out', async (t) => {
  const peer = await executor(t, shared);
  const missionIds = Array.from({ length: 6 }, (_, n) => `long ${n}`);
  for (const missionId of missionIds) await ask(shared, peer, missionId, { context: 'x'.repeat(2 ** 20 - 1_000) });
  const { questions: first, next_cursor: next } = await questions(shared, `executor_id=${peer.executorId}`);
  assert.deepEqual([first.length, next !== undefined], [5, true]);
  const { questions: rest } = await questions(shared, `executor_id=${peer.executorId}&cursor=${next}`);
  assert.deepEqual(
    [...first, ...rest].map(({ mission_id }) => mission_id),
    missionIds,
  );
});
