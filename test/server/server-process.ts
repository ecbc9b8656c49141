/** The real server as a process that can be killed and started again, on the same folder and the same port. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '#bench/free-port.js';
import { main } from '../built.js';
import { type Ending, Running } from '../cli/callboard.js';
import type { Scope } from './helpers.js';

export interface ProcessOptions {
  /** Default: a folder of its own. */
  readonly dataDir?: string;
  /** More options of `serve`. */
  readonly args?: readonly string[];
}

/** LMDB says by itself, on stderr, that a disk is full. */
const ABOUT_FULL_DISKS = /Write error: No space left on device position \d+, size \d+|mdb_\w+ (?:\w+ )?error 28\n/g;

export class ServerProcess {
  readonly dataDir: string;
  readonly url: string;
  readonly #command: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  #running: Running | undefined;

  /** @param t with which it ends, and its folder is removed */
  static async make(t: Scope, options: ProcessOptions = {}): Promise<ServerProcess> {
    return new ServerProcess(t, await freePort(), options);
  }

  private constructor(t: Scope, port: number, { dataDir, args = [] }: ProcessOptions) {
    const home = mkdtempSync(join(tmpdir(), 'callboard-process-'));
    this.dataDir = dataDir ?? join(home, 'data');
    this.url = `http://127.0.0.1:${port}`;
    const settings = ['--port', String(port), '--threads', '2', '--data-dir', this.dataDir, '--log-level', 'error'];
    this.#command = [main, 'serve', ...settings, ...args];
    this.#env = { AIWG_EXECUTOR_IDENTITY_STORE: join(home, 'identities.json') };
    t.after(async () => {
      await this.kill().finally(() => rmSync(home, { recursive: true, force: true }));
    });
  }

  /** Starts it, and waits until it listens. */
  async start(): Promise<void> {
    this.#running = new Running(this.#command, this.#env);
    await this.#running.stdoutMatch(/listening on .*\n/);
  }

  /** Starts it where it can't start. @returns how it ended */
  failToStart(): Promise<Ending> {
    return new Running(this.#command, this.#env).ended;
  }

  /** SIGKILL; resolves when it is gone. It must have lived until then. */
  async kill(): Promise<void> {
    const ending = await this.#end('SIGKILL');
    if (ending !== undefined)
      assert.deepEqual(
        [ending.signal, ending.stderr],
        ['SIGKILL', ''],
        `it ended by itself: ${JSON.stringify(ending)}`,
      );
  }

  /** SIGTERM; resolves when it is gone. */
  async stop(): Promise<void> {
    const ending = await this.#end('SIGTERM');
    assert.deepEqual([ending?.code, ending?.stderr], [0, ''], JSON.stringify(ending));
  }

  async #end(signal: NodeJS.Signals): Promise<Ending | undefined> {
    const running = this.#running;
    this.#running = undefined;
    running?.kill(signal);
    const ending = await running?.ended;
    return ending && { ...ending, stderr: ending.stderr.replaceAll(ABOUT_FULL_DISKS, '') };
  }
}
