/** The axes of a chart: where a value stands on one, and where its ticks are. */

/** From 0, its beginning, to 1, its end. */
export interface Axis {
  at(value: number): number;
  ticks: { at: number; label: string }[];
  logarithmic: boolean;
}

/** The most steps of a linear axis. */
const mostSteps = 6;
/** From this ratio of the highest to the lowest value on, a linear axis would hide the lowest. */
const tooFarApart = 50;

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });

function axis(values: readonly number[], scale: (value: number) => number, logarithmic: boolean): Axis {
  const start = scale(values[0] ?? 0);
  const length = scale(values.at(-1) ?? 1) - start;
  const at = (value: number) => Math.min(1, Math.max(0, (scale(value) - start) / length));
  return { at, ticks: values.map((value) => ({ at: at(value), label: compact.format(value) })), logarithmic };
}

/** From 0, or from a little below the lowest value if `fromZero` is false. Values may be any, but not negative. */
export function linearAxis(values: readonly number[], fromZero: boolean): Axis {
  const lowest = fromZero ? 0 : Math.min(...values);
  const highest = Math.max(...values);
  // Values that the digits of a tick can't tell apart are one.
  const range = highest - lowest > Math.abs(highest) * 1e-9 ? highest - lowest : Math.abs(lowest) || 1;
  const magnitude = 10 ** Math.floor(Math.log10(range / mostSteps));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((size) => range / size <= mostSteps) ?? range;
  const first = Math.floor(lowest / step);
  const steps = Math.ceil((lowest + range) / step - 1e-9) - first;
  // Multiplied, not added up, and rounded: 0.1 + 0.2 is not 0.3.
  const ticks = Array.from({ length: steps + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
  return axis(ticks, (value) => value, false);
}

/** Logarithmic. What is not above 0 stands at its beginning. */
export function logarithmicAxis(values: readonly number[]): Axis {
  const positive = values.filter((value) => value > 0);
  const [lowest, highest] = positive.length === 0 ? [1, 10] : [Math.min(...positive), Math.max(...positive)];
  // From one below on: the logarithm of what is just below a power of ten may be rounded up to that.
  const decades = Array.from(
    { length: Math.ceil(Math.log10(highest) - Math.log10(lowest)) + 4 },
    (_, index) => Math.floor(Math.log10(lowest)) - 1 + index,
  );
  const candidates = decades.flatMap((decade) => [1, 2, 5].map((factor) => Number(`${factor}e${decade}`)));
  const from = candidates.findLastIndex((value) => value <= lowest);
  const to = candidates.findIndex((value) => value >= highest && value > (candidates[from] ?? 0));
  const covering = candidates.slice(Math.max(0, from), to + 1);
  const result = axis(covering, Math.log10, true);
  // Over several decades only those have room for a label.
  if (covering.length > 8) result.ticks = result.ticks.filter((_, index) => isPowerOfTen(covering[index] ?? 0));
  return result;
}

const isPowerOfTen = (value: number) => Math.log10(value) % 1 === 0;

/** Linear from 0, or logarithmic where the values are too far apart for that. */
export function valueAxis(values: readonly number[]): Axis {
  const positive = values.filter((value) => value > 0);
  return Math.max(...positive) / Math.min(...positive) > tooFarApart
    ? logarithmicAxis(values)
    : linearAxis(values, true);
}

/**
 * Percentiles, each nine as wide as the one before: 90 %, 99 %, 99.9 %. The 100th would be infinitely far away; it stands
 * a little beyond the highest other one.
 */
export function percentileAxis(percentiles: readonly number[]): Axis {
  const highest = Math.max(50, ...percentiles.filter((percentile) => percentile < 100));
  const nines = (percentile: number) => -Math.log10(1 - percentile / 100);
  const end = nines(highest) + (percentiles.includes(100) ? 0.6 : 0);
  const at = (percentile: number) => Math.min(1, nines(percentile) / end);
  const rounds = Array.from({ length: Math.floor(nines(highest) + 1e-9) }, (_, index) =>
    Number((100 - 10 ** (1 - index)).toFixed(index + 1)),
  );
  const ticks = [0, 50, ...rounds].map((percentile) => ({ at: at(percentile), label: `${percentile} %` }));
  return {
    at,
    ticks: percentiles.includes(100) ? [...ticks, { at: 1, label: 'max' }] : ticks,
    logarithmic: true,
  };
}
