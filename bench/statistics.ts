/** The few statistics of the bench, and how its figures are written. */

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

/** The ratio of the medians of two samples, and the range of the ratios run by run. Both have at least one value. */
export function ratio(a: readonly number[], b: readonly number[]): Spread {
  const median = spread(a).median / spread(b).median;
  // Where a run lacks the figure, it is not known which ones belong together.
  if (a.length !== b.length) return { median, min: median, max: median };
  const { min, max } = spread(a.map((value, run) => value / (b[run] ?? Number.NaN)));
  return { median, min, max };
}

/** Made once: making one takes far longer than using it. */
const threeDigits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });

/** Three significant digits, whole where it is 100 or more: `617,000`, `4.95`, `0.0712`; a dash where there is no number. */
export function figure(value: number): string {
  return Number.isFinite(value) ? threeDigits.format(value) : '–';
}

/** The lowest and the highest, `4.90–5.02`; empty where they are the same. */
export function rangeFigure({ min, max }: Spread): string {
  return min === max ? '' : `${figure(min)}–${figure(max)}`;
}
