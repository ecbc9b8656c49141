/** The life of an executor's connection, against a Callboard of which the test says every word. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { pino } from 'pino';
import { WebSocket } from 'ws';
import { VirtualClock } from '#src/actor/clock.js';
import { createExecutor } from '#src/client/index.js';
import { createRegistry } from '#src/registry/async-registry.js';
import { Upgrades } from '#src/server/upgrade.js';
import { type Scope, until } from '../server/helpers.js';
import { inReverse, start } from './helpers.js';
import { type Scripted, scripted } from './scripted.js';

const EXECUTOR = randomUUID();

test('one that is told to give up while it catches up leaves nothing behind', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  let admit: (() => void) | undefined;
  callboard.onUpgrade = () =>
    new Promise((resolve) => {
      admit = () => resolve(101);
    });
  const clock = new VirtualClock();
  const stop = new AbortController();
  let mission: AbortSignal | undefined;
  const creating = createExecutor({
    url: callboard.url,
    executorId: randomUUID(),
    name: 'sdk',
    clock,
    signal: stop.signal,
    onDispatch: (assigned) => {
      mission = assigned.signal;
    },
  });
  let outcome: unknown;
  creating.catch((error: unknown) => {
    outcome = error;
  });
  t.after(() => stop.abort());
  const onDialled = await until(() => admit);
  const id = await callboard.dispatch();
  callboard.answer = (request) => (request.includes(id) ? new Promise(() => undefined) : undefined);
  onDialled();
  await until(() => callboard.requests.some((request) => request.includes(id)));
  stop.abort();
  // Well before the 10 s that an answer may take.
  await until(() => outcome !== undefined, 5_000);
  assert.ok(outcome instanceof DOMException && outcome.name === 'AbortError');
  await until(() => callboard.sockets[0]?.readyState === WebSocket.CLOSED);
  assert.equal(mission?.aborted, true);
  assert.equal(clock.pending, 0);
});

test('one that listens attends to a new connection at once, though the old one is only half there', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  await start(t, callboard, { executorId: EXECUTOR, connect: 'listen', onDispatch: () => undefined });
  const half = callboard.dial(t, EXECUTOR);
  await callboard.said('executor.resync');
  half.pause();
  callboard.dial(t, EXECUTOR);
  await callboard.said('executor.resync', 2);
  const closed = once(half, 'close');
  half.resume();
  assert.equal((await closed)[0], 4002);
});

test('one that listens takes a dial that comes late, by the token that it has, while it cannot register again', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  const clock = new VirtualClock();
  const warnings: string[] = [];
  await start(t, callboard, {
    executorId: EXECUTOR,
    connect: 'listen',
    clock,
    random: () => 0.5,
    onWarning: (message) => void warnings.push(message),
    onDispatch: () => undefined,
  });
  callboard.answer = (request) => (request.startsWith('POST') ? { status: 503 } : undefined);
  // Nobody dials for 30 s; then it waits before it registers again, and before it tries once more.
  await until(() => clock.pending === 1);
  clock.advance(30_000);
  await until(() => warnings.length === 1 && clock.pending === 1);
  clock.advance(250);
  await until(() => warnings.length === 2 && clock.pending === 1);
  callboard.dial(t, EXECUTOR);
  await callboard.said('executor.resync');
  assert.deepEqual(
    warnings.map((warning) => warning.replace(/^.*: /, '')),
    ['it has not dialled', 'it answered 503 not an answer of Callboard'],
  );
});

test('an executor that an operator has deleted stays away; one that was deregistered otherwise comes back', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  const clock = new VirtualClock();
  const warnings: string[] = [];
  let mission: AbortSignal | undefined;
  const executor = await start(t, callboard, {
    clock,
    random: () => 0,
    onWarning: (message) => void warnings.push(message),
    onDispatch: (assigned) => {
      mission = assigned.started().signal;
    },
  });
  callboard.sockets[0]?.close(1000, 'shutdown');
  await until(() => {
    clock.advance(1);
    return callboard.sockets.length === 2 && executor.connected;
  });
  const registrations = () => callboard.requests.filter((request) => request.startsWith('POST')).length;
  assert.equal(registrations(), 2);
  const id = await callboard.dispatch();
  await callboard.said('mission.started');
  callboard.sockets[1]?.close(1000, 'operator_deleted');
  await until(() => mission?.aborted);
  await executor.closed;
  assert.match(String(mission?.reason), new RegExp(`mission ${id} is over: an operator has deleted its executor`));
  await executor.close();
  clock.advance(60_000);
  assert.deepEqual([registrations(), callboard.sockets.length, clock.pending], [2, 2, 0]);
  assert.equal(warnings.at(-1), 'an operator has deleted this executor: it stays away');
  await assert.rejects(fetch(executor.url));
});

for (const status of [401, 404] as const)
  test(`a handshake that is answered with ${status}: it registers again, and dials by the new token`, async (test) => {
    const t = inReverse(test);
    const callboard = await scripted(t);
    const tokens: (string | null)[] = [];
    callboard.onUpgrade = (url) =>
      tokens.push(new URL(url, callboard.url).searchParams.get('token')) > 1 ? 101 : status;
    const executor = await start(t, callboard, { random: () => 0, onDispatch: () => undefined });
    assert.deepEqual([executor.connected, tokens.length, tokens[1]], [true, 2, callboard.token]);
    assert.notEqual(tokens[0], tokens[1]);
  });

test('a WebSocket that is refused otherwise: it is said how, and dialled again', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  let dials = 0;
  callboard.onUpgrade = () => (dials++ === 0 ? 503 : 101);
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  const executor = await start(t, callboard, { random: () => 0, onWarning, onDispatch: () => undefined });
  assert.equal(executor.connected, true);
  assert.deepEqual(warnings, [`no connection to ${callboard.url}: it answered 503 to the WebSocket`]);
});

/** A mission that is paused, and whose executor is cut off. */
async function pausedAndCut(t: Scope, callboard: Scripted) {
  const called: string[] = [];
  await start(t, callboard, {
    random: () => 0,
    onDispatch: (assigned) => void assigned.started(),
    onPause: () => void called.push('pause'),
    onResume: () => void called.push('resume'),
  });
  const id = await callboard.dispatch();
  await callboard.said('mission.started');
  callboard.push('mission.paused', id, { state: 'paused' });
  await callboard.said('mission.paused');
  callboard.sockets[0]?.terminate();
  return { id, called };
}

test('what Callboard pushes as soon as the WebSocket is open counts', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  const listen = callboard.listen.bind(callboard);
  const { id, called } = await pausedAndCut(t, callboard);
  callboard.listen = (ws) => {
    listen(ws);
    callboard.push('mission.resumed', id, { state: 'running', resumed_from: 'paused' });
  };
  await callboard.said('mission.resumed');
  assert.deepEqual(called, ['pause', 'resume']);
});

test('an operator may resume a paused mission while its executor catches up; it is not said to be paused again', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  let answer: (() => void) | undefined;
  const { id, called } = await pausedAndCut(t, callboard);
  callboard.answer = (request) =>
    request.includes(id)
      ? new Promise((resolve) => {
          answer = () => resolve(undefined);
        })
      : undefined;
  const goOn = await until(() => answer);
  callboard.push('mission.resumed', id, { state: 'running', resumed_from: 'paused' });
  await until(() => called.at(-1) === 'resume');
  goOn();
  await callboard.said('mission.resumed');
  assert.equal(callboard.heard.filter(({ event }) => event === 'mission.paused').length, 1);
});

test("one that listens is dialled by Callboard's own dialler, and again after a cut", async (test) => {
  const t = inReverse(test);
  const registry = await createRegistry({ threads: 1 });
  t.after(() => registry.shutdown());
  const clock = new VirtualClock();
  const upgrades = new Upgrades(registry.supervisor, pino({ level: 'silent' }), { clock });
  t.after(() => upgrades.closeAll());
  registry.on('executor:registered', ({ executorId }) => upgrades.expect(executorId));
  const callboard = await scripted(t);
  callboard.answer = async (request, body) =>
    request.startsWith('POST') ? { status: 201, body: await registry.register(JSON.parse(body)) } : undefined;
  const executor = await start(t, callboard, {
    connect: 'listen',
    random: () => 0,
    onDispatch: (assigned) => void assigned.started(),
  });
  const { executors } = registry.supervisor.directory;
  const connected = () => executors.get(executor.id)?.connected;
  callboard.token = executors.get(executor.id)?.token ?? '';
  callboard.endpoint = executor.url;
  for (const missionId of ['before', 'after']) {
    await until(() => clock.pending === 1);
    clock.advance(3_000);
    await until(() => executor.connected && connected());
    await registry.assignMission(missionId, executor.id);
    await callboard.dispatch(missionId);
    await until(async () => (await registry.getMission(missionId))?.state === 'running');
    if (missionId === 'before') {
      upgrades.close(executor.id, 1012, 'dial again');
      await until(() => !connected());
    }
  }
});

test('an onWarning that throws ends nothing: the executor comes back', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  const clock = new VirtualClock();
  const executor = await start(t, callboard, {
    clock,
    random: () => 0,
    onWarning: () => {
      throw new Error('no disk space');
    },
    onDispatch: () => undefined,
  });
  const warned = once(process, 'warning');
  callboard.sockets[0]?.terminate();
  const [warning] = await warned;
  assert.equal(String(warning), 'Warning: onWarning: no disk space');
  await until(() => {
    clock.advance(1);
    return callboard.sockets.length === 2 && executor.connected;
  });
});

test('it is told that a Callboard elsewhere cannot reach a loopback address', async () => {
  const warnings: string[] = [];
  const elsewhere = 'http://callboard.invalid';
  for (const [url, listen] of [
    ['http://localhost:1'],
    [elsewhere, { publicUrl: 'http://executor.invalid' }],
    [elsewhere],
    [elsewhere, { host: '0.0.0.0' }],
    [elsewhere, { host: '::' }],
  ] as const)
    await assert.rejects(
      createExecutor({
        url,
        executorId: randomUUID(),
        name: 'sdk',
        signal: AbortSignal.abort(),
        ...(listen !== undefined && { listen }),
        onDispatch: () => undefined,
        onWarning: (message) => void warnings.push(message.replace(/:\d+:/, ':')),
      }),
      { name: 'AbortError' },
    );
  assert.deepEqual(
    warnings,
    ['127.0.0.1', '127.0.0.1', '[::1]'].map(
      (host) => `Callboard is elsewhere and cannot reach http://${host}: set listen.host, and listen.publicUrl`,
    ),
  );
});
