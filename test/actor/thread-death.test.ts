/** Threads that die, and who notices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '#src/actor/clock.js';
import type { AnyRef, Behaviour, Ended, Ref } from '#src/actor/index.js';
import { hostOf } from '#src/actor/ref.js';
import type probe from '#test/actor/probe.js';
import { type ProbeMessage, probeModule } from '#test/actor/probe.js';
import { askError, echo, notes, type Probe, type Stage, silent, stage } from './threads.js';

const lost = ({ observed }: Stage) => observed(({ type }) => type === 'thread-lost');

/** Blocks an actor's thread. @returns what lets the thread go on, and die at once, with all that was sent meanwhile unread */
function dieWhenTold({ system }: Stage, ref: Ref<ProbeMessage>): () => void {
  const block = new Int32Array(new SharedArrayBuffer(4));
  system.tell(ref, { block });
  system.tell(ref, { crash: 'exit' });
  system.flush();
  return () => {
    Atomics.store(block, 0, 1);
    Atomics.notify(block, 0);
  };
}

/** Notes the ends of what it watches; on the calling thread. */
function watch({ system }: Stage, refs: readonly AnyRef[]): Promise<readonly Ended[]> {
  return new Promise((resolve) => {
    const watcher: Behaviour<never, Ended[]> = {
      name: 'watcher',
      start(_, context) {
        for (const ref of refs) context.watch(ref);
        return [];
      },
      receive: (ends) => ends,
      ended(ends, ended) {
        ends.push(ended);
        if (ends.length === refs.length) resolve(ends);
        return ends;
      },
    };
    system.spawn(watcher, undefined);
  });
}

for (const [cause, fatal, error] of [
  ['uncaught', { crash: 'uncaught' }, /uncaught on purpose/],
  ['rejection', { crash: 'rejection' }, /rejected on purpose/],
  ['exit', { crash: 'exit' }, /exited with code: 3/],
  ['out of memory', { hoard: 'all' }, /ERR_WORKER_OUT_OF_MEMORY|memory limit/],
] as const)
  test(`a thread that dies (${cause}) is replaced: its actors' watchers are told, they start again under the same refs, and the other thread notices nothing`, async () => {
    const on = stage({ threads: 2 });
    await using _ = on;
    const { system, spawn } = on;
    const [guilty, neighbour, elsewhere, onlooker] = [spawn(0, 'guilty'), spawn(0), spawn(1), spawn(1)];
    system.tell(neighbour, 'forgotten');
    system.tell(elsewhere, 'kept');
    await system.settle();
    const child = await system.ask(guilty, (replyTo: Ref<Probe>) => ({ child: replyTo }));
    system.tell(onlooker, { watch: neighbour });
    const ends = watch(on, [guilty, neighbour, child]);
    await system.settle();
    const waiting = assert.rejects(
      system.ask(guilty, silent, { timeout: 60_000 }), // Running out of memory takes a while.
      askError('ERR_ASK_UNDELIVERED'),
    );
    await system.ask(guilty, echo('all told'));
    system.tell(guilty, fatal);
    const answered = Promise.all(Array.from({ length: 50 }, (_, i) => system.ask(elsewhere, echo(i))));
    const event = await lost(on);
    assert.equal(event.type === 'thread-lost' && event.thread, 0);
    assert.match(event.type === 'thread-lost' ? event.error : '', error);
    await waiting;
    assert.deepEqual(
      (await ends).map(({ ref, reason }) => [ref, reason]),
      [guilty, neighbour, child].map((ref) => [ref, 'thread-lost']),
    );
    assert.equal((await answered).length, 50);
    await system.settle();
    assert.deepEqual(await system.ask(guilty, notes), ['guilty']);
    assert.deepEqual(await system.ask(neighbour, notes), []);
    assert.deepEqual(await system.ask(elsewhere, notes), ['kept']);
    assert.deepEqual(await system.ask(onlooker, notes), [{ ref: neighbour, reason: 'thread-lost' }]);
    await assert.rejects(
      system.ask(child, notes),
      askError('ERR_ASK_UNDELIVERED'),
      "children are their parents' to start",
    );
    const born = await system.ask(guilty, (replyTo: Ref<Probe>) => ({ child: replyTo }));
    assert.equal(hostOf(born), hostOf(child));
    assert.ok(born > child, 'a ref is never used again');
  });

test('restore makes the args anew; the args of an actor that can not be restored end it', async () => {
  const on = stage();
  await using _ = on;
  const { system } = on;
  let life = 1;
  const ref = system.spawnOnThread<typeof probe>(
    probeModule,
    { first: 'life 1' },
    { restore: () => ({ first: `life ${++life}` }) },
  );
  const broken = system.spawnOnThread<typeof probe>(
    probeModule,
    {},
    {
      restore() {
        throw new Error('nothing to restore from');
      },
    },
  );
  const uncloneable = system.spawnOnThread<typeof probe>(
    probeModule,
    {},
    { restore: () => ({ first: () => undefined }) },
  );
  await system.settle();
  system.tell(ref, { crash: 'exit' });
  for (const gone of [broken, uncloneable])
    await on.observed((event) => event.type === 'actor-given-up' && event.ref === gone);
  await system.settle();
  assert.deepEqual(await system.ask(ref, notes), ['life 2']);
  await assert.rejects(system.ask(broken, notes), askError('ERR_ASK_UNDELIVERED'));
  await assert.rejects(system.ask(uncloneable, notes), askError('ERR_ASK_UNDELIVERED'));
});

test('an actor that is to stop when its thread dies, or was stopped, or has ended, does not start again', async () => {
  const on = stage();
  await using _ = on;
  const { system, spawn } = on;
  const [guilty, ended, stopped] = [spawn(), spawn(), spawn()];
  const fleeting = system.spawnOnThread<typeof probe>(probeModule, {}, { supervision: { decide: 'stop' } });
  system.stop(ended);
  await system.settle();
  const die = dieWhenTold(on, guilty);
  system.stop(stopped); // It does not arrive: the thread is blocked, and then it dies.
  die();
  await lost(on);
  await system.settle();
  await system.ask(guilty, echo('alive'));
  for (const ref of [fleeting, ended, stopped])
    await assert.rejects(system.ask(ref, notes), askError('ERR_ASK_UNDELIVERED'));
  assert.equal((await system.snapshot(0)).length, 1);
});

test('a thread that keeps dying is replaced after pauses that grow, and what killed it is given up on', async () => {
  // The deaths count by this clock, on which they are all at once; the pauses are real.
  const on = stage({ clock: new VirtualClock() });
  await using _ = on;
  const { system, spawn, events } = on;
  const guilty = spawn();
  for (let death = 1; death <= 4; death++) {
    await system.settle();
    system.tell(guilty, { crash: 'exit' });
    await on.observed(() => events.filter(({ type }) => type === 'thread-lost').length === death);
  }
  const pauses = events.map((event) => event.type === 'thread-lost' && event.restartIn).filter(Number.isInteger);
  assert.deepEqual(pauses, [0, 100, 200, 400]);
  assert.ok(events.some((event) => event.type === 'actor-given-up' && event.ref === guilty));
  await assert.rejects(system.ask(guilty, notes), askError('ERR_ASK_UNDELIVERED'));
  assert.equal(await system.ask(spawn(), echo('a new one')), 'a new one');
});

test('an actor that was restarted with its thread is not told of what its former life watched', async () => {
  const on = stage({ threads: 2 });
  await using _ = on;
  const { system, spawn } = on;
  const [watcher, watched] = [spawn(0), spawn(1)];
  system.tell(watcher, { watch: watched });
  await system.settle();
  system.tell(watcher, { crash: 'exit' });
  await lost(on);
  await system.settle();
  system.stop(watched);
  await system.settle();
  assert.deepEqual(await system.ask(watcher, notes), []);
});

test('what a thread sent before it died still arrives', async () => {
  const on = stage();
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  const heard: unknown[] = [];
  const local = system.spawn<unknown, null, void>(
    {
      name: 'local',
      start: () => null,
      receive(_, message) {
        heard.push(message);
        return null;
      },
    },
    undefined,
  );
  await system.settle();
  // Past 256 KiB a thread posts at once, in the middle of its turn.
  system.tell(ref, { fill: local, messages: 9, bytes: 32 * 1024 });
  system.tell(ref, { crash: 'exit' });
  await lost(on);
  await system.settle();
  assert.ok(heard.length >= 8, `${heard.length} of 9`);
});

test('what a thread sent before it died arrives in full, however busy the calling thread was', async () => {
  const on = stage();
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  let heard = 0;
  const listener = system.spawn<unknown, null, void>(
    {
      name: 'listener',
      start: () => null,
      receive() {
        heard++;
        return null;
      },
    },
    undefined,
  );
  await system.settle();
  let heardAtDeath: number | undefined;
  void lost(on).then(() => {
    heardAtDeath = heard;
  });
  const busy = system.spawn<null, null, void>(
    {
      name: 'busy',
      start: () => null,
      receive(_, message, context) {
        if (heardAtDeath === undefined) context.tell(context.self, message);
        return null;
      },
    },
    undefined,
  );
  system.tell(busy, null);
  // All but the last few thousand are posted in the middle of the turn; those die with the thread.
  system.tell(ref, { fill: listener, messages: 50_000, bytes: 1 });
  system.tell(ref, { crash: 'exit' });
  await lost(on);
  await system.settle();
  assert.ok(heardAtDeath !== undefined && heardAtDeath < 40_000, `${heardAtDeath} had already been heard`);
  assert.ok(heard >= 45_000, `${heard} of 50,000`);
  assert.equal(await system.ask(ref, echo('alive')), 'alive');
});

test('whoever paused for a thread that was behind is told when it is replaced', async () => {
  const on = stage({ highWater: 1_024 });
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  await system.settle();
  const drained = new Promise<number>((resolve) => system.onDrain(resolve));
  const die = dieWhenTold(on, ref);
  while (!system.saturated(0)) system.tell(ref, 'x'.repeat(100));
  system.flush();
  die();
  assert.equal(await drained, 0);
  assert.equal(system.saturated(0), false);
});

test('stats, snapshot and drain are answered although the thread dies meanwhile', async () => {
  const on = stage();
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  await system.settle();
  const die = dieWhenTold(on, ref);
  const answers = Promise.all([system.stats(), system.snapshot(0), system.settle()]);
  die();
  const [stats, snapshot] = await answers;
  assert.equal(stats.length, 2);
  assert.ok(Array.isArray(snapshot));
  await lost(on);
  await system.settle();
});

test('askNow gives up in its time when the thread is dead, or dies on the question', async () => {
  const on = stage();
  await using _ = on;
  const { system, spawn } = on;
  const ref = spawn();
  await system.settle();
  system.tell(ref, { crash: 'exit' });
  const start = performance.now();
  assert.throws(() => system.askNow(ref, echo(1), 100), askError('ERR_ASK_TIMEOUT'));
  assert.throws(() => system.settleNow(50), askError('ERR_ASK_TIMEOUT'));
  assert.ok(performance.now() - start < 3_000);
  await lost(on);
  await system.settle();
  assert.equal(await system.ask(ref, echo('again')), 'again');
});

test('a death watch held by many, on many, is told to each once', async () => {
  const on = stage({ threads: 2 });
  await using _ = on;
  const { system, spawn } = on;
  const watched = Array.from({ length: 20 }, () => spawn(0));
  const watchers: Probe[] = Array.from({ length: 5 }, () => spawn(1));
  for (const watcher of watchers) for (const ref of watched) system.tell(watcher, { watch: ref });
  const ends = watch(on, watched);
  await system.settle();
  const killer: ProbeMessage = { crash: 'exit' };
  for (const ref of watched.slice(0, 1)) system.tell(ref, killer);
  assert.equal((await ends).length, 20);
  await system.settle();
  for (const watcher of watchers) {
    const told = await system.ask(watcher, notes);
    assert.deepEqual(
      told,
      watched.map((ref) => ({ ref, reason: 'thread-lost' })),
    );
  }
});
