/** Plain text tables and the figures in them. */
import type { Spread } from './statistics.js';

/** Lines of a table: the first row is the heading, the first column aligns left, the others right. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)));
  const [heading = [], ...body] = rows.map((row) => line(row).join('   ').trimEnd());
  return [heading, '─'.repeat(widths.reduce((sum, width) => sum + width + 3, -3)), ...body].map(String);
}

/** Three significant digits, whole where it is 100 or more: `617,000`, `4.95`, `0.0712`. */
export function figure(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 });
}

/** Median, and the range where there is one: `4.95 (4.90–5.02)`. */
export function spreadFigure({ median, min, max }: Spread, unit = ''): string {
  const range = min === max ? '' : ` (${figure(min)}–${figure(max)})`;
  return `${figure(median)}${unit}${range}`;
}
