/** A report's figures as a table: a column for each contender, and for each rival the ratio of Callboard's to its own. */
import type { Figure, Report } from './report.js';
import { figure, rangeFigure, ratio, type Spread, spread } from './statistics.js';

/** A line of the table. A cell is undefined where a contender has no such figure. */
export interface Row {
  title: string;
  better: Figure['better'];
  /** By contender, in the report's order. */
  cells: (Spread | undefined)[];
  /** The first contender's to each other one, in the same order: `undefined` where either has no such figure. */
  ratios: (Spread | undefined)[];
}

/** The rows of a report: a figure that nobody has is left out. */
export function rowsOf({ contenders, figures }: Report): Row[] {
  return figures.flatMap(({ title, better, samples }) => {
    const [first, ...others] = contenders.map((name) => samples[name] ?? []);
    if (first === undefined || [first, ...others].every((values) => values.length === 0)) return [];
    return [
      {
        title,
        better,
        cells: [first, ...others].map((values) => (values.length === 0 ? undefined : spread(values))),
        ratios: others.map((values) => (first.length === 0 || values.length === 0 ? undefined : ratio(first, values))),
      },
    ];
  });
}

/** What stands above the columns of the ratios: `callboard/baseline`. */
export function ratioTitles({ contenders: [first = '', ...others] }: Report): string[] {
  return others.map((name) => `${first}/${name}`);
}

/** What the table's arrows, figures and brackets mean, and then the notes of the report. */
export function remarks({ contenders, figures, notes }: Report): string[] {
  if (figures.length === 0) return notes;
  const ofRatios = contenders.length > 1 ? '; of ratios, of those run by run' : '';
  return [`↑ more is better, ↓ less. Medians, with the lowest and the highest of the runs${ofRatios}.`, ...notes];
}

/** A figure, `4.95 (4.90–5.02)` or, with ` ×` as the unit, a ratio, `4.95 × (4.90–5.02)`. */
function cellText(cell: Spread | undefined, unit = ''): string {
  if (cell === undefined) return '–';
  const range = rangeFigure(cell);
  return `${figure(cell.median)}${unit}${range === '' ? '' : ` (${range})`}`;
}

/** A figure's title with an arrow that points to where it gets better. */
export function rowTitle({ title, better }: Row): string {
  return `${title} ${better === 'more' ? '↑' : '↓'}`;
}

/** The report as lines on a terminal. */
export function tableLines(report: Report): string[] {
  const rows = rowsOf(report).map((row) => [
    rowTitle(row),
    ...row.cells.map((cell) => cellText(cell)),
    ...row.ratios.map((cell) => cellText(cell, ' ×')),
  ]);
  const heading = ['', ...report.contenders, ...ratioTitles(report)];
  const widths = heading.map((_, column) => Math.max(...[heading, ...rows].map((row) => row[column]?.length ?? 0)));
  const line = (row: string[]) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('   ')
      .trimEnd();
  const rule = '─'.repeat(widths.reduce((sum, width) => sum + width + 3, -3));
  return [line(heading), rule, ...rows.map(line), ...remarks(report)];
}
