/** The life of an executor's connection, against a Callboard of which the test says every word. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { VirtualClock } from '../../src/actor/clock.js';
import { createExecutor } from '../../src/client/index.js';
import { until } from '../server/helpers.js';
import { inReverse } from './helpers.js';
import { scripted } from './scripted.js';

test('one that is told to give up while it catches up leaves nothing behind', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  let admit: (() => void) | undefined;
  callboard.onUpgrade = () =>
    new Promise((resolve) => {
      admit = () => resolve(101);
    });
  const clock = new VirtualClock();
  const stop = new AbortController();
  let mission: AbortSignal | undefined;
  const creating = createExecutor({
    url: callboard.url,
    executorId: randomUUID(),
    name: 'sdk',
    clock,
    signal: stop.signal,
    onDispatch: (assigned) => {
      mission = assigned.signal;
    },
  });
  creating.catch(() => undefined);
  t.after(() => stop.abort());
  const onDialled = await until(() => admit);
  const id = await callboard.dispatch();
  callboard.answer = (request) => (request.includes(id) ? new Promise(() => undefined) : undefined);
  onDialled();
  await until(() => callboard.requests.some((request) => request.includes(id)));
  const closed = once(callboard.sockets[0] ?? assert.fail(), 'close');
  stop.abort();
  await assert.rejects(creating, { name: 'AbortError' });
  await closed;
  assert.equal(mission?.aborted, true);
  assert.equal(clock.pending, 0);
});
