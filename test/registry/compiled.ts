/**
 * Runs a program on the built package in a process of its own. Under tsx a thread cannot start while the main thread is
 * blocked (it loads modules there), so whatever blocks at once has to be compiled.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { built } from '../built.js';

const urlOf = (...path: string[]): string => JSON.stringify(pathToFileURL(join(built, ...path)).href);

/** @param program an ES module's text: it has what is in peers.ts and scenarios.ts */
export function run(program: string): { stdout: string; stderr: string } {
  const source = `import assert from 'node:assert/strict';
    import { ExecutorRegistry } from ${urlOf('src', 'index.js')};
    import * as peers from ${urlOf('test', 'registry', 'peers.js')};
    import * as scenarios from ${urlOf('test', 'registry', 'scenarios.js')};
    const { idOf, payloadOf, progress, completed, executorEvent, missionEvent, listen, Socket } = peers;
    ${program}`;
  const home = mkdtempSync(join(tmpdir(), 'callboard-compiled-'));
  const env = { ...process.env, AIWG_EXECUTOR_IDENTITY_STORE: join(home, 'identities.json') };
  const args = ['--conditions=built', '--input-type=module', '--eval', source];
  const ran = spawnSync(process.execPath, args, { env, encoding: 'utf8', timeout: 30_000 });
  rmSync(home, { recursive: true, force: true });
  assert.equal(ran.status, 0, ran.error?.message ?? ran.stderr);
  return { stdout: ran.stdout, stderr: ran.stderr };
}
