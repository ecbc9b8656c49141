/** The SDK stands alone: of npm it needs ws, and of Callboard nothing at run time. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const folder = new URL('../../src/client/', import.meta.url);

test('nothing is imported but Node, ws and the files beside it; of the contract, types only', () => {
  for (const file of readdirSync(folder)) {
    const code = readFileSync(new URL(file, folder), 'utf8');
    for (const [statement, from = ''] of code.matchAll(/^(?:import|export) [^;]*?from '([^']+)';/gm))
      if (!/^import type /.test(statement))
        assert.match(from, /^(?:node:\w+(?:\/\w+)?|ws|\.\/\w+\.js)$/, `${file}: ${from}`);
  }
});
