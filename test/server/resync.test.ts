/** Resync over real sockets: dispatches that never arrived, and aborts told late. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { parseDispatchPayload } from '#src/contract/index.js';
import { Dispatcher } from '#src/server/dispatch.js';
import type { CallboardServer } from '#src/server/index.js';
import { newFolder } from '../folder.js';
import {
  assertError,
  dial,
  type Executor,
  endpoint,
  executor,
  inState,
  mission,
  post,
  serve,
  until,
} from './helpers.js';

/** Servers that need not stop: each test has an executor of its own there, and missions of other names. */
const plain = await serve({ after });
const keeping = await serve({ after }, { dataDir: newFolder() });

const payload = (id: string, missionId: string, more: object = {}) => ({
  mission_id: missionId,
  objective: 'o',
  completion: 'c',
  executor_filter: { executor_id: id },
  ...more,
});
const dispatch = (server: CallboardServer, id: string, missionId: string, more: object = {}) =>
  post(`${server.url}/api/v1/sessions/s/dispatch`, payload(id, missionId, more));
const resync = (peer: Executor, listed: readonly string[]): void =>
  peer.event('executor.resync', undefined, { owned_mission_ids: listed });

interface Rest {
  url: string;
  readonly taken: string[];
  /** How it answers. */
  answer: (response: ServerResponse, request: IncomingMessage) => void;
}

async function restOf(t: TestContext): Promise<Rest> {
  const rest: Rest = { url: '', taken: [], answer: (response) => response.writeHead(202).end('{}') };
  rest.url = await endpoint(t, (request, response, body) => {
    rest.taken.push(JSON.parse(body).mission_id);
    rest.answer(response, request);
  });
  return rest;
}

const worker = async (t: TestContext, server: CallboardServer, rest: Rest): Promise<Executor> =>
  executor(t, server, { transport_endpoints: { rest: rest.url, ws: 'ws://127.0.0.1:9' } });

for (const kept of [true, false])
  test(`a mission that was assigned and never arrived is dispatched again, ${kept ? 'with' : 'without'} a store`, async (t) => {
    const server = kept ? keeping : plain;
    const rest = await restOf(t);
    const peer = await worker(t, server, rest);
    for (const missionId of ['lost', 'here'])
      assert.equal((await dispatch(server, peer.executorId, missionId)).status, 202);
    const answer = await dispatch(server, peer.executorId, 'lost');
    const assigned: string[] = [];
    server.registry.on('mission:assigned', ({ missionId }) => assigned.push(missionId));
    resync(peer, ['here']);
    await until(() => rest.taken.length === 3);
    assert.deepEqual(rest.taken, ['lost', 'here', 'lost']);
    await inState(server, 'here', 'running');
    peer.event('mission.started', 'lost', { state: 'running' });
    await inState(server, 'lost', 'running');
    assert.deepEqual(assigned, []);
    assert.deepEqual((await dispatch(server, peer.executorId, 'lost')).body, answer.body);
    assert.equal(rest.taken.length, 3);
  });

/** Until its executor has left. @returns what comes then */
async function neverArrives(t: TestContext, server: CallboardServer) {
  const rest = await restOf(t);
  const resumable = { transport_endpoints: { rest: rest.url, ws: 'ws://127.0.0.1:9' }, capabilities: ['resumable'] };
  const peer = await executor(t, server, resumable);
  const id = peer.executorId;
  for (const missionId of ['left', 'listed', 'gone']) assert.equal((await dispatch(server, id, missionId)).status, 202);
  const { body } = await dispatch(server, id, 'left');
  for (const missionId of ['listed', 'gone']) peer.event('mission.started', missionId, { state: 'running' });
  await inState(server, 'gone', 'running');
  peer.event('executor.deregistered', undefined, { reason: 'graceful_shutdown' });
  for (const missionId of ['left', 'listed', 'gone']) await inState(server, missionId, 'suspended');
  return async (server: CallboardServer): Promise<void> => {
    const back = await executor(t, server, resumable, id);
    resync(back, ['listed']);
    await inState(server, 'left', 'assigned');
    assert.deepEqual(rest.taken, ['left', 'listed', 'gone', 'left']);
    assert.equal((await mission(server, 'gone')).state, 'suspended');
    assert.deepEqual((await dispatch(server, id, 'left')).body, body);
    back.event('mission.started', 'left', { state: 'running' });
    await inState(server, 'left', 'running');
  };
}

test('a mission that never arrived is dispatched again once its executor has left and is back', async (t) => {
  const goOn = await neverArrives(t, plain);
  await goOn(plain);
});

test('a replay that is refused fails the mission; one that finds it there, by a 409, does not', async (t) => {
  const server = plain;
  const rest = await restOf(t);
  const peer = await worker(t, server, rest);
  for (const missionId of ['refused', 'there']) await dispatch(server, peer.executorId, missionId);
  rest.answer = (response) => response.writeHead(409).end();
  resync(peer, ['refused']);
  await until(() => rest.taken.length === 3);
  resync(peer, ['refused', 'there']);
  await inState(server, 'there', 'running');
  rest.answer = (response) => response.writeHead(202).end();
  await dispatch(server, peer.executorId, 'no');
  rest.answer = (response) => response.writeHead(500).end();
  resync(peer, ['refused', 'there']);
  await inState(server, 'no', 'failed');
  assert.match((await mission(server, 'no')).error ?? '', /^executor_rejected: it answered 500/);
});

test('nothing is replayed while the first dispatch is under way, however often the executor resyncs', async (t) => {
  const server = plain;
  const rest = await restOf(t);
  const peer = await worker(t, server, rest);
  const held: ServerResponse[] = [];
  rest.answer = (response) => void held.push(response);
  const answer = dispatch(server, peer.executorId, 'm');
  await until(() => held.length === 1);
  for (let n = 0; n < 3; n++) resync(peer, []);
  // It is behind the resyncs.
  await server.registry.assignMission('mark', peer.executorId);
  peer.event('mission.started', 'mark', { state: 'running' });
  await inState(server, 'mark', 'running');
  held[0]?.writeHead(202).end();
  assert.equal((await answer).status, 202);
  assert.deepEqual(rest.taken, ['m']);
});

test('no more than four dispatches are replayed to an executor at a time, and all of them are', async (t) => {
  const server = plain;
  const rest = await restOf(t);
  const peer = await worker(t, server, rest);
  const ids = Array.from({ length: 10 }, (_, n) => `m${n}`);
  for (const missionId of ids) await dispatch(server, peer.executorId, missionId);
  rest.taken.length = 0;
  let most = 0;
  const held: ServerResponse[] = [];
  rest.answer = (response) => {
    held.push(response);
    most = Math.max(most, held.length);
    if (held.length === 4 || rest.taken.length > 8) for (const one of held.splice(0)) one.writeHead(202).end();
  };
  resync(peer, []);
  await until(() => rest.taken.length === 10);
  assert.deepEqual([most, [...rest.taken].sort()], [4, ids]);
});

/** Until the stop. @returns what comes after the next start */
async function isCutShort(t: TestContext, first: CallboardServer) {
  const rest = await restOf(t);
  const { executorId: id, token } = await worker(t, first, rest);
  // Queued, and nobody was answered.
  for (const missionId of ['taken', 'refused', 'there'])
    first.registry.supervisor.missions.create(missionId, id, 'queued', {
      sessionId: 's',
      payload: payload(id, missionId),
    });
  await first.registry.supervisor.kept();
  return async (server: CallboardServer): Promise<void> => {
    assertError(await dispatch(server, id, 'taken', { objective: 'another' }), 'mission_exists');
    const [taken, refused, there] = ['taken', 'refused', 'there'].map((missionId) => dispatch(server, id, missionId));
    const peer = await dial(t, server, id, token);
    const answer = {
      mission_id: 'taken',
      executor_id: id,
      status: 'assigned',
      estimated_start: '2030-01-01T00:00:00Z',
    };
    rest.answer = (response) =>
      rest.taken.at(-1) === 'refused' ? response.writeHead(500).end() : response.end(JSON.stringify(answer));
    resync(peer, ['there']);
    assert.deepEqual((await taken)?.body, answer);
    assert.ok(refused);
    assertError(await refused, 'executor_rejected');
    assert.deepEqual((await there)?.body, { mission_id: 'there', executor_id: id, status: 'assigned' });
    assert.deepEqual([...rest.taken].sort(), ['refused', 'taken']);
    assert.equal((await mission(server, 'taken')).state, 'assigned');
    await inState(server, 'refused', 'failed');
    // And so for ever.
    assert.deepEqual((await dispatch(server, id, 'taken')).body, answer);
    assertError(await dispatch(server, id, 'refused'), 'executor_rejected');
    assert.equal(rest.taken.length, 2);
  };
}

test('a dispatch that a stop cut short, repeated while its executor is away: executor_not_connected, in its time', async (t) => {
  const server = keeping;
  const { supervisor } = server.registry;
  const peer = await executor(t, server);
  const id = peer.executorId;
  supervisor.missions.create('unanswered', id, 'queued', { sessionId: 's', payload: payload(id, 'unanswered') });
  await supervisor.kept();
  const parsed = parseDispatchPayload(payload(id, 'unanswered'));
  assert.ok(parsed.ok);
  const dispatcher = new Dispatcher(supervisor, pino({ level: 'silent' }), 50);
  const { status, body } = await dispatcher.dispatch('s', parsed.payload);
  assert.deepEqual([status, 'error' in body && body.error], [503, 'executor_not_connected']);
  // It is asked again as if it had never been.
  server.registry.on('mission:state_change', ({ missionId, state }) => dispatcher.moved(missionId, state));
  peer.event('mission.started', 'unanswered', { state: 'running' });
  await inState(server, 'unanswered', 'running');
  assert.equal((await dispatcher.dispatch('s', parsed.payload)).status, 202);
});

test('a dispatch that a stop cut short, its executor having left: repeated, it waits for the replay, too', async (t) => {
  const server = keeping;
  const { supervisor } = server.registry;
  const rest = await restOf(t);
  const resumable = { transport_endpoints: { rest: rest.url, ws: 'ws://127.0.0.1:9' }, capabilities: ['resumable'] };
  const { executorId: id } = await executor(t, server, resumable);
  for (const missionId of ['cut', 'heard'])
    supervisor.missions.create(missionId, id, 'queued', { sessionId: 's', payload: payload(id, missionId) });
  await server.registry.supervisor.kept();
  await server.registry.deregister(id);
  await inState(server, 'heard', 'suspended');
  const parsed = parseDispatchPayload(payload(id, 'cut'));
  assert.ok(parsed.ok);
  const { status, body } = await new Dispatcher(supervisor, pino({ level: 'silent' }), 50).dispatch(
    's',
    parsed.payload,
  );
  assert.deepEqual([status, 'error' in body && body.error], [503, 'executor_not_connected']);

  const [cut, heard] = ['cut', 'heard'].map((missionId) => dispatch(server, id, missionId));
  const peer = await executor(t, server, resumable, id);
  const answer = { mission_id: 'cut', executor_id: id, status: 'assigned', estimated_start: '2030-01-01T00:00:00Z' };
  rest.answer = (response) => response.end(JSON.stringify(answer));
  peer.event('mission.started', 'heard', { state: 'running' });
  resync(peer, ['heard']);
  assert.deepEqual((await cut)?.body, answer);
  assert.equal((await heard)?.status, 202);
  assert.deepEqual(rest.taken, ['cut']);
});

for (const [what, filter] of [
  ['a2a_instance_id', (id: string) => ({ a2a_instance_id: `a2a of ${id}` })],
  ['instance_id', (id: string) => ({ instance_id: `a2a of ${id}` })],
  ['both, with the executor pinned', (id: string) => ({ executor_id: id, instance_id: 'other' })],
] as const)
  test(`a dispatch by ${what} that a stop cut short is answered as it would have been`, async (t) => {
    const server = keeping;
    const id = randomUUID();
    const a2a_instance_id = `a2a of ${id}`;
    const peer = await executor(t, server, { a2a_instance_id }, id);
    const named = { executor_filter: filter(id) };
    const mission_id = `by ${what}`;
    server.registry.supervisor.missions.create(mission_id, id, 'queued', {
      sessionId: 's',
      payload: payload(id, mission_id, named),
    });
    await server.registry.supervisor.kept();
    peer.event('mission.started', mission_id, { state: 'running' });
    await inState(server, mission_id, 'running');
    assert.deepEqual((await dispatch(server, id, mission_id, named)).body, {
      mission_id,
      executor_id: id,
      a2a_instance_id,
      status: 'assigned',
    });
  });

/** Until the stop. @returns what comes after the next start */
async function isAborted(t: TestContext, first: CallboardServer) {
  const peer = await executor(t, first);
  const id = peer.executorId;
  for (const missionId of ['aborted', 'done']) await first.registry.assignMission(missionId, id);
  peer.event('mission.completed', 'done', { state: 'done' });
  await inState(first, 'done', 'done');
  peer.ws.terminate();
  await peer.closed;
  assert.equal((await post(`${first.url}/api/v1/missions/aborted/abort`)).status, 202);
  return async (second: CallboardServer): Promise<void> => {
    // What is over is in the store only.
    const back = await dial(t, second, id, peer.token);
    resync(back, ['done', 'nobody', 'aborted']);
    await until(() => back.received.length > 0);
    assert.deepEqual(
      back.received.map(({ event, mission_id, data }) => [event, mission_id, data]),
      [['mission.aborted', 'aborted', { state: 'aborted', aborted_by: 'operator' }]],
    );
  };
}

test('after a restart', async (t) => {
  const dataDir = newFolder();
  const first = await serve(t, { dataDir });
  const goOn = {
    'a mission that never arrived is dispatched again once its executor, which had left, is back': await neverArrives(
      t,
      first,
    ),
    'dispatches that the stop cut short: replayed if they never arrived, and who repeats one is answered what comes of it':
      await isCutShort(t, first),
    'an abort that took effect while the executor was away is told late, when it is only in the store': await isAborted(
      t,
      first,
    ),
  };
  await first.close();
  const second = await serve(t, { dataDir });
  for (const [what, then] of Object.entries(goOn)) await t.test(what, () => then(second));
});
