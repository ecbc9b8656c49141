import assert from 'node:assert/strict';
import { test } from 'node:test';
import { realClock } from '../../src/client/clock.js';

test('a wait of more than the 25 days that setTimeout can do is not over at once', async () => {
  let isOver = false;
  const cancel = realClock.after(2 ** 31, () => {
    isOver = true;
  });
  await new Promise<void>((resolve) => {
    realClock.after(5, resolve);
  });
  cancel();
  assert.equal(isOver, false);
});
