/** Executors' actors end once nothing is known of their executor, and are there again when it comes back. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { createRegistry, ExecutorRegistry } from '#src/index.js';
import { completed, executorEvent, idOf, missionEvent, payloadOf, Socket, useIdentityFile } from './peers.js';

useIdentityFile();

const started = (executor: number, missionId: string) =>
  missionEvent(executor, missionId, 'mission.started', { state: 'running' });

test('executors that come and go leave no actor behind, and make room on their thread', async () => {
  await using registry = await createRegistry({ threads: 2 });
  const { supervisor } = registry;
  const actors = async () => {
    await supervisor.system.settle();
    return (await supervisor.system.stats()).slice(1).map((thread) => thread.actors);
  };
  assert.deepEqual(await actors(), [0, 0]);
  for (let executor = 1; executor <= 50; executor++) {
    const socket = new Socket();
    await registry.register(payloadOf(executor));
    await registry.setConnected(idOf(executor), true, socket);
    assert.equal(supervisor.threadOf(idOf(executor)), 0);
    assert.equal(await registry.deregister(idOf(executor)), true);
    assert.equal(socket.closed[0]?.[0], 1000);
  }
  assert.deepEqual(await actors(), [0, 0]);
});

test('an executor that comes back while its actor is about to end has another, which knows its connection and missions', async () => {
  await using registry = await createRegistry({ threads: 2 });
  const { supervisor } = registry;
  for (let executor = 1; executor <= 6; executor++) {
    const executorId = idOf(executor);
    const missionId = `mission ${executor}`;
    const socket = new Socket();
    supervisor.register(payloadOf(executor));
    // Half of them are back before it was told to end, and the others right after.
    supervisor.deregister(executorId, 'graceful_shutdown');
    if (executor % 2 === 0) await Promise.resolve();
    supervisor.register(payloadOf(executor));
    supervisor.setConnected(executorId, true, socket);
    supervisor.missions.assign(missionId, executorId);
    supervisor.handleEvent(started(executor, missionId));
    assert.deepEqual(await supervisor.missions.operate(missionId, 'pause').later(), { ok: true, state: 'paused' });
    await supervisor.system.settle();
    assert.deepEqual(
      socket.sent.map(({ event, mission_id }) => [event, mission_id]),
      [['mission.paused', missionId]],
    );
  }
  const actors = (await supervisor.system.stats()).slice(1).map((thread) => thread.actors);
  assert.deepEqual(actors, [6, 6], 'three executors and three missions on each thread');
});

test('ended missions of an executor that left are shown until they are forgotten, and suspended ones wait for it', async () => {
  await using registry = await createRegistry({ threads: 1, maxEndedMissions: 1 });
  const { system } = registry.supervisor;
  const actors = async () => {
    await system.settle();
    return (await system.stats())[1]?.actors;
  };
  for (const executor of [1, 2, 3]) await registry.register(payloadOf(executor, { capabilities: ['resumable'] }));
  await registry.assignMission('over', idOf(1));
  await registry.handleEvent(completed(1, 'over'));
  await registry.assignMission('suspended', idOf(2));
  await registry.handleEvent(started(2, 'suspended'));
  await registry.deregister(idOf(1));
  await registry.deregister(idOf(2));
  // Three executors and two missions: of the first two, something is known yet.
  assert.equal(await actors(), 5);
  const over = await registry.getMission('over');
  assert.deepEqual([over?.state, over?.recentEvents.length], ['done', 1]);

  const forgotten = once(registry, 'mission:forgotten');
  await registry.assignMission('another', idOf(3));
  await registry.handleEvent(completed(3, 'another'));
  assert.deepEqual(await forgotten, [{ missionId: 'over', executorId: idOf(1) }]);
  assert.equal(await registry.getMission('over'), undefined);
  assert.equal(await actors(), 4, 'the first executor has none any more');

  await registry.register(payloadOf(2));
  const change = once(registry, 'mission:state_change');
  await registry.handleEvent(executorEvent(2, 'executor.resync', { owned_mission_ids: ['suspended'] }));
  await registry.handleEvent(started(2, 'suspended'));
  assert.equal((await change)[0].state, 'running');
});

test('in the calling thread, too, an actor ends with its executor, which may come back', async () => {
  const registry = new ExecutorRegistry();
  registry.register(payloadOf(1));
  registry.deregister(idOf(1));
  registry.register(payloadOf(1));
  registry.assignMission('m', idOf(1));
  registry.handleEvent(started(1, 'm'));
  assert.equal(registry.getMission('m')?.state, 'running');
  registry.handleEvent(executorEvent(1, 'executor.deregistered', { reason: 'graceful_shutdown' }));
  assert.equal(registry.get(idOf(1)), undefined);
  assert.equal(registry.getMission('m')?.error, 'executor_deregistered');
});
