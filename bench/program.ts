/** The bench's own programs, each run as a process of its own. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { extname } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/**
 * Starts a program of this project. It is killed when this process exits.
 *
 * @param name its path from this folder, without extension: `./floor`. The tests run TypeScript, everyone else JavaScript
 * @param env in addition to this process's own
 * @param nodeFlags in addition to this process's own
 */
export function startProgram(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  nodeFlags: readonly string[] = [],
): ChildProcessByStdio<null, Readable, Readable> {
  const path = fileURLToPath(new URL(name + extname(import.meta.url), import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, ...nodeFlags, path, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));
  return child;
}
