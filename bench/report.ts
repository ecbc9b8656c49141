/**
 * What a scenario reports: the figures of each contender, and what a chart of them needs. One schema for all scenarios,
 * so that the table, the JSON file and the HTML page are each made in one place.
 */
import * as v from 'valibot';

/** By contender: a value for each run; no entry where there is none. */
const samples = v.record(v.string(), v.array(v.number()));

/** A line of the table. */
export const figureSchema = v.object({
  /** With the unit: `events/s`, `main thread µs/event`. */
  title: v.string(),
  better: v.picklist(['more', 'less']),
  samples,
});

/** A line in a chart: cost against size, say. */
export const curveSchema = v.object({
  title: v.string(),
  /** What the axes show, with units. */
  x: v.string(),
  y: v.string(),
  /** Sizes that grow tenfold are drawn on a logarithmic axis. */
  logX: v.boolean(),
  /** By contender: points `[x, y]`, from left to right. */
  points: v.record(v.string(), v.array(v.tuple([v.number(), v.number()]))),
});

/** Latencies, as the percentiles of an HDR histogram. */
export const distributionSchema = v.object({
  title: v.string(),
  /** By contender: `[percentile, milliseconds]`, with percentiles from 0 to 100, rising. */
  percentiles: v.record(v.string(), v.array(v.tuple([v.number(), v.number()]))),
});

export const reportSchema = v.object({
  /** Callboard first; each other one is a rival, or a floor under Callboard: the same path with the work taken out. */
  contenders: v.array(v.string()),
  figures: v.array(figureSchema),
  curves: v.array(curveSchema),
  distributions: v.array(distributionSchema),
  /** What the reader should know: what was skipped, and why. */
  notes: v.array(v.string()),
});

export type Figure = v.InferOutput<typeof figureSchema>;
export type Curve = v.InferOutput<typeof curveSchema>;
export type Distribution = v.InferOutput<typeof distributionSchema>;
export type Report = v.InferOutput<typeof reportSchema>;
