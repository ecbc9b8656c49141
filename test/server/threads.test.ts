/** A thread that dies takes nobody with it but its own executors, and those come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ref } from '#src/actor/index.js';
import type blocking from '#test/blocking-actor.js';
import { blockingModule } from '#test/blocking-actor.js';
import type hungry from '#test/server/hungry-actor.js';
import { hungryModule } from '#test/server/hungry-actor.js';
import { dial, executorOn, inState, mission, post, send, serve, until } from './helpers.js';

test('a thread that runs out of memory: the other serves on, its own executors get 1012, come back, and find their missions', async (t) => {
  const server = await serve(t, { threads: 2, threadHeapMb: 64 });
  const { registry } = server;
  const safe = await executorOn(t, server, 0);
  const doomed = [await executorOn(t, server, 1), await executorOn(t, server, 1)];
  const [first] = doomed;
  assert.ok(first);
  for (const id of ['running', 'paused', 'done', 'asks']) await registry.assignMission(id, first.executorId);
  await registry.assignMission('other', safe.executorId);
  first.event('mission.started', 'running', { state: 'running' });
  first.event('mission.paused', 'paused', { state: 'paused' });
  first.event('mission.hitl_required', 'asks', { hitl_id: 'h', prompt: 'p' });
  first.event('mission.completed', 'done', { state: 'done' });
  await inState(server, 'done', 'done');

  const states: string[] = [];
  registry.on('mission:state_change', ({ missionId, state }) => states.push(`${missionId} ${state}`));
  const ref: Ref<'eat'> = registry.supervisor.system.spawnOnThread<typeof hungry>(hungryModule, undefined, {
    thread: 1,
    supervision: { decide: 'stop' },
  });
  registry.supervisor.system.tell(ref, 'eat');

  // Served throughout: events in, REST out, again and again until the other thread is gone.
  let isGone = false;
  const gone = Promise.all(doomed.map(({ closed }) => closed)).finally(() => {
    isGone = true;
  });
  let iteration = 0;
  while (!isGone || iteration < 3) {
    safe.event('mission.progress', 'other', { iteration: ++iteration });
    await until(async () => {
      const data = (await mission(server, 'other')).recent_events?.at(-1)?.data;
      return data && 'iteration' in data && data.iteration === iteration;
    });
    assert.equal((await send(`${server.url}/api/v1/executors/${safe.executorId}`)).status, 200);
  }
  assert.deepEqual(
    (await gone).map(({ code }) => code),
    [1012, 1012],
  );
  assert.equal(safe.ws.readyState, safe.ws.OPEN);

  const back = await dial(t, server, first.executorId, first.token);
  await until(async () => (await registry.get(first.executorId))?.connected);
  for (const [id, state] of [
    ['running', 'running'],
    ['paused', 'paused'],
    ['asks', 'hitl-required'],
    ['done', 'done'],
  ] as const)
    assert.equal((await mission(server, id)).state, state);
  assert.ok((await mission(server, 'done')).completed_at);
  assert.deepEqual(states, []);

  back.event('mission.completed', 'running', { state: 'done' });
  await inState(server, 'running', 'done');
  assert.equal((await post(`${server.url}/api/v1/missions/paused/resume`)).status, 202);
  await until(() => back.received.length === 1);
  assert.equal(back.received[0]?.event, 'mission.resumed');
  back.event('mission.completed', 'done', { state: 'done' });
  back.event('mission.completed', 'paused', { state: 'done' });
  await inState(server, 'paused', 'done');
  assert.deepEqual(states, ['running done', 'paused running', 'paused done']);
  assert.equal((await server.registry.get(first.executorId))?.active_mission_count, 1);
});

test('a thread that takes nothing in any more holds up its own executors only, and misses nothing', async (t) => {
  const server = await serve(t, { threads: 2 });
  const { supervisor } = server.registry;
  const { system, missions } = supervisor;
  const free = await executorOn(t, server, 0);
  const held = await executorOn(t, server, 1);
  const wake = new Int32Array(new SharedArrayBuffer(4));
  const ref = system.spawnOnThread<typeof blocking>(blockingModule, wake, { thread: 1 });
  await system.settle();
  system.tell(ref, 'block');
  const { executorId } = held;
  const data = { summary: 'x'.repeat(1_000_000) };
  const ts = new Date().toISOString();
  const text = JSON.stringify({ event: 'mission.progress', executor_id: executorId, mission_id: 'nobody', ts, data });
  // As much as its lane takes at most.
  while (system.tell(supervisor.executor(executorId), { type: 'frame', text })) system.flush();
  missions.create('held', executorId, 'queued');
  await server.registry.assignMission('free', free.executorId);
  free.event('mission.started', 'free', { state: 'running' });
  await inState(server, 'free', 'running');
  Atomics.store(wake, 0, 1);
  Atomics.notify(wake, 0);
  await until(() => !system.saturated(1));
  held.event('mission.started', 'held', { state: 'running' });
  await inState(server, 'held', 'running');
});
