/** How a server stops, and how it is attached to an HTTP server of somebody else's. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type ServerResponse } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '#bench/free-port.js';
import { built } from '../built.js';
import {
  assertError,
  endpoint,
  envelope,
  executor,
  frame,
  inState,
  post,
  Raw,
  register,
  send,
  serve,
  until,
  upgrade,
} from './helpers.js';

const executorId = '11111111-1111-4111-8111-111111111111';

test('close: requests under way are finished, connections get 1001, and nobody new gets in', async (t) => {
  const server = await serve(t, { threads: 2 });
  const held: ServerResponse[] = [];
  const rest = await endpoint(t, (_, response) => void held.push(response));
  const peers = [
    await executor(t, server, { transport_endpoints: { rest, ws: 'ws://127.0.0.1:9' } }),
    await executor(t, server),
    await executor(t, server),
  ];
  const idle = new Raw(t, server);
  idle.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
  assert.match(await idle.match(/}$/), /200 OK[\s\S]*"ready"/);
  const silent = new Raw(t, server);
  await once(silent.socket, 'connect');

  const dispatch = { mission_id: 'm', objective: 'o', completion: 'c' };
  const answer = post(`${server.url}/api/v1/sessions/s/dispatch`, {
    ...dispatch,
    executor_filter: { executor_id: peers[0]?.executorId },
  });
  const [response] = await until(() => held.length > 0 && held);
  // Another on a connection of its own; that the server has it, it says itself.
  const busy = new Raw(t, server);
  const body = JSON.stringify({ ...dispatch, executor_filter: { executor_id: peers[0]?.executorId } });
  busy.write('POST /api/v1/sessions/s/dispatch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n');
  busy.write(`Content-Length: ${body.length}\r\nExpect: 100-continue\r\n\r\n`);
  await busy.match(/^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  busy.write(body);

  const closed = server.close();
  assert.equal(server.close(), closed);
  const late = new Raw(t, server);
  await late.closed;
  assert.equal(late.text, '');
  await idle.closed;
  // The executors are still there while the request is.
  const [peer] = peers;
  assert.ok(peer && response);
  peer.event('mission.started', 'm', { state: 'running' });
  response.writeHead(202).end();
  assert.equal((await answer).status, 202);
  assert.deepEqual(
    (await Promise.all(peers.map((each) => each.closed))).map(({ code }) => code),
    [1001, 1001, 1001],
  );
  await closed;
  await silent.closed;
  assert.match(busy.text, /\r\n\r\nHTTP\/1\.1 202 /);
});

test('what an executor sent before the server closed is taken in', async (t) => {
  const server = await serve(t);
  const peer = await executor(t, server);
  for (let n = 0; n < 500; n++) await server.registry.assignMission(`m${n}`, peer.executorId);
  const ended = new Set<string>();
  server.registry.on('mission:state_change', ({ missionId, state }) => {
    if (state === 'done') ended.add(missionId);
  });
  for (let n = 0; n < 500; n++) peer.event('mission.completed', `m${n}`, { state: 'done' });
  await until(() => ended.size > 0);
  await server.close();
  assert.equal(ended.size, 500);
});

test('what an executor sends before it answers the close is taken in, too', async (t) => {
  const server = await serve(t);
  const executorId = '3f2b6c1e-8a4d-4f6b-9c2e-1d5a7b8c9d0e';
  const token = await register(server, executorId);
  await server.registry.assignMission('m', executorId);
  const states: string[] = [];
  server.registry.on('mission:state_change', ({ state }) => states.push(state));
  const raw = new Raw(t, server);
  raw.write(upgrade(`/ws/executors/${executorId}?token=${token}`));
  await raw.match(/^HTTP\/1\.1 101 /);
  const closed = server.close();
  await raw.match(/server is shutting down$/);
  raw.write(frame(envelope(executorId, 'mission.completed', 'm', { state: 'done' })), frame('', 0x8));
  await closed;
  assert.deepEqual(states, ['done']);
});

test('what a program handed in before the server closed is taken in, however much that is', async (t) => {
  const server = await serve(t);
  const { registry } = server;
  await register(server, executorId);
  await registry.assignMission('m', executorId);
  const states: string[] = [];
  registry.on('mission:state_change', ({ state }) => states.push(state));
  const event = { executor_id: executorId, mission_id: 'm', ts: new Date().toISOString() };
  const handedIn = Array.from({ length: 5_000 }, (_, iteration) =>
    registry.handleEvent({ ...event, event: 'mission.progress', data: { iteration } }),
  );
  handedIn.push(registry.handleEvent({ ...event, event: 'mission.completed', data: { state: 'done' } }));
  await server.close();
  assert.deepEqual(states, ['done']);
  await Promise.all(handedIn);
});

test('a peer that neither reads nor answers does not keep the server from closing', async (t) => {
  const server = await serve(t);
  const token = await register(server, executorId);
  const raw = new Raw(t, server);
  raw.socket.on('data', () => undefined);
  raw.write(upgrade(`/ws/executors/${executorId}?token=${token}`));
  await raw.match(/^HTTP\/1\.1 101 /);
  raw.socket.pause();
  await server.close();
});

test('a process whose server has closed ends by itself', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-closing-'));
  const child = spawn(process.execPath, ['--conditions=built', join(built, 'test', 'server', 'closing-process.js')], {
    env: { ...process.env, AIWG_EXECUTOR_IDENTITY_STORE: join(folder, 'identities.json') },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  assert.deepEqual(await once(child, 'close'), [0, null]);
  assert.equal(said, '200 1001\n');
  rmSync(folder, { recursive: true });
});

test('listen rejects when the port is taken, and works when it is free again', async (t) => {
  const port = await freePort();
  const other = createTcpServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  await assert.rejects(serve(t, { port }), { code: 'EADDRINUSE' });
  other.close();
  await once(other, 'close');
  const server = await serve(t, { port });
  assert.equal(server.url, `http://127.0.0.1:${port}`);
  assert.equal((await send(`${server.url}/healthz`)).status, 200);
});

test('it can be attached to an HTTP server of your own, beside what that serves itself', async (t) => {
  const server = await serve(t);
  const own = createHttpServer((request, response) => {
    if (request.url === '/mine') response.end('{"mine":true}');
    else server.handleRequest(request, response);
  });
  own.on('upgrade', server.handleUpgrade);
  own.listen(0, '127.0.0.1');
  await once(own, 'listening');
  t.after(() => {
    own.closeAllConnections();
    own.close();
  });
  const address = own.address();
  assert.ok(address !== null && typeof address === 'object');
  const attached = { ...server, url: `http://127.0.0.1:${address.port}` };

  assert.deepEqual((await send(`${attached.url}/mine`)).body, { mine: true });
  const peer = await executor(t, attached);
  await server.registry.assignMission('m', peer.executorId);
  peer.event('mission.started', 'm', { state: 'running' });
  await inState(attached, 'm', 'running');

  const closing = server.close();
  assert.equal((await peer.closed).code, 1001);
  const ready = await send(`${attached.url}/readyz`);
  assert.deepEqual([ready.status, ready.body], [503, { status: 'stopping' }]);
  await closing;
  assertError(await send(`${attached.url}/api/v1/missions/m`), 'unavailable');
  const raw = new Raw(t, attached);
  raw.write(
    upgrade(`/ws/executors/${peer.executorId}?token=${peer.token}`),
    frame(envelope(peer.executorId, 'x', 'm')),
  );
  assert.match(await raw.match(/}$/), /^HTTP\/1\.1 503 [\s\S]*"error":"unavailable"/);
});
