/** The style of the page that `--html` writes, light or dark as the reader has it. */
import { Markup } from './markup.js';

export const pageStyle = new Markup(`
:root {
  color-scheme: light dark;
  --page: #f6f6f4; --card: #ffffff; --ink: #17191c; --soft: #5b6068; --edge: #dfe0dc; --track: #eeeeeb;
  --c0: #2a78d6; --c1: #eb6834; --c2: #1baf7a; --c3: #c48a00; --c4: #d9669a; --c5: #6a5acd;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131416; --card: #1c1e21; --ink: #eceded; --soft: #a0a5ad; --edge: #33363b; --track: #292c30;
    --c0: #4f9bf0; --c1: #f0824f; --c2: #2cc08a; --c3: #d9a21b; --c4: #e680ae; --c5: #9a8cf0;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1120px; padding: 40px 24px 80px; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
}
h1 { margin: 0; font-size: 28px; letter-spacing: -0.02em; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin-top: 8px; }
a { color: var(--c0); text-decoration: none; }
a:hover { text-decoration: underline; }
section { margin-top: 32px; padding-top: 24px; border-top: 1px solid var(--edge); }
h2 { margin: 0; font-size: 22px; letter-spacing: -0.01em; }
.shows { margin: 4px 0 14px; max-width: 70ch; font-size: 16px; }
.parameters { display: flex; flex-wrap: wrap; gap: 6px; margin: 0 0 8px; }
.parameters span {
  padding: 1px 10px; border: 1px solid var(--edge); border-radius: 99px; background: var(--card);
  color: var(--soft); font-size: 13px;
}
.parameters b { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums; }
.machine { margin: 0 0 20px; color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; border: 1px solid var(--edge); border-radius: 10px; background: var(--card); }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 8px 16px; text-align: right; white-space: nowrap; vertical-align: baseline; }
tr > :first-child { text-align: left; }
thead th { color: var(--soft); font-size: 13px; font-weight: 600; }
tbody tr { border-top: 1px solid var(--edge); }
tbody th { font-weight: 500; }
td { font-weight: 600; }
td small { display: block; color: var(--soft); font-size: 12px; font-weight: 400; }
.remarks { margin: 10px 0 20px; padding-left: 18px; color: var(--soft); font-size: 13px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 16px; }
figure { margin: 0; padding: 14px 18px 16px; border: 1px solid var(--edge); border-radius: 10px; background: var(--card); }
section > .cards + .cards { margin-top: 16px; }
.cards.wide { grid-template-columns: repeat(auto-fill, minmax(min(440px, 100%), 1fr)); }
figcaption { margin-bottom: 8px; font-weight: 600; }
svg { display: block; width: 100%; height: auto; fill: var(--ink); font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }
svg text { font-variant-numeric: tabular-nums; }
.value { font-weight: 600; }
.range, .axis, .tick { fill: var(--soft); font-size: 12px; }
.track { fill: var(--track); }
.whisker { fill: none; stroke: var(--ink); stroke-width: 1.5; }
.grid { stroke: var(--edge); }
.base { stroke: var(--soft); }
.line { fill: none; stroke: currentColor; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.line.again { stroke-dasharray: 2 6; }
.dot { fill: currentColor; stroke: var(--card); stroke-width: 2; }
.fill { fill: currentColor; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 8px; font-size: 13px; }
.legend i { display: inline-block; width: 14px; height: 0; margin-right: 6px; border-top: 4px solid; border-radius: 2px; vertical-align: middle; }
.legend i.again { border-top-style: dotted; }
${[0, 1, 2, 3, 4, 5].map((index) => `.c${index} { color: var(--c${index}); }`).join('\n')}
`);
