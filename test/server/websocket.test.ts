/** The executors' WebSockets: who gets in, what comes through, and how a connection ends. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { WebSocket } from 'ws';
import type blockingActor from '#test/blocking-actor.js';
import { blockingModule } from '#test/blocking-actor.js';
import {
  assertError,
  dial,
  Executor,
  envelope,
  executor,
  frame,
  inState,
  mission,
  post,
  Raw,
  register,
  type Scope,
  send,
  serve,
  socketUrl,
  until,
  upgrade,
} from './helpers.js';

const server = await serve({ after });
const { registry } = server;

const isConnected = async (executorId: string) => (await registry.get(executorId))?.connected ?? false;
const events = async (missionId: string) => (await mission(server, missionId)).recent_events ?? [];

interface Handshaken {
  readonly raw: Raw;
  readonly executorId: string;
  readonly missionId: string;
  /** `mission.progress` number so many, as text. */
  progress(iteration: number): string;
}

/** A bare connection with its handshake done, of an executor that has a mission. */
async function handshaken(
  t: Scope,
  sentWith?: (progress: (iteration: number) => string) => Buffer,
): Promise<Handshaken> {
  const executorId = randomUUID();
  const missionId = `of ${executorId}`;
  const token = await register(server, executorId);
  await registry.assignMission(missionId, executorId);
  const progress = (iteration: number) => envelope(executorId, 'mission.progress', missionId, { iteration });
  const raw = new Raw(t, server);
  const head = sentWith?.(progress) ?? Buffer.alloc(0);
  raw.write(upgrade(`/ws/executors/${executorId}?token=${token}`), head);
  await raw.match(/^HTTP\/1\.1 101 [\s\S]*\r\n\r\n/);
  return { raw, executorId, missionId, progress };
}

/** Waits until the mission has had as many events; they must be in order. */
async function arrived(missionId: string, count: number): Promise<void> {
  await until(async () => (await events(missionId)).length >= Math.min(count, 50));
  const iterations = (await events(missionId)).map(({ data }) => data && 'iteration' in data && data.iteration);
  assert.deepEqual(iterations, Array.from({ length: count }, (_, index) => index + 1).slice(-50));
}

/** The frames that came after the handshake: opcode and payload. */
function framesOf(raw: Raw): { opcode: number; payload: Buffer }[] {
  const frames: { opcode: number; payload: Buffer }[] = [];
  let rest = raw.bytes.subarray(raw.text.indexOf('\r\n\r\n') + 4);
  while (rest.length >= 2) {
    const length = rest[1] ?? 0;
    assert.ok(length < 126, 'a short frame');
    frames.push({ opcode: (rest[0] ?? 0) & 15, payload: rest.subarray(2, 2 + length) });
    rest = rest.subarray(2 + length);
  }
  return frames;
}

const closeCode = (raw: Raw): Promise<number> =>
  until(() =>
    framesOf(raw)
      .find(({ opcode }) => opcode === 8)
      ?.payload.readUInt16BE(0),
  );

// Who gets in.

test('an executor with its token is connected, and its events reach its missions', async (t) => {
  const peer = await executor(t, server);
  assert.equal(await isConnected(peer.executorId), true);
  await registry.assignMission('m', peer.executorId);
  peer.event('mission.started', 'm', { state: 'running' });
  await inState(server, 'm', 'running');
});

test('an executor counts as seen when it connects', async (t) => {
  const executorId = randomUUID();
  const token = await register(server, executorId);
  const registered = Date.now();
  await until(() => Date.now() > registered);
  await dial(t, server, executorId, token);
  const { lastSeenAt } = registry.supervisor.identities.get(executorId) ?? {};
  assert.ok(Date.parse(lastSeenAt ?? '') > registered, 'it was not seen when it connected');
});

test('a bad token, none, a stranger and a token of somebody else: accepted, then closed with 4001', async (t) => {
  const executorId = randomUUID();
  const token = await register(server, executorId);
  const other = await register(server, randomUUID());
  await registry.assignMission('guarded', executorId);
  for (const url of [
    socketUrl(server, executorId, 'x'),
    socketUrl(server, executorId, ''),
    socketUrl(server, executorId, other),
    socketUrl(server, randomUUID(), token),
    socketUrl(server, executorId, token).replace('?token', '?tokens'),
  ]) {
    const peer = new Executor(executorId, token, new WebSocket(url));
    t.after(() => peer.ws.terminate());
    await once(peer.ws, 'open');
    peer.event('mission.started', 'guarded', { state: 'running' });
    assert.deepEqual(await peer.closed, { code: 4001, reason: 'token_invalid' });
    assert.equal(await isConnected(executorId), false);
  }
  assert.equal((await mission(server, 'guarded')).state, 'assigned');
});

test('what comes with a bad token is not parsed, even when it comes with the upgrade itself', async (t) => {
  const executorId = randomUUID();
  await register(server, executorId);
  await registry.assignMission('unparsed', executorId);
  const raw = new Raw(t, server);
  const started = envelope(executorId, 'mission.started', 'unparsed', { state: 'running' });
  raw.write(upgrade(`/ws/executors/${executorId}?token=x`), frame(started));
  assert.equal(await closeCode(raw), 4001);
  assert.equal((await mission(server, 'unparsed')).state, 'assigned');
});

test('an executor that has not registered since the start must do so first, whatever its token', async (t) => {
  const peer = await executor(t, server);
  await registry.deregister(peer.executorId);
  await peer.closed;
  const again = new Executor(
    peer.executorId,
    peer.token,
    new WebSocket(socketUrl(server, peer.executorId, peer.token)),
  );
  assert.equal((await again.closed).code, 4001);
});

for (const path of ['/', '/ws', '/ws/executors', '/ws/executors/', '/ws/executors/a/b', '/ws/executors/%E0%A4%A', '//'])
  test(`an upgrade at ${path}: 404`, async (t) => {
    const raw = new Raw(t, server);
    raw.write(upgrade(path));
    assert.match(await raw.match(/}$/), /^HTTP\/1\.1 404 [\s\S]*"error":"not_found"/);
    await raw.closed;
  });

for (const [what, headers] of [
  ['no key', { 'Sec-WebSocket-Key': '' }],
  ['a bad key', { 'Sec-WebSocket-Key': 'short' }],
  ['a bad version', { 'Sec-WebSocket-Version': '12' }],
  ['another protocol', { Upgrade: 'h2c' }],
] as const)
  test(`an upgrade with ${what}: 400, and the connection that stands is not touched`, async (t) => {
    const peer = await executor(t, server);
    const raw = new Raw(t, server);
    raw.write(upgrade(`/ws/executors/${peer.executorId}?token=${peer.token}`, headers));
    assert.match(await raw.match(/}$/), /^HTTP\/1\.1 400 [\s\S]*"error":"invalid_payload"/);
    await raw.closed;
    assert.equal(await isConnected(peer.executorId), true);
    peer.ws.ping();
    await once(peer.ws, 'pong');
  });

test('an upgrade that is no GET: 400', async (t) => {
  const peer = await executor(t, server);
  const raw = new Raw(t, server);
  raw.write(upgrade(`/ws/executors/${peer.executorId}?token=${peer.token}`).replace('GET', 'POST'));
  assert.match(await raw.match(/}$/), /^HTTP\/1\.1 400 /);
});

test('the path may be escaped', async (t) => {
  const executorId = `urn:uuid:${randomUUID()}`;
  const token = await register(server, executorId);
  await dial(t, server, encodeURIComponent(executorId), token);
  assert.equal(await isConnected(executorId), true);
});

test('a second connection of an executor: the first is closed with 4002, and the second serves', async (t) => {
  const first = await executor(t, server);
  const second = await dial(t, server, first.executorId, first.token);
  assert.deepEqual((await first.closed).code, 4002);
  assert.equal(await isConnected(first.executorId), true);
  await registry.assignMission('twice', first.executorId);
  second.event('mission.started', 'twice', { state: 'running' });
  await inState(server, 'twice', 'running');
  const pause = await send(`${server.url}/api/v1/missions/twice/pause`, { method: 'POST' });
  assert.equal(pause.status, 202);
  await until(() => second.received.length === 1);
  assert.equal(first.received.length, 0);
});

test('what a connection sends after it was closed with 4002 changes nothing', async (t) => {
  const { raw, executorId, missionId } = await handshaken(t);
  await dial(t, server, executorId, await register(server, executorId));
  assert.equal(await closeCode(raw), 4002);
  raw.write(frame(envelope(executorId, 'mission.started', missionId, { state: 'running' })), frame('', 0x8));
  await raw.closed;
  const { state, recent_events } = await mission(server, missionId);
  assert.deepEqual([state, recent_events], ['assigned', []]);
});

test("an executor's actor is given up on: its connection is closed with 1012, and the next serves", {
  timeout: 10_000,
}, async (t) => {
  const first = await executor(t, server);
  await registry.assignMission('given up', first.executorId);
  const { supervisor } = registry;
  supervisor.system.stop(supervisor.executor(first.executorId), 'now');
  assert.equal((await first.closed).code, 1012);
  const second = await dial(t, server, first.executorId, first.token);
  second.event('mission.started', 'given up', { state: 'running' });
  await inState(server, 'given up', 'running');
});

// What comes through.

test('frames that come byte by byte', async (t) => {
  const { raw, missionId, progress } = await handshaken(t);
  raw.socket.setNoDelay(true);
  for (const byte of Buffer.concat([frame(progress(1)), frame(progress(2))])) {
    raw.write(Buffer.from([byte]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await arrived(missionId, 2);
});

test('a thousand frames in one write', async (t) => {
  const { raw, missionId, progress } = await handshaken(t);
  raw.write(...Array.from({ length: 1000 }, (_, index) => frame(progress(index + 1))));
  await until(async () => JSON.stringify((await events(missionId)).at(-1)?.data) === '{"iteration":1000}');
  await arrived(missionId, 1000);
});

test('frames that come with the upgrade request', async (t) => {
  const { missionId } = await handshaken(t, (progress) =>
    Buffer.concat([1, 2, 3].map((iteration) => frame(progress(iteration)))),
  );
  await arrived(missionId, 3);
});

test('frames that come with the upgrade request, to a thread that takes in nothing more, wait for it', async (t) => {
  const busy = await serve(t);
  const { supervisor } = busy.registry;
  const executorId = randomUUID();
  const token = await register(busy, executorId);
  await busy.registry.assignMission('m', executorId);
  const wake = new Int32Array(new SharedArrayBuffer(4));
  const blocking = supervisor.system.spawnOnThread<typeof blockingActor>(blockingModule, wake);
  await supervisor.system.settle();
  supervisor.system.tell(blocking, 'block');
  const noise = { type: 'frame', text: 'x'.repeat(2 ** 20) } as const;
  while (supervisor.system.tell(supervisor.executor(executorId), noise));
  const raw = new Raw(t, busy);
  const started = envelope(executorId, 'mission.started', 'm', { state: 'running' });
  raw.write(upgrade(`/ws/executors/${executorId}?token=${token}`), frame(started));
  await until(() => supervisor.directory.executors.get(executorId)?.connected);
  Atomics.store(wake, 0, 1);
  Atomics.notify(wake, 0);
  await supervisor.system.settle();
  await inState(busy, 'm', 'running');
});

test('a message in fragments, with a ping in between', async (t) => {
  const { raw, missionId, progress } = await handshaken(t);
  const text = progress(1);
  raw.write(frame(text.slice(0, 10), 0x1, false), frame(text.slice(10, 20), 0x0, false));
  raw.write(frame('hello', 0x9), frame(text.slice(20), 0x0, true), frame(progress(2)));
  await arrived(missionId, 2);
  assert.deepEqual(
    framesOf(raw).map(({ opcode, payload }) => [opcode, String(payload)]),
    [[0xa, 'hello']],
  );
});

test('an envelope of exactly 1 MiB', async (t) => {
  const { raw, missionId, progress } = await handshaken(t);
  raw.write(frame(progress(1).padEnd(1024 * 1024)));
  await arrived(missionId, 1);
});

test('a frame of 1 MiB and a byte: 1009, whether it comes or is only announced, whole or in fragments', async (t) => {
  const whole = await handshaken(t);
  whole.raw.write(frame(whole.progress(1).padEnd(1024 * 1024 + 1)));
  assert.equal(await closeCode(whole.raw), 1009);
  const announced = await handshaken(t);
  announced.raw.write(frame(Buffer.alloc(1024 * 1024 + 1)).subarray(0, 14));
  assert.equal(await closeCode(announced.raw), 1009);
  const fragments = await handshaken(t);
  fragments.raw.write(frame(fragments.progress(1).padEnd(1024 * 1024), 0x1, false), frame(' ', 0x0));
  assert.equal(await closeCode(fragments.raw), 1009);
  for (const { missionId } of [whole, announced, fragments]) assert.deepEqual(await events(missionId), []);
});

for (const [what, bytes, code] of [
  ['a frame that is not masked', Buffer.from([0x81, 0x02, 0x7b, 0x7d]), 1002],
  ['an unknown opcode', frame('x', 0x3), 1002],
  ['a reserved bit', Buffer.from([0xc1, 0x80, 0, 0, 0, 0]), 1002],
  ['text that is not UTF-8', frame(Buffer.from([0xff])), 1007],
] as const)
  test(`${what}: ${code}`, async (t) => {
    const { raw } = await handshaken(t);
    raw.write(bytes);
    assert.equal(await closeCode(raw), code);
  });

test('binary frames, frames that are not JSON and invalid envelopes are dropped, and what follows is not', async (t) => {
  const { raw, missionId, progress } = await handshaken(t);
  raw.write(frame(progress(1)), frame(progress(9), 0x2), frame('{'), frame('{}'), frame(''), frame(progress(2)));
  await arrived(missionId, 2);
});

test('an executor that registered with a later version may send unknown fields; any other may not', async (t) => {
  const [later, other] = [await executor(t, server, { spec_version: '1.1.0' }), await executor(t, server)];
  for (const { executorId, ws } of [later, other]) {
    await registry.assignMission(`m ${executorId}`, executorId);
    const data = { state: 'running', mood: 'good' };
    ws.send(envelope(executorId, 'mission.started', `m ${executorId}`, data));
    ws.send(envelope(executorId, 'mission.progress', `m ${executorId}`, { iteration: 1 }));
  }
  for (const { executorId } of [later, other])
    await until(async () => (await events(`m ${executorId}`)).at(-1)?.event === 'mission.progress');
  assert.equal((await mission(server, `m ${later.executorId}`)).state, 'running');
  assert.equal((await mission(server, `m ${other.executorId}`)).state, 'assigned');
});

test('a connection that sends little but noise is closed with 1008', async (t) => {
  const { raw, executorId } = await handshaken(t);
  raw.write(...Array.from({ length: 200 }, () => frame('noise', 0x2)));
  assert.equal(await closeCode(raw), 1008);
  raw.socket.destroy();
  await until(async () => !(await isConnected(executorId)));
});

test("an executor can not speak for another one, nor about another one's missions", async (t) => {
  const [one, other] = [await executor(t, server), await executor(t, server)];
  await registry.assignMission('own', one.executorId);
  await registry.assignMission('foreign', other.executorId);
  one.ws.send(envelope(other.executorId, 'mission.started', 'foreign', { state: 'running' }));
  one.event('mission.started', 'foreign', { state: 'running' });
  one.event('mission.started', 'own', { state: 'running' });
  await inState(server, 'own', 'running');
  assert.equal((await mission(server, 'foreign')).state, 'assigned');
});

// How it ends.

for (const [how, end] of [
  ['a close frame', (peer: Raw) => peer.write(frame(Buffer.from([3, 232]), 0x8))],
  ['nothing but the end of its stream', (peer: Raw) => peer.socket.end()],
  ['a reset', (peer: Raw) => peer.socket.resetAndDestroy()],
] as const)
  test(`a connection that ends with ${how}: its last events count, then it is disconnected`, async (t) => {
    const { raw, executorId, missionId, progress } = await handshaken(t);
    raw.write(frame(progress(1)));
    await arrived(missionId, 1);
    const before = Date.now();
    raw.write(frame(progress(2)));
    if (how !== 'a reset') end(raw);
    await arrived(missionId, 2);
    if (how === 'a reset') end(raw);
    await raw.closed;
    const summary = await until(async () => {
      const found = await registry.get(executorId);
      return found?.connected === false && found;
    });
    assert.ok(Date.parse(summary.disconnected_at ?? '') >= before);
    assert.equal((await mission(server, missionId)).state, 'assigned');
  });

test('an executor that has closed its side, and keeps its socket half open, is not connected: nothing is pushed to it', async (t) => {
  const { raw, executorId, missionId } = await handshaken(t);
  raw.socket.allowHalfOpen = true;
  raw.write(frame(Buffer.from([3, 232]), 0x8));
  await once(raw.socket, 'end');
  const paused = await post(`${server.url}/api/v1/missions/${encodeURIComponent(missionId)}/pause`);
  assertError(paused, 'executor_not_connected');
  assert.equal(await isConnected(executorId), false);
});

test('who was disconnected may come back, and disconnected_at is gone', async (t) => {
  const first = await executor(t, server);
  first.ws.terminate();
  await until(async () => !(await isConnected(first.executorId)));
  await dial(t, server, first.executorId, first.token);
  const summary = await registry.get(first.executorId);
  assert.deepEqual([summary?.connected, summary?.disconnected_at], [true, undefined]);
});

test('an executor that says it leaves is deregistered, and its socket is closed with 1000', async (t) => {
  const peer = await executor(t, server, { capabilities: ['resumable'] });
  await registry.assignMission('left behind', peer.executorId);
  peer.event('executor.deregistered', undefined, { reason: 'graceful_shutdown' });
  assert.equal((await peer.closed).code, 1000);
  assert.equal(await registry.get(peer.executorId), undefined);
  assert.equal((await mission(server, 'left behind')).state, 'suspended');
});

test('a resync is answered with what the executor missed', async (t) => {
  const peer = await executor(t, server);
  for (const id of ['missed', 'kept']) await registry.assignMission(id, peer.executorId);
  peer.event('mission.suspended', 'kept', { state: 'suspended', checkpoint_id: 'c' });
  await inState(server, 'kept', 'suspended');
  peer.ws.terminate();
  await until(async () => !(await isConnected(peer.executorId)));
  assert.equal((await send(`${server.url}/api/v1/missions/missed/abort`, { method: 'POST' })).status, 202);
  const back = await dial(t, server, peer.executorId, peer.token);
  back.event('executor.resync', undefined, { owned_mission_ids: ['missed', 'kept'] });
  await until(() => back.received.length === 2);
  assert.deepEqual(
    back.received.map(({ event, mission_id }) => [event, mission_id]),
    [
      ['mission.aborted', 'missed'],
      ['mission.resumed', 'kept'],
    ],
  );
});

test('an executor that never reads is cut off when too much waits for it', async (t) => {
  const { raw, executorId, missionId } = await handshaken(t);
  raw.socket.pause();
  const question = { hitl_id: 'h', prompt: 'p' };
  const response = 'x'.repeat(1_000_000);
  // What the kernel takes in does not count: so more than any.
  for (let round = 0; round < 60 && (await isConnected(executorId)); round++) {
    raw.write(frame(envelope(executorId, 'mission.hitl_required', missionId, question)));
    const state = await until(
      async () => !(await isConnected(executorId)) || (await mission(server, missionId)).state === 'hitl-required',
    );
    assert.ok(state);
    await registry.supervisor.missions.respond(missionId, 'h', response).later();
  }
  await until(async () => !(await isConnected(executorId)));
});
