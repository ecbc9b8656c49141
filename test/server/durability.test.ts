/** What outlives a server: it is stopped, or a thread of it dies, and everything is where it was. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import * as v from 'valibot';
import { storeMissions } from '#bench/stored-missions.js';
import type { Ref } from '#src/actor/index.js';
import type { CallboardServer } from '#src/server/index.js';
import type hungry from '#test/server/hungry-actor.js';
import { hungryModule } from '#test/server/hungry-actor.js';
import { newFolder } from '../folder.js';
import {
  assertError,
  dial,
  type Executor,
  executor,
  executorOn,
  inState,
  mission,
  post,
  register,
  send,
  serve,
  until,
} from './helpers.js';

const page = v.object({
  missions: v.array(v.object({ mission_id: v.string(), state: v.string() })),
  next_cursor: v.optional(v.string()),
});
const eventsPage = v.object({
  events: v.array(v.object({ event: v.string(), data: v.optional(v.record(v.string(), v.unknown())) })),
  next_after: v.optional(v.number()),
});

const list = async (server: CallboardServer, query: string) =>
  v.parse(page, (await send(`${server.url}/api/v1/missions?${query}`)).body);

/** All events of a mission, read page by page. */
async function history(server: CallboardServer, missionId: string, limit = 7) {
  const events: v.InferOutput<typeof eventsPage>['events'] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const { status, body } = await send(
      `${server.url}/api/v1/missions/${missionId}/events?after=${after}&limit=${limit}`,
    );
    assert.equal(status, 200);
    const read: v.InferOutput<typeof eventsPage> = v.parse(eventsPage, body);
    assert.ok(read.events.length <= limit);
    events.push(...read.events);
    after = read.next_after;
  }
  return events;
}

const iterations = (events: readonly { readonly data?: Record<string, unknown> | undefined }[]) =>
  events.flatMap(({ data }) => (typeof data?.iteration === 'number' ? data.iteration : []));

/** An executor that takes every dispatch. */
async function taker(t: TestContext, server: CallboardServer): Promise<{ executor: Executor; taken: string[] }> {
  const taken: string[] = [];
  const { createServer } = await import('node:http');
  const http = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk);
    taken.push(JSON.parse(Buffer.concat(chunks).toString()).mission_id);
    response.end('{"estimated_start":"2026-01-31T12:00:00Z"}');
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  t.after(() => http.close());
  const address = http.address();
  assert.ok(typeof address === 'object' && address !== null);
  const rest = `http://127.0.0.1:${address.port}`;
  return {
    executor: await executor(t, server, {
      a2a_instance_id: 'a2a-1',
      transport_endpoints: { rest, ws: 'ws://127.0.0.1:9' },
    }),
    taken,
  };
}

const dispatch = (server: CallboardServer, missionId: string, more: object = {}) =>
  post(`${server.url}/api/v1/sessions/session-1/dispatch`, {
    mission_id: missionId,
    objective: 'o',
    completion: 'c',
    ...more,
  });

test('a restart forgets nothing: executors, missions in every state, questions, events and answers are there again', async (t) => {
  const dataDir = newFolder();
  const first = await serve(t, { dataDir, threads: 2 });
  const identities = process.env.AIWG_EXECUTOR_IDENTITY_STORE;
  const { executor: worker, taken } = await taker(t, first);
  const answers = new Map<string, unknown>();
  const named = { a2a_instance_id: 'a2a-1', executor_filter: { a2a_instance_id: 'a2a-1' } };
  for (const id of ['running', 'asks', 'suspended', 'done', 'failed', 'assigned']) {
    const answer = await dispatch(first, id, id === 'done' ? named : {});
    assert.equal(answer.status, 202);
    answers.set(id, answer.body);
  }
  const leftAlone = await register(first, '99999999-9999-4999-8999-999999999999', { name: 'idle' });
  worker.event('mission.started', 'running', { state: 'running', pty_session_id: 'pty-1' });
  for (let iteration = 1; iteration <= 130; iteration++) worker.event('mission.progress', 'running', { iteration });
  worker.event('mission.hitl_required', 'asks', { hitl_id: 'h1', prompt: 'p' });
  worker.event('mission.suspended', 'suspended', { state: 'suspended', checkpoint_id: 'cp' });
  worker.event('mission.completed', 'done', { state: 'done', exit_code: 0 });
  worker.event('mission.failed', 'failed', { state: 'failed', reason: 'r', error: 'broken', exit_code: 3 });
  await inState(first, 'failed', 'failed');
  assert.deepEqual(
    iterations(await history(first, 'running')),
    Array.from({ length: 130 }, (_, i) => i + 1),
  );
  const before = new Map<string, unknown>();
  for (const id of answers.keys()) before.set(id, await mission(first, id));
  const summary = (await send(`${first.url}/api/v1/executors/${worker.executorId}`)).body;
  await first.close();

  const second = await serve(t, { dataDir, threads: 1 });
  // Tokens are in the identities' file, and in the store: here the file is another one.
  assert.notEqual(process.env.AIWG_EXECUTOR_IDENTITY_STORE, identities);
  for (const [id, was] of before) assert.deepEqual(await mission(second, id), was);
  assert.deepEqual(
    iterations(await history(second, 'running', 50)),
    Array.from({ length: 130 }, (_, i) => i + 1),
  );
  assert.deepEqual(
    (await list(second, '')).missions.map(({ mission_id }) => mission_id),
    [...answers.keys()],
  );
  assert.deepEqual(
    (await list(second, 'state=hitl-required')).missions.map(({ mission_id }) => mission_id),
    ['asks'],
  );
  assert.deepEqual(
    (await list(second, `session_id=session-1&executor_id=${worker.executorId}&limit=2&cursor=1`)).missions.length,
    2,
  );
  const { disconnected_at: _, ...again } = v.parse(
    v.record(v.string(), v.unknown()),
    (await send(`${second.url}/api/v1/executors/${worker.executorId}`)).body,
  );
  assert.equal(again.a2a_instance_id, 'a2a-1');
  assert.deepEqual(again, { ...v.parse(v.record(v.string(), v.unknown()), summary), connected: false });
  assert.equal(await register(second, '99999999-9999-4999-8999-999999999999'), leftAlone);

  // The same dispatch is answered as it was, without a second one to the executor; another is refused.
  const dispatched = taken.length;
  const done = (await dispatch(second, 'done', named)).body;
  assert.deepEqual(done, answers.get('done'));
  assert.equal(v.parse(v.object({ a2a_instance_id: v.string() }), done).a2a_instance_id, 'a2a-1');
  assert.deepEqual((await dispatch(second, 'running')).body, answers.get('running'));
  assertError(await dispatch(second, 'running', { objective: 'another' }), 'mission_exists');
  assert.equal(taken.length, dispatched);

  // What is over stays over, and known: nothing can be asked of it, which is not to say that it never was.
  assertError(await post(`${second.url}/api/v1/missions/done/abort`), 'mission_terminal');
  assertError(
    await post(`${second.url}/api/v1/missions/failed/hitl_response`, { hitl_id: 'h1', response: 'r' }),
    'hitl_not_pending',
  );

  // The executor comes back with its token, and everything goes on.
  const back = await dial(t, second, worker.executorId, worker.token);
  const answered = await post(`${second.url}/api/v1/missions/asks/hitl_response`, { hitl_id: 'h1', response: 'yes' });
  assert.equal(answered.status, 202);
  await until(() => back.received.some(({ event }) => event === 'mission.hitl_responded'));
  assert.equal((await dispatch(second, 'by its instance', named)).status, 202);
  back.event('mission.progress', 'running', { iteration: 131 });
  back.event('mission.reconnected', 'suspended', { checkpoint_id: 'cp' });
  back.event('mission.completed', 'assigned', { state: 'done' });
  await inState(second, 'assigned', 'done');
  await inState(second, 'suspended', 'running');
  assert.deepEqual(iterations((await mission(second, 'running')).recent_events ?? []).slice(-2), [130, 131]);
  assert.equal((await mission(second, 'running')).recent_events?.length, 50);
  assert.deepEqual(
    iterations(await history(second, 'running', 100)),
    Array.from({ length: 131 }, (_, i) => i + 1),
  );
});

test('a thread that dies forgets nothing: its missions are rebuilt from the store, and its executors dial again', async (t) => {
  const server = await serve(t, { dataDir: newFolder(), threads: 2, threadHeapMb: 64 });
  const { registry } = server;
  const doomed = await executorOn(t, server, 1);
  for (const id of ['running', 'asks', 'done']) await registry.assignMission(id, doomed.executorId);
  doomed.event('mission.started', 'running', { state: 'running', pty_session_id: 'pty-1' });
  for (let iteration = 1; iteration <= 200; iteration++) doomed.event('mission.progress', 'running', { iteration });
  doomed.event('mission.hitl_required', 'asks', { hitl_id: 'h1', prompt: 'p' });
  doomed.event('mission.completed', 'done', { state: 'done', exit_code: 4 });
  await inState(server, 'done', 'done');
  const ref: Ref<'eat'> = registry.supervisor.system.spawnOnThread<typeof hungry>(hungryModule, undefined, {
    thread: 1,
    supervision: { decide: 'stop' },
  });
  registry.supervisor.system.tell(ref, 'eat');
  assert.equal((await doomed.closed).code, 1012);

  const back = await dial(t, server, doomed.executorId, doomed.token);
  back.event('mission.progress', 'running', { iteration: 201 });
  await until(async () => iterations((await mission(server, 'running')).recent_events ?? []).at(-1) === 201);
  const running = await mission(server, 'running');
  assert.equal(running.pty_session_ref, 'pty-1');
  assert.deepEqual(
    iterations(running.recent_events ?? []),
    Array.from({ length: 50 }, (_, i) => 152 + i),
  );
  assert.deepEqual(
    iterations(await history(server, 'running', 64)),
    Array.from({ length: 201 }, (_, i) => i + 1),
  );
  const done = await mission(server, 'done');
  assert.deepEqual([done.state, done.exit_code, done.recent_events?.length], ['done', 4, 1]);
  const answered = await post(`${server.url}/api/v1/missions/asks/hitl_response`, { hitl_id: 'h1', response: 'yes' });
  assert.equal(answered.status, 202);
  assert.equal((await mission(server, 'asks')).state, 'running');
});

test('over two restarts', async (t) => {
  const dataDir = newFolder();
  const first = await serve(t, { dataDir });
  const asking = await executor(t, first);
  const resumable = await executor(t, first, { capabilities: ['resumable'] });
  const other = await executor(t, first);
  for (const id of ['soon', 'later']) await first.registry.assignMission(id, asking.executorId);
  await first.registry.assignMission('suspended', resumable.executorId);
  await first.registry.assignMission('failed', other.executorId);
  const in500 = new Date(Date.now() + 500).toISOString();
  asking.event('mission.hitl_required', 'soon', { hitl_id: 'h', prompt: 'p', expires_at: in500 });
  asking.event('mission.hitl_required', 'later', { hitl_id: 'h', prompt: 'p', expires_at: '2100-01-01T00:00:00Z' });
  await inState(first, 'later', 'hitl-required');
  for (const { executorId } of [resumable, other])
    assert.equal((await send(`${first.url}/api/v1/executors/${executorId}`, { method: 'DELETE' })).status, 204);
  await first.close();

  const respond = (server: CallboardServer) =>
    post(`${server.url}/api/v1/missions/soon/hitl_response`, { hitl_id: 'h', response: 'r' });
  const second = await serve(t, { dataDir });
  await t.test('a question keeps its time', async () => {
    await inState(second, 'soon', 'failed');
    assert.equal((await mission(second, 'soon')).error, 'hitl_expired');
    assertError(await respond(second), 'hitl_expired');
    assert.equal((await mission(second, 'later')).state, 'hitl-required');
  });
  await t.test('missions of an executor that left are as it left them', async () => {
    await inState(second, 'suspended', 'suspended');
    await inState(second, 'failed', 'failed');
    assert.equal((await mission(second, 'failed')).error, 'executor_deregistered');
    assert.equal((await send(`${second.url}/api/v1/executors/${other.executorId}`)).status, 404);
  });
  await second.close();

  const third = await serve(t, { dataDir, executorTimeout: 500 });
  await t.test('a question whose time ran out is known as that', async () => {
    assertError(await respond(third), 'hitl_expired');
  });
  await t.test('an executor that does not come back is deregistered', async () => {
    const answer = await until(async () => {
      const got = await send(`${third.url}/api/v1/executors/${asking.executorId}`);
      return got.status !== 200 && got;
    });
    assertError(answer, 'executor_not_found');
  });
});

test('a hundred thousand missions are back before the server answers, and say how far that is', async (t) => {
  const dataDir = newFolder();
  const executorIds = storeMissions(dataDir, 100_000, 1);
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line) => lines.push(line) });
  const server = await serve(t, { dataDir, threads: 2, log });
  const counts = await Promise.all(
    executorIds.map(async (executorId) => (await server.registry.get(executorId))?.active_mission_count),
  );
  assert.deepEqual(counts, Array(executorIds.length).fill(100_000 / executorIds.length));
  for (const number of [1, 50_000, 100_000]) {
    const { state, recent_events: events } = await mission(server, `mission-${number}`);
    assert.deepEqual([state, iterations(events ?? [])], ['running', [0]]);
  }
  assert.match(lines.join(''), /"done":100000,"of":100000,"msg":"missions are back"/);
});
