import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import {
  type AnyRef,
  type Behaviour,
  type Context,
  createSystem,
  type Decision,
  type Ended,
  type EndReason,
  type Ref,
  type Supervision,
  type System,
  type SystemEvent,
  VirtualClock,
} from '#src/actor/index.js';

interface Stage {
  readonly system: System;
  readonly clock: VirtualClock;
  readonly events: SystemEvent[];
}

function stage(): Stage {
  const clock = new VirtualClock();
  const events: SystemEvent[] = [];
  return {
    clock,
    events,
    system: createSystem({ clock, schedule: 'manual', observe: (event) => events.push(event) }),
  };
}

type Fragile = 'throw' | { note: string };

/** Notes what it is told, in a list that outlives it; throws when told to. */
const fragile: Behaviour<Fragile, string[], { log: string[] }> = {
  name: 'fragile',
  start({ log }) {
    log.push('start');
    return [];
  },
  receive(notes, message) {
    if (message === 'throw') throw new Error(`thrown after ${notes.join()}`);
    notes.push(message.note);
    return notes;
  },
  stopped(notes, reason) {
    notes.push(reason);
  },
};

/** A parent that supervises one `fragile` child and hears of its end. */
function family(supervision: Supervision, parentSupervision?: Supervision) {
  const { system, clock, events } = stage();
  const log: string[] = [];
  const ends: Ended[] = [];
  let child: Ref<Fragile> | undefined;
  let starts = 0;
  const parent: Behaviour<'any', null> = {
    name: 'parent',
    childSupervision: supervision,
    start(_, context) {
      starts++;
      child = context.spawn(fragile, { log });
      return null;
    },
    receive: () => null,
    ended(_, ended) {
      ends.push(ended);
      return null;
    },
  };
  const ref = system.spawn(parent, undefined, parentSupervision && { supervision: parentSupervision });
  const throwNow = (): void => {
    assert.ok(child !== undefined);
    system.tell(child, 'throw');
    system.run();
  };
  return { system, clock, events, log, ends, ref, throwNow, child: () => child, starts: () => starts };
}

test('a child that throws is restarted from its first state under the same ref, after its backoff', () => {
  const { system, clock, log, throwNow, child, ends, events } = family({ backoff: { min: 50, max: 1_000 } });
  const ref = child();
  assert.ok(ref !== undefined);
  system.tell(ref, { note: 'before' });
  throwNow();
  system.tell(ref, { note: 'meanwhile' });
  system.run();
  clock.advance(49);
  assert.deepEqual(log, ['start']);
  clock.advance(1);
  assert.deepEqual(log, ['start', 'start']);
  throwNow();
  const errors = events.map((event) => ('error' in event ? event.error.split('\n')[0] : ''));
  assert.deepEqual(errors, ['Error: thrown after before', 'Error: thrown after meanwhile'], 'the mailbox was kept');
  assert.deepEqual(ends, [], 'a restart is not an end');
});

test('each restart within the period waits twice as long as the one before, up to the longest', () => {
  const { clock, log, throwNow } = family({ intensity: 10, backoff: { min: 10, max: 35 } });
  for (const wait of [10, 20, 35, 35]) {
    throwNow();
    const before = log.length;
    clock.advance(wait - 1);
    assert.equal(log.length, before);
    clock.advance(1);
    assert.equal(log.length, before + 1);
  }
});

test('more restarts than the intensity within the period are not borne; fewer are, for ever', () => {
  const gaps = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 25 });
  const policy = fc.record({ intensity: fc.nat({ max: 4 }), period: fc.integer({ min: 1, max: 100 }) });
  fc.assert(
    fc.property(
      gaps,
      policy,
      fc.constantFrom<Decision>('restart', 'resume'),
      (waits, { intensity, period }, decide) => {
        const { clock, throwNow, ends, events } = family({ decide, intensity, period, backoff: { min: 0, max: 0 } });
        const times: number[] = [];
        let over = false;
        for (const wait of waits) {
          clock.advance(wait);
          // In the model's own words: how many failures, this one included, are younger than the period?
          times.push(clock.now());
          if (!over) over = times.filter((time) => clock.now() - time < period).length > intensity;
          throwNow();
          clock.advance(0);
          assert.equal(ends.length, over ? 1 : 0);
          assert.equal(events.filter(({ type }) => type === 'actor-given-up').length, over ? 1 : 0);
        }
        if (over) assert.equal(ends[0]?.reason, 'failed');
      },
    ),
  );
});

test('by default, three failures within five seconds are borne, and a fourth is not', () => {
  for (const [after, given] of [
    [4_999, 1],
    [5_000, 0],
  ] as const) {
    const { clock, throwNow, ends } = family({ decide: 'resume' });
    for (let failures = 0; failures < 3; failures++) throwNow();
    assert.equal(ends.length, 0);
    clock.advance(after);
    throwNow();
    assert.equal(ends.length, given, `after ${after} ms`);
  }
});

test('by default, restarts wait from 10 ms up to a second', () => {
  const { clock, log, throwNow } = family({ intensity: 10 });
  for (const wait of [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]) {
    throwNow();
    const before = log.length;
    clock.advance(wait - 1);
    assert.equal(log.length, before);
    clock.advance(1);
    assert.equal(log.length, before + 1);
  }
});

test('resume drops the message and keeps the state', () => {
  const { system, child, throwNow, log, events } = family({ decide: 'resume' });
  const ref = child();
  assert.ok(ref !== undefined);
  system.tell(ref, { note: 'kept' });
  throwNow();
  throwNow();
  assert.deepEqual(log, ['start']);
  assert.deepEqual(
    events.map((event) => ('error' in event ? event.error.split('\n')[0] : '')),
    ['Error: thrown after kept', 'Error: thrown after kept'],
  );
});

test('an actor that throws as it starts has no state to resume with: it is started again', () => {
  const { system, clock } = stage();
  let starts = 0;
  const ref = system.spawn<'hello', null, void>(
    {
      name: 'late',
      start() {
        if (++starts === 1) throw new Error('not yet');
        return null;
      },
      receive: () => null,
    },
    undefined,
    { supervision: { decide: 'resume' } },
  );
  clock.advance(10);
  assert.equal(starts, 2);
  assert.equal(system.tell(ref, 'hello'), true);
});

test('stop ends the child at once, and its parent hears why', () => {
  const { throwNow, ends, log, child } = family({ decide: 'stop' });
  throwNow();
  assert.deepEqual(log, ['start']);
  assert.equal(ends.length, 1);
  assert.equal(ends[0]?.ref, child());
  assert.equal(ends[0]?.reason, 'failed');
  assert.match(ends[0]?.error ?? '', /^Error: thrown after/);
});

test('escalate ends the child and fails the parent, which is restarted by its own supervision and knows nothing of it', () => {
  const { throwNow, ends, clock, starts, events, child } = family(
    { decide: 'escalate' },
    { backoff: { min: 5, max: 5 } },
  );
  const former = child();
  throwNow();
  assert.equal(starts(), 1);
  clock.advance(5);
  assert.equal(starts(), 2);
  assert.notEqual(child(), former);
  assert.deepEqual(ends, [], 'the end of a child of its former life is no news to a parent');
  assert.deepEqual(
    events.map((event) => 'decision' in event && [event.name, event.decision]),
    [
      ['fragile', 'escalate'],
      ['parent', 'restart'],
    ],
  );
});

test("a failure escalated by a child that throws as it starts, in the middle of its parent's start, fails the parent once", () => {
  const { system, clock, events } = stage();
  const born: string[] = [];
  const stillborn: Behaviour<never, null> = {
    name: 'stillborn',
    start() {
      throw new Error('no');
    },
    receive: () => null,
  };
  const sibling: Behaviour<never, null> = {
    name: 'sibling',
    start() {
      born.push('sibling');
      return null;
    },
    receive: () => null,
    stopped: () => void born.push('sibling stopped'),
  };
  const parent: Behaviour<never, null> = {
    name: 'parent',
    childSupervision: { decide: 'escalate' },
    start(_, context) {
      context.spawn(stillborn, undefined);
      context.spawn(sibling, undefined);
      return null;
    },
    receive: () => null,
  };
  const ref = system.spawn(parent, undefined, { supervision: { intensity: 1, backoff: { min: 1, max: 1 } } });
  system.run();
  clock.advance(1);
  system.run();
  assert.deepEqual(born, ['sibling', 'sibling stopped', 'sibling', 'sibling stopped'], 'no sibling is left behind');
  assert.deepEqual(
    events.filter((event) => event.type === 'actor-given-up').map((event) => event.ref),
    [ref],
  );
});

test('one for one: the siblings of a child that fails do not notice', () => {
  const { system, clock } = stage();
  const logs: string[][] = [[], []];
  const children: Ref<Fragile>[] = [];
  system.spawn<never, null, void>(
    {
      name: 'parent',
      start(_, context) {
        for (const log of logs) children.push(context.spawn(fragile, { log }));
        return null;
      },
      receive: () => null,
    },
    undefined,
  );
  const [first] = children;
  assert.ok(first !== undefined);
  system.tell(first, 'throw');
  system.run();
  clock.advance(1_000);
  assert.deepEqual(logs, [['start', 'start'], ['start']]);
});

test('a function decides by the error and the child; one that throws itself escalates', () => {
  const asked: [unknown, AnyRef][] = [];
  const { throwNow, child, ends, log, clock, system } = family({
    decide(error, ref) {
      asked.push([error, ref]);
      if (asked.length === 2) throw new Error('can not decide');
      return 'resume';
    },
  });
  throwNow();
  assert.ok(asked[0]?.[0] instanceof Error);
  assert.equal(asked[0]?.[1], child());
  assert.deepEqual(log, ['start']);
  const before = child();
  throwNow();
  clock.advance(1_000);
  system.run();
  assert.deepEqual(ends, [], 'the parent failed, and starts anew');
  assert.notEqual(child(), before, 'with a child of its own');
});

test('what an actor throws as it starts, in ended and in stopped is supervised like the rest', () => {
  const { system, clock, events } = stage();
  let lives = 0;
  const clumsy: Behaviour<'go', AnyRef> = {
    name: 'clumsy',
    start(_, context) {
      if (++lives === 1) throw new Error('in start');
      const child = context.spawn<never, null, void>(
        { name: 'child', start: () => null, receive: () => null },
        undefined,
      );
      context.watch(child);
      return child;
    },
    receive(child, _, context) {
      context.stop(child);
      return child;
    },
    ended() {
      throw new Error('in ended');
    },
    stopped() {
      throw new Error('in stopped');
    },
  };
  const ref = system.spawn(clumsy, undefined);
  clock.advance(1_000);
  system.tell(ref, 'go');
  system.run();
  clock.advance(1_000);
  assert.equal(lives, 3);
  const errors = events.map((event) => ('error' in event ? event.error.split('\n')[0] : ''));
  assert.deepEqual(errors, ['Error: in start', 'Error: in ended', 'Error: in stopped']);
  assert.equal(system.tell(ref, 'go'), true, 'it lives');
});

test('whatever is thrown, the system goes on', () => {
  const { system, events } = stage();
  const unprintable = Object.assign(new Error('x'), { stack: undefined, toString: undefined });
  Object.defineProperty(unprintable, 'message', {
    get() {
      throw new Error('no message');
    },
  });
  const things: unknown[] = [
    undefined,
    null,
    0,
    'text',
    Symbol('s'),
    Object.create(null),
    unprintable,
    new Proxy(
      {},
      {
        getPrototypeOf() {
          throw new Error('trap');
        },
      },
    ),
  ];
  for (const thing of things)
    system.spawn<never, null, void>(
      {
        name: 'thrower',
        start() {
          throw thing;
        },
        receive: () => null,
      },
      undefined,
      { supervision: { decide: 'stop' } },
    );
  assert.equal(events.length, things.length);
  for (const event of events) assert.equal('error' in event && typeof event.error, 'string');
});

test('an observer that throws does no harm', async () => {
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  const clock = new VirtualClock();
  const system = createSystem({
    clock,
    schedule: 'manual',
    observe() {
      throw new Error('observer');
    },
  });
  const log: string[] = [];
  const ref = system.spawn(fragile, { log });
  system.tell(ref, 'throw');
  system.run();
  clock.advance(1_000);
  assert.deepEqual(log, ['start', 'start']);
  assert.match((await warned).message, /observer/);
});

test('a behaviour that always throws is given up on, and standard error says so in a line', () => {
  const lines: string[] = [];
  const write = mock.method(process.stderr, 'write', (line: string) => lines.push(line) > 0);
  try {
    const clock = new VirtualClock();
    const system = createSystem({ clock, schedule: 'manual' });
    const hopeless: Behaviour<'anyone?', null> = {
      name: 'hopeless',
      start() {
        throw new Error('as always');
      },
      receive: () => null,
    };
    const ref = system.spawn(hopeless, undefined);
    clock.advance(60_000);
    assert.equal(system.tell(ref, 'anyone?'), false);
  } finally {
    write.mock.restore();
  }
  assert.equal(lines.length, 5, 'three restarts, the last failure, and that it is given up on');
  const last: { event: string; name: string; ref: string; error: string } = JSON.parse(lines.at(-1) ?? '');
  assert.equal(last.event, 'actor-given-up');
  assert.equal(last.name, 'hopeless');
  assert.match(last.ref, /^0\.\d+$/);
  assert.match(last.error, /as always/);
  assert.ok(lines.every((line) => line.endsWith('\n') && line.indexOf('\n') === line.length - 1));
});

test('an actor that stops itself as it starts has ended, and stays so', () => {
  const { system } = stage();
  const reasons: EndReason[] = [];
  let self: Context<'hello'> | undefined;
  const brief: Behaviour<'hello', null> = {
    name: 'brief',
    start(_, context) {
      self = context;
      context.stop(context.self, 'now');
      return null;
    },
    receive: () => null,
    stopped: (_, reason) => void reasons.push(reason),
  };
  const ref = system.spawn(brief, undefined);
  assert.equal(system.tell(ref, 'hello'), false);
  assert.deepEqual(reasons, [], 'it had no state yet to say last words over');
  assert.throws(() => self?.spawn(fragile, { log: [] }), /ended/);
});
