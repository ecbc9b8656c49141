/** bench/README.md says what is so: its scenarios are those of the code, and so are the fields of the file. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { measurementSchema } from '#bench/measurement.js';
import { scenarios } from '#bench/scenarios.js';

const page = new URL('../../bench/README.md', import.meta.url);
const readme = readFileSync(page, 'utf8');

/** The first two cells of each row of a table, by the heading of its first column. */
function rowsOf(heading: string): [string, string][] {
  const table = readme.slice(readme.indexOf(`\n| ${heading} `) + 1).split('\n\n')[0] ?? '';
  return [...table.matchAll(/^\| `(.+?)` +\| (.+?) +\|$/gm)].map(([, first = '', second = '']) => [first, second]);
}

test('the table of scenarios is the list of scenarios, with what each shows', () => {
  assert.deepEqual(
    rowsOf('scenario'),
    scenarios.map(({ name, shows }) => [name, shows]),
  );
});

test('the table of fields is that of the schema', () => {
  assert.deepEqual(
    rowsOf('field').map(([field]) => field),
    Object.keys(measurementSchema.entries),
  );
});

test('every file that it links to is there', () => {
  const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path = '']) => path);
  assert.ok(links.length > 0);
  assert.deepEqual(
    links.filter((path) => !existsSync(new URL(path, page))),
    [],
  );
});
