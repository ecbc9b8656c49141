/** Which lines of the log are written, where a peer could flood it by doing over and over what is worth a line. */

/** Lines of one kind that are all written, in one second. */
const ALL_OF = 50;
const SECOND = 1_000;

/** @example if (sampler.admits('registered')) log.info(executor, 'an executor registered'); */
export class Sampler {
  readonly #now: () => number;
  readonly #counts = new Map<string, number>();
  #second = 0;

  /** @param now milliseconds. Default: `performance.now` */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether this line is to be written: within a second, the first fifty of its kind, then the 100th, the 200th, the 400th, … */
  admits(kind: string): boolean {
    const second = Math.floor(this.#now() / SECOND);
    if (second !== this.#second) this.#counts.clear();
    this.#second = second;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    return count <= ALL_OF || Number.isInteger(Math.log2(count / ALL_OF));
  }
}
