/** Time as actors see it: the real one, or one that a test moves by hand; and the chance that spreads their waits. */
import { randomInt } from 'node:crypto';

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `then` once, `ms` milliseconds from now; returns what cancels it. */
  after(ms: number, then: () => void): () => void;
}

/** `setTimeout` fires at once when asked to wait longer than this. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/**
 * The real time. A wait may be longer than the 25 days that `setTimeout` can do, and is never shorter than asked for:
 * `setTimeout` counts from when the current turn of the event loop began, and so fires early in a long one.
 */
export const realClock: Clock = { now: Date.now, after: (ms, then) => afterRealTime(ms, then, true) };

/** The real time, of which nothing keeps the process alive: for a library inside somebody else's program. */
export const backgroundClock: Clock = { now: Date.now, after: (ms, then) => afterRealTime(ms, then, false) };

/** A number from 0 to below 1, from the system's cryptographic source. */
export const realRandom = (): number => randomInt(2 ** 48 - 1) / 2 ** 48;

function afterRealTime(ms: number, then: () => void, keepsAlive: boolean): () => void {
  const due = performance.now() + ms;
  let timer: NodeJS.Timeout;
  const wait = (left: number): void => {
    timer = setTimeout(look, Math.min(Math.max(0, left), LONGEST_TIMEOUT));
    if (!keepsAlive) timer.unref();
  };
  const look = (): void => {
    const left = due - performance.now();
    if (left < 1) then();
    else wait(left);
  };
  wait(ms);
  return () => clearTimeout(timer);
}

/**
 * Time that stands still until `advance` is called: timers fire in order, at exactly their time, without waiting.
 * @example
 * const clock = new VirtualClock();
 * const system = createSystem({ clock });
 * clock.advance(30_000);
 */
export class VirtualClock implements Clock {
  #now: number;
  #order = 0;
  readonly #timers = new Set<{ readonly due: number; readonly order: number; readonly then: () => void }>();

  /** @param start milliseconds since the epoch; default 0 */
  constructor(start = 0) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, then: () => void): () => void {
    const timer = { due: this.#now + Math.max(0, ms), order: this.#order++, then };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Timers that have not fired or been cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time forward by `ms` milliseconds and fires what falls due on the way, timers set meanwhile included. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      let next: { readonly due: number; readonly order: number; readonly then: () => void } | undefined;
      for (const timer of this.#timers) {
        if (timer.due > until) continue;
        if (!next || timer.due < next.due || (timer.due === next.due && timer.order < next.order)) next = timer;
      }
      if (!next) break;
      this.#timers.delete(next);
      this.#now = next.due;
      next.then();
    }
    // A timer may have moved it further.
    this.#now = Math.max(this.#now, until);
  }
}
