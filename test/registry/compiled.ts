/**
 * Runs a program on the compiled package in a process of its own. Under tsx a thread cannot start while the main thread
 * is blocked (it loads modules there), so whatever blocks at once has to be compiled.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Compiles the package and its tests into a folder of its own, which is removed when all tests are over. @returns it */
export function compiledFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-compiled-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const args = [tsc, '--project', root, '--outDir', folder, '--noCheck', '--declaration', 'false'];
  const compiled = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.equal(compiled.status, 0, compiled.stdout);
  return folder;
}

/** Compiles the package and its tests, once. @returns what runs a program (an ES module's text) beside `test/registry` */
export function compile(): (program: string) => { stdout: string; stderr: string } {
  const folder = compiledFolder();
  return (program) => {
    const source = `import assert from 'node:assert/strict';
      import { ExecutorRegistry } from './src/index.js';
      import * as peers from './test/registry/peers.js';
      import * as scenarios from './test/registry/scenarios.js';
      const { idOf, payloadOf, progress, completed, executorEvent, missionEvent, listen, Socket } = peers;
      ${program}`;
    const path = join(folder, 'program.js');
    writeFileSync(path, source);
    const env = { ...process.env, AIWG_EXECUTOR_IDENTITY_STORE: join(folder, 'identities.json') };
    const ran = spawnSync(process.execPath, [path], { env, encoding: 'utf8', timeout: 30_000 });
    assert.equal(ran.status, 0, ran.error?.message ?? ran.stderr);
    return { stdout: ran.stdout, stderr: ran.stderr };
  };
}
