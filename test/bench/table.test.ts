/** The table of a report: medians, ranges, and ratios of runs that belong together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '#bench/report.js';
import { figure, rangeFigure, ratio, spread } from '#bench/statistics.js';
import { rowsOf, tableLines } from '#bench/table.js';
import { sample } from './sample.js';

/** A report of one figure. */
const reportOf = (contenders: string[], samples: Record<string, number[]>): Report => ({
  contenders,
  figures: [{ title: 'events/s', better: 'more', samples }],
  curves: [],
  distributions: [],
  notes: [],
});

test('the median of an odd number of runs is the middle one, of an even number the mean of the middle two', () => {
  assert.deepEqual(spread([3, 1, 2]), { median: 2, min: 1, max: 3 });
  assert.deepEqual(spread([10, 4, 1, 2]), { median: 3, min: 1, max: 10 });
  assert.deepEqual(spread([7]), { median: 7, min: 7, max: 7 });
});

test('a ratio is that of the medians, and its range is that of the ratios run by run', () => {
  // Run by run 2, 10 and 2; the medians are 20 and 5.
  assert.deepEqual(ratio([10, 50, 20], [5, 5, 10]), { median: 4, min: 2, max: 10 });
});

test('where a run lacks the figure, runs are not paired', () => {
  assert.deepEqual(ratio([10, 50, 20], [5, 10]), { median: 20 / 7.5, min: 20 / 7.5, max: 20 / 7.5 });
});

test('a figure has three significant digits, and a dash where there is no number', () => {
  assert.deepEqual([617_499, 4.951, 0.071_23, 100, 0].map(figure), ['617,000', '4.95', '0.0712', '100', '0']);
  assert.deepEqual([Number.NaN, 1 / 0].map(figure), ['–', '–']);
  assert.equal(rangeFigure({ median: 2, min: 1, max: 3 }), '1–3');
  assert.equal(rangeFigure({ median: 2, min: 2, max: 2 }), '');
});

test('the table has a column for each contender, and one for the ratio to each rival', () => {
  assert.deepEqual(tableLines(sample.report), [
    '                                         callboard                    baseline        ws         callboard/baseline   callboard/ws',
    '─'.repeat(130),
    'events/s ↑               563,000 (550,000–571,000)   199,000 (191,000–201,000)   705,000            2.83 × (2.74–3)        0.799 ×',
    'main thread µs/event ↓            0.35 (0.34–0.37)                 4.9 (4.8–5)         –    0.0714 × (0.068–0.0771)              –',
    'GET p99 ms ↓                             10 (9–14)               737 (698–790)       3.1   0.0136 × (0.0129–0.0177)         3.23 ×',
    '↑ more is better, ↓ less. Medians, with the lowest and the highest of the runs; of ratios, of those run by run.',
    'erlang is skipped: there is no erl on this machine.',
  ]);
});

test('one contender has no ratio', () => {
  const [heading = '', , row = ''] = tableLines(reportOf(['127.0.0.1:80'], { '127.0.0.1:80': [1, 2, 3] }));
  assert.deepEqual(heading.trim(), '127.0.0.1:80');
  assert.deepEqual(row, 'events/s ↑        2 (1–3)');
});

test('a figure that one contender lacks is a dash, in its ratio too; one that all lack is left out', () => {
  assert.deepEqual(rowsOf(reportOf(['a', 'b'], { a: [1] })), [
    { title: 'events/s', better: 'more', cells: [{ median: 1, min: 1, max: 1 }, undefined], ratios: [undefined] },
  ]);
  assert.deepEqual(rowsOf(reportOf(['a', 'b'], { b: [1] }))[0]?.ratios, [undefined]);
  assert.deepEqual(rowsOf(reportOf(['a', 'b'], {})), []);
});

test('a report of any number of contenders, or none, has a table', () => {
  for (const count of [0, 1, 2, 5, 20]) {
    const names = Array.from({ length: count }, (_, index) => `c${index}`);
    const rows = rowsOf(reportOf(names, Object.fromEntries(names.map((name, index) => [name, [index + 1]]))));
    assert.deepEqual(
      rows.map(({ cells, ratios }) => [cells.length, ratios.length]),
      count === 0 ? [] : [[count, count - 1]],
    );
  }
});
