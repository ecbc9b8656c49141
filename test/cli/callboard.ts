/** The real command line as a child process, for the tests of this folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { main } from '../built.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** How a process ended, and all that it wrote. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running process whose output can be waited for. */
export class Running {
  readonly ended: Promise<Ending>;
  #stdout = '';
  #stderr = '';
  readonly #child: ChildProcess;

  /** @param args Of node. */
  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const home = mkdtempSync(join(tmpdir(), 'callboard-test-'));
    this.#child = spawn(process.execPath, args, {
      cwd: root,
      env: { PATH: process.env.PATH, HOME: home, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = once(this.#child, 'close').then(([code, signal]) => {
      rmSync(home, { recursive: true, force: true });
      return { code, signal, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Sends a signal. */
  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Resolves to the first match of `pattern` in stdout. @throws Error if the process ends without one. */
  async stdoutMatch(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#stdout);
      if (match !== null) return match;
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) {
        throw new Error(`ended without ${pattern}: ${JSON.stringify(await this.ended)}`);
      }
      const stdout = this.#child.stdout;
      if (stdout !== null) await Promise.race([once(stdout, 'data'), this.ended]);
    }
  }
}

/** Starts `callboard` with these arguments, in an empty home directory and without the caller's environment. */
export function callboard(args: readonly string[], env: Readonly<Record<string, string>> = {}): Running {
  return new Running([main, ...args], env);
}

/** Starts `callboard serve` on a free port and waits until it listens. */
export async function served(args: readonly string[] = []): Promise<{ server: Running; url: string }> {
  const server = callboard(['serve', '--port', '0', '--threads', '1', ...args]);
  const [line] = await server.stdoutMatch(/^.*listening on .*\n/m);
  return { server, url: v.parse(v.object({ url: v.string() }), JSON.parse(line)).url };
}
