/** Pings: a connection that is only half there is found, by a clock that does not make anybody wait. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ExecutorMessage } from '#actors/executor.js';
import { createSystem, VirtualClock } from '#src/actor/index.js';
import connection from '#src/server/connection.js';
import type { SocketMessage } from '#src/server/socket.js';
import { collector } from '../actors/collector.js';

/** A server's pong, and its close frame with 1000. */
const PONG = Uint8Array.of(0x8a, 0);
const CLOSE = Uint8Array.of(0x88, 2, 3, 232);

/** A connection to an executor that was dialled, in this thread. */
function stand() {
  const clock = new VirtualClock();
  const system = createSystem({ schedule: 'manual', clock });
  const sent: SocketMessage[] = [];
  const told: ExecutorMessage<string>[] = [];
  const ref = system.spawn(connection, {
    executor: system.spawn(collector<ExecutorMessage<string>>(), told),
    socket: system.spawn(collector<SocketMessage>(), sent),
    peer: { role: 'server', executorId: 'x', refusals: system.spawn(collector<string>(), []) },
  });
  const run = async (): Promise<void> => {
    system.run();
    await nextTurn();
    system.run();
  };
  return {
    told,
    clock,
    async pass(ms: number): Promise<void> {
      clock.advance(ms);
      await run();
    },
    async give(bytes: Uint8Array): Promise<void> {
      system.tell(ref, bytes.slice());
      await run();
    },
    /** Resolves once the close is answered. */
    async closing(): Promise<void> {
      while (!sent.some((message) => message instanceof Uint8Array && message[0] === 0x88)) await run();
    },
    pings: () => sent.filter((message) => message instanceof Uint8Array && message[0] === 0x89).length,
    isDestroyed: () => sent.some((message) => 'type' in message && message.type === 'destroy'),
  };
}

test('a ping every 20 s; no pong for two intervals, and the connection is over', async () => {
  const { pass, pings, isDestroyed, told, clock } = stand();
  await pass(19_999);
  assert.equal(pings(), 0);
  await pass(1);
  assert.equal(pings(), 1);
  await pass(20_000);
  assert.equal(pings(), 2);
  await pass(19_999);
  assert.equal(isDestroyed(), false);
  await pass(1);
  assert.equal(isDestroyed(), true);
  assert.deepEqual(
    told.map(({ type }) => type),
    ['disconnected'],
  );
  assert.equal(pings(), 2);
  assert.equal(clock.pending, 0);
});

test('a pong in time, even after the second ping, and it stands', async () => {
  const { pass, give, pings, isDestroyed } = stand();
  for (let round = 1; round <= 10; round++) {
    await pass(20_000);
    await pass(20_000);
    await give(PONG);
    assert.deepEqual([pings(), isDestroyed()], [2 * round, false]);
  }
});

test('one that is being closed is pinged no more', { timeout: 10_000 }, async () => {
  const { pass, give, closing, pings, clock } = stand();
  await give(CLOSE);
  await closing();
  await pass(60_000);
  assert.deepEqual([pings(), clock.pending], [0, 0]);
});
