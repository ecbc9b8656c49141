/** Latencies in HDR histograms: three significant digits from a microsecond to an hour. */
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js';
import * as v from 'valibot';
import { figureOf } from './compare.js';
import type { Distribution, Figure } from './report.js';

/** In milliseconds; the histogram as HdrHistogram encodes it, compressed, in base64, and in microseconds. */
export const latencySchema = v.object({
  count: v.number(),
  p50: v.number(),
  p99: v.number(),
  max: v.number(),
  histogram: v.string(),
});

export type Latency = v.InferOutput<typeof latencySchema>;

/** Where distributions are read. */
const percentiles = [0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100];

/** Collects latencies. */
export class Latencies {
  readonly #histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 3_600_000_000 });

  /** @param ms less than zero counts as zero: the clocks of two processors may differ by a little */
  record(ms: number): void {
    this.#histogram.recordValue(Math.max(0, Math.round(ms * 1000)));
  }

  summary(): Latency {
    const histogram = this.#histogram;
    return {
      count: histogram.totalCount,
      p50: histogram.getValueAtPercentile(50) / 1000,
      p99: histogram.getValueAtPercentile(99) / 1000,
      max: histogram.maxValue / 1000,
      histogram: encodeIntoCompressedBase64(histogram),
    };
  }
}

/** Three lines of the report: p50, p99 and the longest, in milliseconds. */
export function latencyFigures<Result>(
  what: string,
  results: ReadonlyMap<string, readonly Result[]>,
  read: (result: Result) => Latency,
): Figure[] {
  return [
    figureOf(`${what}, p50 ms`, 'less', results, (result) => read(result).p50),
    figureOf(`${what}, p99 ms`, 'less', results, (result) => read(result).p99),
    figureOf(`${what}, max ms`, 'less', results, (result) => read(result).max),
  ];
}

/** The distribution of each contender, over all of its runs together. */
export function distributionOf<Result>(
  title: string,
  results: ReadonlyMap<string, readonly Result[]>,
  read: (result: Result) => Latency,
): Distribution {
  const byContender = Array.from(results, ([name, runs]) => {
    const all = merge(runs.map((run) => read(run).histogram));
    const points = percentiles.map((p): [number, number] => [p, all.getValueAtPercentile(p) / 1000]);
    return [name, points] as const;
  });
  return { title, percentiles: Object.fromEntries(byContender) };
}

function merge(encoded: readonly string[]): Histogram {
  const sum = build({ lowestDiscernibleValue: 1, highestTrackableValue: 3_600_000_000 });
  for (const histogram of encoded) sum.add(decodeFromCompressedBase64(histogram));
  return sum;
}
