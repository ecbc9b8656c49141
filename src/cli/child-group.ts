/** A command as a child process that leads a process group, with all that it starts in it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ChildGroups, signalGroup } from './child-groups.js';
import type { Environment } from './flags.js';

/** Milliseconds after which the output of a group that is gone ends, though a process that left it may hold it open. */
const DRAIN_LIMIT = 1_000;
/** Milliseconds between two looks whether a group that was asked to end has done so. */
const LOOK_EVERY = 20;

/** What is to be run. */
export interface Command {
  /** The program and its arguments. */
  readonly words: readonly string[];
  readonly env: Environment;
  /** Whether it is to be answered; else it finds its standard input at an end. */
  readonly isAnswered: boolean;
  /** Told the output as it comes. */
  readonly onOutput: (stream: 'stdout' | 'stderr', text: string) => void;
}

/** How the leader of a group ended: one of the two is there. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ChildGroup {
  /** Of the group, and of the process that leads it. */
  readonly id: number;
  /** Resolves once the leader has ended, the rest of the group is killed, and their output is read. */
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  readonly #groups: ChildGroups;
  #tellGone = (): void => undefined;
  /** It was asked to end, and has time to. */
  #isEnding = false;
  /** Nothing is sent to it any more. */
  #isGone = false;

  /** @throws Error if the program cannot be started */
  static async start(command: Command, groups: ChildGroups): Promise<ChildGroup> {
    const [program = '', ...args] = command.words;
    const child = spawn(program, args, {
      detached: true,
      env: command.env,
      stdio: [command.isAnswered ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    });
    if (child.pid === undefined) throw (await once(child, 'error'))[0];
    return new ChildGroup(child, child.pid, command, groups);
  }

  private constructor(child: ChildProcess, id: number, { onOutput }: Command, groups: ChildGroups) {
    this.id = id;
    this.#child = child;
    this.#groups = groups;
    groups.add(id);
    child.stdin?.on('error', () => undefined); // It need not read its answers.
    child.stdout?.setEncoding('utf8').on('data', (text: string) => onOutput('stdout', text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => onOutput('stderr', text));
    const gone = new Promise<void>((resolve) => {
      this.#tellGone = resolve;
    });
    const exit = new Promise<Ending>((resolve) => {
      child.once('exit', (code, signal) => {
        if (!this.#isEnding) this.#kill();
        resolve({ code, signal });
      });
    });
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    this.ended = this.#end(exit, gone, closed);
  }

  /** Writes a line to the standard input of the leader. Resolves once the system has it, or it cannot be written. */
  answer(line: string): Promise<void> {
    return new Promise((resolve) => {
      if (this.#child.stdin === null) resolve();
      else this.#child.stdin.write(`${line}\n`, () => resolve());
    });
  }

  /** Stops it where it is. Its output is not read until it goes on. */
  pause(): void {
    if (this.#isGone || this.#isEnding) return;
    signalGroup(this.id, 'SIGSTOP');
    this.#child.stdout?.pause();
    this.#child.stderr?.pause();
  }

  resume(): void {
    if (this.#isGone) return;
    signalGroup(this.id, 'SIGCONT');
    this.#read();
  }

  /** Asks it to end, and kills what has not done so in time. @param grace in milliseconds */
  async end(grace: number): Promise<void> {
    if (!this.#isEnding && !this.#isGone) {
      this.#isEnding = true;
      signalGroup(this.id, 'SIGTERM');
      this.resume();
      const deadline = performance.now() + grace;
      let isThere = true;
      while (isThere && performance.now() < deadline) {
        await sleep(LOOK_EVERY);
        isThere = signalGroup(this.id, 0);
      }
      if (isThere) this.#kill();
      else this.#leave();
    }
    await this.ended;
  }

  #kill(): void {
    signalGroup(this.id, 'SIGKILL');
    this.#leave();
  }

  #leave(): void {
    this.#isGone = true;
    this.#groups.delete(this.id);
    this.#tellGone();
  }

  async #end(exit: Promise<Ending>, gone: Promise<void>, closed: Promise<void>): Promise<Ending> {
    const ending = await exit;
    await gone;
    this.#read();
    const cut = (): void => {
      this.#child.stdout?.destroy();
      this.#child.stderr?.destroy();
    };
    // After one more round of reading, for it may be this process that had no time.
    const limit = setTimeout(() => setImmediate(cut), DRAIN_LIMIT);
    await closed;
    clearTimeout(limit);
    return ending;
  }

  #read(): void {
    this.#child.stdout?.resume();
    this.#child.stderr?.resume();
  }
}
