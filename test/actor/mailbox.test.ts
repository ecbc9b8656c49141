import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Behaviour, createSystem, type MailboxLimit, type Ref, type SystemEvent } from '#src/actor/index.js';

function stage() {
  const events: SystemEvent[] = [];
  const system = createSystem({ schedule: 'manual', observe: (event) => events.push(event) });
  return { system, events };
}

/** Keeps what it is told in a list that outlives it. */
const keeper = (mailbox?: MailboxLimit): Behaviour<unknown, unknown[], unknown[]> => ({
  name: 'keeper',
  ...(mailbox && { mailbox }),
  start: (kept) => kept,
  receive(kept, message) {
    kept.push(message);
    return kept;
  },
});

test('a full mailbox refuses, drops the newest or drops the oldest, as its behaviour says, and counts each dead letter', () => {
  const overflows = fc.constantFrom<MailboxLimit['overflow']>('refuse', 'drop-newest', 'drop-oldest');
  fc.assert(
    fc.property(
      overflows,
      fc.nat({ max: 5 }),
      fc.nat({ max: 12 }),
      fc.nat({ max: 12 }),
      (overflow, limit, first, second) => {
        const { system, events } = stage();
        const kept: unknown[] = [];
        const ref = system.spawn(keeper({ limit, overflow }), kept);
        const expected: number[] = [];
        let dead = 0;
        let next = 0;
        for (const count of [first, second]) {
          const waiting: number[] = [];
          for (let i = 0; i < count; i++) {
            const full = waiting.length >= limit;
            assert.equal(system.tell(ref, next), !(full && overflow === 'refuse'));
            if (full) dead++;
            if (full && overflow === 'drop-oldest') waiting.shift();
            if (!full || (overflow === 'drop-oldest' && limit > 0)) waiting.push(next);
            next++;
          }
          expected.push(...waiting);
          system.run();
        }
        assert.deepEqual(kept, expected);
        assert.equal(events.length, dead);
        assert.ok(
          events.every((event) => event.type === 'dead-letter' && event.ref === ref && event.reason === 'mailbox-full'),
        );
      },
    ),
  );
});

test('messages arrive in the order in which they were told', () => {
  fc.assert(
    fc.property(fc.array(fc.anything()), (messages) => {
      const { system } = stage();
      const kept: unknown[] = [];
      const ref = system.spawn(keeper(), kept);
      for (const message of messages) system.tell(ref, message);
      system.run();
      assert.deepEqual(kept, messages);
    }),
  );
});

test('by default ten thousand messages may wait, and the next is refused', () => {
  const { system } = stage();
  const ref = system.spawn(keeper(), []);
  for (let i = 0; i < 10_000; i++) assert.equal(system.tell(ref, i), true);
  assert.equal(system.tell(ref, 'one too many'), false);
});

test('a stop that waits in a mailbox of the dropping kind is not dropped, nor put off by what comes later', () => {
  const { system, events } = stage();
  const kept: unknown[] = [];
  const ref = system.spawn(keeper({ limit: 3, overflow: 'drop-oldest' }), kept);
  system.tell(ref, 'before');
  system.stop(ref);
  for (let i = 0; i < 5; i++) system.tell(ref, `after ${i}`);
  system.run();
  assert.deepEqual(kept, [], 'the oldest gave way');
  assert.equal(system.tell(ref, 'gone'), false);
  assert.equal(events.length, 7, 'every message but the stop became a dead letter');
});

test('a mailbox that holds nothing but signals drops the message, not the signals', () => {
  const { system } = stage();
  const heard: unknown[] = [];
  const parent: Behaviour<'message', Ref<'x'>> = {
    name: 'parent',
    mailbox: { limit: 1, overflow: 'drop-oldest' },
    start: (_, context) => context.spawn({ name: 'child', start: () => null, receive: () => null }, undefined),
    receive(child, message) {
      heard.push(message);
      return child;
    },
    ended(child, { reason }) {
      heard.push(reason);
      return child;
    },
  };
  let child: Ref<'x'> | undefined;
  const ref = system.spawn({ ...parent, start: (args, context) => (child = parent.start(args, context)) }, undefined);
  assert.ok(child !== undefined);
  system.stop(child, 'now');
  assert.equal(system.tell(ref, 'message'), true);
  system.run();
  assert.deepEqual(heard, ['stopped']);
});

test('what is told to nobody, or left by an actor that ends, is a dead letter: observable, and counted in the stats', async () => {
  const { system, events } = stage();
  const ref = system.spawn(keeper(), []);
  system.tell(ref, 1);
  system.tell(ref, 2);
  system.stop(ref, 'now');
  system.tell(ref, 3);
  assert.deepEqual(events, [
    { type: 'dead-letter', ref, reason: 'actor-ended' },
    { type: 'dead-letter', ref, reason: 'actor-ended' },
    { type: 'dead-letter', ref, reason: 'no-such-actor' },
  ]);
  assert.deepEqual(await system.stats(), [{ actors: 0, processed: 0, deadLetters: 3 }]);
});

test('busy actors take turns: one that never runs out of messages does not keep the others waiting', () => {
  const { system } = stage();
  let count = 0;
  let quick = 0;
  const chatty: Behaviour<'again', null> = {
    name: 'chatty',
    start: () => null,
    receive(_, message, context) {
      if (++count < 50_000) context.tell(context.self, message);
      return null;
    },
  };
  const busy = system.spawn(chatty, undefined);
  const other = system.spawn<'hello', null, void>(
    {
      name: 'other',
      start: () => null,
      receive: () => {
        quick = count;
        return null;
      },
    },
    undefined,
  );
  system.tell(busy, 'again');
  system.tell(other, 'hello');
  system.run();
  assert.equal(count, 50_000);
  assert.ok(quick <= 1_000, `the other one waited for ${quick} messages`);
});
