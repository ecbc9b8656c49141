/** The few statistics that the bench prints. */

/** Median with the range it comes from. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** The spread of at least one value. The median of an even number is the mean of the middle two. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? Number.NaN;
  const last = sorted.length - 1;
  return { median: (at(last >> 1) + at((last + 1) >> 1)) / 2, min: at(0), max: at(last) };
}
