/** Actors on worker threads, while all goes well. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type AnyRef, type Behaviour, createSystem, type Ended, type Ref } from '#src/actor/index.js';
import { hostOf } from '#src/actor/ref.js';
import probe, { type ProbeArgs, type ProbeMessage, probeModule } from '#test/actor/probe.js';
import { askError, echo, notes, type Probe, silent, stage } from './threads.js';

const shared = stage({ threads: 2 });
const { system, events, observed, spawn } = shared;
// However long the threads take to start on a busy machine.
before(() => system.settle());
after(() => system.close());

const fixture = (source: string): URL => new URL(`data:text/javascript,${encodeURIComponent(source)}`);

/** Watches an actor from the calling thread. */
const watcher: Behaviour<never, null, { ref: AnyRef; told: (ended: Ended) => void }> = {
  name: 'watcher',
  start({ ref }, context) {
    context.watch(ref);
    return null;
  },
  receive: () => null,
};
const ended = (ref: AnyRef): Promise<Ended> =>
  new Promise((told) => {
    const behaviour: typeof watcher = {
      ...watcher,
      ended(_, news, context) {
        told(news);
        context.stop(context.self);
        return null;
      },
    };
    system.spawn(behaviour, { ref, told });
  });

test('an actor is spawned by the URL of its module, be it TypeScript, and starts from its args', async () => {
  for (const module of [probeModule, new URL('./probe.ts', import.meta.url)]) {
    const ref = system.spawnOnThread<typeof probe>(module, { first: { from: 'here' } }, { thread: 0 });
    assert.equal(hostOf(ref), 1);
    assert.deepEqual(await system.ask(ref, notes), [{ from: 'here' }]);
  }
});

test('one behaviour, two hosts: it does the same in the calling thread', async () => {
  for (const ref of [system.spawn(probe, { first: 1 }), spawn(0, 1)]) {
    system.tell(ref, 'text');
    system.tell(ref, Uint8Array.of(1, 2));
    assert.deepEqual(await system.ask(ref, notes), [1, 'text', Uint8Array.of(1, 2)]);
    assert.deepEqual(await system.ask(ref, echo({ deep: [new Date(0)] })), { deep: [new Date(0)] });
  }
});

test('actors are placed on each thread in turn, unless one is named', () => {
  const placed = [1, 2, 3, 4].map(() => hostOf(system.spawnOnThread<typeof probe>(probeModule, {})));
  assert.deepEqual(placed.sort(), [1, 1, 2, 2]);
  assert.equal(hostOf(spawn(1)), 2);
  assert.throws(() => spawn(2), RangeError);
  assert.throws(() => createSystem().spawnOnThread(probeModule, undefined), RangeError);
});

test('options that can not be are refused', () => {
  for (const threads of [-1, 0.5, 256, Number.NaN]) assert.throws(() => createSystem({ threads }), RangeError);
  for (const highWater of [0, -1, 1.5, 2 ** 25, Number.NaN])
    assert.throws(() => createSystem({ highWater }), RangeError);
  const supervision = { decide: () => 'stop' as const };
  assert.throws(() => system.spawnOnThread(probeModule, undefined, { supervision }), TypeError);
});

test('messages can be told before the thread has heard of the actor, and keep their order, bytes among objects', async () => {
  const ref = spawn(1);
  const sent: (string | Uint8Array)[] = [];
  for (let i = 0; i < 3_000; i++) {
    const message = i % 3 === 0 ? Uint8Array.of(i & 255, i >> 8) : `message ${i}`;
    sent.push(message);
    system.tell(ref, message);
  }
  assert.deepEqual(await system.ask(ref, notes), sent);
});

test('bytes can be handed over: the same arrives, in order, on a thread and in the calling one', async () => {
  for (const ref of [spawn(), system.spawn(probe, {})]) {
    const parts = [20_000, 3, 70_000].map((length, i) => new Uint8Array(length).fill(i + 1));
    const sent = parts.map((part) => Uint8Array.from(part));
    for (const part of parts) assert.equal(system.transfer(ref, part), true);
    assert.deepEqual(await system.ask(ref, notes), sent);
  }
});

test('twenty thousand messages told at once to an actor whose module is still loading all arrive', async () => {
  const ref = system.spawnOnThread<Behaviour<unknown, unknown, undefined>>(
    fixture(`
      await new Promise((resolve) => setTimeout(resolve, 50));
      export default {
        name: 'counter',
        start: () => 0,
        receive(count, message, context) {
          if (typeof message === 'string') return count + 1;
          context.tell(message.replyTo, count);
          return count;
        },
      };`),
    undefined,
    { thread: 0 },
  );
  for (let i = 0; i < 20_000; i++) system.tell(ref, 'text');
  // Meanwhile others on that thread are waited for, not lost.
  const other = system.ask(spawn(0), echo('other'));
  assert.equal(await system.ask(ref, (replyTo: Ref<number>) => ({ replyTo })), 20_000);
  assert.equal(await other, 'other');
});

test('an actor tells one on another thread, by way of the calling thread, in order', async () => {
  const [from, to] = [spawn(0), spawn(1)];
  for (let i = 0; i < 100; i++) system.tell(from, { forward: to, message: `message ${i}` });
  await system.settle();
  assert.deepEqual(
    await system.ask(to, notes),
    Array.from({ length: 100 }, (_, i) => `message ${i}`),
  );
});

test('drain waits for what comes of what comes of a message, on whatever thread', async () => {
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
  const [one, two] = [spawn(0), spawn(1)];
  for (let round = 1; round <= 20; round++) {
    let message: ProbeMessage = { echo: round, replyTo: local };
    for (let hop = 0; hop < 6; hop++) message = { forward: hop % 2 === 0 ? one : two, message };
    system.tell(one, message);
    await system.settle();
    assert.equal(heard.length, round);
  }
});

test('drain waits for actors that wait to be restarted, here and there', async () => {
  const options = { supervision: { backoff: { min: 10, max: 10 } } };
  // Often: asking a thread whether it has settled may overtake what it is to settle, or not.
  for (let round = 0; round < 30; round++) {
    const here = system.spawn(probe, {}, options);
    const there = system.spawnOnThread<typeof probe>(probeModule, {}, options);
    for (const ref of [here, there]) {
      system.tell(ref, { fail: 'once' });
      system.tell(ref, 'after');
      await system.settle();
      for (const actor of await system.snapshot(0)) if (actor.ref === ref) assert.equal(actor.waiting, 0);
      // In the calling thread this can't wait for a restart.
      assert.deepEqual(system.askNow(ref, notes), ['after']);
      system.stop(ref);
    }
  }
});

test('a timer on a thread comes back', async () => {
  const ref = spawn();
  const answer = new Promise((resolve) => {
    const local = system.spawn<unknown, null, void>(
      {
        name: 'local',
        start: () => null,
        receive(_, message) {
          resolve(message);
          return null;
        },
      },
      undefined,
    );
    system.tell(ref, { after: 20, message: { echo: 'later', replyTo: local } });
  });
  assert.equal(await answer, 'later');
});

test('ask has its time limit and its signal across threads, too', async () => {
  const ref = spawn();
  await system.ask(ref, echo(1));
  await assert.rejects(system.ask(ref, silent, { timeout: 20 }), askError('ERR_ASK_TIMEOUT'));
  const controller = new AbortController();
  const asked = system.ask(ref, silent, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(asked, /enough/);
});

test('a question fails at once when its actor throws on it, ends before it takes it, or is gone', async () => {
  const undelivered = askError('ERR_ASK_UNDELIVERED');
  const ref = spawn();
  await assert.rejects(
    system.ask(ref, () => ({ fail: 'on purpose' })),
    undelivered,
  );
  const left = assert.rejects(system.ask(ref, echo(1)), undelivered);
  system.stop(ref, 'now');
  await left;
  await assert.rejects(system.ask(ref, echo(1)), undelivered);
});

test('a message that can not be cloned loses only itself; its question fails at once', async () => {
  const ref = system.spawnOnThread<Behaviour<unknown, unknown, ProbeArgs>>(probeModule, {});
  const undelivered = askError('ERR_ASK_UNDELIVERED');
  system.tell(ref, 'before');
  assert.equal(
    system.tell(ref, () => undefined),
    true,
  );
  system.tell(ref, 'after');
  await assert.rejects(
    system.ask(
      ref,
      echo(() => undefined),
    ),
    undelivered,
  );
  await assert.rejects(
    system.ask(ref, (replyTo: Ref<unknown>) => ({ uncloneable: replyTo })),
    undelivered,
  );
  assert.deepEqual(await system.ask(ref, notes), ['before', 'after']);
  assert.ok(
    events.some((event) => event.type === 'dead-letter' && event.ref === ref && event.reason === 'not-cloneable'),
  );
});

test('args that can not be cloned fail the spawn: watchers are told, questions fail, a line is logged', async () => {
  const ref = system.spawnOnThread<typeof probe>(probeModule, { first: () => undefined });
  const end = ended(ref);
  await assert.rejects(system.ask(ref, notes), askError('ERR_ASK_UNDELIVERED'));
  assert.equal((await end).reason, 'failed');
  await observed((event) => event.type === 'actor-given-up' && event.ref === ref);
});

for (const [what, module] of [
  ['does not exist', new URL('./no-such-module.js', import.meta.url)],
  ['throws as it loads', fixture('throw new Error("broken module")')],
  ['has no behaviour', fixture('export default { name: "half a behaviour" }')],
  ['has no default export', fixture('export const name = 1')],
] satisfies [string, URL][])
  test(`when its module ${what}, an actor ends as failed: watchers are told, questions fail, a line is logged`, async () => {
    const ref = system.spawnOnThread<typeof probe>(module, {});
    const end = ended(ref);
    system.tell(ref, 'text');
    await assert.rejects(system.ask(ref, notes), askError('ERR_ASK_UNDELIVERED'));
    assert.equal((await end).reason, 'failed');
    await observed((event) => event.type === 'actor-failed' && event.ref === ref && event.name === module.href);
    await observed((event) => event.type === 'dead-letter' && event.ref === ref);
  });

test('an actor on a thread that throws is supervised there, and observed here', async () => {
  const ref = system.spawnOnThread<typeof probe>(probeModule, { first: 'restarted' }, { thread: 0 });
  system.tell(ref, 'forgotten');
  system.tell(ref, { fail: 'once' });
  assert.deepEqual(await system.ask(ref, notes), ['restarted']);
  await observed((event) => event.type === 'actor-failed' && event.ref === ref && event.decision === 'restart');
  const brief = system.spawnOnThread<typeof probe>(probeModule, {}, { supervision: { decide: 'stop' } });
  const end = ended(brief);
  system.tell(brief, { fail: 'once' });
  assert.equal((await end).reason, 'failed');
});

test('stop drains across threads, also an actor whose module is still loading', async () => {
  const ref = system.spawnOnThread<typeof probe>(new URL('?fresh', probeModule), {});
  const end = ended(ref);
  system.tell(ref, 'first');
  const answer = system.ask(ref, notes);
  system.stop(ref);
  assert.deepEqual(await answer, ['first']);
  assert.deepEqual(await end, { ref, reason: 'stopped' });
});

test('death watch works from the calling thread, from a thread on the calling one, and between threads', async () => {
  const reply = (replyTo: Ref<Probe>): ProbeMessage => ({ child: replyTo });
  // Here → there, a child that only its parent on the thread knew.
  const child = await system.ask(spawn(0), reply);
  const end = ended(child);
  system.stop(child);
  assert.equal((await end).reason, 'stopped');
  // There → here, and there → elsewhere.
  for (const watched of [system.spawn(probe, {}), spawn(1)]) {
    const ref = spawn(0);
    system.tell(ref, { watch: watched });
    system.tell(ref, { watch: watched });
    await system.settle();
    system.stop(watched);
    await system.settle();
    assert.deepEqual(await system.ask(ref, notes), [{ ref: watched, reason: 'stopped' }]);
    // Watching what is gone tells so at once.
    system.tell(ref, { watch: watched });
    await system.settle();
    assert.deepEqual((await system.ask(ref, notes)).at(-1), { ref: watched, reason: 'no-such-actor' });
  }
  assert.equal((await ended(child)).reason, 'no-such-actor');
});

test('news that was under way while the watcher was restarted is not for its next life', async () => {
  const watched = system.spawn(probe, {});
  const watcher = system.spawnOnThread<typeof probe>(probeModule, {}, { thread: 0 });
  const raised = new Int32Array(new SharedArrayBuffer(4));
  system.tell(watcher, { watch: watched });
  await system.settle();
  system.tell(watcher, { fail: 'once' });
  system.tell(watcher, { raise: raised });
  system.flush();
  // It lives again, and this thread has not yet heard that it no longer watches.
  assert.notEqual(Atomics.wait(raised, 0, 0, 5_000), 'timed-out');
  system.stop(watched, 'now');
  await system.settle();
  assert.deepEqual(await system.ask(watcher, notes), []);
});

test('an actor stops one on another thread', async () => {
  const [one, two] = [spawn(0), spawn(1)];
  const end = ended(two);
  system.tell(one, { stop: two });
  assert.equal((await end).reason, 'stopped');
});

test('stats and snapshot tell how many actors a thread has, and which', async () => {
  const alone = stage();
  await using _ = alone;
  const ref = alone.spawn();
  await alone.system.settle();
  const child = await alone.system.ask(ref, (replyTo: Ref<Probe>) => ({ child: replyTo }));
  const [here, there] = await alone.system.stats();
  assert.equal(here?.actors, 0);
  assert.equal(there?.actors, 2);
  assert.equal(there?.processed, 1);
  assert.deepEqual(
    (await alone.system.snapshot(0)).map((actor) => ({ ...actor })),
    [
      { ref: child, name: 'probe', parent: ref, waiting: 0 },
      { ref, name: 'probe', parent: undefined, waiting: 0 },
    ].sort((a, b) => (a.ref < b.ref ? -1 : 1)),
  );
  assert.deepEqual(await alone.system.snapshot(7), []);
});

test('askNow blocks until a thread has answered', async () => {
  const ref = spawn();
  await system.ask(ref, echo(0));
  for (let i = 0; i < 100; i++) assert.equal(system.askNow(ref, echo(i)), i);
  for (let i = 0; i < 1_000; i++) system.tell(ref, `message ${i}`);
  assert.equal(system.askNow(ref, notes).length, 1_000, 'what was told before is taken before');
  assert.throws(() => system.askNow(ref, silent, 20), askError('ERR_ASK_TIMEOUT'));
});

test('settleNow blocks until every thread has processed what it was told, and takes in what came of it', async () => {
  const refs = [spawn(0), spawn(1)];
  await system.settle();
  let heard = 0;
  const local = system.spawn<unknown, null, void>(
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
  for (let round = 1; round <= 50; round++) {
    for (const ref of refs) system.tell(ref, { fill: local, messages: 10, bytes: 1 });
    system.settleNow();
    system.run();
    assert.equal(heard, round * 20);
  }
});

test('an actor that never runs out of messages does not make its thread unreachable', async () => {
  const alone = stage();
  await using _ = alone;
  const [endless, other] = [alone.spawn(), alone.spawn()];
  await alone.system.settle();
  // One message for ever, then far more than are let in at once.
  for (const messages of [1, 300]) {
    alone.system.tell(endless, { talk: messages });
    for (let i = 0; i < 5; i++) assert.equal(await alone.system.ask(other, echo(i)), i);
    assert.equal(alone.system.askNow(other, echo('now')), 'now');
    assert.ok((await alone.system.stats())[1]);
  }
  alone.system.stop(endless, 'now');
  await alone.system.settle();
  alone.system.tell(other, { talk: 100 });
  await alone.system.ask(other, echo('still there'));
});
