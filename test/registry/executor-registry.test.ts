import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as callboard from '#src/index.js';
import { ExecutorRegistry } from '#src/index.js';
import {
  completed,
  executorEvent,
  idOf,
  listen,
  missionEvent,
  payloadOf,
  progress,
  Socket,
  tsOf,
  useIdentityFile,
} from './peers.js';
import { published } from './published.js';

const identityFile = useIdentityFile();

function newRegistry(t: TestContext) {
  const registry = new ExecutorRegistry();
  t.after(() => registry.shutdown());
  return { registry, told: listen(registry) };
}

/** A registry with one connected executor (1) that runs mission m. */
function withMission(t: TestContext, capabilities: string[] = []) {
  const { registry, told } = newRegistry(t);
  const socket = new Socket();
  registry.register(payloadOf(1, { capabilities }));
  registry.setConnected(idOf(1), true, socket);
  registry.assignMission('m', idOf(1));
  told.length = 0;
  return { registry, told, socket };
}

const stateChange = (missionId: string, prevState: string, state: string) => [
  'mission:state_change',
  { missionId, executorId: idOf(1), state, prevState },
];

const isNow = (time: string | undefined) => Math.abs(Date.parse(time ?? '') - Date.now()) < 5_000;

test('the package exports every name of the published surface', () => {
  for (const name of Object.keys(published).filter((name) => name.startsWith('validate'))) assert.ok(name in callboard);
  assert.ok(callboard.executorRegistry instanceof ExecutorRegistry);
  assert.equal(callboard.resolveExecutorIdentityStorePath(), identityFile);
  assert.equal(new ExecutorRegistry().size, 0);
});

test('threads are a whole number from 0 to 255', () => {
  for (const threads of [-1, 1.5, Number.NaN, 256]) assert.throws(() => new ExecutorRegistry({ threads }), RangeError);
});

test('shutdown writes the tokens; an executor counts as seen when it registers and when it connects', async (t) => {
  const lastSeen = () => {
    const found = JSON.parse(readFileSync(identityFile, 'utf8')).find(
      ({ executorId }: { executorId: string }) => executorId === idOf(77),
    );
    return Date.parse(found.lastSeenAt);
  };
  const { registry } = newRegistry(t);
  registry.register(payloadOf(77));
  registry.shutdown();
  const registered = lastSeen();
  while (Date.now() <= registered) await nextTurn();
  registry.register(payloadOf(77));
  const between = Date.now();
  while (Date.now() <= between) await nextTurn();
  registry.setConnected(idOf(77), true);
  registry.shutdown();
  assert.ok(lastSeen() > between, 'it was not seen when it connected');
});

test('register answers with the id, a token and the time', (t) => {
  const { registry, told } = newRegistry(t);
  const answer = registry.register(payloadOf(1));
  assert.ok('token' in answer);
  assert.deepEqual(Object.keys(answer).sort(), ['executor_id', 'registered_at', 'token']);
  assert.equal(answer.executor_id, idOf(1));
  assert.match(answer.token, /^[A-Za-z0-9_-]{43}$/);
  assert.ok(isNow(answer.registered_at));
  assert.deepEqual(told, [['executor:registered', { executorId: idOf(1), name: 'executor 1' }]]);
  assert.equal(registry.size, 1);
});

test('registering again keeps token, registered_at and the missions, and updates the rest', (t) => {
  const { registry } = newRegistry(t);
  const first = registry.register(payloadOf(1, { a2a_instance_id: 'a2a', capabilities: ['resumable'] }));
  registry.setConnected(idOf(1), true);
  registry.assignMission('m', idOf(1));
  const record = registry.getRegistration(idOf(1));
  for (const registeredAt = Date.now(); Date.now() === registeredAt; );
  const endpoints = { rest: 'http://x:1', ws: 'ws://x:1', grpc: 'grpc://x:1' };
  const second = registry.register(
    payloadOf(1, { name: 'renamed', version: '9', transport_endpoints: endpoints, capabilities: ['hitl'] }),
  );
  assert.deepEqual(second, first);
  assert.equal(registry.getRegistration(idOf(1)), record);
  assert.ok('registered_at' in first);
  assert.deepEqual(registry.get(idOf(1)), {
    executor_id: idOf(1),
    name: 'renamed',
    version: '9',
    spec_version: '1.0.0',
    transport_endpoints: endpoints,
    capabilities: ['hitl'],
    connected: true,
    active_mission_count: 1,
    registered_at: first.registered_at,
  });
  assert.equal(registry.size, 1);
});

test('a payload that is invalid, or of another major version, is answered with 400 and changes nothing', (t) => {
  const { registry, told } = newRegistry(t);
  for (const fields of [{ name: '' }, { executor_id: 'x' }, { spec_version: '2.0.0' }]) {
    const answer = registry.register(payloadOf(1, fields));
    assert.ok('error' in answer);
    assert.equal(answer.status, 400);
    assert.equal(JSON.parse(answer.error)[0].path, Object.keys(fields)[0]);
  }
  assert.equal(registry.size, 0);
  assert.deepEqual(told, []);
});

for (const reason of ['graceful_shutdown', 'operator_deleted', 'timeout'] as const) {
  test(`deregistering (${reason}) suspends what can be resumed, fails the rest, closes with 1000 and tells`, (t) => {
    const { registry, told } = newRegistry(t);
    const sockets = [new Socket(), new Socket()];
    for (const [executor, socket] of sockets.entries()) {
      registry.register(payloadOf(executor, { capabilities: executor === 0 ? ['resumable'] : [] }));
      registry.setConnected(idOf(executor), true, socket);
      registry.assignMission(`live ${executor}`, idOf(executor));
      registry.assignMission(`over ${executor}`, idOf(executor));
      registry.handleEvent(completed(executor, `over ${executor}`));
    }
    told.length = 0;
    assert.equal(registry.deregister(idOf(0), reason), true);
    assert.equal(registry.deregister(idOf(1), reason), true);
    assert.deepEqual(told, [
      ['executor:deregistered', { executorId: idOf(0), reason }],
      ['mission:state_change', { missionId: 'live 0', executorId: idOf(0), state: 'suspended', prevState: 'assigned' }],
      ['executor:deregistered', { executorId: idOf(1), reason }],
      ['mission:state_change', { missionId: 'live 1', executorId: idOf(1), state: 'failed', prevState: 'assigned' }],
    ]);
    for (const { closed } of sockets) assert.deepEqual(closed, [[1000, reason]]);
    assert.equal(registry.getMission('live 0')?.completedAt, undefined);
    assert.equal(registry.getMission('live 1')?.error, 'executor_deregistered');
    assert.ok(isNow(registry.getMission('live 1')?.completedAt));
    assert.equal(registry.getMission('over 0')?.state, 'done');
    assert.equal(registry.get(idOf(0)), undefined);
    assert.equal(registry.getRegistration(idOf(0)), undefined);
    assert.equal(registry.size, 0);
    assert.equal(registry.deregister(idOf(0), reason), false);
  });
}

test('an executor that comes back has its suspended missions again', (t) => {
  const { registry } = withMission(t, ['resumable']);
  registry.deregister(idOf(1));
  assert.equal(registry.getMission('m')?.state, 'suspended');
  registry.handleEvent(completed(1, 'm'));
  assert.equal(registry.getMission('m')?.state, 'suspended', 'who is not registered is not heard');
  registry.register(payloadOf(1, { capabilities: ['resumable'] }));
  assert.deepEqual([...(registry.getRegistration(idOf(1))?.currentMissions ?? [])], ['m']);
  registry.handleEvent(completed(1, 'm'));
  assert.equal(registry.getMission('m')?.state, 'done');
});

test('an executor says itself that it leaves', (t) => {
  const { registry, told, socket } = withMission(t);
  registry.handleEvent(executorEvent(1, 'executor.deregistered', { reason: 'timeout' }));
  assert.equal(registry.size, 0);
  assert.deepEqual(told[0], ['executor:deregistered', { executorId: idOf(1), reason: 'timeout' }]);
  assert.deepEqual(socket.closed, [[1000, 'timeout']]);
});

test('authenticate takes the token of this executor and nothing else', (t) => {
  const { registry } = newRegistry(t);
  const [one, two] = [registry.register(payloadOf(1)), registry.register(payloadOf(2))];
  assert.ok('token' in one && 'token' in two);
  assert.equal(registry.authenticate(idOf(1), one.token), true);
  registry.deregister(idOf(1));
  assert.equal(registry.authenticate(idOf(1), one.token), true, 'its identity outlives its registration');
  for (const wrong of [two.token, '', one.token.slice(1), `${one.token}x`, 'é'.repeat(10_000)])
    assert.equal(registry.authenticate(idOf(1), wrong), false);
  assert.equal(registry.authenticate('nobody', one.token), false);
});

test('tokens of an earlier run are good, and are given again', (t) => {
  const { registry: earlier } = newRegistry(t);
  const before = earlier.register(payloadOf(7));
  earlier.shutdown();
  assert.ok('token' in before);
  const { registry } = newRegistry(t);
  assert.equal(registry.authenticate(idOf(7), before.token), true);
  const again = registry.register(payloadOf(7));
  assert.ok('token' in again);
  assert.equal(again.token, before.token);
});

test('setConnected shows in the summary, and when it ended', (t) => {
  const { registry } = newRegistry(t);
  registry.register(payloadOf(1));
  assert.equal(registry.get(idOf(1))?.connected, false);
  assert.equal(registry.get(idOf(1))?.disconnected_at, undefined);
  const socket = new Socket();
  registry.setConnected(idOf(1), true, socket);
  assert.equal(registry.get(idOf(1))?.connected, true);
  assert.equal(registry.getRegistration(idOf(1))?.wsConn, socket);
  registry.setConnected(idOf(1), false);
  assert.equal(registry.get(idOf(1))?.connected, false);
  assert.ok(isNow(registry.get(idOf(1))?.disconnected_at));
  assert.equal(registry.getRegistration(idOf(1))?.wsConn, undefined);
  registry.setConnected(idOf(1), true);
  assert.equal(registry.get(idOf(1))?.disconnected_at, undefined);
  registry.setConnected(idOf(2), true, socket);
  assert.equal(registry.get(idOf(2)), undefined, 'nobody registered that one');
});

test('the late farewell of a connection that was replaced changes nothing', (t) => {
  const { registry, socket: former } = withMission(t, ['resumable']);
  const socket = new Socket();
  registry.setConnected(idOf(1), true, socket);
  registry.setConnected(idOf(1), false, former);
  assert.equal(registry.get(idOf(1))?.connected, true);
  registry.handleEvent(missionEvent(1, 'm', 'mission.suspended', { state: 'suspended', checkpoint_id: 'c' }));
  registry.handleEvent(executorEvent(1, 'executor.resync', { owned_mission_ids: ['m'] }));
  assert.deepEqual(
    [former.sent.length, socket.sent.map(({ event }) => event)],
    [0, ['mission.resumed']],
    'the one that stands is spoken to',
  );
  registry.setConnected(idOf(1), false, socket);
  assert.equal(registry.get(idOf(1))?.connected, false);
  registry.deregister(idOf(1));
  assert.deepEqual([former.closed, socket.closed], [[], []], 'who has said farewell is not closed');
});

test('pushToExecutor answers whether an open connection took the event', (t) => {
  const { registry, socket } = withMission(t);
  const event = missionEvent(1, 'm', 'mission.paused', { state: 'paused' });
  assert.equal(registry.pushToExecutor(idOf(1), event), true);
  assert.deepEqual(socket.sent, [event]);
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  assert.equal(registry.pushToExecutor(idOf(1), { ...event, data: cyclic }), false);
  for (const state of [0, 2, 3]) {
    socket.readyState = state;
    assert.equal(registry.pushToExecutor(idOf(1), event), false);
  }
  socket.readyState = 1;
  socket.send = () => {
    throw new Error('EPIPE');
  };
  assert.equal(registry.pushToExecutor(idOf(1), event), false);
  registry.setConnected(idOf(1), false);
  assert.equal(registry.pushToExecutor(idOf(1), event), false);
  assert.equal(registry.pushToExecutor(idOf(2), event), false);
  assert.equal(socket.sent.length, 1);
});

test('an event moves its mission, and is told while handleEvent runs', (t) => {
  const { registry, told } = withMission(t);
  const started = missionEvent(1, 'm', 'mission.started', { state: 'running', pty_session_id: 'pty' }, 1);
  registry.handleEvent(started);
  assert.deepEqual(told, [stateChange('m', 'assigned', 'running')]);
  registry.handleEvent(progress(1, 'm', 2));
  registry.handleEvent(missionEvent(1, 'm', 'mission.completed', { state: 'done', exit_code: 3 }, 3));
  assert.deepEqual(told.slice(1), [stateChange('m', 'running', 'done')]);
  const mission = registry.getMission('m');
  assert.ok(isNow(mission?.createdAt));
  assert.deepEqual(
    { ...mission, createdAt: '', recentEvents: mission?.recentEvents.map(({ event }) => event) },
    {
      missionId: 'm',
      executorId: idOf(1),
      state: 'done',
      createdAt: '',
      updatedAt: tsOf(3),
      completedAt: tsOf(3),
      recentEvents: ['mission.started', 'mission.progress', 'mission.completed'],
      ptySessionRef: 'pty',
      exitCode: 3,
    },
  );
});

test('assignMission returns the record, and tells; one that is there stays as it is, and whose it is', (t) => {
  const { registry, told } = newRegistry(t);
  registry.register(payloadOf(1));
  told.length = 0;
  const record = registry.assignMission('m', idOf(1));
  assert.deepEqual(
    { ...record, createdAt: '', updatedAt: '' },
    { missionId: 'm', executorId: idOf(1), state: 'assigned', createdAt: '', updatedAt: '', recentEvents: [] },
  );
  assert.ok(isNow(record.createdAt));
  assert.deepEqual(told, [['mission:assigned', { missionId: 'm', executorId: idOf(1) }]]);
  registry.handleEvent(missionEvent(1, 'm', 'mission.started', { state: 'running' }));
  told.length = 0;
  assert.equal(registry.assignMission('m', idOf(1)), record);
  assert.equal(record.state, 'running');
  assert.equal(registry.assignMission('m', idOf(2)).executorId, idOf(1));
  assert.deepEqual(told, [['mission:assigned', { missionId: 'm', executorId: idOf(1) }]]);
});

test('a mission may be assigned to an executor that has yet to register', (t) => {
  const { registry } = newRegistry(t);
  assert.equal(registry.assignMission('m', idOf(1)).state, 'assigned');
  registry.register(payloadOf(1));
  assert.equal(registry.get(idOf(1))?.active_mission_count, 1);
  registry.handleEvent(completed(1, 'm'));
  assert.equal(registry.getMission('m')?.state, 'done');
});

test('failMission fails a live mission with that error, and no other', (t) => {
  const { registry, told } = withMission(t);
  registry.failMission('m', 'unreachable');
  registry.failMission('m', 'again');
  registry.failMission('none', 'x');
  const mission = registry.getMission('m');
  assert.deepEqual([mission?.state, mission?.error], ['failed', 'unreachable']);
  assert.ok(isNow(mission?.completedAt));
  assert.deepEqual(told, [stateChange('m', 'assigned', 'failed')]);
});

test('getMission gives the live record: the same object before and after events', (t) => {
  const { registry } = withMission(t);
  const mission = registry.getMission('m');
  const { recentEvents } = mission ?? {};
  const event = progress(1, 'm', 1);
  registry.handleEvent(event);
  assert.equal(recentEvents?.[0], event);
  registry.handleEvent(completed(1, 'm', 5));
  assert.equal(mission?.state, 'done');
  assert.equal(registry.getMission('m'), mission);
  assert.equal(registry.getMission('none'), undefined);
});

test('a mission keeps its newest 50 events, oldest first', (t) => {
  const { registry } = withMission(t);
  for (let i = 0; i < 60; i++) registry.handleEvent(progress(1, 'm', i));
  assert.deepEqual(
    registry.getMission('m')?.recentEvents.map(({ data }) => data?.iteration),
    Array.from({ length: 50 }, (_, i) => i + 10),
  );
});

test('transitionMission sets the state of a live mission, and refuses one that is over', (t) => {
  const { registry, told, socket } = withMission(t);
  assert.equal(registry.transitionMission('m', 'paused'), true);
  assert.equal(registry.transitionMission('m', 'running'), true);
  assert.equal(registry.transitionMission('m', 'running'), true);
  assert.equal(registry.transitionMission('m', 'aborted'), true);
  for (const target of ['paused', 'running', 'aborted'] as const)
    assert.equal(registry.transitionMission('m', target), false);
  assert.equal(registry.transitionMission('none', 'paused'), false);
  assert.deepEqual(told, [
    stateChange('m', 'assigned', 'paused'),
    stateChange('m', 'paused', 'running'),
    stateChange('m', 'running', 'aborted'),
  ]);
  assert.deepEqual(socket.sent, [], 'whoever asks tells the executor');
});

test('list and get show every executor, in the order of registration', (t) => {
  const { registry } = newRegistry(t);
  for (const executor of [3, 1, 2]) registry.register(payloadOf(executor, { a2a_instance_id: `a2a ${executor}` }));
  registry.assignMission('m', idOf(1));
  registry.handleEvent(progress(1, 'm', 4));
  const summaries = registry.list();
  assert.deepEqual(
    summaries.map(({ executor_id, a2a_instance_id }) => [executor_id, a2a_instance_id]),
    [3, 1, 2].map((executor) => [idOf(executor), `a2a ${executor}`]),
  );
  assert.deepEqual(summaries[1], registry.get(idOf(1)));
  assert.deepEqual([summaries[1]?.active_mission_count, summaries[1]?.last_event_ts], [1, tsOf(4)]);
  assert.equal(registry.get('nobody'), undefined);
  assert.equal(JSON.stringify(summaries).includes('token'), false);
});

test('getRegistration gives the live record: its missions and last event are those of now', (t) => {
  const { registry } = withMission(t);
  const record = registry.getRegistration(idOf(1));
  registry.handleEvent(progress(1, 'm', 7));
  assert.equal(record?.lastEventTs, tsOf(7));
  assert.deepEqual(record?.currentMissions, new Set(['m']));
  registry.handleEvent(progress(1, 'of another', 8));
  registry.handleEvent({ ...progress(1, 'm', 9), ts: 'yesterday' });
  assert.equal(record?.lastEventTs, tsOf(7), 'what was dropped does not count');
  registry.handleEvent(completed(1, 'm', 10));
  assert.equal(record?.lastEventTs, tsOf(10));
  assert.deepEqual(record?.currentMissions, new Set());
  assert.equal(registry.getRegistration(idOf(1)), record);
  assert.equal(registry.getRegistration('nobody'), undefined);
  const answer = registry.register(payloadOf(1));
  assert.equal('token' in answer && record?.token === answer.token, true);
});

test('pickByFilter gives a connected executor that fits, and says why not the others', (t) => {
  const { registry } = newRegistry(t);
  const offers = [[], ['resumable'], ['isolation:vm', 'hitl'], ['hitl', 'resumable']];
  for (const [executor, capabilities] of offers.entries()) registry.register(payloadOf(executor, { capabilities }));
  assert.equal(registry.pickByFilter({}), null, 'nobody is connected');
  for (const executor of [0, 1, 2, 3]) registry.setConnected(idOf(executor), true);
  const picked = (filter: callboard.ExecutorFilter, longRunning?: boolean) =>
    registry.pickByFilter(filter, longRunning)?.executor;
  assert.equal(picked({}), registry.getRegistration(idOf(2)));
  assert.equal(picked({}, true)?.executorId, idOf(1));
  registry.assignMission('m', idOf(1));
  assert.equal(picked({}, true)?.executorId, idOf(3), 'it has fewer live missions');
  registry.handleEvent(completed(1, 'm'));
  assert.equal(picked({}, true)?.executorId, idOf(1));
  assert.equal(picked({ executor_id: idOf(0) })?.executorId, idOf(0));
  assert.equal(picked({ executor_id: idOf(0) }, true), undefined);
  assert.equal(picked({ executor_id: null, capabilities: ['hitl', 'resumable'] })?.executorId, idOf(3));
  assert.equal(picked({ capabilities: ['multi-tenant'] }), undefined);
  const result = registry.pickByFilter({ capabilities: ['hitl'] }, true);
  assert.deepEqual(
    result?.rejected.map(({ executorId }) => executorId),
    [idOf(0), idOf(1), idOf(2)],
  );
  assert.match(result?.rejected[0]?.reason ?? '', /missing capabilities: hitl|resumable/);
  assert.match(result?.rejected[2]?.reason ?? '', /resumable/);
});

test('shutdown closes with 1000 and clears everything; the registry can be used anew, tokens survive', (t) => {
  const { registry, told } = newRegistry(t);
  const sockets = [new Socket(), new Socket()];
  const before = registry.register(payloadOf(1));
  registry.register(payloadOf(2));
  registry.assignMission('m', idOf(1));
  for (const [index, socket] of sockets.entries()) registry.setConnected(idOf(index + 1), true, socket);
  registry.shutdown();
  for (const { closed } of sockets) assert.deepEqual(closed, [[1000, 'shutdown']]);
  assert.deepEqual(
    [registry.size, registry.list(), registry.getMission('m'), registry.get(idOf(1)), registry.pickByFilter({})],
    [0, [], undefined, undefined, null],
  );
  const tokens: { executorId: string; token: string }[] = JSON.parse(readFileSync(identityFile, 'utf8'));
  assert.ok('token' in before);
  assert.equal(tokens.find(({ executorId }) => executorId === idOf(1))?.token, before.token);

  told.length = 0;
  const after = registry.register(payloadOf(1));
  assert.equal('token' in after && after.token, before.token);
  assert.equal(told.length, 1, 'listeners stay');
  assert.equal(registry.assignMission('m', idOf(1)).state, 'assigned');
  registry.shutdown();
  registry.shutdown();
});

test('after a shutdown the identity file is read anew', (t) => {
  const { registry } = newRegistry(t);
  registry.register(payloadOf(1));
  registry.shutdown();
  const identity = { executorId: idOf(1), token: 'rewritten', lastSeenAt: tsOf(0) };
  writeFileSync(identityFile, JSON.stringify([identity]));
  assert.equal(registry.authenticate(idOf(1), 'rewritten'), true);
});

test('a question that expires fails its mission without any call being made', async (t) => {
  const { registry, told } = withMission(t);
  // The registry's timers keep no process alive; this program has more to do.
  const program = setInterval(() => undefined, 1_000);
  t.after(() => clearInterval(program));
  const expires_at = new Date(Date.now() + 15).toISOString();
  registry.handleEvent(missionEvent(1, 'm', 'mission.hitl_required', { hitl_id: 'h', prompt: 'sure?', expires_at }));
  assert.deepEqual(told, [stateChange('m', 'assigned', 'hitl-required')]);
  const [change] = await once(registry, 'mission:state_change', { signal: AbortSignal.timeout(5_000) });
  assert.deepEqual(change, stateChange('m', 'hitl-required', 'failed')[1]);
  assert.equal(registry.getMission('m')?.error, 'hitl_expired');
});
