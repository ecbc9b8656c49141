/** The axes of charts: every value is on them, and the ticks are round and in order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Axis, linearAxis, logarithmicAxis, percentileAxis, valueAxis } from '#bench/axis.js';

const labels = ({ ticks }: Axis) => ticks.map(({ label }) => label);

test('a linear axis has round ticks, from 0 or from a little below the lowest', () => {
  assert.deepEqual(labels(linearAxis([0.9, 17.8], true)), ['0', '5', '10', '15', '20']);
  assert.deepEqual(labels(linearAxis([1000, 1300], false)), ['1K', '1.05K', '1.1K', '1.15K', '1.2K', '1.25K', '1.3K']);
  assert.deepEqual(labels(linearAxis([0, 0.3], true)), ['0', '0.05', '0.1', '0.15', '0.2', '0.25', '0.3']);
});

test('a logarithmic axis has a tick for each power of ten, and more where those are few', () => {
  assert.deepEqual(labels(logarithmicAxis([100, 100_000])), ['100', '1K', '10K', '100K']);
  assert.deepEqual(labels(logarithmicAxis([3, 40])), ['2', '5', '10', '20', '50']);
  assert.equal(logarithmicAxis([100, 10_000]).at(1000), 0.5);
  // Its logarithm, rounded, is 12.
  assert.deepEqual(labels(logarithmicAxis([999_999_999_999.998])), ['500B', '1T']);
});

test('values that are far apart get a logarithmic axis, others a linear one', () => {
  assert.equal(valueAxis([1, 49]).logarithmic, false);
  assert.equal(valueAxis([1, 51]).logarithmic, true);
  assert.equal(valueAxis([0, 3]).logarithmic, false);
});

test('on the axis of percentiles each nine is as wide as the one before, and the maximum ends it', () => {
  const axis = percentileAxis([0, 50, 90, 99, 99.9, 100]);
  assert.deepEqual(labels(axis), ['0 %', '50 %', '90 %', '99 %', '99.9 %', 'max']);
  const [zero, one, two, three] = [0, 90, 99, 99.9].map(axis.at);
  assert.ok(zero === 0);
  assert.ok(one && two && three && Math.abs(two - 2 * one) < 1e-9 && Math.abs(three - 3 * one) < 1e-9 && three < 1);
  assert.equal(axis.at(100), 1);
});

test('whatever the values are, each is on the axis, and a greater one is not before a smaller', () => {
  // Six digits: two values that differ in their last bit can't be told apart on any axis.
  const value = fc
    .oneof(fc.double({ min: 1e-12, max: 1e15, noNaN: true }), fc.nat(), fc.constantFrom(0, 1e-12))
    .map((one) => Number(one.toPrecision(6)));
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 20 }), (values) => {
      const percentiles = values.map((one) => one % 100.1).filter((one) => one <= 100);
      const axes: [Axis, number[]][] = [
        [linearAxis(values, true), values],
        [linearAxis(values, false), values],
        [logarithmicAxis(values), values],
        [valueAxis(values), values],
        [percentileAxis(percentiles), percentiles],
      ];
      for (const [axis, shown] of axes) {
        const places = [...shown].sort((a, b) => a - b).map(axis.at);
        for (const [index, place] of places.entries()) assert.ok(place >= (places[index - 1] ?? 0) && place <= 1);
        assert.ok(axis.ticks.length >= 2 && axis.ticks.length <= 40, labels(axis).join());
        for (const [index, { at }] of axis.ticks.entries())
          assert.ok(at > (axis.ticks[index - 1]?.at ?? -1) && at <= 1);
      }
    }),
  );
});
