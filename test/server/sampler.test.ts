import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Sampler } from '#src/server/sampler.js';

test('of a flood, fifty lines of a kind are written in a second, and a few more that say how many there are', () => {
  let now = 5_000;
  const sampler = new Sampler(() => now);
  const admitted = (kind: string, lines: number) =>
    Array.from({ length: lines }, (_, index) => index + 1).filter(() => sampler.admits(kind));
  const first = Array.from({ length: 50 }, (_, index) => index + 1);
  assert.deepEqual(admitted('a', 1_000), [...first, 100, 200, 400, 800]);
  assert.equal(admitted('b', 10).length, 10, 'another kind');
  now += 1_000;
  assert.equal(admitted('a', 10).length, 10, 'another second');
});
