/** Ended missions are forgotten: beyond a number, and after a time. Time is the test's. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { VirtualClock } from '#src/actor/index.js';
import { createRegistry, ExecutorRegistry } from '#src/index.js';
import type { EndedMissionLimits } from '#src/registry/ended-missions.js';
import type { RegistryEvent } from '#src/registry/events.js';
import { IdentityStore } from '#src/registry/identity-store.js';
import { localStage } from '#src/registry/stage.js';
import { Supervisor } from '#src/registry/supervisor.js';
import { completed, idOf, payloadOf, progress, useIdentityFile } from './peers.js';

useIdentityFile();

const minute = 60_000;
const hour = 60 * minute;

/** A registry whose actors live here, with one executor, and time that stands still. */
function stand(t: TestContext, limits: Partial<EndedMissionLimits> = {}) {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  const told: RegistryEvent[] = [];
  const supervisor = new Supervisor(localStage(clock), {
    identities: new IdentityStore({ now: () => clock.now() }),
    emit: (event) => void told.push(event),
    outside: (act) => act(),
    notice: () => undefined,
    now: () => clock.now(),
    endedMissions: {
      maxEndedMissions: Number.POSITIVE_INFINITY,
      maxEndedMissionAgeMs: Number.POSITIVE_INFINITY,
      ...limits,
    },
  });
  t.after(() => {
    supervisor.identities.close();
    return supervisor.system.close();
  });
  supervisor.register(payloadOf(1));
  const begin = (...missionIds: string[]) => {
    for (const missionId of missionIds) supervisor.missions.assign(missionId, idOf(1));
  };
  const end = (...missionIds: string[]) => {
    for (const missionId of missionIds) supervisor.handleEvent(completed(1, missionId));
    supervisor.system.run();
  };
  return {
    supervisor,
    begin,
    end,
    pass: (ms: number) => {
      clock.advance(ms);
      supervisor.system.run();
    },
    known: () => [...supervisor.directory.missions.keys()],
    forgotten: () => told.flatMap(([name, payload]) => (name === 'mission:forgotten' ? payload.missionId : [])),
    /** How many actors there are. */
    actors: async () => (await supervisor.system.stats())[0]?.actors,
  };
}

test('an ended mission is forgotten when its time is over, and not before', (t) => {
  const { supervisor, begin, end, pass, known, forgotten } = stand(t, { maxEndedMissionAgeMs: hour });
  begin('early', 'late', 'live');
  end('early');
  pass(minute);
  end('late');
  pass(hour - minute - 1);
  assert.deepEqual(known(), ['early', 'late', 'live']);
  assert.equal(supervisor.missions.look('early')?.now().state, 'done');
  pass(1);
  assert.deepEqual(known(), ['late', 'live']);
  assert.equal(supervisor.missions.look('early'), undefined);
  pass(minute);
  assert.deepEqual(known(), ['live']);
  assert.deepEqual(forgotten(), ['early', 'late']);
  pass(100 * hour);
  assert.deepEqual(known(), ['live'], 'a live one is never forgotten');
});

test('of ended missions beyond the number, those that ended first are forgotten', (t) => {
  const { begin, end, pass, known, forgotten } = stand(t, { maxEndedMissions: 2 });
  begin('a', 'b', 'c', 'd', 'live');
  end('d', 'b');
  pass(hour);
  assert.deepEqual(known(), ['a', 'b', 'c', 'd', 'live']);
  end('a', 'c');
  assert.deepEqual(forgotten(), [], 'not while the event is taken in');
  pass(1_000);
  assert.deepEqual(forgotten(), ['d', 'b']);
  assert.deepEqual(known(), ['a', 'c', 'live']);
});

test('with both limits, whichever is reached first counts', (t) => {
  const { begin, end, pass, known } = stand(t, { maxEndedMissions: 2, maxEndedMissionAgeMs: hour });
  begin('a', 'b', 'c');
  end('a', 'b');
  pass(minute);
  end('c');
  pass(1_000);
  assert.deepEqual(known(), ['b', 'c']);
  pass(hour - minute);
  assert.deepEqual(known(), ['c']);
  pass(minute);
  assert.deepEqual(known(), []);
});

test('many at once are forgotten in steps, all of them, with their actors', async (t) => {
  const { supervisor, begin, end, pass, known, actors } = stand(t, { maxEndedMissions: 10 });
  const before = await actors();
  const missionIds = Array.from({ length: 5_000 }, (_, index) => `m-${index}`);
  begin(...missionIds);
  end(...missionIds);
  assert.equal(await actors(), (before ?? 0) + 5_000);
  pass(5);
  const left = known().length;
  assert.ok(left > 10 && left < 5_000, `${left} are left after the first step`);
  for (let step = 0; step < 20; step++) pass(5);
  assert.deepEqual(known(), missionIds.slice(-10));
  supervisor.system.run();
  assert.equal(await actors(), (before ?? 0) + 10);
});

test('a forgotten mission is as if it had never been: its id can be another mission’s', (t) => {
  const { supervisor, begin, end, pass, known } = stand(t, { maxEndedMissions: 0 });
  begin('m');
  supervisor.handleEvent(progress(1, 'm', 1));
  end('m');
  pass(1_000);
  assert.deepEqual(supervisor.missions.operate('m', 'abort').now(), { ok: false, error: 'mission_not_found' });
  end('m');
  assert.deepEqual(known(), []);
  begin('m');
  const mission = supervisor.missions.look('m')?.now();
  assert.deepEqual([mission?.state, mission?.recentEvents], ['assigned', []]);
  supervisor.handleEvent(progress(1, 'm', 2));
  assert.equal(supervisor.missions.look('m')?.now().recentEvents.length, 1);
});

test('without limits, every ended mission stays', (t) => {
  const { begin, end, pass, known } = stand(t);
  begin('a', 'b');
  end('a', 'b');
  pass(10_000 * hour);
  assert.deepEqual(known(), ['a', 'b']);
});

test('on a thread, too, a mission is forgotten by the directory and by its executor', async () => {
  await using registry = await createRegistry({ threads: 1, maxEndedMissions: 1 });
  await registry.register(payloadOf(1));
  const { system } = registry.supervisor;
  const actorsOnThread = async () => (await system.stats())[1]?.actors ?? 0;
  for (const missionId of ['first', 'second']) await registry.assignMission(missionId, idOf(1));
  const before = await actorsOnThread();
  const forgotten = once(registry, 'mission:forgotten');
  for (const missionId of ['first', 'second']) await registry.handleEvent(completed(1, missionId));
  assert.deepEqual(await forgotten, [{ missionId: 'first', executorId: idOf(1) }]);
  assert.equal(await registry.getMission('first'), undefined);
  assert.equal((await registry.getMission('second'))?.state, 'done');
  await system.settle();
  assert.equal(await actorsOnThread(), before - 1);
});

test('the published class forgets nothing, unless it is told to', async () => {
  const keeping = new ExecutorRegistry();
  const forgetting = new ExecutorRegistry({ maxEndedMissions: 0 });
  const forgotten = once(forgetting, 'mission:forgotten');
  for (const registry of [keeping, forgetting]) {
    registry.register(payloadOf(1));
    registry.assignMission('m', idOf(1));
    registry.handleEvent(completed(1, 'm'));
    assert.equal(registry.getMission('m')?.state, 'done');
  }
  // Its timer keeps no process alive: the test does.
  const alive = setInterval(() => undefined, 1_000);
  await forgotten;
  clearInterval(alive);
  assert.equal(forgetting.getMission('m'), undefined);
  assert.equal(keeping.getMission('m')?.state, 'done');
  for (const registry of [keeping, forgetting]) registry.shutdown();
});
