/** What waits to be sent, against a channel that the test holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '#src/actor/clock.js';
import { type Channel, Outgoing } from '#src/client/outgoing.js';

/** What was sent to a channel, and its pings. */
function channel(bufferedAmount = 0) {
  const sent: string[] = [];
  const pings: string[] = [];
  const held: Channel & { bufferedAmount: number } = {
    bufferedAmount,
    send: (text) => void sent.push(text),
    ping: (payload) => void pings.push(payload),
  };
  return { sent, pings, held };
}

test('the answer to a ping confirms nothing that was not sent before it', async () => {
  const clock = new VirtualClock();
  const outgoing = new Outgoing(clock, 10);
  outgoing.add('m', 'mission.started', 't1', 'one');
  outgoing.add('m', 'mission.completed', 't2', 'two');
  let isConfirmed = false;
  // The socket has more to send than it may.
  const { sent, pings, held } = channel(2 * 1024 * 1024);
  outgoing.open(held);
  const confirmed = outgoing.confirmed().then(() => {
    isConfirmed = true;
  });
  for (const ping of pings.splice(0)) outgoing.onPong(ping);
  clock.advance(5_000);
  await Promise.resolve();
  assert.deepEqual([sent, isConfirmed], [[], false]);
  // It has sent that: and a cut comes, as nothing calls back.
  outgoing.close();
  const next = channel();
  outgoing.open(next.held);
  assert.deepEqual(next.sent, ['one', 'two']);
  for (const ping of next.pings.splice(0)) outgoing.onPong(ping);
  await confirmed;
});

test('a mission that is dropped takes no confirmation with it of what was sent for others', async () => {
  const clock = new VirtualClock();
  const outgoing = new Outgoing(clock, 10);
  const { sent, pings, held } = channel();
  outgoing.open(held);
  outgoing.add('gone', 'mission.started', 't1', 'one');
  outgoing.add('m', 'mission.started', 't2', 'two');
  held.bufferedAmount = 2 * 1024 * 1024;
  outgoing.add('m', 'mission.completed', 't3', 'three');
  outgoing.drop('gone');
  clock.advance(100);
  assert.deepEqual([sent, pings], [['one', 'two'], ['2']]);
});

test('64 MiB may wait, whatever the number of events', () => {
  const outgoing = new Outgoing(new VirtualClock(), 10_000);
  const text = 'é'.repeat(512 * 1024);
  for (let count = 1; count < 64; count++) outgoing.add('m', 'mission.progress', `t${count}`, text);
  assert.equal(outgoing.full, false);
  outgoing.add('m', 'mission.progress', 't64', text);
  assert.equal(outgoing.full, true);
  outgoing.drop('m');
  assert.equal(outgoing.full, false);
});
