/** A measurement with everything that a report may have in it, for the tests of what shows one. */
import type { Measurement } from '#bench/measurement.js';

const percentiles = [0, 50, 75, 90, 99, 99.9, 99.99, 100];

/** Three contenders, of which one lacks a figure, and one has a single run. */
export const sample: Measurement = {
  scenario: 'pick',
  shows: 'What it costs to pick one of many executors, and how long others wait meanwhile.',
  at: '2026-01-31T12:00:00.000Z',
  machine: { cpu: 'Imaginary 9000', cores: 2, memory: 8 * 2 ** 30, platform: 'linux 6.1.0 x64' },
  node: 'v20.20.2',
  parameters: { executors: 100_000, runs: 3 },
  report: {
    contenders: ['callboard', 'baseline', 'ws'],
    figures: [
      {
        title: 'events/s',
        better: 'more',
        samples: { callboard: [563_000, 571_000, 550_000], baseline: [199_000, 190_500, 201_000], ws: [705_000] },
      },
      {
        title: 'main thread µs/event',
        better: 'less',
        samples: { callboard: [0.35, 0.34, 0.37], baseline: [4.9, 5, 4.8] },
      },
      {
        title: 'GET p99 ms',
        better: 'less',
        samples: { callboard: [10, 9, 14], baseline: [737, 698, 790], ws: [3.1] },
      },
      { title: 'measured by nobody', better: 'less', samples: {} },
    ],
    curves: [
      {
        title: 'Cost of one pick',
        x: 'executors',
        y: 'µs',
        logX: true,
        points: {
          callboard: [
            [100, 1.2],
            [1000, 1.3],
            [10_000, 1.4],
            [100_000, 1.9],
          ],
          baseline: [
            [100, 7.3],
            [1000, 71],
            [10_000, 722],
            [100_000, 7410],
          ],
        },
      },
      {
        title: 'Memory by missions',
        x: 'missions',
        y: 'kB',
        logX: false,
        points: {
          callboard: [
            [0, 0.9],
            [25, 6.8],
            [50, 13.4],
          ],
          baseline: [
            [0, 1.4],
            [25, 9.7],
            [50, 17.8],
          ],
        },
      },
    ],
    distributions: [
      {
        title: 'Event in to state change seen',
        percentiles: {
          callboard: percentiles.map((percentile, index) => [percentile, 0.2 * 1.9 ** index]),
          baseline: percentiles.map((percentile, index) => [percentile, 3 * 2.4 ** index]),
        },
      },
    ],
    notes: ['erlang is skipped: there is no erl on this machine.'],
  },
};
