/** Questions to actors of the calling thread. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AskError,
  type AskErrorCode,
  type Behaviour,
  createSystem,
  type Ref,
  type System,
  type SystemEvent,
  VirtualClock,
} from '#src/actor/index.js';

type Message = { double: number; replyTo: Ref<number> } | { silent: Ref<number> } | { fail: Ref<number> };

const doubler: Behaviour<Message, null> = {
  name: 'doubler',
  start: () => null,
  receive(state, message, context) {
    if ('double' in message) context.tell(message.replyTo, message.double * 2);
    if ('fail' in message) throw new Error('no answer from me');
    return state;
  },
};

const double =
  (value: number) =>
  (replyTo: Ref<number>): Message => ({ double: value, replyTo });
const silent = (replyTo: Ref<number>): Message => ({ silent: replyTo });

const code =
  (expected: AskErrorCode) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof AskError, String(error));
    assert.equal(error.code, expected);
    return true;
  };

function stage(): { system: System; clock: VirtualClock; events: SystemEvent[]; ref: Ref<Message> } {
  const clock = new VirtualClock();
  const events: SystemEvent[] = [];
  const system = createSystem({ clock, observe: (event) => events.push(event) });
  return { system, clock, events, ref: system.spawn(doubler, undefined) };
}

test('ask resolves with the answer, and leaves no timer behind', async () => {
  const { system, clock, ref } = stage();
  const answers = await Promise.all([1, 2, 3].map((value) => system.ask(ref, double(value))));
  assert.deepEqual(answers, [2, 4, 6]);
  assert.equal(clock.pending, 0);
});

test('ask gives up after its time limit, five seconds by default', async () => {
  const { system, clock, ref } = stage();
  for (const [timeout, options] of [
    [5_000, undefined],
    [70, { timeout: 70 }],
  ] as const) {
    let over = false;
    const asked = system.ask(ref, silent, options).finally(() => {
      over = true;
    });
    const outcome = assert.rejects(asked, code('ERR_ASK_TIMEOUT'));
    clock.advance(timeout - 1);
    await system.settle();
    assert.equal(over, false);
    clock.advance(1);
    await outcome;
  }
});

test('an answer that comes too late, and a second one, are dead letters', async () => {
  const { system, clock, events, ref } = stage();
  let late: Ref<number> | undefined;
  const asked = system.ask(ref, (replyTo: Ref<number>) => {
    late = replyTo;
    return silent(replyTo);
  });
  clock.advance(5_000);
  await assert.rejects(asked);
  assert.ok(late !== undefined);
  assert.equal(system.tell(late, 1), false);
  assert.deepEqual(events, [{ type: 'dead-letter', ref: late, reason: 'no-such-actor' }]);
});

test('ask gives up when its signal is aborted, with its reason, and at once if it already was', async () => {
  const { system, clock, ref } = stage();
  const controller = new AbortController();
  const outcome = assert.rejects(system.ask(ref, silent, { signal: controller.signal }), /enough/);
  controller.abort(new Error('enough'));
  await outcome;
  assert.equal(clock.pending, 0);
  let asked = false;
  const second = system.ask(
    ref,
    (replyTo: Ref<number>) => {
      asked = true;
      return silent(replyTo);
    },
    { signal: AbortSignal.abort(new Error('too late')) },
  );
  await assert.rejects(second, /too late/);
  assert.equal(asked, false, 'nothing was sent');
  assert.equal(clock.pending, 0);
});

test('a question that certainly will not be answered fails at once', async () => {
  const { system, clock, ref } = stage();
  const undelivered = code('ERR_ASK_UNDELIVERED');
  // Its actor throws on it.
  await assert.rejects(
    system.ask(ref, (replyTo: Ref<number>) => ({ fail: replyTo })),
    undelivered,
  );
  // Its actor ends before it takes it.
  const left = assert.rejects(system.ask(ref, silent), undelivered);
  system.stop(ref, 'now');
  await left;
  // There is no such actor.
  await assert.rejects(system.ask(ref, double(1)), undelivered);
  // Its actor refuses it, or drops it.
  for (const overflow of ['refuse', 'drop-newest', 'drop-oldest'] as const) {
    const full = system.spawn({ ...doubler, mailbox: { limit: 0, overflow } }, undefined);
    await assert.rejects(system.ask(full, double(1)), undelivered);
  }
  assert.equal(clock.pending, 0);
});

test('what makes the message may throw: the question is over', async () => {
  const { system, clock, ref } = stage();
  const broken = (): Message => {
    throw new Error('no message');
  };
  await assert.rejects(system.ask(ref, broken), /no message/);
  assert.throws(() => system.askNow(ref, broken), /no message/);
  assert.equal(clock.pending, 0);
});

test('closing the system fails the questions that wait', async () => {
  const { system, clock, ref } = stage();
  const waiting = assert.rejects(system.ask(ref, silent), code('ERR_ASK_UNDELIVERED'));
  await system.settle();
  await system.close();
  await waiting;
  assert.equal(clock.pending, 0, 'no timer is left');
  await assert.rejects(system.ask(ref, double(1)), code('ERR_ASK_UNDELIVERED'));
});

test('askNow runs the actors of the calling thread until there is an answer', () => {
  const { system, clock, ref } = stage();
  assert.equal(system.askNow(ref, double(21)), 42);
  assert.throws(() => system.askNow(ref, silent), code('ERR_ASK_TIMEOUT'));
  system.stop(ref, 'now');
  assert.throws(() => system.askNow(ref, double(1)), code('ERR_ASK_UNDELIVERED'));
  assert.equal(clock.pending, 0);
});

test('askNow answers although another actor never runs out of messages, and gives up in its time if there is no answer', () => {
  const { system, ref } = stage();
  const endless = system.spawn<'on', null, void>(
    {
      name: 'endless',
      start: () => null,
      receive(state, message, context) {
        context.tell(context.self, message);
        return state;
      },
    },
    undefined,
  );
  system.tell(endless, 'on');
  assert.equal(system.askNow(ref, double(4)), 8);
  const start = performance.now();
  assert.throws(() => system.askNow(ref, silent, 50), code('ERR_ASK_TIMEOUT'));
  assert.ok(performance.now() - start < 3_000);
  system.stop(endless, 'now');
});

test('askNow inside an actor is refused, and says so', () => {
  const { system, ref } = stage();
  const asking = system.spawn<{ replyTo: Ref<string> }, null, void>(
    {
      name: 'asking',
      start: () => null,
      receive(state, { replyTo }, context) {
        try {
          system.askNow(ref, double(1));
        } catch (error) {
          context.tell(replyTo, String(error));
        }
        return state;
      },
    },
    undefined,
  );
  assert.match(
    system.askNow(asking, (replyTo: Ref<string>) => ({ replyTo })),
    /inside an actor/,
  );
});
