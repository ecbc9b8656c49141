import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { waitBeforeDial, waitForReturn } from '#src/server/dial-schedule.js';

/** Below 1, as near as a number can be. */
const ALMOST_ONE = 1 - Number.EPSILON / 2;

test('a first dial comes after 2 to 3 s; then 1 to 2 s, doubled up to 15 to 30 s, and those at once when refused', () => {
  const bounds = [0, 1, 2, 3, 4, 5, 6, 1_000, Number.POSITIVE_INFINITY].map((failures) => [
    waitBeforeDial(failures, 0),
    Math.ceil(waitBeforeDial(failures, ALMOST_ONE)),
  ]);
  const longest = [15_000, 30_000];
  assert.deepEqual(bounds, [
    [2_000, 3_000],
    [1_000, 2_000],
    [2_000, 4_000],
    [4_000, 8_000],
    [8_000, 16_000],
    longest,
    longest,
    longest,
    longest,
  ]);
});

test('who has dialled by itself has 8 to 16 s to do so again', () => {
  assert.deepEqual([waitForReturn(0), Math.ceil(waitForReturn(ALMOST_ONE))], [8_000, 16_000]);
});

test('however often a dial has failed: a wait of 1 to 30 s, no shorter than after fewer failures, and spread by chance', () => {
  const chance = fc.integer({ min: 0, max: 999 }).map((thousandths) => thousandths / 1_000);
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5_000 }), chance, chance, (failures, one, other) => {
      const wait = waitBeforeDial(failures, one);
      assert.ok(wait >= 1_000 && wait <= 30_000);
      assert.ok(waitBeforeDial(failures + 1, one) >= wait);
      assert.ok(Math.abs(waitBeforeDial(failures, other) - wait) >= 999 * Math.abs(other - one));
    }),
  );
});
