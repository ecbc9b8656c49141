/** The REST interface: every route, and every error that needs no dispatch. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { createServer as createHttpServer, Server } from 'node:http';
import { BlockList } from 'node:net';
import { after, test } from 'node:test';
import { pino } from 'pino';
import * as v from 'valibot';
import {
  errorBodySchema,
  executorStatusSchema,
  executorsListResponseSchema,
  registerResponseSchema,
} from '#src/contract/index.js';
import { createApp } from '#src/server/app.js';
import { Dispatcher } from '#src/server/dispatch.js';
import { onClientError } from '#src/server/raw-error.js';
import {
  assertError,
  executor,
  inState,
  mission,
  post,
  Raw,
  register,
  registration,
  send,
  serve,
  until,
} from './helpers.js';

const globals = [Request, Response];
const server = await serve({ after });
const api = `${server.url}/api/v1`;

const status = async (executorId: string) =>
  v.parse(executorStatusSchema, (await send(`${api}/executors/${executorId}`)).body);

// Registration.

test('registering answers 201 with a token; again, with the same token and registered_at, and what changed changed', async () => {
  const executorId = randomUUID();
  const first = await post(`${api}/executors/register`, registration(executorId));
  assert.equal(first.status, 201);
  const response = v.parse(registerResponseSchema, first.body);
  assert.equal(response.executor_id, executorId);
  assert.match(response.token, /^[\w-]{43}$/);
  assert.equal(first.headers.get('x-aiwg-warning'), null);
  const again = await post(`${api}/executors/register`, registration(executorId, { name: 'renamed' }));
  assert.equal(again.status, 201);
  assert.deepEqual(again.body, response);
  const shown = await status(executorId);
  assert.deepEqual([shown.name, shown.connected, shown.registered_at], ['renamed', false, response.registered_at]);
});

test('a later minor version is accepted with a warning, and its unknown fields are ignored', async () => {
  const payload = registration(randomUUID(), { spec_version: '1.1.0', mood: 'good' });
  const answer = await post(`${api}/executors/register`, payload);
  assert.equal(answer.status, 201);
  assert.match(answer.headers.get('x-aiwg-warning') ?? '', /1\.1\.0/);
  // The published shape knows one version only.
  assert.equal((await status(payload.executor_id)).spec_version, '1.0.0');
});

test('metrics are text that Prometheus reads: each with its type, and figures that are true', async (t) => {
  const fresh = await serve(t);
  await executor(t, fresh);
  await register(fresh, randomUUID());
  await until(async () => /connected="true"} 1/.test(await (await fetch(`${fresh.url}/metrics`)).text()));
  const response = await fetch(`${fresh.url}/metrics`);
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const lines = (await response.text()).split('\n');
  assert.equal(lines.pop(), '');
  for (const line of lines)
    assert.match(line, /^(?:# (?:HELP \w+ .+\.|TYPE \w+ (?:gauge|counter))|\w+(?:{\w+="\w+"})? [\d.]+)$/);
  for (const line of ['callboard_executors{connected="false"} 1', 'callboard_missions 0', 'callboard_ready 1'])
    assert.ok(lines.includes(line), line);
  const names = lines.filter((line) => !line.startsWith('#')).map((line) => line.replace(/[ {].*/, ''));
  for (const name of names)
    assert.ok(
      lines.some((line) => line.startsWith(`# TYPE ${name} `)),
      name,
    );
});

test('what nobody thought of: internal_error, and nothing of it is told', async () => {
  const parts = { supervisor: server.registry.supervisor, log: pino({ level: 'silent' }) };
  const app = createApp({
    ...parts,
    dispatcher: new Dispatcher(parts.supervisor, parts.log),
    upgrades: { rotate: () => undefined },
    trusted: new BlockList(),
    isReady() {
      throw new Error('a secret');
    },
  });
  const response = await app.request('/readyz');
  const text = await response.text();
  assert.deepEqual([response.status, v.parse(errorBodySchema, JSON.parse(text)).error], [500, 'internal_error']);
  assert.ok(!text.includes('secret'));
});

test('a request whose headers do not come: request_timeout, within about ten seconds', {
  timeout: 25_000,
}, async (t) => {
  const raw = new Raw(t, server);
  raw.write('GET /healthz HTTP/1.1\r\n');
  await raw.closed;
  assert.match(raw.text, /^HTTP\/1\.1 408 [\s\S]*"error":"request_timeout"/);
});

test('another major version: unsupported_spec_version', async () => {
  for (const spec_version of ['0.9.0', '2.0.0']) {
    const answer = await post(`${api}/executors/register`, registration(randomUUID(), { spec_version }));
    assert.equal(assertError(answer, 'unsupported_spec_version').issues?.[0]?.path, 'spec_version');
  }
});

test('at version 1.0.0 an unknown field is invalid_payload', async () => {
  const answer = await post(`${api}/executors/register`, registration(randomUUID(), { mood: 'good' }));
  assert.deepEqual(assertError(answer, 'invalid_payload').issues, [{ path: 'mood', message: 'is not a known field' }]);
});

test('a bad registration: invalid_payload, with each issue listed', async () => {
  const payload = registration('not a uuid', { name: '', capabilities: ['flying'] });
  const { detail, issues } = assertError(await post(`${api}/executors/register`, payload), 'invalid_payload');
  assert.deepEqual(issues?.map(({ path }) => path).sort(), ['capabilities.0', 'executor_id', 'name']);
  assert.match(detail, /executor_id must be a UUID/);
});

// Bodies.

const posts = ['executors/register', 'sessions/s/dispatch', 'missions/m/hitl_response'];

for (const path of posts) {
  test(`${path}: what is not JSON is invalid_json`, async () => {
    assertError(await post(`${api}/${path}`, '{"executor_id":'), 'invalid_json');
    assertError(await post(`${api}/${path}`, ''), 'invalid_json');
  });

  test(`${path}: JSON of the wrong shape is invalid_payload`, async () => {
    for (const body of [{}, [], 'null', '"x"']) {
      const { issues } = assertError(await post(`${api}/${path}`, body), 'invalid_payload');
      assert.ok(issues && issues.length > 0);
    }
  });

  test(`${path}: any other content type is unsupported_media_type`, async () => {
    assertError(await post(`${api}/${path}`, {}, { 'content-type': 'text/plain' }), 'unsupported_media_type');
    assertError(await send(`${api}/${path}`, { method: 'POST' }), 'unsupported_media_type');
    assertError(
      await post(`${api}/${path}`, '{', { 'content-type': 'Application/JSON; charset=utf-8' }),
      'invalid_json',
    );
  });

  test(`${path}: a body of more than 1 MiB is payload_too_large, whether it says so or not`, async (t) => {
    const body = ' '.repeat(1024 * 1024 + 1);
    assertError(await post(`${api}/${path}`, body), 'payload_too_large');
    assertError(await post(`${api}/${path}`, body.slice(1)), 'invalid_json');
    const raw = new Raw(t, server);
    const head = `POST /api/v1/${path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
    raw.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    for (let sent = 0; sent <= 1024 * 1024; sent += 65_536) raw.write(`10000\r\n${' '.repeat(65_536)}\r\n`);
    assert.match(await raw.match(/}$/), /^HTTP\/1\.1 413 [\s\S]*"error":"payload_too_large"/);
    const announced = new Raw(t, server);
    announced.write(`${head}Content-Length: 1048577\r\n\r\n`);
    assert.match(await announced.match(/}$/), /^HTTP\/1\.1 413 /);
  });
}

test('a chunked body is read as any other', async (t) => {
  const raw = new Raw(t, server);
  const body = JSON.stringify(registration(randomUUID()));
  raw.write('POST /api/v1/executors/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n');
  raw.write(`Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`);
  assert.match(await raw.match(/}$/), /^HTTP\/1\.1 201 /);
});

test('a client that goes away in the middle of its body harms nobody', async (t) => {
  const raw = new Raw(t, server);
  raw.write('POST /api/v1/executors/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n');
  raw.write('Content-Length: 100\r\n\r\n{"half":');
  await until(() => raw.socket.bytesWritten > 100 && raw.socket.writableLength === 0);
  raw.socket.resetAndDestroy();
  assert.equal((await send(`${server.url}/healthz`)).status, 200);
});

// What is not there.

test('an unknown path: not_found', async () => {
  assertError(await send(`${server.url}/`), 'not_found');
  assertError(await send(`${api}/executor`), 'not_found');
  assertError(await post(`${api}/missions/m/restart`), 'not_found');
});

for (const [path, method, allowed] of [
  ['executors/register', 'PUT', 'POST'],
  ['executors', 'POST', 'GET, HEAD'],
  ['executors/x', 'PATCH', 'GET, HEAD, DELETE'],
  ['sessions/s/dispatch', 'GET', 'POST'],
  ['missions/m', 'DELETE', 'GET, HEAD'],
  ['missions/m/hitl_response', 'GET', 'POST'],
  ['missions/m/pause', 'GET', 'POST'],
  ['missions/m/resume', 'DELETE', 'POST'],
  ['missions/m/abort', 'GET', 'POST'],
] as const)
  test(`${method} ${path}: method_not_allowed, and Allow says which are`, async () => {
    const answer = await send(`${api}/${path}`, { method });
    assertError(answer, 'method_not_allowed');
    assert.equal(answer.headers.get('allow'), allowed);
  });

test('what is no HTTP, or has headers too large, gets an error of the contract too', async (t) => {
  const nonsense = new Raw(t, server);
  nonsense.write('nonsense\r\n\r\n');
  assert.match(await nonsense.match(/}$/), /^HTTP\/1\.1 400 [\s\S]*"error":"invalid_payload"/);
  await nonsense.closed;
  const large = new Raw(t, server);
  large.write(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
  assert.match(await large.match(/}$/), /^HTTP\/1\.1 413 [\s\S]*"error":"payload_too_large"/);
  await large.closed;
  const host = new Raw(t, server);
  host.write('GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n');
  assert.match(await host.match(/}$/), /^HTTP\/1\.1 400 [\s\S]*"error":"invalid_payload"/);
});

test('a request has thirty seconds to arrive, and its headers ten', async (t) => {
  const servers = new Set<unknown>();
  const note = (message: unknown): void => {
    if (typeof message === 'object' && message !== null && 'server' in message) servers.add(message.server);
  };
  subscribe('http.server.request.start', note);
  t.after(() => unsubscribe('http.server.request.start', note));
  await send(`${server.url}/healthz`);
  const [http, ...others] = servers;
  assert.ok(http instanceof Server && others.length === 0);
  assert.deepEqual([http.requestTimeout, http.headersTimeout], [30_000, 10_000]);
});

test('a request that takes too long to arrive: request_timeout', async (t) => {
  const limits = { headersTimeout: 50, requestTimeout: 50, connectionsCheckingInterval: 10 };
  const http = createHttpServer(limits, server.handleRequest).on('clientError', onClientError);
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  t.after(() => http.close());
  const address = http.address();
  assert.ok(address !== null && typeof address === 'object');
  const slow = { ...server, url: `http://127.0.0.1:${address.port}` };
  const body = 'POST /api/v1/executors/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
  for (const part of ['GET / HTTP/1.1\r\n', `${body}Content-Length: 10\r\n\r\n{`]) {
    const raw = new Raw(t, slow);
    raw.write(part);
    await raw.closed;
    assert.match(raw.text, /^HTTP\/1\.1 408 [\s\S]*"error":"request_timeout"/);
    await raw.closed;
  }
});

// Executors.

test('an executor nobody registered: executor_not_found, malformed escapes in its path included', async () => {
  for (const path of [randomUUID(), '%', '%E0%A4%A', '%00', '..%2f', 'a%20b']) {
    assertError(await send(`${api}/executors/${path}`), 'executor_not_found');
    assertError(await send(`${api}/executors/${path}`, { method: 'DELETE' }), 'executor_not_found');
  }
});

test('executors are listed and shown in the published shape, connected or not', async (t) => {
  const { executorId } = await executor(t, server, { a2a_instance_id: 'a2a', capabilities: ['resumable'] });
  const other = randomUUID();
  await register(server, other);
  const { executors } = v.parse(executorsListResponseSchema, (await send(`${api}/executors`)).body);
  const listed = new Map(executors.map((each) => [each.executor_id, each]));
  assert.equal(listed.get(executorId)?.connected, true);
  assert.equal(listed.get(other)?.connected, false);
  assert.deepEqual(await status(executorId), listed.get(executorId));
  assert.equal((await status(executorId)).a2a_instance_id, 'a2a');
});

test('the executor shows the ts of its last event and how many missions of its are live', async (t) => {
  const peer = await executor(t, server);
  for (const id of ['n1', 'n2']) await server.registry.assignMission(id, peer.executorId);
  peer.event('mission.started', 'n1', { state: 'running' });
  peer.event('mission.completed', 'n2', { state: 'done' });
  await inState(server, 'n2', 'done');
  const shown = await status(peer.executorId);
  assert.equal(shown.active_mission_count, 1);
  assert.equal(shown.last_event_ts, (await mission(server, 'n2')).completed_at);
});

test('a wrong bearer is token_invalid wherever one may be sent; the right one, and none, are let in', async () => {
  const [executorId, otherId] = [randomUUID(), randomUUID()];
  const [token, other] = [await register(server, executorId), await register(server, otherId)];
  const get = (path: string, authorization: string) => send(`${api}/${path}`, { headers: { authorization } });
  for (const path of ['executors', `executors/${executorId}`]) {
    for (const wrong of ['Bearer x', 'Bearer', `Basic ${token}`, `Bearer ${token} ${token}`, token])
      assertError(await get(path, wrong), 'token_invalid');
    assert.equal((await get(path, `Bearer ${token}`)).status, 200);
    assert.equal((await get(path, `bearer  ${other} `)).status, 200);
  }
  const remove = (authorization?: string) =>
    send(`${api}/executors/${executorId}`, {
      method: 'DELETE',
      ...(authorization !== undefined && { headers: { authorization } }),
    });
  assertError(await remove('Bearer x'), 'token_invalid');
  assertError(await remove(`Bearer ${other}`), 'token_invalid');
  assert.equal((await remove(`Bearer ${token}`)).status, 204);
  assertError(await remove(`Bearer ${token}`), 'executor_not_found');
  assertError(await send(`${api}/executors/${executorId}`), 'executor_not_found');
});

for (const [who, reason] of [
  ['the executor itself', 'graceful_shutdown'],
  ['an operator', 'operator_deleted'],
] as const)
  test(`deregistered by ${who}: 204, the socket closes with 1000, live missions fail`, async (t) => {
    const peer = await executor(t, server);
    const missionId = `left ${reason}`;
    await server.registry.assignMission(missionId, peer.executorId);
    const reasons: unknown[] = [];
    server.registry.on('executor:deregistered', (event) => reasons.push(event));
    const headers = reason === 'graceful_shutdown' ? { authorization: `Bearer ${peer.token}` } : {};
    const answer = await send(`${api}/executors/${peer.executorId}`, { method: 'DELETE', headers });
    assert.deepEqual([answer.status, answer.body], [204, undefined]);
    assert.deepEqual(await peer.closed, { code: 1000, reason });
    assert.deepEqual(reasons, [{ executorId: peer.executorId, reason }]);
    const left = await mission(server, missionId);
    assert.deepEqual([left.state, left.error], ['failed', 'executor_deregistered']);
  });

// Missions.

test('a mission nobody has: mission_not_found on every route, malformed escapes included', async () => {
  for (const id of ['x', '%', '%E0%A4%A', '..%2f']) {
    assertError(await send(`${api}/missions/${id}`), 'mission_not_found');
    const response = { hitl_id: 'h', response: 'r' };
    assertError(await post(`${api}/missions/${id}/hitl_response`, response), 'mission_not_found');
    for (const action of ['pause', 'resume', 'abort'])
      assertError(await post(`${api}/missions/${id}/${action}`), 'mission_not_found');
  }
});

test('a mission is shown in the published shape, with all that its events said', async (t) => {
  const peer = await executor(t, server);
  const id = 'a/b ünd %2F "c"';
  await server.registry.assignMission(id, peer.executorId);
  peer.event('mission.started', id, { state: 'running', pty_session_id: 'pty-1' });
  peer.event('mission.progress', id, { phase: 'ü"\\\n', iteration: 3 });
  peer.event('mission.progress', id);
  peer.event('mission.failed', id, { state: 'failed', reason: 'r', error: 'e', exit_code: 3 });
  await inState(server, id, 'failed');
  const shown = await mission(server, id);
  assert.deepEqual([shown.mission_id, shown.executor_id], [id, peer.executorId]);
  assert.deepEqual([shown.pty_session_ref, shown.exit_code, shown.error], ['pty-1', 3, 'e']);
  assert.equal(shown.completed_at, shown.updated_at);
  const { recent_events: events = [] } = shown;
  assert.deepEqual(
    events.map(({ event }) => event),
    ['mission.started', 'mission.progress', 'mission.progress', 'mission.failed'],
  );
  assert.deepEqual(events[1]?.data, { phase: 'ü"\\\n', iteration: 3 });
});

test('pause, resume, abort and an answer reach the executor, and take effect', async (t) => {
  const peer = await executor(t, server);
  const id = 'operated';
  await server.registry.assignMission(id, peer.executorId);
  peer.event('mission.started', id, { state: 'running' });
  await inState(server, id, 'running');
  for (const [action, state] of [
    ['pause', 'paused'],
    ['resume', 'running'],
  ] as const) {
    const answer = await post(`${api}/missions/${id}/${action}`);
    assert.deepEqual([answer.status, answer.body], [202, { mission_id: id, state }]);
    assert.equal((await mission(server, id)).state, state);
  }
  peer.event('mission.hitl_required', id, { hitl_id: 'h', prompt: 'p' });
  await inState(server, id, 'hitl-required');
  const answered = await post(`${api}/missions/${id}/hitl_response`, { hitl_id: 'h', response: 'yes' });
  assert.deepEqual([answered.status, answered.body], [202, { mission_id: id, state: 'running' }]);
  assert.equal((await post(`${api}/missions/${id}/abort`)).status, 202);
  await until(() => peer.received.length === 4);
  assert.deepEqual(
    peer.received.map(({ event, mission_id, executor_id }) => [event, mission_id, executor_id]),
    ['paused', 'resumed', 'hitl_responded', 'aborted'].map((what) => [`mission.${what}`, id, peer.executorId]),
  );
});

test('what a mission can not do now: mission_terminal, invalid_transition, hitl_not_pending', async (t) => {
  const peer = await executor(t, server);
  for (const id of ['over', 'runs']) await server.registry.assignMission(id, peer.executorId);
  peer.event('mission.started', 'runs', { state: 'running' });
  peer.event('mission.completed', 'over', { state: 'done' });
  await inState(server, 'over', 'done');
  for (const action of ['pause', 'resume', 'abort'])
    assertError(await post(`${api}/missions/over/${action}`), 'mission_terminal');
  assertError(await post(`${api}/missions/runs/resume`), 'invalid_transition');
  const answer = { hitl_id: 'h', response: 'r' };
  assertError(await post(`${api}/missions/runs/hitl_response`, answer), 'hitl_not_pending');
});

test('an answer that the executor could not be sent: payload_too_large, and the question stays open', async (t) => {
  const peer = await executor(t, server);
  await server.registry.assignMission('wordy', peer.executorId);
  peer.event('mission.hitl_required', 'wordy', { hitl_id: 'h', prompt: 'p' });
  await inState(server, 'wordy', 'hitl-required');
  const answer = (response: string) => post(`${api}/missions/wordy/hitl_response`, { hitl_id: 'h', response });
  assertError(await answer('x'.repeat(1024 * 1024 - 100)), 'payload_too_large');
  assert.equal((await answer('short')).status, 202);
  await until(() => peer.received.length === 1);
});

test('an answer that comes too late: hitl_expired', async (t) => {
  const peer = await executor(t, server);
  await server.registry.assignMission('late', peer.executorId);
  peer.event('mission.hitl_required', 'late', { hitl_id: 'h', prompt: 'p', expires_at: new Date(0).toISOString() });
  await inState(server, 'late', 'failed');
  const answer = { hitl_id: 'h', response: 'r' };
  assertError(await post(`${api}/missions/late/hitl_response`, answer), 'hitl_expired');
});

test('what needs an executor that is away: executor_not_connected; an abort does not need it', async (t) => {
  const peer = await executor(t, server);
  for (const id of ['away', 'asks']) await server.registry.assignMission(id, peer.executorId);
  peer.event('mission.paused', 'away', { state: 'paused' });
  peer.event('mission.hitl_required', 'asks', { hitl_id: 'h', prompt: 'p' });
  await inState(server, 'asks', 'hitl-required');
  peer.ws.close();
  await until(async () => !(await status(peer.executorId)).connected);
  for (const action of ['pause', 'resume'])
    assertError(await post(`${api}/missions/away/${action}`), 'executor_not_connected');
  const answer = { hitl_id: 'h', response: 'r' };
  assertError(await post(`${api}/missions/asks/hitl_response`, answer), 'executor_not_connected');
  assert.equal((await mission(server, 'asks')).state, 'hitl-required');
  assert.equal((await post(`${api}/missions/away/abort`)).status, 202);
});

// The rest.

test('health, readiness and the schema are served; HEAD is GET without a body', async () => {
  assert.deepEqual((await send(`${server.url}/healthz`)).body, { status: 'ok' });
  assert.deepEqual((await send(`${server.url}/readyz`)).body, { status: 'ready' });
  const { body } = await send(`${api}/schema`);
  assert.ok(typeof body === 'object' && body !== null && '$defs' in body);
  const head = await send(`${api}/executors`, { method: 'HEAD' });
  assert.deepEqual([head.status, head.body], [200, undefined]);
});

test("the process's own Request and Response are left alone", () => {
  assert.deepEqual([Request, Response], globals);
});
