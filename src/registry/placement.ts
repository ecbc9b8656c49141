/**
 * On which thread an executor lives: on the one that has the fewest.
 *
 * Hashing ids over the threads would need no counts, but of eight executors it often puts six on one of two threads,
 * and the other idles: measured, up to a third of the throughput. A thread keeps its executors for as long as it lives,
 * and its successor takes them over.
 */
export class Placement {
  readonly #counts: number[];

  /** @param threads how many there are, at least 1 */
  constructor(threads: number) {
    if (!Number.isInteger(threads) || threads < 1) throw new RangeError(`threads must be 1 or more, not ${threads}`);
    this.#counts = new Array<number>(threads).fill(0);
  }

  /** A thread, from 0, for one more executor. */
  take(): number {
    const thread = this.#counts.indexOf(Math.min(...this.#counts));
    this.#counts[thread] = (this.#counts[thread] ?? 0) + 1;
    return thread;
  }

  /** An executor of this thread is gone. */
  release(thread: number): void {
    this.#counts[thread] = (this.#counts[thread] ?? 0) - 1;
  }
}
