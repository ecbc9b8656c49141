/** The synchronous class over worker threads. Each program exits by itself, or its test fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRegistry, ExecutorRegistry } from '#src/index.js';
import { run } from './compiled.js';
import { useIdentityFile } from './peers.js';
import { play, playAsync } from './scenarios.js';

useIdentityFile();

test('the three registries give the same answers, tell the same, and send the same', async () => {
  const local = new ExecutorRegistry();
  const expected = play(local);
  local.shutdown();

  await using asynchronous = await createRegistry({ threads: 2 });
  assert.deepEqual(await playAsync(asynchronous), expected);

  const { stdout } = run(`
    const registry = new ExecutorRegistry({ threads: 2 });
    const played = scenarios.play(registry);
    registry.shutdown();
    process.stdout.write(JSON.stringify(played));
  `);
  assert.deepEqual(JSON.parse(stdout), expected);
});

test('events are exact in one stretch with the start of the threads, reads right after an event, and all until a shutdown', () => {
  run(`
    // A thousand events and a read, while the threads start.
    {
      const registry = new ExecutorRegistry({ threads: 2 });
      const told = listen(registry);
      registry.register(payloadOf(1));
      registry.assignMission('m', idOf(1));
      const snapshot = registry.getMission('m');
      for (let i = 0; i < 1000; i++) registry.handleEvent(progress(1, 'm', i % 60));
      registry.handleEvent({ ...completed(1, 'm', 9) });
      assert.equal(registry.get(idOf(1)).active_mission_count, 0);
      assert.equal(registry.get(idOf(1)).last_event_ts, peers.tsOf(9));
      const mission = registry.getMission('m');
      assert.equal(mission.state, 'done');
      assert.deepEqual(mission.recentEvents.slice(0, -1).map(({ data }) => data.iteration),
        Array.from({ length: 49 }, (_, i) => (951 + i) % 60));
      assert.deepEqual([snapshot.state, snapshot.recentEvents], ['assigned', []]);
      assert.deepEqual(told.map(([name]) => name), ['executor:registered', 'mission:assigned', 'mission:state_change']);
      registry.shutdown();
    }
    // Every read is exact right after an event, and every change comes after it.
    {
      const registry = new ExecutorRegistry({ threads: 2 });
      const leave = executorEvent(1, 'executor.deregistered', { reason: 'timeout' });
      const afterLeaving = (call) => {
        registry.register(payloadOf(1));
        registry.setConnected(idOf(1), true);
        for (let i = 0; i < 300; i++) registry.handleEvent(executorEvent(1, 'executor.registered', { name: 'n', capabilities: [] }));
        registry.handleEvent(leave);
        return call();
      };
      assert.equal(afterLeaving(() => registry.size), 0);
      assert.deepEqual(afterLeaving(() => registry.list()), []);
      assert.equal(afterLeaving(() => registry.get(idOf(1))), undefined);
      assert.equal(afterLeaving(() => registry.getRegistration(idOf(1))), undefined);
      assert.equal(afterLeaving(() => registry.pickByFilter({})), null);
      assert.equal(afterLeaving(() => registry.deregister(idOf(1))), false);
      assert.equal(afterLeaving(() => (registry.register(payloadOf(1)), registry.size)), 1);
      registry.shutdown();
    }
    // A shutdown tells what was handed in before it, and a late farewell after it starts no thread.
    {
      const registry = new ExecutorRegistry({ threads: 2 });
      const told = listen(registry);
      const socket = new Socket();
      registry.register(payloadOf(1));
      registry.setConnected(idOf(1), true, socket);
      registry.assignMission('m', idOf(1));
      registry.handleEvent(completed(1, 'm'));
      registry.shutdown();
      assert.deepEqual(told.at(-1), ['mission:state_change',
        { missionId: 'm', executorId: idOf(1), state: 'done', prevState: 'assigned' }]);
      assert.deepEqual(socket.closed, [[1000, 'shutdown']]);
      registry.setConnected(idOf(1), false, socket);
      registry.handleEvent(completed(1, 'm'));
      assert.equal(registry.authenticate(idOf(1), 'x'), false);
      assert.equal(registry.size, 0);
      registry.register(payloadOf(1));
      registry.assignMission('m', idOf(1));
      registry.handleEvent(completed(1, 'm'));
      assert.equal(registry.getMission('m').state, 'done');
      registry.shutdown();
    }
  `);
});

test('100,000 events in a tight loop are all there, and the memory stays bounded', { timeout: 60_000 }, () => {
  const { stdout } = run(`
    const registry = new ExecutorRegistry({ threads: 2 });
    const changes = [];
    registry.on('mission:state_change', ({ missionId, state }) => changes.push(missionId + ' ' + state));
    for (const executor of [1, 2, 3, 4]) {
      registry.register(payloadOf(executor));
      registry.assignMission('m' + executor, idOf(executor));
    }
    const event = (executor, i) => executor % 2 ? progress(executor, 'm' + executor, i)
      : missionEvent(executor, 'm' + executor, ...(i % 2 ? ['mission.started', { state: 'running' }] : ['mission.paused', { state: 'paused' }]));
    const before = process.memoryUsage().rss;
    let most = 0;
    for (let i = 1; i <= 25_000; i++) {
      for (const executor of [1, 2, 3, 4]) registry.handleEvent(event(executor, i));
      if (i % 1_000 === 0) most = Math.max(most, process.memoryUsage().rss);
    }
    for (const executor of [1, 3]) {
      const { recentEvents } = registry.getMission('m' + executor);
      assert.deepEqual(recentEvents.map(({ data }) => data.iteration), Array.from({ length: 50 }, (_, i) => 24_951 + i));
    }
    for (const executor of [2, 4]) {
      const mine = changes.filter((change) => change.startsWith('m' + executor));
      assert.equal(mine.length, 25_000);
      assert.ok(mine.every((change, i) => change.endsWith(i % 2 ? 'paused' : 'running')));
    }
    registry.shutdown();
    process.stdout.write(String(Math.round((most - before) / 2 ** 20)));
  `);
  assert.ok(Number(stdout) < 125, `grew by ${stdout} MB`);
});

test('what is told outside a call is told all the same', () => {
  run(`
    const registry = new ExecutorRegistry({ threads: 1 });
    registry.register(payloadOf(1));
    registry.assignMission('m', idOf(1));
    registry.on('mission:state_change', ({ state }) => {
      assert.equal(state, 'done');
      assert.equal(registry.getMission('m').state, 'done');
      registry.shutdown();
    });
    registry.handleEvent(completed(1, 'm'));
  `);
});
