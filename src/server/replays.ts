/** Dispatches that never arrived are replayed: a few at a time to each executor, whose resync has left them out. */
import type { Logger } from 'pino';
import {
  type DispatchPayload,
  type ExecutorRegistration,
  type MissionState,
  parseDispatchPayload,
} from '../contract/index.js';
import type { Supervisor } from '../registry/supervisor.js';
import type { Found } from '../store/thread.js';
import { type DispatchAnswer, keptAnswerOf } from './dispatch-answer.js';
import { Sampler } from './sampler.js';

/** Missions whose dispatch is replayed to one executor at a time. */
const REPLAYS_AT_ONCE = 4;

/** What a mission was dispatched with. */
export interface Dispatched {
  readonly sessionId: string;
  readonly payload: DispatchPayload;
}

/**
 * Whether a mission in this state may never have got past `assigned`. Of one that is suspended, its executor having left,
 * its actor knows.
 */
export const mayBeUnbegun = (state: MissionState): boolean =>
  state === 'queued' || state === 'assigned' || state === 'suspended';

export interface ReplaysOptions {
  readonly supervisor: Supervisor<string>;
  readonly log: Logger;
  /** Missions that are being forwarded, or are to be; those that are replayed are among them meanwhile. */
  readonly forwarding: Set<string>;
  /** What a mission was dispatched with, where no store keeps it. */
  readonly dispatchedOf: (missionId: string) => Dispatched | undefined;
  /** Forwards it, unless `signal` ends that. */
  readonly forward: (
    dispatched: Dispatched,
    executor: ExecutorRegistration,
    signal: AbortSignal,
  ) => Promise<DispatchAnswer>;
  /** Told what came of a mission's replay. */
  readonly onAnswer: (missionId: string, answer: DispatchAnswer) => void;
}

export class Replays {
  readonly #options: ReplaysOptions;
  readonly #sampler = new Sampler();
  /** By executor: the missions whose dispatch is to be replayed to it, and how many are being so. */
  readonly #byExecutor = new Map<string, { readonly waiting: Set<string>; running: number }>();
  readonly #closed = new AbortController();

  constructor(options: ReplaysOptions) {
    this.#options = options;
  }

  /**
   * Forwards a mission once more, in its turn: its executor's resync has left it out, and it was never heard to have it.
   * Nothing happens while it is being forwarded anyway.
   */
  replay(missionId: string): void {
    const executorId = this.#options.supervisor.directory.missions.get(missionId)?.executorId;
    if (executorId === undefined || this.#options.forwarding.has(missionId)) return;
    this.#options.forwarding.add(missionId);
    const replays = this.#byExecutor.get(executorId) ?? { waiting: new Set(), running: 0 };
    this.#byExecutor.set(executorId, replays);
    replays.waiting.add(missionId);
    if (replays.running < REPLAYS_AT_ONCE) void this.#replayAll(executorId, replays);
  }

  /** Stops replaying: what was under way is replayed after the executor's next resync. */
  close(): void {
    this.#closed.abort();
  }

  async #replayAll(executorId: string, replays: { readonly waiting: Set<string>; running: number }): Promise<void> {
    replays.running++;
    for (const missionId of replays.waiting) {
      replays.waiting.delete(missionId);
      if (!this.#closed.signal.aborted)
        await this.#replay(missionId, executorId).catch((error: unknown) => {
          if (!this.#closed.signal.aborted && this.#sampler.admits('replay'))
            this.#options.log.warn({ missionId, err: error }, 'a dispatch could not be replayed');
        });
      this.#options.forwarding.delete(missionId);
    }
    if (--replays.running === 0) this.#byExecutor.delete(executorId);
  }

  async #replay(missionId: string, executorId: string): Promise<void> {
    const { directory, missions, store } = this.#options.supervisor;
    const found = await store?.find(missionId);
    const dispatched = found === undefined ? this.#options.dispatchedOf(missionId) : dispatchedOf(found);
    if (dispatched === undefined) {
      missions.doubt(missionId);
      return;
    }
    const executor = directory.executors.get(executorId);
    const state = directory.missions.get(missionId)?.state;
    if (executor === undefined || state === undefined || !mayBeUnbegun(state)) return;
    const answer = await this.#options.forward(dispatched, executor, this.#closed.signal);
    if (found !== undefined && keptAnswerOf(found) === undefined)
      store?.keep({ type: 'answer', number: found.number, answer: { ...answer.body } });
    if (this.#sampler.admits('replay'))
      this.#options.log.info({ missionId, ...answer.body }, 'a dispatch was replayed');
    this.#options.onAnswer(missionId, answer);
  }
}

/** What a mission was dispatched with; undefined if that was not over REST. */
function dispatchedOf({ mission: { sessionId, payload } }: Found): Dispatched | undefined {
  const parsed = parseDispatchPayload(payload);
  return sessionId !== undefined && parsed.ok ? { sessionId, payload: parsed.payload } : undefined;
}
