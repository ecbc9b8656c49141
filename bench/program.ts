/** The bench's own programs, each run as a process of its own. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/**
 * Starts a program of this project. It is killed when this process exits.
 *
 * @param name its path from this folder, without extension: `./floor`
 * @param env in addition to this process's own
 * @param nodeFlags all of them: those of this process, a loader of its tests among them, would only slow its start
 */
export function startProgram(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  nodeFlags: readonly string[] = [],
): ChildProcessByStdio<null, Readable, Readable> {
  const path = fileURLToPath(new URL(`${name}.js`, import.meta.url));
  const child = spawn(process.execPath, [...nodeFlags, path, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const kill = () => child.kill('SIGKILL');
  // Before the folder that it writes to is removed.
  process.prependOnceListener('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));
  return child;
}
