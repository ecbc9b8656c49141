/** The SDK stands alone: of npm it needs ws, and of Callboard the contract's types and its table of states. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const folder = new URL('../../src/client/', import.meta.url);

/** What a file imports at run time. */
const importsOf = (file: URL): string[] =>
  [...readFileSync(file, 'utf8').matchAll(/^(?:import|export) [^;]*?from '([^']+)';/gm)].flatMap(
    ([statement, from = '']) => (/^import type /.test(statement) ? [] : from),
  );

test('nothing is imported but Node, ws, the files beside it, and what imports nothing itself', () => {
  const allowed = /^(?:node:\w+(?:\/\w+)?|ws|\.\/\w+\.js|\.\.\/contract\/transitions\.js)$/;
  for (const file of readdirSync(folder))
    for (const from of importsOf(new URL(file, folder))) assert.match(from, allowed, `${file}: ${from}`);
  assert.deepEqual(importsOf(new URL('../contract/transitions.ts', folder)), []);
});
