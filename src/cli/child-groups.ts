/** The process groups that live: none of them outlives this process, however it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Sends a signal to a process group; 0 only asks for it.
 *
 * An id names a group for as long as a process is in it, also after its leader has ended: until then no process gets
 * that id. When the last one is gone, the system may give it away, though it does so last, after all others. So a group
 * is signalled while its leader has not been waited for, which Node does right before `exit`; in that very event; and
 * after it only within milliseconds of having been seen alive.
 *
 * @returns whether there was such a group
 */
export function signalGroup(id: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-id, signal);
    return true;
  } catch (error) {
    // A group of another user's processes, by setuid, is there, too.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

export class ChildGroups {
  readonly #ids = new Set<number>();
  /** Kills what is left if this process is killed; else this process does it itself. */
  readonly #keeper: ChildProcess;
  #closing = false;

  /** @param onUnkept called if the keeper ends before its time */
  constructor(onUnkept: () => void) {
    const program = fileURLToPath(new URL('./group-keeper.js', import.meta.url));
    this.#keeper = spawn(process.execPath, [program], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    const lost = (): void => {
      if (!this.#closing) onUnkept();
      this.#closing = true;
    };
    this.#keeper.on('error', lost).on('exit', lost);
    this.#keeper.stdin?.on('error', () => undefined);
    process.on('exit', () => {
      for (const id of this.#ids) signalGroup(id, 'SIGKILL');
    });
  }

  add(id: number): void {
    this.#ids.add(id);
    this.#keeper.stdin?.write(`+${id}\n`);
  }

  delete(id: number): void {
    if (this.#ids.delete(id)) this.#keeper.stdin?.write(`-${id}\n`);
  }

  /** No more groups come. */
  close(): void {
    this.#closing = true;
    this.#keeper.stdin?.end();
  }
}
