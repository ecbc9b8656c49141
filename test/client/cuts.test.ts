/** The connection is cut, wherever it hurts: nothing is lost, nothing comes twice, and a mission ends as it would have. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { after, test } from 'node:test';
import { WebSocket } from 'ws';
import { freePort } from '#bench/free-port.js';
import { VirtualClock } from '#src/actor/clock.js';
import { type AssignedMission, createExecutor, type Executor, type RunningMission } from '#src/client/index.js';
import { inState, mission, post, type Scope, serve, until } from '../server/helpers.js';
import { type CuttingProxy, cuttingProxy } from './cutting-proxy.js';
import { dispatch, history, inReverse, operate, serveKept, start } from './helpers.js';

/** Each test has executors of its own, which leave with it. */
const server = await serveKept({ after });

/** A question is asked again where its answer was lost. */
const onceAsked = (names: string[]): string[] =>
  names.filter((name, index) => name !== 'hitl_required' || names[index - 1] !== name);

/** Cuts an executor off, and waits until it is back. */
async function reconnect(proxy: CuttingProxy, executor: Executor): Promise<void> {
  const { dialled } = proxy;
  proxy.cut();
  await until(() => executor.connected && proxy.dialled > dialled);
}

/** Has time move on, as fast as it really does, until `look` gives true: faster, and connections would time out. */
async function goOn(clock: VirtualClock, look: () => boolean): Promise<void> {
  let last = Date.now();
  await until(() => {
    const now = Date.now();
    clock.advance(now - last);
    last = now;
    return look();
  });
}

/** A mission that asks, or runs, of an executor whose time stands still, behind a proxy. */
async function held(
  t: Scope,
  { objective = 'ask', ...options }: { objective?: 'ask' | 'run'; maxQueued?: number } = {},
) {
  const proxy = await cuttingProxy(t, server);
  const clock = new VirtualClock(Date.now());
  let running: RunningMission | undefined;
  let resolved: string | undefined;
  const executor = await start(t, proxy, {
    ...options,
    clock,
    random: () => 0.05,
    onDispatch: (assigned) => {
      running = assigned.started();
      if (assigned.dispatch.objective === 'ask')
        running.askHuman('Well?').then(
          (answer) => {
            resolved = answer;
          },
          () => undefined,
        );
    },
  });
  // Its time has to move on for it to leave, should it not be connected.
  t.after(() => {
    const moving = setInterval(() => clock.advance(100), 1);
    void executor.close().finally(() => clearInterval(moving));
  });
  const id = await dispatch(server, { objective });
  await inState(server, id, objective === 'ask' ? 'hitl-required' : 'running');
  assert.ok(running);
  const { dialled } = proxy;
  /** Moves time on until the executor has come back. */
  const back = async (): Promise<void> => {
    await goOn(clock, () => executor.connected && proxy.dialled > dialled);
  };
  const away = async (): Promise<void> => {
    proxy.cut();
    await until(() => !executor.connected);
  };
  return { proxy, clock, executor, running, id, back, away, answer: () => resolved };
}

test('an answer reaches askHuman after a cut', async (test) => {
  const t = inReverse(test);
  const { executor, id, away, back, answer } = await held(t);
  await away();
  await back();
  const asked = (await mission(server, id)).recent_events?.at(-1);
  assert.ok(asked?.event === 'mission.hitl_required');
  const data = { hitl_id: asked.data.hitl_id, response: 'very well' };
  const envelope = { event: 'mission.hitl_responded', executor_id: executor.id, mission_id: id, data };
  assert.ok(await server.registry.pushToExecutor(executor.id, { ...envelope, ts: new Date().toISOString() }));
  await until(() => answer() === 'very well');
  await until(async () => (await history(server, id)).at(-1) === 'hitl_responded');
  assert.deepEqual(onceAsked(await history(server, id)), ['started', 'hitl_required', 'hitl_responded']);
});

test('an answer that was lost is asked for again', async (test) => {
  const t = inReverse(test);
  const { proxy, executor, id, away, back, answer } = await held(t);
  const asked = (await mission(server, id)).recent_events?.at(-1);
  assert.ok(asked?.event === 'mission.hitl_required');
  const respond = (response: string) => operate(server, id, 'hitl_response', { hitl_id: asked.data.hitl_id, response });
  proxy.freeze();
  assert.equal(await respond('into the void'), 202);
  await inState(server, id, 'running');
  await away();
  await back();
  await inState(server, id, 'hitl-required');
  assert.deepEqual([answer(), executor.connected], [undefined, true]);
  assert.equal(await respond('very well'), 202);
  await until(() => answer() === 'very well');
  await until(async () => (await history(server, id)).at(-1) === 'hitl_responded');
  assert.deepEqual(await history(server, id), ['started', 'hitl_required', 'hitl_required', 'hitl_responded']);
});

test('a paused mission stays paused over cuts, and its operator resumes it', async (test) => {
  const t = inReverse(test);
  const proxy = await cuttingProxy(t, server);
  const resumed: string[] = [];
  const executor = await start(t, proxy, {
    random: () => 0,
    onDispatch: (assigned) => void assigned.started(),
    onResume: (_, { from }) => void resumed.push(from),
  });
  const id = await dispatch(server);
  await inState(server, id, 'running');
  await operate(server, id, 'pause');
  await until(async () => (await history(server, id)).length === 2);
  for (const length of [3, 4]) {
    await reconnect(proxy, executor);
    await until(async () => (await history(server, id)).length === length);
    await inState(server, id, 'paused');
  }
  assert.equal(await operate(server, id, 'resume'), 202);
  await until(async () => (await history(server, id)).at(-1) === 'resumed');
  assert.deepEqual(await history(server, id), ['started', 'paused', 'paused', 'paused', 'resumed']);
  assert.deepEqual(resumed, ['paused']);
});

test('a suspended mission stays suspended over cuts, though a resync has it resumed; its operator resumes it', async (test) => {
  const t = inReverse(test);
  const proxy = await cuttingProxy(t, server);
  const resumed: unknown[] = [];
  const executor = await start(t, proxy, {
    random: () => 0,
    onDispatch: (assigned) => void assigned.started().suspend('cp-1'),
    onResume: (running, from) => {
      resumed.push(from);
      running.complete();
    },
  });
  const id = await dispatch(server);
  await inState(server, id, 'suspended');
  for (const length of [3, 4]) {
    await reconnect(proxy, executor);
    await until(async () => (await history(server, id)).length === length);
    await inState(server, id, 'suspended');
  }
  assert.deepEqual(resumed, []);
  assert.equal(await operate(server, id, 'resume'), 202);
  await inState(server, id, 'done');
  const story = ['started', 'suspended', 'suspended', 'suspended', 'resumed', 'completed'];
  assert.deepEqual(await history(server, id), story);
  assert.deepEqual(resumed, [{ from: 'suspended', checkpointId: 'cp-1' }]);
});

test('an operator may resume a mission as soon as it has been said again that it is suspended', async (test) => {
  const t = inReverse(test);
  const resumed: unknown[] = [];
  const executor = await start(t, server, {
    connect: 'listen',
    onDispatch: (assigned) => void assigned.started().suspend('cp-3'),
    onResume: (_, from) => void resumed.push(from),
  });
  const token = server.registry.supervisor.directory.executors.get(executor.id)?.token;
  const mission_id = randomUUID();
  await server.registry.assignMission(mission_id, executor.id);
  /** Dials as Callboard does. Once it hears that the mission is suspended, it pushes `event`, and answers pings later. */
  const dial = async (event?: object): Promise<void> => {
    const url = `${executor.url.replace('http', 'ws')}/ws/executors/${executor.id}?token=${token}`;
    const socket = new WebSocket(url, { autoPong: false });
    test.after(() => socket.terminate());
    let isLate = false;
    socket.on('ping', async (payload: Buffer) => {
      if (isLate) await until(() => resumed.length > 0);
      socket.pong(payload);
    });
    socket.on('message', (data) => {
      if (event === undefined || JSON.parse(String(data)).event !== 'mission.suspended') return;
      isLate = true;
      socket.send(JSON.stringify(event));
    });
    await once(socket, 'message');
  };
  await dial();
  const body = { mission_id, objective: 'do it', completion: 'done' };
  assert.equal((await post(`${executor.url}/dispatch`, body, { authorization: `Bearer ${token}` })).status, 202);
  await dial({ event: 'mission.resumed', mission_id });
  await until(() => resumed.length === 1);
  assert.deepEqual(resumed, [{ from: 'suspended', checkpointId: 'cp-3' }]);
});

test('a suspension that was lost is not said twice', async (test) => {
  const t = inReverse(test);
  const { proxy, clock, executor, running, id } = await held(t, { objective: 'run' });
  const { dialled } = proxy;
  proxy.freeze();
  running.suspend('cp-2');
  for (let past = 0; past < 60; past += 20) clock.advance(20_000);
  await goOn(clock, () => executor.connected && proxy.dialled > dialled);
  await inState(server, id, 'suspended');
  assert.deepEqual(await history(server, id), ['started', 'suspended']);
});

test('two executors of one identity do not take the place of each other as fast as they can', async (test) => {
  const t = inReverse(test);
  const clock = new VirtualClock(Date.now());
  const executorId = randomUUID();
  const warnings: string[] = [];
  const onWarning = (message: string): void => void warnings.push(message);
  await start(t, server, { executorId, clock, random: () => 0.5, onWarning, onDispatch: () => undefined });
  await start(t, server, { executorId, onDispatch: () => undefined });
  await until(() => warnings.some((warning) => /4002 .*another process have the same identity/.test(warning)));
  // The wait before the next attempt, and nothing else.
  await until(() => clock.pending === 1);
  clock.advance(14_999);
  assert.equal(clock.pending, 1);
});

test('a mission that was aborted while its executor was away is over for that, too', async (test) => {
  const t = inReverse(test);
  const { running, id, away, back } = await held(t);
  await away();
  assert.equal(await operate(server, id, 'abort'), 202);
  assert.equal(running.signal.aborted, false);
  await back();
  await until(() => running.signal.aborted);
  assert.throws(() => running.complete(), /is over: (it is aborted|an operator aborted it)/);
});

test('events wait while Callboard is away, as many as may, and then come in order', async (test) => {
  const t = inReverse(test);
  const { running, id, away, back } = await held(t, { maxQueued: 5 });
  await away();
  const taken = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].filter((summary) => running.progress({ summary }));
  // The two events before the cut may count, too.
  assert.ok(taken.length >= 3 && taken.length <= 5, `${taken}`);
  running.complete();
  await back();
  await inState(server, id, 'done');
  assert.deepEqual(await history(server, id), ['started', 'hitl_required', ...taken, 'completed']);
});

test('a connection that has gone silent is found, and dialled anew', async (test) => {
  const t = inReverse(test);
  const { proxy, clock, executor, running, id } = await held(t, { objective: 'run' });
  const { dialled } = proxy;
  proxy.freeze();
  running.progress({ summary: 'into the void' });
  for (let past = 0; past < 60; past += 20) clock.advance(20_000);
  await goOn(clock, () => executor.connected && proxy.dialled > dialled);
  await until(async () => (await history(server, id)).at(-1) === 'into the void');
});

test('an executor that was deregistered with its own token registers again', async (test) => {
  const t = inReverse(test);
  const executor = await start(t, server, { random: () => 0, onDispatch: (assigned) => assigned.started().complete() });
  const token = server.registry.supervisor.directory.executors.get(executor.id)?.token;
  const headers = { authorization: `Bearer ${token}` };
  await fetch(`${server.url}/api/v1/executors/${executor.id}`, { method: 'DELETE', headers });
  await until(() => server.registry.supervisor.directory.executors.get(executor.id)?.connected);
  await inState(server, await dispatch(server), 'done');
});

test('a Callboard that has forgotten all is told again who is there, and its missions are given up', async (test) => {
  const t = inReverse(test);
  const port = await freePort();
  const first = await serve(t, { port });
  let running: RunningMission | undefined;
  const onDispatch = (assigned: AssignedMission): void => {
    running = assigned.started();
  };
  const executor = await start(t, first, { random: () => 0.01, onDispatch });
  const mission_id = await dispatch(first);
  await inState(first, mission_id, 'running');
  await first.close();
  const second = await serve(t, { port });
  await until(() => second.registry.supervisor.directory.executors.get(executor.id)?.connected);
  await until(() => running?.signal.aborted);
  assert.throws(() => running?.complete(), /Callboard does not know it any more/);
  // Dispatched anew, it is a new one.
  await dispatch(second, { mission_id });
  await inState(second, mission_id, 'running');
});

test('registering is tried again after ever longer waits, which are spread', async (test) => {
  const t = inReverse(test);
  let attempts = 0;
  const busy = createServer((_: IncomingMessage, response: ServerResponse) => {
    attempts++;
    response.writeHead(503).end('{}');
  }).listen(0, '127.0.0.1');
  t.after(() => busy.close());
  await until(() => busy.listening);
  const address = busy.address();
  assert.ok(address !== null && typeof address === 'object');
  const clock = new VirtualClock();
  const stop = new AbortController();
  const warnings: string[] = [];
  const executor = createExecutor({
    url: `http://127.0.0.1:${address.port}`,
    executorId: randomUUID(),
    name: 'sdk',
    clock,
    random: () => 0.5,
    signal: stop.signal,
    onWarning: (message) => warnings.push(message),
    onDispatch: () => undefined,
  });
  executor.catch(() => undefined);
  for (const [index, wait] of [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000].entries()) {
    await until(() => attempts === index + 1 && clock.pending === 1);
    clock.advance(wait - 1);
    assert.equal(clock.pending, 1);
    clock.advance(1);
  }
  assert.match(warnings[0] ?? '', /no connection to http.*: it answered 503/);
  stop.abort();
  await assert.rejects(executor, { name: 'AbortError' });
});
