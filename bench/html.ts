/** The page that `--html` writes: all of it in one file, with nothing to fetch and no script. */
import { barChart, type Colours, curveChart, distributionChart } from './charts.js';
import { type Markup, markup } from './markup.js';
import type { Measurement } from './measurement.js';
import { pageStyle } from './page-style.js';
import type { Report } from './report.js';
import { figure, rangeFigure, type Spread } from './statistics.js';
import { ratioTitles, remarks, rowsOf, rowTitle } from './table.js';

/** How many colours the style has; further contenders have them again, dashed in line charts. */
const colourCount = 6;

/** The page as a text. */
export function htmlPage(measurements: readonly Measurement[]): string {
  const links = measurements.map(({ scenario }) => markup`<a href="#${scenario}">${scenario}</a>\n`);
  return markup`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<title>Callboard bench</title>
<style>${pageStyle}</style>
</head>
<body>
<header>
<h1>Callboard bench</h1>
${measurements.length === 0 ? markup`<p>Nothing has been measured yet.</p>` : markup`<nav>${links}</nav>`}
</header>
<main>
${measurements.map(section)}</main>
</body>
</html>
`.text;
}

function section({ scenario, shows, at, machine, node, parameters, report }: Measurement): Markup {
  const colours = coloursOf(report);
  const rows = rowsOf(report);
  const memory = `${figure(machine.memory / 2 ** 30)} GiB`;
  return markup`<section id="${scenario}">
<h2>${scenario}</h2>
<p class="shows">${shows}</p>
<p class="parameters">${Object.entries(parameters).map(
    ([name, value]) => markup`<span>${name} <b>${value.toLocaleString('en')}</b></span>\n`,
  )}</p>
<p class="machine">${machine.cores} × ${machine.cpu}, ${memory}, ${machine.platform}, Node ${node}, <time datetime="${at}">${at.slice(0, 16).replace('T', ' ')} UTC</time></p>
${rows.length === 0 ? '' : table(report)}
<ul class="remarks">
${remarks(report).map((remark) => markup`<li>${remark}</li>\n`)}</ul>
<div class="cards">
${rows.map((row) => card(rowTitle(row), barChart(row, report.contenders, colours)))}</div>
<div class="cards wide">
${report.curves
  .filter(({ points }) => hasPoints(points))
  .map((curve) => card(curve.title, legend(curve.points, colours), curveChart(curve, colours)))}
${report.distributions
  .filter(({ percentiles }) => hasPoints(percentiles))
  .map((distribution) =>
    card(distribution.title, legend(distribution.percentiles, colours), distributionChart(distribution, colours)),
  )}</div>
</section>
`;
}

function table(report: Report): Markup {
  const heading = (name: string) => markup`<th scope="col">${name}</th>`;
  return markup`<div class="scroll"><table>
<thead><tr><td></td>${report.contenders.map(heading)}${ratioTitles(report).map(heading)}</tr></thead>
<tbody>
${rowsOf(report).map(
  (row) =>
    markup`<tr><th scope="row">${rowTitle(row)}</th>${row.cells.map((cell) => tableCell(cell))}${row.ratios.map((cell) => tableCell(cell, ' ×'))}</tr>\n`,
)}</tbody>
</table></div>`;
}

function tableCell(cell: Spread | undefined, unit = ''): Markup {
  if (cell === undefined) return markup`<td>–</td>`;
  return markup`<td>${figure(cell.median)}${unit}<small>${rangeFigure(cell)}</small></td>`;
}

function card(title: string, ...content: Markup[]): Markup {
  return markup`<figure>
<figcaption>${title}</figcaption>
${content}
</figure>
`;
}

const hasPoints = (lines: Readonly<Record<string, readonly unknown[]>>) =>
  Object.values(lines).some((points) => points.length > 0);

/** Which colour is whose in a line chart; bars have their names beside them. */
function legend(lines: Readonly<Record<string, unknown>>, colours: Colours): Markup {
  return markup`<p class="legend">${Object.keys(lines).map(
    (name) => markup`<span><i class="${colours.get(name) ?? ''}"></i>${name}</span>\n`,
  )}</p>`;
}

/** Contenders first, so that Callboard has the first colour everywhere; a chart may have lines of other names, too. */
function coloursOf({ contenders, curves, distributions }: Report): Colours {
  const names = [
    ...contenders,
    ...curves.flatMap(({ points }) => Object.keys(points)),
    ...distributions.flatMap(({ percentiles }) => Object.keys(percentiles)),
  ];
  return new Map(
    [...new Set(names)].map((name, index) => [name, `c${index % colourCount}${index < colourCount ? '' : ' again'}`]),
  );
}
