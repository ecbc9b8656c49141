import assert from 'node:assert/strict';
import { once } from 'node:events';
import { afterEach, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { MessagePort } from 'node:worker_threads';
import type { BatchReader } from '#src/lane/batch.js';
import { createLaneEnds, Lane, type LaneOptions } from '#src/lane/lane.js';

const open: Lane[] = [];
afterEach(() => {
  for (const lane of open.splice(0)) lane.close();
});

interface End {
  readonly lane: Lane;
  readonly port: MessagePort;
  readonly batches: BatchReader[];
  readonly messages: unknown[];
  readonly drains: number[];
  readonly uncloneable: [number, unknown][];
}

/** Two ends of one lane, both on this thread. What arrives is read, but acknowledged by the test only. */
function makeLane(options: Partial<LaneOptions> = {}): [End, End] {
  const [one, two] = createLaneEnds();
  const ends = [one, two].map((end): End => {
    const batches: BatchReader[] = [];
    const messages: unknown[] = [];
    const drains: number[] = [];
    const uncloneable: [number, unknown][] = [];
    const lane = new Lane(end, {
      onBatch: (batch) => {
        batches.push(batch);
        while (!batch.done) messages.push(batch.next());
      },
      onDrain: () => drains.push(lane.inFlight),
      onUncloneable: (address, message) => uncloneable.push([address, message]),
      ...options,
    });
    open.push(lane);
    return { lane, port: end.port, batches, messages, drains, uncloneable };
  });
  const [here, there] = ends;
  assert.ok(here && there);
  return [here, there];
}

const arrival = ({ port }: End): Promise<unknown> => once(port, 'message');
const kilobyte = (): Uint8Array => new Uint8Array(1024);

test('what is sent in one turn of the event loop crosses as one batch, bytes and objects in the order sent', async () => {
  const [here, there] = makeLane();
  here.lane.send(1, 'text');
  here.lane.send(2, Uint8Array.of(1));
  here.lane.send(3, { an: 'object' });
  here.lane.send(4, Uint8Array.of(2));
  assert.equal(there.lane.receiveNow(0), false, 'nothing crosses before the end of the turn');
  await arrival(there);
  assert.equal(there.batches.length, 1);
  assert.deepEqual(there.messages, ['text', Uint8Array.of(1), { an: 'object' }, Uint8Array.of(2)]);
});

test('a large batch does not wait for the end of the turn', () => {
  const [here, there] = makeLane();
  here.lane.send(1, new Uint8Array(300 * 1024));
  assert.equal(there.lane.receiveNow(0), true);
});

test('a lane is saturated while what is not yet processed exceeds the high-water mark, and says when it has drained', async () => {
  const [here, there] = makeLane({ highWater: 4 * 1024 });
  for (let i = 0; i < 5; i++) {
    assert.equal(here.lane.saturated, i >= 4);
    here.lane.send(1, kilobyte());
    here.lane.flush();
    assert.equal(there.lane.receiveNow(0), true);
  }
  for (const { weight } of there.batches.slice(0, 2)) there.lane.acknowledge(weight);
  await turn();
  assert.equal(here.lane.saturated, false);
  assert.deepEqual(here.drains, [], 'not before half of the mark');
  const drained = arrival(here);
  for (const { weight } of there.batches.slice(2)) there.lane.acknowledge(weight);
  await drained;
  assert.equal(here.drains.length, 1);
  assert.equal(here.lane.inFlight, 0);
});

test('nothing goes back for a batch unless the sender waits for it', async () => {
  const [here, there] = makeLane();
  here.lane.send(1, 'text');
  here.lane.flush();
  there.lane.receiveNow(0);
  for (const { weight } of there.batches) there.lane.acknowledge(weight);
  assert.equal(here.lane.receiveNow(0), false);
});

test('far above its mark a lane refuses messages, except urgent ones', () => {
  const [here] = makeLane({ highWater: 1024 });
  let taken = 0;
  while (here.lane.send(1, kilobyte())) assert.ok(++taken < 100);
  assert.ok(taken >= 60 && taken <= 64, `${taken} kB were taken`);
  assert.equal(here.lane.send(1, 'urgent', true), true);
});

test('the counters may wrap around: a lane that carried gigabytes still knows what is in flight', () => {
  const [one, two] = createLaneEnds();
  const handlers = { onDrain: () => undefined, onUncloneable: () => undefined };
  const here = new Lane(one, { ...handlers, onBatch: () => undefined });
  const there = new Lane(two, { ...handlers, onBatch: (batch) => there.acknowledge(batch.weight) });
  open.push(here, there);
  const large = new Uint8Array(2 ** 26);
  for (let sent = 0; sent < 34; sent++) {
    assert.equal(here.inFlight, 0);
    assert.equal(here.send(1, large), true);
    assert.ok(here.inFlight > large.length);
    assert.equal(there.receiveNow(1_000), true);
  }
});

test('a message that can not be cloned is reported and loses only itself', async () => {
  const [here, there] = makeLane();
  const uncloneable = { callback: () => undefined };
  here.lane.send(1, Uint8Array.of(1));
  here.lane.send(-2, uncloneable);
  here.lane.send(3, { fine: true });
  here.lane.send(4, Uint8Array.of(2));
  await arrival(there);
  assert.deepEqual(here.uncloneable, [[-2, uncloneable]]);
  assert.deepEqual(there.messages, [Uint8Array.of(1), { fine: true }, Uint8Array.of(2)]);
  for (const { weight } of there.batches) there.lane.acknowledge(weight);
  assert.equal(here.lane.inFlight, 0, 'what was left out is not in flight for ever');
});

test('large buffers are handed over, and not lost to a neighbour that can not be cloned, nor to being sent twice', async () => {
  const [here, there] = makeLane();
  const large = (byte: number): Uint8Array => new Uint8Array(20_000).fill(byte);
  const [alone, beside, twice] = [large(1), large(2), large(3)];
  here.lane.transfer(1, alone);
  await arrival(there);
  assert.equal(alone.length, 0, 'moved');
  here.lane.transfer(1, beside);
  here.lane.send(1, () => undefined);
  await arrival(there);
  here.lane.transfer(1, twice);
  here.lane.transfer(1, twice);
  await arrival(there);
  assert.deepEqual(there.messages, [large(1), large(2), large(3), large(3)]);
  for (const { weight } of there.batches) there.lane.acknowledge(weight);
  assert.equal(here.lane.inFlight, 0);
  here.lane.close();
  assert.equal(here.lane.transfer(1, large(4)), false);
});

test('a batch of nothing but uncloneable messages leaves nothing in flight', async () => {
  const [here, there] = makeLane();
  here.lane.send(1, () => undefined);
  await arrival(there);
  assert.deepEqual(there.messages, []);
  for (const { weight } of there.batches) there.lane.acknowledge(weight);
  assert.equal(here.lane.inFlight, 0);
});

test('a closed lane posts what it had, then takes nothing, receives nothing and throws nothing', async () => {
  const [here, there] = makeLane();
  here.lane.send(1, 'last words');
  here.lane.close();
  here.lane.close();
  assert.equal(here.lane.send(1, 'too late'), false);
  here.lane.flush();
  here.lane.acknowledge(100);
  const start = performance.now();
  assert.equal(here.lane.receiveNow(5_000), false);
  assert.ok(performance.now() - start < 1_000, 'at once');
  await arrival(there);
  assert.deepEqual(there.messages, ['last words']);
});

test('the other side may be closed while messages and acknowledgements are under way', async () => {
  const [here, there] = makeLane({ highWater: 1024 });
  here.lane.send(1, kilobyte());
  assert.equal(here.lane.saturated, true);
  await arrival(there);
  const closed = once(there.port, 'close');
  here.lane.close();
  for (const { weight } of there.batches) there.lane.acknowledge(weight);
  there.lane.send(1, 'to nobody');
  there.lane.flush();
  await closed;
  there.lane.send(1, 'to nobody');
  there.lane.flush();
});

test('receiving without the event loop waits for a batch, and no longer than it was told', () => {
  const [, there] = makeLane();
  const start = performance.now();
  assert.equal(there.lane.receiveNow(30), false);
  assert.ok(performance.now() - start >= 29);
});
