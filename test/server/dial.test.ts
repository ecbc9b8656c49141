/** Executors that only listen are dialled, over real sockets; where a dial would have to be waited for, by a clock of the test. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { BlockList } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { getRequestListener } from '@hono/node-server';
import { pino } from 'pino';
import type { Ref } from '#src/actor/index.js';
import { VirtualClock } from '#src/actor/index.js';
import { type AsyncExecutorRegistry, createRegistry } from '#src/registry/async-registry.js';
import { createApp } from '#src/server/app.js';
import { Dispatcher } from '#src/server/dispatch.js';
import { Upgrades } from '#src/server/upgrade.js';
import type hungry from '#test/server/hungry-actor.js';
import { hungryModule } from '#test/server/hungry-actor.js';
import { main } from '../built.js';
import { Running } from '../cli/callboard.js';
import { dial, inState, mission, post, register, registration, type Scope, type Served, until } from './helpers.js';
import { endpointsOf, listening, rawPeer } from './listening.js';

/** Dispatches a mission to an executor, over HTTP. */
async function dispatch(server: Served, executorId: string, mission_id: string): Promise<number> {
  const wanted = { objective: 'o', completion: 'c', executor_filter: { executor_id: executorId } };
  return (await post(`${server.url}/api/v1/sessions/s/dispatch`, { mission_id, ...wanted })).status;
}

/** With a certificate of its own, which nobody trusts who is not told to. */
const folder = mkdtempSync(join(tmpdir(), 'callboard-tls-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const self = ['-x509', '-nodes', '-days', '2', '-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'];
const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-keyout', 'key.pem', '-out', 'cert.pem'];
execFileSync('openssl', ['req', ...self, ...curve], { cwd: folder, stdio: 'ignore' });
const certificate = { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) };

test('Callboard dials who registered in an earlier run, with the token it has, and who registers; with TLS, where the certificate is trusted', async (t) => {
  const [earlierId, executorId] = [randomUUID(), randomUUID()];
  const earlier = await listening(t, earlierId);
  const peer = await listening(t, executorId, undefined, undefined, createHttpsServer(certificate));
  const dataDir = join(folder, 'data');
  const before = await createRegistry({ threads: 1, dataDir });
  const registered = await before.register({
    ...registration(earlierId),
    spec_version: '1.0.0',
    ...endpointsOf(earlier),
  });
  await before.shutdown();
  assert.ok('token' in registered);

  const env = {
    NODE_EXTRA_CA_CERTS: join(folder, 'cert.pem'),
    AIWG_EXECUTOR_IDENTITY_STORE: join(folder, 'another.json'),
  };
  const args = ['serve', '--data-dir', dataDir, '--port', '0', '--threads', '1', '--log-level', 'error'];
  const callboard = new Running([main, ...args], env);
  t.after(() => callboard.kill('SIGKILL'));
  const [, url = ''] = await callboard.stdoutMatch(/listening on (http:[^\s"]+)/);
  await register({ url }, executorId, endpointsOf(peer, 's'));
  // The one wait by the real time: here it is all as it is for users.
  const [first, connection] = await Promise.all([earlier.connected, peer.connected]);
  assert.deepEqual(earlier.dialled, [`/ws/executors/${earlierId}?token=${registered.token}`]);
  await until(async () => (await dispatch({ url }, executorId, 'm')) === 202);
  assert.equal(peer.dispatched.length, 1);
  connection.event('mission.started', 'm', { state: 'running' });
  await inState({ url }, 'm', 'running');
  callboard.kill('SIGTERM');
  assert.equal((await first.closed).code, 1001);
  assert.equal((await callboard.ended).code, 0);
});

// By the test's time.

/** A clock that knows what it was asked for. */
class Watched extends VirtualClock {
  /** Milliseconds, of every wait for the next dial; the limit of a dial is none. */
  readonly waits: number[] = [];

  override after(ms: number, then: () => void): () => void {
    if (ms !== 10_000) this.waits.push(ms);
    return super.after(ms, then);
  }
}

/** Of which nobody else makes the executors' connections. */
process.env.AIWG_EXECUTOR_IDENTITY_STORE = join(folder, 'identities.json');
const shared = await createRegistry({ threads: 1 });
after(() => shared.shutdown());

/** A server, with a clock of its own by which executors are dialled. */
async function board(t: Scope, options: { registry?: AsyncExecutorRegistry; pingInterval?: number } = {}) {
  const { registry = shared, ...more } = options;
  const clock = new Watched();
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  const upgrades = new Upgrades(registry.supervisor, log, { clock, ...more });
  const onRegistered = ({ executorId }: { executorId: string }) => upgrades.expect(executorId);
  const onDeregistered = ({ executorId }: { executorId: string }) => upgrades.close(executorId, 1000, 'deregistered');
  registry.on('executor:registered', onRegistered).on('executor:deregistered', onDeregistered);
  const { supervisor } = registry;
  const dispatcher = new Dispatcher(supervisor, log);
  const app = createApp({ supervisor, dispatcher, upgrades, trusted: new BlockList(), log, isReady: () => true });
  const http = createHttpServer(getRequestListener(app.fetch, { overrideGlobalObjects: false }));
  http.on('upgrade', upgrades.handle).listen(0, '127.0.0.1');
  await once(http, 'listening');
  const address = http.address();
  assert.ok(address !== null && typeof address === 'object');
  t.after(async () => {
    registry.off('executor:registered', onRegistered).off('executor:deregistered', onDeregistered);
    http.closeAllConnections();
    http.close();
    dispatcher.close();
    upgrades.destroy();
    await upgrades.closeAll();
  });
  return {
    clock,
    registry,
    upgrades,
    url: `http://127.0.0.1:${address.port}`,
    /** Registers an executor. @returns its token */
    async register(
      peer: { readonly address: string },
      executorId: string = randomUUID(),
      scheme = '',
    ): Promise<string> {
      const { transport_endpoints } = endpointsOf(peer, scheme);
      const { name, version, capabilities } = registration(executorId);
      const spec_version = '1.0.0' as const;
      const response = await registry.register({
        executor_id: executorId,
        name,
        version,
        spec_version,
        capabilities,
        transport_endpoints,
      });
      assert.ok('token' in response);
      return response.token;
    },
    connected: (executorId: string) => registry.supervisor.directory.executors.get(executorId)?.connected,
    /** How often it was said. */
    said: (message: string): Record<string, unknown>[] => lines.filter(({ msg }) => msg === message),
    /** Waits for the next wait, number so many of all. @returns how long it is, in ms */
    wait: (number: number): Promise<number> => until(() => clock.waits[number - 1]),
  };
}

const isWithin = (value: number, least: number, most: number): void =>
  assert.ok(value >= least && value <= most, `${value} is not from ${least} to ${most}`);

test('an executor that only listens is dialled, dispatched to, and followed to done', async (t) => {
  const here = await board(t);
  const executorId = randomUUID();
  // It speaks as soon as it is dialled: Callboard must know by then where to answer.
  const peer = await listening(t, executorId, (executor) =>
    executor.event('executor.resync', undefined, { missions: [], protocol_version: '1.0.0' }),
  );
  const token = await here.register(peer, executorId);
  here.clock.advance(await here.wait(1));
  const connection = await peer.connected;
  await until(() => here.connected(executorId));
  assert.deepEqual(peer.dialled, [`/ws/executors/${executorId}?token=${token}`]);

  assert.equal(await dispatch(here, executorId, 'followed'), 202);
  assert.equal(peer.dispatched[0]?.mission_id, 'followed');
  connection.event('mission.started', 'followed', { state: 'running' });
  for (let iteration = 1; iteration <= 3; iteration++) connection.event('mission.progress', 'followed', { iteration });
  await inState(here, 'followed', 'running');
  assert.equal((await post(`${here.url}/api/v1/missions/followed/pause`)).status, 202);
  await until(() => connection.received.some(({ event }) => event === 'mission.paused'));
  connection.event('mission.completed', 'followed', { state: 'done', exit_code: 0 });
  await inState(here, 'followed', 'done');
  assert.deepEqual(
    (await mission(here, 'followed')).recent_events?.map(({ event }) => event),
    ['mission.started', 'mission.progress', 'mission.progress', 'mission.progress', 'mission.completed'],
  );
});

test('an executor dials in, later only listens, and then dials in again: followed throughout, by one connection', async (t) => {
  const here = await board(t);
  const executorId = randomUUID();
  const peer = await listening(t, executorId);
  const token = await here.register(peer, executorId);
  const first = await dial(t, here, executorId, token);
  assert.equal(await dispatch(here, executorId, 'moved'), 202);
  first.event('mission.started', 'moved', { state: 'running' });
  await inState(here, 'moved', 'running');
  first.ws.close();

  // It has dialled by itself, and may do so again: it is given longer than one that never has.
  const wait = await here.wait(2);
  isWithin(wait, 8_000, 16_000);
  here.clock.advance(wait);
  const second = await peer.connected;
  second.event('mission.hitl_required', 'moved', { hitl_id: 'h', prompt: 'p' });
  await inState(here, 'moved', 'hitl-required');

  const third = await dial(t, here, executorId, token);
  assert.deepEqual(await second.closed, { code: 4002, reason: 'replaced by a newer connection' });
  assert.equal(here.connected(executorId), true);
  third.event('mission.completed', 'moved', { state: 'done' });
  await inState(here, 'moved', 'done');
  assert.equal(peer.dialled.length, 1);
});

const FAILED = 'an executor could not be dialled: trying on';
const REFUSED = 'an executor refuses to be dialled';

test('backoff: a moment at first, then 1 to 2 s, doubled up to 15 to 30 s; from the start once a connection has stood', async (t) => {
  const { clock, register, wait, connected, said } = await board(t);
  const executorId = randomUUID();
  const accepting = await listening(t, executorId);
  const peer = await rawPeer(t, (socket) => socket.destroy());
  await register(peer, executorId);
  isWithin(await wait(1), 2_000, 3_000);
  clock.advance(1_999);
  assert.equal(peer.sockets.length, 0);
  let number = 1;
  for (const longest of [2_000, 4_000, 8_000, 16_000, 30_000, 30_000]) {
    clock.advance(await wait(number++));
    isWithin(await wait(number), longest / 2, longest);
    assert.equal(peer.sockets.length, number - 1);
  }
  assert.deepEqual(
    said(FAILED).map(({ executorId: whose }) => whose),
    [executorId],
  );

  // It registers again, with another endpoint: the longest wait is cut short.
  await register(accepting, executorId);
  isWithin(await wait(++number), 2_000, 3_000);
  clock.advance(3_000);
  await until(() => connected(executorId));
  assert.equal(clock.pending, 0);
  // As good as none: it ends at once.
  (await until(() => accepting.connections[0])).ws.terminate();
  isWithin(await wait(++number), 1_000, 2_000);
  clock.advance(2_000);
  await until(() => connected(executorId));
  clock.advance(30_001);
  (await until(() => accepting.connections[1])).ws.terminate();
  isWithin(await wait(++number), 2_000, 3_000);
});

for (const status of [401, 404])
  test(`a dial that is answered with ${status}: the longest interval, said once, until it registers again`, async (t) => {
    const { clock, register, wait, said } = await board(t);
    const executorId = randomUUID();
    const peer = await listening(t, executorId, undefined, (_, socket) =>
      socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`),
    );
    const token = await register(peer, executorId);
    for (let number = 1; number <= 4; number++) {
      clock.advance(await wait(number));
      isWithin(await wait(number + 1), 15_000, 30_000);
      assert.equal(peer.dialled.length, number);
    }
    const [line, ...more] = said(REFUSED);
    assert.deepEqual([line?.executorId, line?.reason, more.length], [executorId, `it answered ${status}`, 0]);
    assert.ok(!JSON.stringify(line).includes(token));
    assert.equal(said(FAILED).length, 0);
    await register(peer, executorId);
    isWithin(await wait(6), 2_000, 3_000);
    clock.advance(3_000);
    await until(() => said(REFUSED).length === 2);
  });

test('a connection that the executor closes with 4001: the longest interval, said once', async (t) => {
  const { clock, register, said } = await board(t);
  const executorId = randomUUID();
  const peer = await listening(t, executorId, ({ ws }) => ws.close(4001, 'token_invalid'));
  await register(peer, executorId);
  clock.advance(3_000);
  for (let number = 1; number <= 3; number++) {
    // At first it looks like a connection that was lost.
    const longest = await until(() => clock.waits.find((ms) => ms >= 15_000));
    assert.deepEqual([peer.dialled.length, clock.pending], [number, 1]);
    clock.waits.length = 0;
    // No further: the dial's own limit goes by this clock, too.
    clock.advance(longest);
    await until(() => peer.dialled.length > number);
  }
  const [line, ...more] = said(REFUSED);
  assert.deepEqual([line?.reason, more.length], ['it closed with 4001', 0]);
});

/** Registers an executor from another machine, so that its token is rotated. @returns the new one */
function rotate({ registry, upgrades }: Awaited<ReturnType<typeof board>>, executorId: string): string {
  const registered = registry.supervisor.directory.executors.get(executorId);
  assert.ok(registered);
  const { name, version, capabilities, transportEndpoints: transport_endpoints } = registered;
  const request = { executor_id: executorId, name, version, spec_version: '1.0.0', capabilities, transport_endpoints };
  const { ok, rotated, response } = {
    rotated: false,
    response: undefined,
    ...registry.supervisor.register(request, false),
  };
  assert.ok(ok && rotated && response);
  upgrades.rotate(executorId);
  return response.token;
}

test('a dialled executor whose token is rotated: closed with 4001, and dialled with the new one as if it had just registered', async (t) => {
  const here = await board(t);
  const { clock, register, wait, connected, said, registry } = here;
  const executorId = randomUUID();
  const peer = await listening(t, executorId);
  await register(peer, executorId);
  clock.advance(await wait(1));
  await until(() => connected(executorId));
  const token = rotate(here, executorId);
  assert.deepEqual(await peer.connections[0]?.closed, { code: 4001, reason: 'token_invalid' });
  isWithin(await wait(2), 2_000, 3_000);
  // Whatever was made of the peer's echo of the close is known by then.
  await registry.supervisor.system.settle();
  clock.advance(3_000);
  await until(() => peer.dialled.length === 2);
  assert.equal(peer.dialled[1], `/ws/executors/${executorId}?token=${token}`);
  assert.equal(said(REFUSED).length, 0);
});

test('an executor whose token is rotated before it was dialled is dialled all the same, with the new one', async (t) => {
  const here = await board(t);
  const { clock, register, wait, upgrades } = here;
  const executorId = randomUUID();
  const peer = await listening(t, executorId);
  await register(peer, executorId);
  await wait(1);
  upgrades.expect(executorId);
  const token = rotate(here, executorId);
  assert.equal(clock.pending, 1);
  clock.advance(3_000);
  await until(() => peer.dialled.length === 1);
  assert.equal(peer.dialled[0], `/ws/executors/${executorId}?token=${token}`);
});

test('an endpoint that is no WebSocket: refused, and nothing is dialled', async (t) => {
  const { clock, register, wait, said } = await board(t);
  await register({ address: '' });
  await wait(1);
  clock.advance(3_000);
  isWithin(await wait(2), 15_000, 30_000);
  assert.equal(said(REFUSED).length, 1);
});

test('of very many that refuse in one second each is said, be it a later time, and once', async (t) => {
  const { clock, register, said } = await board(t);
  for (let count = 0; count < 60; count++) await register({ address: '' });
  await until(() => clock.waits.length === 60);
  clock.advance(3_000);
  assert.equal(said(REFUSED).length, 50);
  clock.advance(60_000);
  assert.equal(said(REFUSED).length, 60);
  assert.equal(new Set(said(REFUSED).map(({ executorId }) => executorId)).size, 60);
});

test('an executor whose certificate is not trusted is not told its token', async (t) => {
  const { clock, register, wait, said } = await board(t);
  const executorId = randomUUID();
  const peer = await listening(t, executorId, undefined, undefined, createHttpsServer(certificate));
  await register(peer, executorId, 's');
  clock.advance(await wait(1));
  isWithin(await wait(2), 1_000, 2_000);
  assert.deepEqual([peer.dialled, said(FAILED)[0]?.reason], [[], 'DEPTH_ZERO_SELF_SIGNED_CERT']);
});

const handshake = (key: string): string => {
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
};
const switching = handshake('dGhlIHNhbXBsZSBub25jZQ==');

for (const [what, answer] of [
  ['rubbish', 'SSH-2.0-OpenSSH_9.6\r\n'],
  ['a handshake for another key', switching],
  ['headers without an end', `HTTP/1.1 101 Switching Protocols\r\n${'X: y\r\n'.repeat(20_000)}`],
  ['an error of its own', 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n'],
  ['a page', 'HTTP/1.1 200 OK\r\n\r\nHello'],
  ['a redirection', 'HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n'],
] as const)
  test(`a peer that answers a dial with ${what}: dialled again later`, async (t) => {
    const { clock, register, wait, connected } = await board(t);
    const executorId = randomUUID();
    const peer = await rawPeer(t, (socket) => socket.write(answer));
    await register(peer, executorId);
    clock.advance(await wait(1));
    isWithin(await wait(2), 1_000, 2_000);
    assert.equal(connected(executorId), false);
    await until(() => peer.sockets[0]?.closed);
    clock.advance(2_000);
    await until(() => peer.sockets.length === 2);
  });

test('a peer that never finishes the handshake has 10 s', async (t) => {
  const { clock, register, wait } = await board(t);
  const peer = await rawPeer(t, (socket) => socket.write('HTTP/1.1 101 Switching'));
  await register(peer);
  clock.advance(await wait(1));
  const socket = await until(() => peer.sockets[0]);
  clock.advance(9_999);
  assert.equal(clock.waits.length, 1);
  clock.advance(1);
  isWithin(await wait(2), 1_000, 2_000);
  await until(() => socket.closed);
});

test('a peer that masks its frames, as a server must not: 1002, and nobody else is harmed', async (t) => {
  const { clock, register, wait, connected, registry } = await board(t);
  const [badId, goodId] = [randomUUID(), randomUUID()];
  const good = await listening(t, goodId);
  let received = Buffer.alloc(0);
  const bad = await listening(t, badId, undefined, (request, socket) => {
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      socket.end();
    });
    socket.write(handshake(String(request.headers['sec-websocket-key'])));
    socket.write(Uint8Array.of(0x81, 0x81, 1, 2, 3, 4, 0));
  });
  await register(good, goodId);
  await register(bad, badId);
  clock.advance(3_000);
  await until(() => connected(goodId));
  // A close frame, which a client masks.
  await until(() => received.length >= 8);
  assert.deepEqual([received[0], received[1]], [0x88, 0x82]);
  const code = received.readUInt16BE(6) ^ received.readUInt16BE(2);
  assert.equal(code, 1002);
  await wait(3);
  assert.equal(connected(badId), false);
  await registry.assignMission('m', goodId);
  good.connections[0]?.event('mission.started', 'm', { state: 'running' });
  await until(async () => (await registry.getMission('m'))?.state === 'running');
});

test('an executor that dials in while it is dialled: the dial is cancelled, and no other follows', async (t) => {
  const { clock, register, wait, connected, url } = await board(t);
  const executorId = randomUUID();
  const peer = await rawPeer(t);
  const token = await register(peer, executorId);
  clock.advance(await wait(1));
  const socket = await until(() => peer.sockets[0]);
  const own = await dial(t, { url }, executorId, token);
  await until(() => socket.closed);
  assert.deepEqual([connected(executorId), clock.pending, clock.waits.length], [true, 0, 1]);
  own.ws.terminate();
  isWithin(await wait(2), 8_000, 16_000);
});

test('an executor that is deregistered is dialled no more, be it due, under way, or connected; nor is any at the end', async (t) => {
  const { clock, register, wait, connected, registry, upgrades } = await board(t);
  const ids = [randomUUID(), randomUUID(), randomUUID()] as const;
  const [waits, isUnderWay, stands] = ids;
  const silent = await rawPeer(t);
  const accepting = await listening(t, stands);
  await register(silent, isUnderWay);
  await register(accepting, stands);
  await wait(2);
  clock.advance(3_000);
  const socket = await until(() => silent.sockets[0]);
  await until(() => connected(stands));
  await register(silent, waits);
  await wait(3);
  assert.equal(clock.pending, 2);
  for (const executorId of ids) await registry.deregister(executorId);
  await until(() => socket.closed);
  assert.equal((await until(() => accepting.connections[0])).ws.readyState > 0, true);
  assert.equal((await accepting.connections[0]?.closed)?.code, 1000);
  assert.equal(clock.pending, 0);
  await register(silent, waits);
  await wait(4);
  await upgrades.closeAll();
  assert.equal(clock.pending, 0);
});

test('64 dials are under way at most, and those that have failed give way to those that have not', async (t) => {
  const { clock, register, wait, connected } = await board(t);
  const silent = await rawPeer(t);
  for (let count = 0; count < 70; count++) await register(silent);
  await wait(70);
  clock.advance(3_000);
  await until(() => silent.sockets.length === 64);
  assert.equal(clock.pending, 64);
  clock.advance(10_000);
  await until(() => silent.sockets.length === 70);
  // The 64 that failed are due again: for six of them there is no room.
  clock.advance(2_000);
  await until(() => silent.sockets.length === 70 + 58);
  const executorId = randomUUID();
  await register(await listening(t, executorId), executorId);
  clock.advance(3_000);
  assert.equal(clock.pending, 64);
  // Room for six.
  clock.advance(5_000);
  await until(() => connected(executorId));
});

test('a dial that is given up for another endpoint makes room at once for one that waits', async (t) => {
  const { clock, register, wait } = await board(t);
  const silent = await rawPeer(t);
  const executorId = randomUUID();
  await register(silent, executorId);
  for (let count = 1; count < 64; count++) await register(silent);
  await wait(64);
  clock.advance(3_000);
  await until(() => silent.sockets.length === 64);
  const last = await rawPeer(t);
  await register(last);
  await wait(65);
  clock.advance(3_000);
  assert.equal(clock.pending, 64);
  await register(await rawPeer(t), executorId);
  await until(() => last.sockets.length === 1);
});

test('a peer that is only half there is found: disconnected, and dialled again; one that answers stands', async (t) => {
  const { clock, register, wait, connected, registry } = await board(t, { pingInterval: 1_000 });
  const [halfId, wholeId] = [randomUUID(), randomUUID()];
  // It shakes hands, and never reads again.
  const half = await listening(t, halfId, undefined, (request, socket) => {
    socket.write(handshake(String(request.headers['sec-websocket-key'])));
    socket.pause();
  });
  let pings = 0;
  const whole = await listening(t, wholeId, ({ ws }) => ws.on('ping', () => pings++));
  await register(half, halfId);
  await register(whole, wholeId);
  clock.advance(3_000);
  await until(() => connected(halfId));
  await wait(3);
  assert.equal((await registry.get(halfId))?.connected, false);
  await until(() => pings >= 4);
  assert.equal(connected(wholeId), true);
});

test("a dialled connection's thread dies: closed with 1012, and dialled again", async (t) => {
  const { clock, register, wait, connected, registry } = await board(t, {
    registry: await createRegistry({ threads: 1, threadHeapMb: 64, onNotice: () => undefined }),
  });
  t.after(() => registry.shutdown());
  const executorId = randomUUID();
  const peer = await listening(t, executorId);
  await register(peer, executorId);
  clock.advance(await wait(1));
  await until(() => connected(executorId));
  await registry.assignMission('m', executorId);
  const { system } = registry.supervisor;
  const ref: Ref<'eat'> = system.spawnOnThread<typeof hungry>(hungryModule, undefined, {
    supervision: { decide: 'stop' },
  });
  system.tell(ref, 'eat');
  const [first] = peer.connections;
  assert.equal((await first?.closed)?.code, 1012);
  clock.advance(await wait(2));
  const second = await until(() => peer.connections[1]);
  second.event('mission.started', 'm', { state: 'running' });
  await until(async () => (await registry.getMission('m'))?.state === 'running');
});
