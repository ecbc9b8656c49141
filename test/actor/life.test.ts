/** One actor's life in the calling thread: start, messages, timers, children, watches, end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type AnyRef,
  type Behaviour,
  type Context,
  createSystem,
  type Ended,
  type EndReason,
  formatRef,
  type Ref,
  type StopMode,
  type SystemEvent,
  VirtualClock,
} from '#src/actor/index.js';
import { hostOf } from '#src/actor/ref.js';

function stage() {
  const clock = new VirtualClock(5_000);
  const events: SystemEvent[] = [];
  const system = createSystem({
    clock,
    schedule: 'manual',
    random: () => 0.25,
    observe: (event) => events.push(event),
  });
  return { clock, events, system };
}

type Do = (context: Context<Do | string>) => void;

/** Does what it is told with its context. */
const puppet: Behaviour<Do | string, null> = {
  name: 'puppet',
  start: () => null,
  receive(_, message, context) {
    if (typeof message === 'function') message(context);
    return null;
  },
};

/** A puppet that notes everything in a log that outlives it. */
const noting: Behaviour<Do | string, unknown[], unknown[]> = {
  name: 'noting',
  start(log) {
    log.push('start');
    return log;
  },
  receive(log, message, context) {
    if (typeof message === 'function') message(context);
    else log.push(message);
    return log;
  },
  ended(log, ended) {
    log.push(ended);
    return log;
  },
  stopped: (log, reason) => void log.push(reason),
};

test('an actor goes from state to state, one message at a time', () => {
  const { system } = stage();
  const answers: number[] = [];
  const counter: Behaviour<number | { get: Ref<number> }, number, { from: number }> = {
    name: 'counter',
    start: ({ from }) => from,
    receive(count, message, context) {
      if (typeof message === 'number') return count + message;
      context.tell(message.get, count);
      return count;
    },
  };
  const listener = system.spawn<number, null, void>(
    {
      name: 'listener',
      start: () => null,
      receive: (_, answer) => {
        answers.push(answer);
        return null;
      },
    },
    undefined,
  );
  const ref = system.spawn(counter, { from: 10 });
  system.tell(ref, 1);
  system.tell(ref, 2);
  system.tell(ref, { get: listener });
  system.run();
  assert.deepEqual(answers, [13]);
});

test('run inside an actor does nothing: the message being taken is finished first', () => {
  const { system } = stage();
  const log: unknown[] = [];
  const [one, other] = [system.spawn(noting, log), system.spawn(noting, log)];
  system.tell(one, () => {
    system.tell(other, 'second');
    system.run();
    log.push('first');
  });
  system.run();
  assert.deepEqual(log, ['start', 'start', 'first', 'second']);
});

test('by default actors run by themselves, soon, and not within tell', async () => {
  const log: unknown[] = [];
  const system = createSystem();
  const ref = system.spawn(noting, log);
  system.tell(ref, 'hello');
  assert.deepEqual(log, ['start']);
  await system.settle();
  assert.deepEqual(log, ['start', 'hello']);
});

test('an actor knows its own ref, the time and a random number, all from the system', () => {
  const { system, clock } = stage();
  const seen: unknown[] = [];
  const ref = system.spawn(noting, []);
  clock.advance(7);
  system.tell(ref, (context) => seen.push(context.self, context.now(), context.random()));
  system.run();
  assert.deepEqual(seen, [ref, 5_007, 0.25]);
  assert.equal(hostOf(ref), 0);
  assert.match(formatRef(ref), /^0\.\d+$/);
});

test('a ref is never used again', () => {
  const { system } = stage();
  const refs = new Set<AnyRef>();
  for (let i = 0; i < 1_000; i++) {
    const ref = system.spawn(puppet, undefined);
    refs.add(ref);
    system.stop(ref, 'now');
  }
  assert.equal(refs.size, 1_000);
});

test('stop drains by default: what was in the mailbox is taken first, what comes after is not', () => {
  const { system } = stage();
  const log: unknown[] = [];
  const ref = system.spawn(noting, log);
  system.tell(ref, 'before');
  system.stop(ref);
  system.tell(ref, 'after');
  system.run();
  assert.deepEqual(log, ['start', 'before', 'stopped']);
});

test('stop now leaves the mailbox', () => {
  const { system } = stage();
  const log: unknown[] = [];
  const ref = system.spawn(noting, log);
  system.tell(ref, 'before');
  system.stop(ref, 'now');
  system.run();
  assert.deepEqual(log, ['start', 'stopped']);
});

test('an actor may stop itself, and another', () => {
  const { system } = stage();
  const logs: unknown[][] = [[], []];
  const [one, two] = logs.map((log) => system.spawn(noting, log));
  assert.ok(one !== undefined && two !== undefined);
  system.tell(one, (context) => {
    context.stop(two);
    context.stop(context.self, 'now');
  });
  system.tell(one, 'after');
  system.run();
  assert.deepEqual(logs, [
    ['start', 'stopped'],
    ['start', 'stopped'],
  ]);
});

test('a stop of an actor that waits to be restarted lets it take its mailbox once it lives again', () => {
  const { system, clock } = stage();
  const log: unknown[] = [];
  const ref = system.spawn(noting, log, { supervision: { backoff: { min: 100, max: 100 } } });
  system.tell(ref, () => {
    throw new Error('once');
  });
  system.tell(ref, 'kept');
  system.run();
  system.stop(ref);
  clock.advance(100);
  system.run();
  assert.deepEqual(log, ['start', 'failed', 'start', 'kept', 'stopped']);
});

test('stopping or watching nobody does no harm', () => {
  const { system } = stage();
  const log: unknown[] = [];
  const gone = system.spawn(noting, []);
  system.stop(gone, 'now');
  system.stop(gone);
  const ref = system.spawn(noting, log);
  system.tell(ref, (context) => context.watch(gone));
  system.run();
  assert.deepEqual(log.slice(1), [{ ref: gone, reason: 'no-such-actor' }]);
});

// Death watch.

const failing: Do = () => {
  throw new Error('enough');
};

for (const [reason, end] of [
  ['stopped', (system, ref) => system.stop(ref)],
  ['failed', (system, ref) => system.tell(ref, failing)],
] satisfies [EndReason, (system: ReturnType<typeof createSystem>, ref: Ref<Do | string>) => unknown][])
  test(`whoever watches an actor is told once that it ended, and why: ${reason}`, () => {
    const { system } = stage();
    const log: unknown[] = [];
    const watched = system.spawn(puppet, undefined, { supervision: { decide: 'stop' } });
    const watcher = system.spawn(noting, log);
    system.tell(watcher, (context) => {
      context.watch(watched);
      context.watch(watched);
    });
    system.run();
    end(system, watched);
    system.run();
    const [start, ended, ...rest] = log.map((each) =>
      typeof each === 'object' && each !== null ? { ...each, error: undefined } : each,
    );
    assert.deepEqual([start, ended, rest], ['start', { ref: watched, reason, error: undefined }, []]);
  });

test('an actor that unwatches is told nothing, nor is one that was restarted since', () => {
  const { system, clock } = stage();
  const log: unknown[] = [];
  const watched = [1, 2].map(() => system.spawn(puppet, undefined));
  const watcher = system.spawn(noting, log);
  system.tell(watcher, (context) => {
    for (const ref of watched) context.watch(ref);
  });
  system.tell(watcher, (context) => {
    for (const ref of watched.slice(0, 1)) context.unwatch(ref);
  });
  system.run();
  for (const ref of watched.slice(0, 1)) system.stop(ref, 'now');
  system.run();
  assert.deepEqual(log, ['start']);
  system.tell(watcher, failing);
  // The news is in its mailbox, behind what makes it fail.
  for (const ref of watched.slice(1)) system.stop(ref, 'now');
  system.run();
  clock.advance(1_000);
  system.run();
  assert.deepEqual(log, ['start', 'failed', 'start']);
});

// Timers.

test('a timer sends its message to the actor at its time, unless it is cancelled', () => {
  const { system, clock } = stage();
  const log: unknown[] = [];
  const ref = system.spawn(noting, log);
  system.tell(ref, (context) => {
    context.after(20, 'second');
    context.after(10, 'first');
    const cancel = context.after(15, 'never');
    cancel();
    cancel();
  });
  system.run();
  clock.advance(9);
  system.run();
  assert.deepEqual(log, ['start']);
  clock.advance(11);
  system.run();
  assert.deepEqual(log, ['start', 'first', 'second']);
});

for (const [how, end] of [
  ['ends', (context) => context.stop(context.self, 'now')],
  ['is restarted', failing],
] satisfies [string, Do][])
  test(`an actor's timers do not outlive it when it ${how}`, () => {
    const { system, clock } = stage();
    const log: unknown[] = [];
    const ref = system.spawn(noting, log, { supervision: { backoff: { min: 1, max: 1 } } });
    let kept: Context<Do | string> | undefined;
    system.tell(ref, (context) => {
      kept = context;
      context.after(50, 'late');
    });
    system.tell(ref, end);
    system.run();
    clock.advance(100);
    system.run();
    assert.equal(log.includes('late'), false);
    assert.equal(clock.pending, 0);
    if (how === 'ends') kept?.after(1, 'from beyond');
    assert.equal(clock.pending, 0);
  });

// Parent and children.

/** A tree of so many levels, each actor with two children and a timer. */
const tree: Behaviour<Do | string, null, number> = {
  name: 'tree',
  start(levels, context) {
    if (levels > 0) for (let i = 0; i < 2; i++) context.spawn(this, levels - 1);
    context.after(1_000, 'tick');
    return null;
  },
  receive(_, message, context) {
    if (typeof message === 'function') message(context);
    return null;
  },
  stopped(_, reason) {
    assert.equal(reason, 'stopped');
  },
};

for (const mode of ['drain', 'now'] satisfies StopMode[])
  test(`with an actor end its children and theirs, and all their timers: stop ${mode}`, async () => {
    const { system, clock } = stage();
    const root = system.spawn(tree, 4);
    assert.equal((await system.stats())[0]?.actors, 31);
    assert.equal(clock.pending, 31);
    system.stop(root, mode);
    system.run();
    assert.equal((await system.stats())[0]?.actors, 0);
    assert.equal(clock.pending, 0);
  });

test('the children of an actor that is restarted end with its former life, and are no news to the next', async () => {
  const { system, clock } = stage();
  const news: Ended[] = [];
  const parent: Behaviour<'throw', null> = {
    name: 'parent',
    start(_, context) {
      context.spawn(tree, 1);
      return null;
    },
    receive() {
      throw new Error('x');
    },
    ended(_, ended) {
      news.push(ended);
      return null;
    },
  };
  const ref = system.spawn(parent, undefined);
  for (let i = 0; i < 3; i++) {
    system.tell(ref, 'throw');
    system.run();
    clock.advance(1_000);
    system.run();
    assert.equal((await system.stats())[0]?.actors, 4);
  }
  assert.deepEqual(news, []);
});

test("a parent is told of its child's end once, also if it watches it", () => {
  const { system } = stage();
  const log: unknown[] = [];
  const ref = system.spawn(noting, log);
  let child: AnyRef | undefined;
  system.tell(ref, (context) => {
    child = context.spawn(puppet, undefined);
    context.watch(child);
    context.stop(child);
  });
  system.run();
  assert.deepEqual(log, ['start', { ref: child, reason: 'stopped' }]);
});

test('closing a system ends its actors, who have their last words; it takes no new ones', async () => {
  const { system, clock } = stage();
  const log: unknown[] = [];
  const ref = system.spawn(noting, log);
  system.tell(ref, (context) => context.after(1_000, 'late'));
  system.run();
  await Promise.all([system.close(), system.close()]);
  assert.deepEqual(log, ['start', 'stopped']);
  assert.equal(clock.pending, 0);
  assert.equal(system.tell(ref, 'anyone?'), false);
  assert.throws(() => system.spawn(noting, []), /closed/);
  await system.settle();
  await system[Symbol.asyncDispose]();
});
