/** Floods, in both directions: memory stays bounded, nothing that was taken is lost, and everybody gets on in the end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ref } from '#src/actor/index.js';
import { echo, notes, stage } from './threads.js';

const drained = (system: ReturnType<typeof stage>['system']): Promise<number> =>
  new Promise((resolve) => {
    const end = system.onDrain((thread) => {
      end();
      resolve(thread);
    });
  });

test('a feeder that pauses when the thread is saturated is always woken, and every message arrives', async () => {
  const on = stage({ highWater: 512 });
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  await system.settle();
  let pauses = 0;
  for (let sent = 0; sent < 20_000; sent++) {
    system.tell(ref, Uint8Array.of(sent & 255));
    if (sent % 7 === 0) system.flush();
    if (!system.saturated(0)) continue;
    pauses++;
    assert.equal(await drained(system), 0);
  }
  assert.ok(pauses > 100, `it paused ${pauses} times`);
  assert.equal((await system.ask(ref, notes)).length, 20_000);
});

test('a feeder without the event loop may block until the thread has caught up', async () => {
  const on = stage({ highWater: 512 });
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  await system.settle();
  for (let sent = 0; sent < 5_000; sent++) {
    system.tell(ref, Uint8Array.of(sent & 255));
    if (system.saturated(0)) assert.equal(system.drainNow(0), true);
  }
  assert.equal(system.askNow(ref, notes).length, 5_000);
  const shut = new Int32Array(new SharedArrayBuffer(4));
  system.tell(ref, { block: shut });
  system.tell(ref, new Uint8Array(1_000));
  assert.equal(system.drainNow(0, 20), false, 'in its time, if the thread does not');
  Atomics.store(shut, 0, 1);
  Atomics.notify(shut, 0);
});

test('a thread that is fed on regardless refuses at last: what waits is bounded, what is refused is counted, and signals still arrive', async () => {
  const on = stage({ highWater: 16 * 1024 });
  await using _ = on;
  const { system, spawn, events } = on;
  const [ref, other] = [spawn(), spawn()];
  await system.settle();
  const shut = new Int32Array(new SharedArrayBuffer(4));
  system.tell(ref, { block: shut });
  let taken = 0;
  while (system.tell(ref, new Uint8Array(16 * 1024))) assert.ok(++taken < 1_000);
  assert.ok(taken >= 60 && taken <= 70, `${taken} times 16 KiB were taken`);
  assert.deepEqual(events, [{ type: 'dead-letter', ref, reason: 'lane-full' }]);
  await assert.rejects(system.ask(ref, echo(1)), /lane-full/);
  system.stop(other);
  const late = spawn(0, 'spawned while the lane was full');
  Atomics.store(shut, 0, 1);
  Atomics.notify(shut, 0);
  await drained(system);
  assert.deepEqual(await system.ask(late, notes), ['spawned while the lane was full']);
  assert.equal((await system.ask(ref, notes)).length, taken);
  await assert.rejects(system.ask(other, echo(1)), /no-such-actor/);
});

test('a thread that answers faster than the calling thread takes it in holds back: what is under way stays bounded', async () => {
  const highWater = 64 * 1024;
  const on = stage({ highWater });
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  let heard = 0;
  const local = system.spawn<Uint8Array, null, void>(
    {
      name: 'local',
      start: () => null,
      receive(_, bytes) {
        heard += bytes.length;
        return null;
      },
    },
    undefined,
  );
  await system.settle();
  // Each asks for 16 KiB: 32 MiB in all, of which the calling thread, busy with sending, takes in nothing.
  for (let i = 0; i < 2_000; i++) {
    system.tell(ref, { fill: local, messages: 1, bytes: 16 * 1024 });
    system.flush();
  }
  const shut = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(shut, 0, 0, 200);
  assert.ok(system.saturated(0), 'it did not take in all that it was told');
  assert.equal(heard, 0);
  await drained(system);
  await system.settle();
  assert.equal(heard, 2_000 * 16 * 1024, 'nothing was lost');
});

test('an actor on a thread that floods the calling one by itself is refused at last, and both live on', async () => {
  const on = stage({ highWater: 4 * 1024 });
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  let heard = 0;
  const local = system.spawn<Uint8Array, null, void>(
    {
      name: 'local',
      start: () => null,
      receive() {
        heard++;
        return null;
      },
    },
    undefined,
  );
  await system.settle();
  const told = new Int32Array(new SharedArrayBuffer(4));
  system.tell(ref, { fill: local, messages: 10_000, bytes: 1024 });
  system.tell(ref, { raise: told });
  system.flush();
  // Meanwhile the calling thread takes nothing in.
  Atomics.wait(told, 0, 0, 30_000);
  await system.settle();
  const refused = (await system.stats())[1]?.deadLetters ?? 0;
  assert.ok(refused > 0);
  assert.equal(heard + refused, 10_000);
  assert.equal(await system.ask(ref, echo('alive')), 'alive');
});

test('two threads that flood each other by way of the calling thread do not wait for each other for ever', async () => {
  const on = stage({ threads: 2, highWater: 2 * 1024 });
  await using _ = on;
  const { system, spawn } = on;
  const [one, two] = [spawn(0), spawn(1)];
  await system.settle();
  for (let i = 0; i < 2_000; i++) {
    system.tell(one, { forward: two, message: 'x'.repeat(100) });
    system.tell(two, { forward: one, message: 'x'.repeat(100) });
    if (system.saturated(0)) system.drainNow(0);
    if (system.saturated(1)) system.drainNow(1);
  }
  await system.settle();
  for (const ref of [one, two])
    assert.ok((await system.ask(ref, (replyTo: Ref<readonly unknown[]>) => ({ notes: replyTo }))).length > 0);
});
