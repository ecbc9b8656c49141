/** Listeners and connections are the program's own code: they run during the call, may call back, and may throw. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { ExecutorRegistry } from '#src/index.js';
import { completed, executorEvent, idOf, listen, missionEvent, payloadOf, Socket, useIdentityFile } from './peers.js';

useIdentityFile();

function newRegistry(t: TestContext, missions: string[], capabilities: string[] = []) {
  const registry = new ExecutorRegistry();
  t.after(() => registry.shutdown());
  registry.register(payloadOf(1, { capabilities }));
  for (const missionId of missions) registry.assignMission(missionId, idOf(1));
  return registry;
}

const started = (missionId: string) => missionEvent(1, missionId, 'mission.started', { state: 'running' });

test('a listener finds the registry in the state that it is told of, and may act on it', (t) => {
  const registry = newRegistry(t, ['m', 'next']);
  const seen: unknown[] = [];
  registry.on('mission:state_change', ({ missionId, state }) => {
    seen.push([missionId, state, registry.getMission(missionId)?.state, registry.get(idOf(1))?.active_mission_count]);
    if (missionId === 'm' && state === 'done') registry.handleEvent(completed(1, 'next'));
  });
  registry.on('mission:assigned', ({ missionId }) => seen.push(registry.getMission(missionId)?.state));
  registry.handleEvent(started('m'));
  registry.handleEvent(completed(1, 'm'));
  assert.deepEqual(seen, [
    ['m', 'running', 'running', 2],
    ['m', 'done', 'done', 1],
    ['next', 'done', 'done', 0],
  ]);
  registry.assignMission('another', idOf(1));
  assert.equal(seen[3], 'assigned');
});

test('what is told stays in order when a listener calls back', (t) => {
  const registry = newRegistry(t, ['a', 'b'], ['resumable']);
  const told = listen(registry);
  registry.once('executor:deregistered', () => {
    registry.register(payloadOf(1, { capabilities: ['resumable'] }));
    registry.handleEvent(started('b'));
    assert.equal(told.length, 5, 'all that was told before the call returns');
  });
  registry.deregister(idOf(1));
  const change = (missionId: string, prevState: string, state: string) => [
    'mission:state_change',
    { missionId, executorId: idOf(1), state, prevState },
  ];
  assert.deepEqual(told, [
    ['executor:deregistered', { executorId: idOf(1), reason: 'graceful_shutdown' }],
    change('a', 'assigned', 'suspended'),
    change('b', 'assigned', 'suspended'),
    ['executor:registered', { executorId: idOf(1), name: 'executor 1' }],
    change('b', 'suspended', 'running'),
  ]);
});

test('a listener may shut the registry down', (t) => {
  const registry = newRegistry(t, ['m']);
  registry.once('mission:state_change', () => registry.shutdown());
  registry.handleEvent(started('m'));
  assert.equal(registry.size, 0);
});

test('a listener that throws is an uncaught exception, and nothing else', async (t) => {
  const registry = newRegistry(t, ['m', 'n']);
  const told = listen(registry);
  const boom = new Error('boom');
  registry.once('executor:deregistered', () => {
    throw boom;
  });
  // The test runner has listeners of its own for this.
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const uncaught = once(process, 'uncaughtException');
  try {
    registry.deregister(idOf(1));
    assert.deepEqual(
      told.map(([name]) => name),
      ['executor:deregistered', 'mission:state_change', 'mission:state_change'],
    );
    assert.equal((await uncaught)[0], boom);
  } finally {
    for (const listener of others) process.on('uncaughtException', listener);
  }
  registry.register(payloadOf(1));
  assert.equal(registry.size, 1);
});

test('a connection may call back while it is sent to or closed, and may throw', (t) => {
  const registry = newRegistry(t, ['m'], ['resumable']);
  const answers: unknown[] = [];
  const socket = new Socket();
  socket.send = (text) => {
    const { event, mission_id } = JSON.parse(text);
    answers.push([event, registry.getMission(mission_id)?.state]);
    registry.handleEvent(completed(1, mission_id));
    throw new Error('EPIPE');
  };
  socket.close = (code) => {
    answers.push([code, registry.getMission('m')?.state]);
    registry.setConnected(idOf(1), false, socket);
    throw new Error('closed');
  };
  registry.setConnected(idOf(1), true, socket);
  registry.handleEvent(missionEvent(1, 'm', 'mission.suspended', { state: 'suspended', checkpoint_id: 'c' }));
  registry.handleEvent(executorEvent(1, 'executor.resync', { owned_mission_ids: ['m'] }));
  assert.deepEqual(answers, [['mission.resumed', 'running']]);
  assert.equal(registry.getMission('m')?.state, 'done');
  registry.handleEvent(executorEvent(1, 'executor.deregistered', { reason: 'timeout' }));
  assert.deepEqual(answers[1], [1000, 'done']);
});
