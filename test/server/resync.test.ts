/** Resync over real sockets: dispatches that never arrived, and aborts told late. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { parseDispatchPayload } from '#src/contract/index.js';
import { Dispatcher } from '#src/server/dispatch.js';
import type { CallboardServer } from '#src/server/index.js';
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

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'callboard-resync-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const id = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
const payload = (missionId: string, more: object = {}) => ({
  mission_id: missionId,
  objective: 'o',
  completion: 'c',
  executor_filter: { executor_id: id },
  ...more,
});
const dispatch = (server: CallboardServer, missionId: string, more: object = {}) =>
  post(`${server.url}/api/v1/sessions/s/dispatch`, payload(missionId, more));
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
  executor(t, server, { transport_endpoints: { rest: rest.url, ws: 'ws://127.0.0.1:9' } }, id);

for (const kept of [true, false])
  test(`a mission that was assigned and never arrived is dispatched again, ${kept ? 'with' : 'without'} a store`, async (t) => {
    const server = await serve(t, kept ? { dataDir: folder(t) } : {});
    const rest = await restOf(t);
    const peer = await worker(t, server, rest);
    for (const missionId of ['lost', 'here']) assert.equal((await dispatch(server, missionId)).status, 202);
    const answer = await dispatch(server, 'lost');
    const assigned: string[] = [];
    server.registry.on('mission:assigned', ({ missionId }) => assigned.push(missionId));
    resync(peer, ['here']);
    await until(() => rest.taken.length === 3);
    assert.deepEqual(rest.taken, ['lost', 'here', 'lost']);
    await inState(server, 'here', 'running');
    peer.event('mission.started', 'lost', { state: 'running' });
    await inState(server, 'lost', 'running');
    assert.deepEqual(assigned, []);
    assert.deepEqual((await dispatch(server, 'lost')).body, answer.body);
    assert.equal(rest.taken.length, 3);
  });

for (const kept of [true, false])
  test(`a mission that never arrived is dispatched again once its executor has left and is back, ${kept ? 'also after a restart' : 'without a store'}`, async (t) => {
    const dataDir = kept ? folder(t) : undefined;
    let server = await serve(t, { dataDir });
    const rest = await restOf(t);
    const resumable = { transport_endpoints: { rest: rest.url, ws: 'ws://127.0.0.1:9' }, capabilities: ['resumable'] };
    const peer = await executor(t, server, resumable, id);
    for (const missionId of ['lost', 'here', 'gone']) assert.equal((await dispatch(server, missionId)).status, 202);
    const { body } = await dispatch(server, 'lost');
    for (const missionId of ['here', 'gone']) peer.event('mission.started', missionId, { state: 'running' });
    await inState(server, 'gone', 'running');
    peer.event('executor.deregistered', undefined, { reason: 'graceful_shutdown' });
    for (const missionId of ['lost', 'here', 'gone']) await inState(server, missionId, 'suspended');
    if (kept) {
      await server.close();
      server = await serve(t, { dataDir });
    }
    const back = await executor(t, server, resumable, id);
    resync(back, ['here']);
    await inState(server, 'lost', 'assigned');
    assert.deepEqual(rest.taken, ['lost', 'here', 'gone', 'lost']);
    assert.equal((await mission(server, 'gone')).state, 'suspended');
    assert.deepEqual((await dispatch(server, 'lost')).body, body);
    back.event('mission.started', 'lost', { state: 'running' });
    await inState(server, 'lost', 'running');
  });

test('a replay that is refused fails the mission; one that finds it there, by a 409, does not', async (t) => {
  const server = await serve(t);
  const rest = await restOf(t);
  const peer = await worker(t, server, rest);
  for (const missionId of ['refused', 'there']) await dispatch(server, missionId);
  rest.answer = (response) => response.writeHead(409).end();
  resync(peer, ['refused']);
  await until(() => rest.taken.length === 3);
  resync(peer, ['refused', 'there']);
  await inState(server, 'there', 'running');
  rest.answer = (response) => response.writeHead(202).end();
  await dispatch(server, 'no');
  rest.answer = (response) => response.writeHead(500).end();
  resync(peer, ['refused', 'there']);
  await inState(server, 'no', 'failed');
  assert.match((await mission(server, 'no')).error ?? '', /^executor_rejected: it answered 500/);
});

test('nothing is replayed while the first dispatch is under way, however often the executor resyncs', async (t) => {
  const server = await serve(t);
  const rest = await restOf(t);
  const peer = await worker(t, server, rest);
  const held: ServerResponse[] = [];
  rest.answer = (response) => void held.push(response);
  const answer = dispatch(server, 'm');
  await until(() => held.length === 1);
  for (let n = 0; n < 3; n++) resync(peer, []);
  // It is behind the resyncs.
  await server.registry.assignMission('mark', id);
  peer.event('mission.started', 'mark', { state: 'running' });
  await inState(server, 'mark', 'running');
  held[0]?.writeHead(202).end();
  assert.equal((await answer).status, 202);
  assert.deepEqual(rest.taken, ['m']);
});

test('no more than four dispatches are replayed to an executor at a time, and all of them are', async (t) => {
  const server = await serve(t);
  const rest = await restOf(t);
  const peer = await worker(t, server, rest);
  const ids = Array.from({ length: 10 }, (_, n) => `m${n}`);
  for (const missionId of ids) await dispatch(server, missionId);
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

test('dispatches that a stop cut short: replayed if they never arrived, and who repeats one is answered what comes of it', async (t) => {
  const dataDir = folder(t);
  const rest = await restOf(t);
  const first = await serve(t, { dataDir });
  const { token } = await worker(t, first, rest);
  // Queued, and nobody was answered.
  for (const missionId of ['taken', 'refused', 'there'])
    first.registry.supervisor.missions.create(missionId, id, 'queued', { sessionId: 's', payload: payload(missionId) });
  await first.registry.supervisor.kept();
  await first.close();

  const server = await serve(t, { dataDir });
  assertError(await dispatch(server, 'taken', { objective: 'another' }), 'mission_exists');
  const [taken, refused, there] = ['taken', 'refused', 'there'].map((missionId) => dispatch(server, missionId));
  const peer = await dial(t, server, id, token);
  const answer = { mission_id: 'taken', executor_id: id, status: 'assigned', estimated_start: '2030-01-01T00:00:00Z' };
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
  assert.deepEqual((await dispatch(server, 'taken')).body, answer);
  assertError(await dispatch(server, 'refused'), 'executor_rejected');
  assert.equal(rest.taken.length, 2);
});

test('a dispatch that a stop cut short, repeated while its executor is away: executor_not_connected, in its time', async (t) => {
  const server = await serve(t, { dataDir: folder(t) });
  const { supervisor } = server.registry;
  const peer = await executor(t, server, {}, id);
  supervisor.missions.create('cut', id, 'queued', { sessionId: 's', payload: payload('cut') });
  await supervisor.kept();
  const parsed = parseDispatchPayload(payload('cut'));
  assert.ok(parsed.ok);
  const dispatcher = new Dispatcher(supervisor, pino({ level: 'silent' }), 50);
  const { status, body } = await dispatcher.dispatch('s', parsed.payload);
  assert.deepEqual([status, 'error' in body && body.error], [503, 'executor_not_connected']);
  // It is asked again as if it had never been.
  server.registry.on('mission:state_change', ({ missionId, state }) => dispatcher.moved(missionId, state));
  peer.event('mission.started', 'cut', { state: 'running' });
  await inState(server, 'cut', 'running');
  assert.equal((await dispatcher.dispatch('s', parsed.payload)).status, 202);
});

test('a dispatch that a stop cut short, its executor having left: repeated, it waits for the replay, too', async (t) => {
  const server = await serve(t, { dataDir: folder(t) });
  const { supervisor } = server.registry;
  const rest = await restOf(t);
  const resumable = { transport_endpoints: { rest: rest.url, ws: 'ws://127.0.0.1:9' }, capabilities: ['resumable'] };
  await executor(t, server, resumable, id);
  for (const missionId of ['cut', 'heard'])
    supervisor.missions.create(missionId, id, 'queued', { sessionId: 's', payload: payload(missionId) });
  await server.registry.deregister(id);
  await inState(server, 'heard', 'suspended');
  const parsed = parseDispatchPayload(payload('cut'));
  assert.ok(parsed.ok);
  const { status, body } = await new Dispatcher(supervisor, pino({ level: 'silent' }), 50).dispatch(
    's',
    parsed.payload,
  );
  assert.deepEqual([status, 'error' in body && body.error], [503, 'executor_not_connected']);

  const [cut, heard] = ['cut', 'heard'].map((missionId) => dispatch(server, missionId));
  const peer = await executor(t, server, resumable, id);
  const answer = { mission_id: 'cut', executor_id: id, status: 'assigned', estimated_start: '2030-01-01T00:00:00Z' };
  rest.answer = (response) => response.end(JSON.stringify(answer));
  peer.event('mission.started', 'heard', { state: 'running' });
  resync(peer, ['heard']);
  assert.deepEqual((await cut)?.body, answer);
  assert.equal((await heard)?.status, 202);
  assert.deepEqual(rest.taken, ['cut']);
});

for (const [what, named] of [
  ['a2a_instance_id', { executor_filter: { a2a_instance_id: 'a2a' } }],
  ['instance_id', { executor_filter: { instance_id: 'a2a' } }],
  ['both, with the executor pinned', { executor_filter: { executor_id: id, instance_id: 'other' } }],
] as const)
  test(`a dispatch by ${what} that a stop cut short is answered as it would have been`, async (t) => {
    const server = await serve(t, { dataDir: folder(t) });
    const { supervisor } = server.registry;
    const peer = await executor(t, server, { a2a_instance_id: 'a2a' }, id);
    supervisor.missions.create('m', id, 'queued', { sessionId: 's', payload: payload('m', named) });
    peer.event('mission.started', 'm', { state: 'running' });
    await inState(server, 'm', 'running');
    assert.deepEqual((await dispatch(server, 'm', named)).body, {
      mission_id: 'm',
      executor_id: id,
      a2a_instance_id: 'a2a',
      status: 'assigned',
    });
  });

test('an abort that took effect while the executor was away is told late, also when it is only in the store', async (t) => {
  const dataDir = folder(t);
  const first = await serve(t, { dataDir });
  const peer = await executor(t, first, {}, id);
  for (const missionId of ['aborted', 'done']) await first.registry.assignMission(missionId, id);
  peer.event('mission.completed', 'done', { state: 'done' });
  await inState(first, 'done', 'done');
  peer.ws.terminate();
  await peer.closed;
  assert.equal((await post(`${first.url}/api/v1/missions/aborted/abort`)).status, 202);
  await first.close();
  // What is over is in the store only.
  const second = await serve(t, { dataDir });
  const back = await dial(t, second, id, peer.token);
  resync(back, ['done', 'nobody', 'aborted']);
  await until(() => back.received.length > 0);
  assert.deepEqual(
    back.received.map(({ event, mission_id, data }) => [event, mission_id, data]),
    [['mission.aborted', 'aborted', { state: 'aborted', aborted_by: 'operator' }]],
  );
});
