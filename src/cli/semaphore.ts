/** A counting semaphore: keeps how much goes on at once within bounds. */

/**
 * @example
 * const requests = new Semaphore(32);
 * await requests.run(() => fetch(url));
 */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  /** @param permits How many may hold it at once, at least 1. */
  constructor(permits: number) {
    this.#free = permits;
  }

  /** Resolves when there is a permit for the caller, in the order of the calls. Each is given back with `release`. */
  async acquire(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Gives a permit back: to the one who has waited longest, if anyone waits. */
  release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }

  /** Does `work` with a permit of its own, and gives its result or error. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.acquire();
    try {
      return await work();
    } finally {
      this.release();
    }
  }
}
