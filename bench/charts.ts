/** The charts of the page, as inline SVG. Colours are classes that the page's style gives meaning to. */
import { type Axis, linearAxis, logarithmicAxis, percentileAxis, valueAxis } from './axis.js';
import { type Markup, markup } from './markup.js';
import type { Curve, Distribution } from './report.js';
import { figure, rangeFigure } from './statistics.js';
import type { Row } from './table.js';

/** By name: the class of a contender's colour, the same in every chart of a scenario. */
export type Colours = ReadonlyMap<string, string>;

const barsWidth = 340;
const barsPitch = 44;

/** A bar from 0 to the median of each contender, with a whisker from its lowest to its highest run. */
export function barChart({ title, cells }: Row, names: readonly string[], colours: Colours): Markup {
  const bars = cells.flatMap((cell, index) => (cell === undefined ? [] : [{ name: names[index] ?? '', ...cell }]));
  const longest = Math.max(...bars.map(({ max }) => max)) || 1;
  const x = (value: number) => round((value / longest) * (barsWidth - 2) + 1);
  return markup`<svg class="bars" viewBox="0 0 ${barsWidth} ${bars.length * barsPitch}" role="img" aria-label="${title}">
${bars.map(({ name, median, min, max }, index) => {
  const top = index * barsPitch;
  const middle = top + 28;
  const whisker = `M${x(min)} ${middle - 5}v10M${x(min)} ${middle}H${x(max)}M${x(max)} ${middle - 5}v10`;
  return markup`<text x="0" y="${top + 14}">${name}</text>
<text x="${barsWidth}" y="${top + 14}" text-anchor="end"><tspan class="value">${figure(median)}</tspan><tspan class="range" dx="6">${rangeFigure({ median, min, max })}</tspan></text>
<rect class="track" x="0" y="${top + 21}" width="${barsWidth}" height="14" rx="3" />
<rect class="fill ${colours.get(name) ?? ''}" x="0" y="${top + 21}" width="${Math.max(2, x(median))}" height="14" rx="3" />
${min === max ? '' : markup`<path class="whisker" d="${whisker}" />`}
`;
})}</svg>`;
}

/** Cost against size, say: a line for each contender. */
export function curveChart({ title, x, y, logX, points }: Curve, colours: Colours): Markup {
  const lines = Object.entries(points).filter(([, line]) => line.length > 0);
  const all = lines.flatMap(([, line]) => line);
  const sizes = all.map(([size]) => size);
  return lineChart({
    title,
    lines,
    colours,
    across: { axis: logX ? logarithmicAxis(sizes) : linearAxis(sizes, false), label: x },
    up: { axis: valueAxis(all.map(([, value]) => value)), label: y },
  });
}

/** Latency by percentile: a line for each contender. */
export function distributionChart({ title, percentiles }: Distribution, colours: Colours): Markup {
  const lines = Object.entries(percentiles).filter(([, line]) => line.length > 0);
  const all = lines.flatMap(([, line]) => line);
  return lineChart({
    title,
    lines,
    colours,
    across: { axis: percentileAxis(all.map(([percentile]) => percentile)), label: 'percentile' },
    up: { axis: valueAxis(all.map(([, value]) => value)), label: 'ms' },
  });
}

interface LineChart {
  title: string;
  lines: [name: string, points: [x: number, y: number][]][];
  colours: Colours;
  across: { axis: Axis; label: string };
  up: { axis: Axis; label: string };
}

/** In units of the drawing: the whole, and the plot in it. */
const size = { width: 520, height: 300 };
const plot = { left: 48, right: 500, top: 28, bottom: 252 };
/** Lines of no more points have a dot at each, which tells its values when pointed at. */
const mostDots = 30;

function lineChart({ title, lines, colours, across, up }: LineChart): Markup {
  const x = (at: number) => round(plot.left + at * (plot.right - plot.left));
  const y = (at: number) => round(plot.bottom - at * (plot.bottom - plot.top));
  const upLabel = up.axis.logarithmic ? `${up.label}, logarithmic` : up.label;
  return markup`<svg class="lines" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${title}">
<text class="axis" x="0" y="14">${upLabel}</text>
<text class="axis" x="${plot.right}" y="${size.height - 6}" text-anchor="end">${across.label}</text>
${up.axis.ticks.map(
  ({ at, label }) => markup`<path class="grid" d="M${plot.left} ${y(at)}H${plot.right}" />
<text class="tick" x="${plot.left - 8}" y="${y(at) + 4}" text-anchor="end">${label}</text>
`,
)}${across.axis.ticks.map(
  ({ at, label }) => markup`<path class="grid" d="M${x(at)} ${plot.top}V${plot.bottom}" />
<text class="tick" x="${x(at)}" y="${plot.bottom + 18}" text-anchor="middle">${label}</text>
`,
)}<path class="base" d="M${plot.left} ${plot.bottom}H${plot.right}" />
${lines.map(([name, points]) => {
  const places = points.map(([across_, up_]) => `${x(across.axis.at(across_))} ${y(up.axis.at(up_))}`);
  const colour = colours.get(name) ?? '';
  return markup`<path class="line ${colour}" d="M${places.join('L')}"><title>${name}</title></path>
${points.length > mostDots ? '' : points.map((point) => dot(point))}`;

  function dot([across_, up_]: [number, number]): Markup {
    return markup`<circle class="dot ${colour}" cx="${x(across.axis.at(across_))}" cy="${y(up.axis.at(up_))}" r="4"><title>${name}: ${figure(up_)} ${up.label} at ${across_.toLocaleString('en')} ${across.label}</title></circle>
`;
  }
})}</svg>`;
}

/** A tenth of a pixel is fine enough, and keeps the page small. */
function round(value: number): number {
  return Math.round(value * 10) / 10;
}
