import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Progress, progressLine } from '#src/cli/progress.js';

const missions = { unit: 'missions' };

test('progress is told in a bar, numbers and the time that is left', () => {
  assert.equal(
    progressLine(missions, 1_000, 4_000, 2),
    '[######                  ]  25%  1,000 of 4,000 missions, 500 per second, 6 s left',
  );
  assert.match(progressLine(missions, 1, 1_000, 1), / 0% .*, 1 per second, 16 min 39 s left$/);
  assert.match(progressLine(missions, 1, 100_000, 1), /, 27 h 46 min left$/);
  assert.match(progressLine(missions, 4_000, 4_000, 2), /^\[#{24}\] 100% .*, 0 s left$/);
});

test('progress is told without an end, and without a beginning', () => {
  assert.equal(progressLine(missions, 1_000, undefined, 2), '1,000 missions, 500 per second');
  assert.match(progressLine(missions, 0, 0, 0), /^\[#{24}\] 100% {2}0 of 0 missions, 0 per second$/);
  assert.match(progressLine(missions, 0, 10, 0), /^\[ {24}\] {3}0% {2}0 of 10 missions, 0 per second$/);
});

test('progress is shown on a terminal only, within its width, and taken away', () => {
  for (const isTTY of [true, false]) {
    const written: string[] = [];
    const progress = new Progress({ isTTY, columns: 20, write: (text) => written.push(text) }, missions, 10);
    progress.show(1);
    progress.show(2); // Too soon after the other.
    progress.clear();
    assert.deepEqual(written, isTTY ? ['\r\x1b[K[##                ', '\r\x1b[K'] : []);
  }
});
