/**
 * Aborts that are told late: an executor's resync lists missions that were aborted while it was away and have left memory
 * since. The store knows them.
 */
import type { Store } from '../store/store.js';

export class LateAborts {
  readonly #store: Store;
  readonly #tellAborted: (executorId: string, missionId: string) => void;
  /** By executor whose missions are being looked for: what its latest resync since has listed. */
  readonly #next = new Map<string, readonly string[] | undefined>();

  constructor(store: Store, tellAborted: (executorId: string, missionId: string) => void) {
    this.#store = store;
    this.#tellAborted = tellAborted;
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

  async #tellOne(executorId: string, missionId: string): Promise<void> {
    const found = await this.#store.find(missionId);
    if (found?.mission.executorId === executorId && found.state.state === 'aborted')
      this.#tellAborted(executorId, missionId);
  }
}
