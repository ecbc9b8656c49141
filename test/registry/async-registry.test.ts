import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createRegistry } from '#src/index.js';
import type blocking from '#test/blocking-actor.js';
import { blockingModule } from '#test/blocking-actor.js';
import {
  completed,
  executorEvent,
  idOf,
  listen,
  missionEvent,
  payloadOf,
  progress,
  Socket,
  useIdentityFile,
} from './peers.js';

const identityFile = useIdentityFile();

/** Registered in this order on two threads, the first and the third live on thread 0. */
const [doomed, spared, resumable] = [1, 2, 3] as const;

test('await using ends the threads, closes connections with 1000 and writes the tokens', async () => {
  const socket = new Socket();
  const workers = () => process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length;
  const before = workers();
  const farewells: Promise<void>[] = [];
  let token: string;
  {
    await using registry = await createRegistry({ threads: 2 });
    assert.ok(workers() > before);
    const answer = await registry.register(payloadOf(1));
    assert.ok('token' in answer);
    token = answer.token;
    await registry.setConnected(idOf(1), true, socket);
    socket.close = (code, reason) => {
      socket.closed.push([code, reason]);
      // As a real one does: it says farewell when all is over.
      setImmediate(() => farewells.push(registry.setConnected(idOf(1), false, socket)));
    };
  }
  // Node closes a port in a later turn of the event loop than the one in which it is asked to.
  for (let turn = 0; turn < 1_000 && workers() > before; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(workers(), before);
  assert.deepEqual(socket.closed, [[1000, 'shutdown']]);
  assert.ok(readFileSync(identityFile, 'utf8').includes(token));
  assert.equal(farewells.length, 1);
  await Promise.all(farewells);
});

test('listeners hear of a change before the promise of the call that made it is kept', async () => {
  await using registry = await createRegistry({ threads: 1 });
  const told = listen(registry);
  await registry.register(payloadOf(1));
  assert.deepEqual(told, [['executor:registered', { executorId: idOf(1), name: 'executor 1' }]]);
  await registry.assignMission('m', idOf(1));
  assert.deepEqual(told.at(-1), ['mission:assigned', { missionId: 'm', executorId: idOf(1) }]);
  await registry.transitionMission('m', 'paused');
  assert.deepEqual(told.at(-1), [
    'mission:state_change',
    { missionId: 'm', executorId: idOf(1), state: 'paused', prevState: 'assigned' },
  ]);
  await registry.deregister(idOf(1));
  assert.equal(registry.size, 0);
});

test('handleEvent holds back whoever awaits it while its thread is behind; nothing is lost', {
  timeout: 10_000,
}, async () => {
  await using registry = await createRegistry({ threads: 1, highWater: 16 * 1024 });
  await registry.register(payloadOf(1));
  await registry.assignMission('m', idOf(1));
  let kept = 0;
  const handed: Promise<void>[] = [];
  for (let i = 0; i < 1_000; i++) handed.push(registry.handleEvent(progress(1, 'm', i)).then(() => void kept++));
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  // What makes the first batch, and is above the mark, waits for certain; the thread may keep up with the rest.
  assert.ok(kept > 0 && kept < 800, `${kept} were let in at once`);
  await Promise.all(handed);
  const mission = await registry.getMission('m');
  assert.deepEqual(
    mission?.recentEvents.map(({ data }) => data?.iteration),
    Array.from({ length: 50 }, (_, i) => 950 + i),
  );
});

test('whoever waits for a thread to keep up is let go when the registry is shut down', {
  timeout: 10_000,
}, async () => {
  const registry = await createRegistry({ threads: 1, highWater: 1024 });
  await registry.register(payloadOf(1));
  const handed = Array.from({ length: 100 }, (_, i) => registry.handleEvent(progress(1, 'm', i)));
  await registry.shutdown();
  await Promise.all(handed);
});

test('a mission is shown as it was when it was asked for, whatever comes right after', async () => {
  await using registry = await createRegistry({ threads: 1 });
  await registry.register(payloadOf(1));
  await registry.assignMission('m', idOf(1));
  const before = registry.getMission('m');
  void registry.handleEvent(completed(1, 'm'));
  const after = registry.getMission('m');
  const shown = (mission: Awaited<typeof before>) => [mission?.state, mission?.recentEvents.length];
  assert.deepEqual(
    [shown(await before), shown(await after)],
    [
      ['assigned', 0],
      ['done', 1],
    ],
  );
});

test('what was decided about missions outlives the thread that did not hear of it; so does that their executor left', {
  timeout: 20_000,
}, async () => {
  const notices = new EventEmitter();
  const lost = once(notices, 'thread-lost');
  await using registry = await createRegistry({ threads: 1, onNotice: (notice) => notices.emit(notice.type) });
  const { supervisor } = registry;
  const failed: unknown[] = [];
  registry.on('mission:state_change', (change) => failed.push(change));
  for (const executor of [1, 2, 3])
    await registry.register(payloadOf(executor, { capabilities: executor === 2 ? ['resumable'] : [] }));
  for (const [mission, executor] of [
    ['to fail', 1],
    ['taken', 1],
    ['suspended', 2],
    ['left', 3],
  ] as const)
    supervisor.missions.create(mission, idOf(executor), 'queued');
  await supervisor.system.settle();

  // The thread is blocked, and then dies with all that was decided meanwhile unread.
  const wake = new Int32Array(new SharedArrayBuffer(4));
  supervisor.system.tell(supervisor.system.spawnOnThread<typeof blocking>(blockingModule, wake), 'block and die');
  supervisor.system.flush();
  supervisor.missions.fail('to fail', 'executor_unreachable');
  supervisor.missions.assign('taken', idOf(1));
  await registry.deregister(idOf(2));
  await registry.deregister(idOf(3));
  supervisor.system.flush();
  Atomics.store(wake, 0, 1);
  Atomics.notify(wake, 0);
  await lost;

  assert.equal((await registry.getMission('to fail'))?.error, 'executor_unreachable');
  assert.equal((await registry.getMission('taken'))?.state, 'assigned');
  assert.equal((await registry.getMission('suspended'))?.state, 'suspended');
  assert.equal((await registry.getMission('left'))?.error, 'executor_deregistered');
  assert.equal(failed.length, 4);
});

test('an executor that hangs with its thread is listed as it was last known; nobody can be pushed to who is not registered', {
  timeout: 20_000,
}, async () => {
  await using registry = await createRegistry({ threads: 2 });
  for (const executor of [1, 2]) await registry.register(payloadOf(executor));
  const { supervisor } = registry;
  const wake = new Int32Array(new SharedArrayBuffer(4));
  const thread = supervisor.threadOf(idOf(1));
  supervisor.system.tell(supervisor.system.spawnOnThread<typeof blocking>(blockingModule, wake, { thread }), 'block');
  supervisor.system.flush();
  assert.deepEqual(
    (await registry.list()).map(({ executor_id }) => executor_id),
    [idOf(1), idOf(2)],
  );
  Atomics.store(wake, 0, 1);
  Atomics.notify(wake, 0);
  assert.equal(await registry.pushToExecutor(idOf(9), completed(9, 'm')), false);
});

test('what the directory knows outlives a thread, and the other thread does not notice', {
  timeout: 20_000,
}, async () => {
  const notices = new EventEmitter();
  const lost = once(notices, 'thread-lost');
  await using registry = await createRegistry({ threads: 2, onNotice: (notice) => notices.emit(notice.type) });
  const socket = new Socket();
  for (const executor of [doomed, spared, resumable]) {
    await registry.register(payloadOf(executor, { capabilities: ['resumable'] }));
    await registry.setConnected(idOf(executor), true, executor === doomed ? socket : new Socket());
    for (const mission of ['live', 'over']) await registry.assignMission(`${mission} ${executor}`, idOf(executor));
    await registry.handleEvent(missionEvent(executor, `live ${executor}`, 'mission.started', { state: 'running' }));
    await registry.handleEvent(completed(executor, `over ${executor}`));
  }
  await registry.deregister(idOf(resumable));
  await registry.transitionMission(`live ${doomed}`, 'paused');
  await registry.handleEvent(
    missionEvent(doomed, `live ${doomed}`, 'mission.suspended', { state: 'suspended', checkpoint_id: 'c' }, 1),
  );
  const before = await registry.get(idOf(doomed));

  const { system } = registry.supervisor;
  const wake = new Int32Array(new SharedArrayBuffer(4));
  const thread = registry.supervisor.threadOf(idOf(doomed));
  system.tell(system.spawnOnThread<typeof blocking>(blockingModule, wake, { thread }), 'block and die');
  system.flush();
  assert.equal((await registry.getMission(`live ${spared}`))?.recentEvents.length, 1);
  Atomics.store(wake, 0, 1);
  Atomics.notify(wake, 0);
  await lost;

  assert.equal((await registry.getMission(`live ${doomed}`))?.state, 'suspended');
  assert.deepEqual(await registry.get(idOf(doomed)), before);
  const mission = await registry.getMission(`over ${doomed}`);
  assert.deepEqual([mission?.state, mission?.recentEvents], ['done', []]);
  assert.equal(await registry.transitionMission(`over ${doomed}`, 'paused'), false);
  assert.deepEqual(await registry.supervisor.missions.operate(`over ${doomed}`, 'abort').later(), {
    ok: false,
    error: 'mission_terminal',
  });
  assert.equal((await registry.getMission(`live ${spared}`))?.recentEvents.length, 1);

  const change = once(registry, 'mission:state_change');
  await registry.handleEvent(
    executorEvent(doomed, 'executor.resync', { owned_mission_ids: [`live ${doomed}`, `over ${doomed}`] }, 3),
  );
  assert.deepEqual(await change, [
    { missionId: `live ${doomed}`, executorId: idOf(doomed), state: 'running', prevState: 'suspended' },
  ]);
  await registry.supervisor.system.settle();
  assert.deepEqual(
    socket.sent.map(({ event }) => event),
    ['mission.resumed'],
    'its connection is known again',
  );

  await registry.register(payloadOf(resumable));
  await registry.handleEvent(completed(resumable, `live ${resumable}`));
  assert.equal((await registry.getMission(`live ${resumable}`))?.state, 'done', 'it was suspended, its executor away');
});
