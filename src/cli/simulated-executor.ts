/**
 * An executor that only pretends to work: one of the SDK, whose missions play the scripts of simulated-mission.ts. Like
 * every executor of the SDK it rides over cuts of its connection.
 */
import { randomUUID } from 'node:crypto';
import * as v from 'valibot';
import { createExecutor, type Executor } from '../client/index.js';
import { CommandError, FAILED, messageOf } from './errors.js';
import { SimulatedMission, scenarios } from './simulated-mission.js';

/** What says how to run a mission. A dispatch that does not say it, as one from elsewhere, is run as a plain mission. */
const metadataSchema = v.fallback(v.object({ scenario: v.picklist(scenarios) }), { scenario: 'plain' });

/** Milliseconds to register and to connect. */
const startLimit = 10_000;

/** What a simulated executor is told. */
export interface SimulatedExecutorOptions {
  /** The URL of Callboard, with a slash at its end. */
  readonly url: URL;
  /** For people, at most 128 characters. */
  readonly name: string;
  readonly capabilities: readonly string[];
}

/**
 * One executor.
 *
 * @example
 * const executor = await SimulatedExecutor.start({ url: new URL('http://127.0.0.1:7337/'), name: 'one', capabilities: [] });
 * // dispatches are run as they arrive
 * await executor.close();
 */
export class SimulatedExecutor {
  readonly id = randomUUID();
  readonly name: string;
  /** What the SDK warned of last: a lost connection, say. */
  trouble = '';
  /** Events that its missions have said. */
  eventCount = 0;
  readonly #missions = new Map<string, SimulatedMission>();
  #executor: Executor | undefined;
  #troubledAt = Number.NEGATIVE_INFINITY;
  #connectedAt = performance.now();

  private constructor(name: string) {
    this.name = name;
  }

  /** @throws CommandError where Callboard refuses it, or there is no connection within ten seconds. */
  static async start({ url, name, capabilities }: SimulatedExecutorOptions): Promise<SimulatedExecutor> {
    const simulated = new SimulatedExecutor(name);
    const signal = AbortSignal.timeout(startLimit);
    try {
      simulated.#executor = await createExecutor({
        url: url.href,
        executorId: simulated.id,
        name,
        capabilities,
        signal,
        onDispatch: (assigned) => {
          const { scenario } = v.parse(metadataSchema, assigned.dispatch.metadata);
          const mission = new SimulatedMission(assigned, scenario, () => simulated.eventCount++);
          simulated.#missions.set(mission.id, mission);
          return mission.play();
        },
        onPause: ({ id }) => simulated.#missions.get(id)?.onPause(),
        onResume: ({ id }, resumed) => simulated.#missions.get(id)?.onResume(resumed),
        onWarning: (message) => {
          simulated.trouble = message;
          simulated.#troubledAt = performance.now();
        },
      });
      return simulated;
    } catch (error) {
      const problem = signal.aborted ? simulated.trouble || 'no connection' : messageOf(error);
      throw new CommandError(FAILED, `${name} cannot start: ${problem}`, { cause: error });
    }
  }

  get isConnected(): boolean {
    return this.#executor?.connected ?? false;
  }

  /** When its connection was last in trouble, on performance.now's clock: now, where it has none. */
  get troubledAt(): number {
    return this.isConnected ? this.#troubledAt : performance.now();
  }

  /** For how many milliseconds it has had no connection, where this is asked all the time. */
  lostFor(): number {
    const now = performance.now();
    if (this.isConnected) this.#connectedAt = now;
    return now - this.#connectedAt;
  }

  /** A mission that was dispatched to this executor and not forgotten since. */
  mission(id: string): SimulatedMission | undefined {
    return this.#missions.get(id);
  }

  /** Drops a mission and its record; one that still runs fails. */
  forget(id: string): void {
    this.#missions.get(id)?.stop();
    this.#missions.delete(id);
  }

  /** Fails the missions that still run, and leaves. @returns what went wrong with that; undefined: nothing */
  async close(): Promise<string | undefined> {
    for (const mission of this.#missions.values()) mission.stop();
    const begun = performance.now();
    await this.#executor?.close();
    return this.#troubledAt >= begun ? this.trouble : undefined;
  }
}
