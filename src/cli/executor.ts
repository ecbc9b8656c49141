/** `callboard executor`: takes missions and runs a command for each. */
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { type AssignedMission, createExecutor } from '../client/index.js';
import { ChildGroups } from './child-groups.js';
import { CommandMission, type Work } from './command-mission.js';
import { CommandError, FAILED, messageOf } from './errors.js';
import type { ExecutorSettings } from './executor-options.js';
import { cleaned } from './output-lines.js';
import { stopOnSignals } from './signals.js';

/** Missions that may wait for others to end. */
const MAX_WAITING = 1_000;
const DELETED = 'an operator has deleted this executor';

/**
 * Runs missions until SIGINT or SIGTERM; then ends the commands that run, and leaves Callboard. A second signal kills
 * them and ends it at once. It ends, too, when an operator deletes the executor.
 *
 * @returns The exit code, 0.
 * @throws CommandError where Callboard does not take the executor or has deleted it, or this machine cannot run it.
 */
export async function runExecutor(settings: ExecutorSettings): Promise<number> {
  if (process.platform === 'win32')
    throw new CommandError(FAILED, 'Windows has no process groups, by which it ends what it has started.');
  const { url, name, words, ask, grace, concurrency } = settings;
  const stop = stopOnSignals();
  const groups = new ChildGroups(() => say('warning', 'its keeper is gone: if this is killed, its commands run on'));
  const missions = new Missions({ words, ask, grace, groups, say }, concurrency);
  try {
    const executor = await connected(settings, missions, stop);
    if (executor !== undefined) {
      say('connected', `connected to ${url.href} as ${name} (${executor.id})`, { executor_id: executor.id });
      if (!stop.aborted) await Promise.race([once(stop, 'abort'), executor.closed]);
    }
    const isDeleted = !stop.aborted;
    say('stopping', `${isDeleted ? DELETED : stop.reason}: stopping`);
    await missions.stop();
    await executor?.close();
    if (isDeleted) throw new CommandError(FAILED, DELETED);
  } finally {
    groups.close();
  }
  return 0;
}

/**
 * @returns undefined if it is stopped before
 * @throws CommandError where it cannot be, as with an identity file that holds something else
 */
async function connected(settings: ExecutorSettings, missions: Missions, stop: AbortSignal) {
  const { url, name, capabilities, identityFile } = settings;
  try {
    mkdirSync(dirname(identityFile), { recursive: true, mode: 0o700 });
    return await createExecutor({
      url: url.href,
      identityFile,
      name,
      capabilities,
      signal: stop,
      onWarning: (message) => say('warning', message),
      onDispatch: (mission) => missions.take(mission),
      onPause: ({ id }) => missions.at(id)?.pause(),
      onResume: ({ id }) => missions.at(id)?.resume(),
      onAbort: ({ id }) => missions.abort(id),
    });
  } catch (error) {
    if (stop.aborted) return undefined;
    throw new CommandError(FAILED, messageOf(error), { cause: error });
  }
}

/** The missions of the executor: so many run at once, others wait in the order in which they came. */
class Missions {
  readonly #work: Work;
  readonly #concurrency: number;
  readonly #waiting = new Map<string, AssignedMission>();
  readonly #running = new Map<string, { readonly mission: CommandMission; readonly over: Promise<void> }>();
  #isStopping = false;

  constructor(work: Work, concurrency: number) {
    this.#work = work;
    this.#concurrency = concurrency;
  }

  take(mission: AssignedMission): void {
    if (this.#isStopping) this.#refuse(mission, 'the executor is stopping');
    else if (this.#waiting.size >= MAX_WAITING)
      this.#refuse(mission, `the executor is full: ${MAX_WAITING} missions wait already`);
    else {
      this.#waiting.set(mission.id, mission);
      this.#beginNext();
    }
  }

  /** A mission that runs. */
  at(id: string): CommandMission | undefined {
    return this.#running.get(id)?.mission;
  }

  /** Resolves when nothing of the mission is left. */
  async abort(id: string): Promise<void> {
    if (this.#waiting.delete(id)) say('aborted', `mission ${id} is over: it had not begun`, { mission_id: id });
    const { mission, over } = this.#running.get(id) ?? {};
    await mission?.end('it was aborted');
    await over;
  }

  /** Takes no more, and ends those that are there. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const mission of this.#waiting.values()) this.#refuse(mission, 'the executor was stopped before it began');
    this.#waiting.clear();
    await Promise.all(
      [...this.#running.values()].map(async ({ mission, over }) => {
        await mission.end('the executor was stopped');
        await over;
      }),
    );
  }

  #refuse(mission: AssignedMission, reason: string): void {
    mission.fail(reason);
    say('failed', `mission ${mission.id}: failed: ${reason}`, { mission_id: mission.id });
  }

  #beginNext(): void {
    for (const [id, assigned] of this.#waiting) {
      if (this.#running.size >= this.#concurrency) return;
      this.#waiting.delete(id);
      const mission = new CommandMission(assigned, this.#work);
      const over = mission.run().then(() => {
        this.#running.delete(id);
        this.#beginNext();
      });
      this.#running.set(id, { mission, over });
    }
  }
}

/** One line to stdout: for people on a terminal, else JSON. */
function say(event: string, message: string, fields: object = {}): void {
  const ts = new Date().toISOString();
  const line = process.stdout.isTTY ? cleaned(message) : JSON.stringify({ ts, event, message, ...fields });
  process.stdout.write(`${line}\n`);
}
