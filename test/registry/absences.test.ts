/** Executors that stay away for too long are deregistered. Time is the test's. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { VirtualClock } from '#src/actor/index.js';
import type { RegistryEvent } from '#src/registry/events.js';
import { IdentityStore } from '#src/registry/identity-store.js';
import { localStage } from '#src/registry/stage.js';
import { Supervisor } from '#src/registry/supervisor.js';
import { idOf, payloadOf, Socket, useIdentityFile } from './peers.js';

useIdentityFile();

const hour = 3_600_000;

/** A registry whose actors live here, and time that stands still. */
function stand(t: TestContext, executorTimeout: number | undefined) {
  const clock = new VirtualClock(Date.UTC(2026, 0, 1));
  const told: RegistryEvent[] = [];
  const supervisor = new Supervisor(localStage(clock), {
    identities: new IdentityStore({ now: () => clock.now() }),
    emit: (event) => void told.push(event),
    outside: (act) => act(),
    notice: () => undefined,
    now: () => clock.now(),
    endedMissions: { maxEndedMissions: Number.POSITIVE_INFINITY, maxEndedMissionAgeMs: Number.POSITIVE_INFINITY },
    executorTimeout,
  });
  t.after(() => {
    supervisor.identities.close();
    return supervisor.system.close();
  });
  return {
    supervisor,
    clock,
    pass(ms: number) {
      supervisor.system.run();
      clock.advance(ms);
      supervisor.system.run();
    },
    left: () => told.flatMap(([name, payload]) => (name === 'executor:deregistered' ? [payload] : [])),
  };
}

const timedOut = (executor: number) => ({ executorId: idOf(executor), reason: 'timeout' });

test('an executor is deregistered when it has had no connection for the time, and not before', (t) => {
  const { supervisor, clock, pass, left } = stand(t, hour);
  supervisor.register(payloadOf(1));
  pass(hour / 2);
  supervisor.register(payloadOf(2));
  // No connection, whatever else it does.
  supervisor.register(payloadOf(1));
  supervisor.setConnected(idOf(1), false);
  pass(0);
  assert.equal(clock.pending, 1, 'one timer for all');
  pass(hour / 2 - 1);
  assert.deepEqual(left(), []);
  pass(1);
  assert.deepEqual(left(), [timedOut(1)]);
  assert.deepEqual([...supervisor.directory.executors.keys()], [idOf(2)]);
  pass(hour / 2);
  assert.deepEqual(left(), [timedOut(1), timedOut(2)]);
  assert.equal(clock.pending, 0);
  supervisor.register(payloadOf(1));
  pass(hour - 1);
  assert.equal(supervisor.directory.executors.size, 1, 'who registers anew has the whole time');
});

test('a connection, also one that a program handed in, ends the absence; its end begins another', (t) => {
  const { supervisor, pass, left } = stand(t, hour);
  for (const executor of [1, 2]) supervisor.register(payloadOf(executor));
  pass(hour - 1);
  const socket = new Socket();
  supervisor.setConnected(idOf(1), true, socket);
  supervisor.setConnected(idOf(2), true);
  pass(10 * hour);
  assert.deepEqual(left(), []);
  supervisor.setConnected(idOf(1), false, socket);
  pass(hour - 1);
  assert.deepEqual(left(), []);
  pass(1);
  assert.deepEqual(left(), [timedOut(1)]);
});

test('who is back when its time is over stays, though nobody has told the timer yet', (t) => {
  const { supervisor, clock, left } = stand(t, hour);
  supervisor.register(payloadOf(1));
  supervisor.system.run();
  clock.advance(hour);
  supervisor.setConnected(idOf(1), true);
  supervisor.system.run();
  assert.deepEqual(left(), []);
});

test('an executor that was deregistered otherwise is not deregistered again', (t) => {
  const { supervisor, clock, pass, left } = stand(t, hour);
  supervisor.register(payloadOf(1));
  pass(1);
  supervisor.deregister(idOf(1), 'operator_deleted');
  supervisor.system.run();
  clock.advance(hour - 2);
  supervisor.register(payloadOf(1));
  pass(hour - 1);
  assert.deepEqual(left(), [{ executorId: idOf(1), reason: 'operator_deleted' }]);
  pass(1);
  assert.deepEqual(left().slice(1), [timedOut(1)]);
});

test('its missions are suspended if it is resumable, and fail if not', (t) => {
  const { supervisor, pass } = stand(t, hour);
  supervisor.register(payloadOf(1, { capabilities: ['resumable'] }));
  supervisor.register(payloadOf(2));
  for (const executor of [1, 2]) supervisor.missions.assign(`m${executor}`, idOf(executor));
  pass(hour);
  assert.equal(supervisor.missions.look('m1')?.now().state, 'suspended');
  const failed = supervisor.missions.look('m2')?.now();
  assert.deepEqual([failed?.state, failed?.error], ['failed', 'executor_deregistered']);
});

test('a thousand at once all go', (t) => {
  const { supervisor, pass, left } = stand(t, hour);
  for (let executor = 0; executor < 1_200; executor++) supervisor.register(payloadOf(executor));
  pass(hour + 10);
  for (let turn = 0; turn < 3; turn++) pass(5);
  assert.equal(left().length, 1_200);
});

test('without a timeout nobody is deregistered, and there is no timer', (t) => {
  const { supervisor, clock, pass, left } = stand(t, undefined);
  supervisor.register(payloadOf(1));
  pass(10_000 * hour);
  assert.deepEqual([left(), clock.pending], [[], 0]);
});
