/** The page with the charts: well-formed, nothing to fetch, every figure in it, and no text taken for markup. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { htmlPage } from '#bench/html.js';
import type { Measurement } from '#bench/measurement.js';
import { figure } from '#bench/statistics.js';
import { rowsOf } from '#bench/table.js';
import { sample } from './sample.js';

/**
 * Reads a page in the way of XML: every element is closed, attributes are quoted, `<` and `&` mean markup and nothing else.
 *
 * @returns the names of the elements in their order, and the texts between them with references resolved
 */
function parsed(page: string): { elements: string[]; texts: string[] } {
  const [, body = ''] = /^<!DOCTYPE html>\n(.*)$/s.exec(page) ?? [];
  const [elements, texts, open]: [string[], string[], string[]] = [[], [], []];
  const tokens = /<(\/?)([a-z][a-z0-9]*)((?: [a-zA-Z-]+="[^"<]*")*)( ?\/)?>|([^<]+)|(.)/gs;
  for (const token of body.matchAll(tokens)) {
    const [, closes, name = '', attributes = '', empty, text, stray] = token;
    if (stray !== undefined)
      assert.fail(`markup that is none: ${JSON.stringify(body.slice(token.index, token.index + 80))}`);
    assert.doesNotMatch(text ?? attributes, /&(?!#\d+;)/);
    if (text !== undefined) texts.push(text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code))));
    else if (closes) assert.equal(open.pop(), name, `</${name}> closes something else`);
    else {
      elements.push(name);
      if (empty === undefined) open.push(name);
    }
  }
  assert.deepEqual(open, []);
  return { elements, texts };
}

const count = (page: string, what: string) => page.split(what).length - 1;

test('the page is well-formed and holds every figure, parameter and note', () => {
  const { texts } = parsed(htmlPage([sample]));
  const shown = texts.join('\n');
  const { scenario, shows, node, machine, parameters, report } = sample;
  const figures = rowsOf(report).flatMap(({ title, cells, ratios }) => [
    title,
    ...[...cells, ...ratios].flatMap((cell) => (cell ? [cell.median, cell.min, cell.max].map(figure) : [])),
  ]);
  assert.equal(rowsOf(report).length, 3);
  const titles = [...report.curves, ...report.distributions].map(({ title }) => title);
  const settings = Object.entries(parameters).flatMap(([name, value]) => [name, value.toLocaleString('en')]);
  const expected = [scenario, shows, node, machine.cpu, machine.platform, ...report.contenders, ...report.notes];
  for (const text of [...expected, ...figures, ...titles, ...settings]) assert.ok(shown.includes(text), text);
});

test('there is a bar for each figure of each contender, a whisker where runs differ, and a line for each curve', () => {
  const page = htmlPage([sample]);
  assert.equal(count(page, '<rect class="fill '), 3 + 2 + 3);
  assert.equal(count(page, '<path class="whisker"'), 2 + 2 + 2);
  assert.equal(count(page, '<path class="line '), 2 + 2 + 2);
  assert.equal(count(page, '<circle '), 8 + 6 + 16);
});

test('Callboard has the same colour in every chart, and so has each rival', () => {
  const page = htmlPage([sample]);
  for (const [index, name] of ['callboard', 'baseline'].entries()) {
    const lines = [...page.matchAll(new RegExp(`<path class="line (\\w+)"[^>]*><title>${name}<`, 'g'))];
    assert.deepEqual(
      lines.map(([, colour]) => colour),
      [`c${index}`, `c${index}`, `c${index}`],
    );
  }
});

test('the page fetches nothing and runs nothing', () => {
  const page = htmlPage([sample]);
  const { elements } = parsed(page);
  for (const name of ['script', 'link', 'img', 'iframe', 'object', 'image', 'use']) assert.ok(!elements.includes(name));
  assert.doesNotMatch(page, /https?:|url\(|@import|src=| on\w+=/);
});

test('a page without measurements is well-formed and says so', () => {
  assert.ok(parsed(htmlPage([])).texts.includes('Nothing has been measured yet.'));
});

test('whatever the texts and figures of a report are, the page is well-formed and shows them as texts', () => {
  const text = fc.string({ unit: fc.constantFrom(...'<>&"\'/=-#; ab&lt;'), minLength: 1 });
  const value = fc.oneof(fc.double({ min: 1e-12, max: 1e12, noNaN: true }), fc.constantFrom(0, 1e-9));
  const names = fc.uniqueArray(
    text.filter((name) => name !== '__proto__'),
    { maxLength: 8 },
  );
  const byName = <T>(of: fc.Arbitrary<T>) =>
    names.chain((known) =>
      fc
        .tuple(...known.map(() => of))
        .map((all) => Object.fromEntries(all.map((one, index) => [known[index] ?? '', one]))),
    );
  const points = (x: fc.Arbitrary<number>) => fc.array(fc.tuple(x, value), { maxLength: 40 });
  const report = fc.record({
    contenders: names,
    figures: fc.array(
      fc.record({
        title: text,
        better: fc.constantFrom('more' as const, 'less' as const),
        samples: byName(fc.array(value)),
      }),
    ),
    curves: fc.array(fc.record({ title: text, x: text, y: text, logX: fc.boolean(), points: byName(points(value)) })),
    distributions: fc.array(
      fc.record({ title: text, percentiles: byName(points(fc.double({ min: 0, max: 100, noNaN: true }))) }),
    ),
    notes: fc.array(text),
  });
  fc.assert(
    fc.property(report, text, (report, shows) => {
      const measurement: Measurement = { ...sample, shows, report };
      const page = htmlPage([measurement]);
      const { texts } = parsed(page);
      for (const note of [shows, ...report.notes]) assert.ok(texts.includes(note), note);
      assert.doesNotMatch(page, /NaN|Infinity|undefined/);
    }),
  );
});
