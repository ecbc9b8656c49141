/**
 * Aborts that are told late: an executor's resync lists missions that were aborted while it was away and have left memory
 * since. The store knows them.
 */
import type { EventEnvelope } from '../contract/index.js';
import type { Store } from '../store/store.js';

export class LateAborts {
  readonly #store: Store;
  readonly #push: (executorId: string, event: EventEnvelope) => void;
  readonly #timestamp: () => string;
  /** By executor whose missions are being looked for: what its latest resync since has listed. */
  readonly #next = new Map<string, readonly string[] | undefined>();

  /** @param timestamp now, as ISO 8601 */
  constructor(store: Store, push: (executorId: string, event: EventEnvelope) => void, timestamp: () => string) {
    this.#store = store;
    this.#push = push;
    this.#timestamp = timestamp;
  }

  /** Tells an executor which of the missions that it has listed were aborted. One after the other: a list may be long. */
  async tell(executorId: string, missionIds: readonly string[]): Promise<void> {
    const isUnderWay = this.#next.has(executorId);
    this.#next.set(executorId, isUnderWay ? missionIds : undefined);
    if (isUnderWay) return;
    try {
      for (let listed: readonly string[] | undefined = missionIds; listed !== undefined; ) {
        for (const missionId of listed) await this.#tellOne(executorId, missionId);
        listed = this.#next.get(executorId);
        this.#next.set(executorId, undefined);
      }
    } catch {
      // The store cannot be read now: the executor is told at its next resync.
    } finally {
      this.#next.delete(executorId);
    }
  }

  async #tellOne(executor_id: string, mission_id: string): Promise<void> {
    const found = await this.#store.find(mission_id);
    if (found?.mission.executorId !== executor_id || found.state.state !== 'aborted') return;
    const data = { state: 'aborted', aborted_by: 'operator' };
    this.#push(executor_id, { event: 'mission.aborted', executor_id, mission_id, ts: this.#timestamp(), data });
  }
}
