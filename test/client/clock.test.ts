import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '#src/client/clock.js';

test('a wait of more than the 25 days that setTimeout can do is not over at once', async () => {
  let isOver = false;
  const cancel = systemClock.after(2 ** 31, () => {
    isOver = true;
  });
  await new Promise<void>((resolve) => {
    systemClock.after(5, resolve);
  });
  cancel();
  assert.equal(isOver, false);
});
