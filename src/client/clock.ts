/** Time as the SDK sees it: the real one, or one that a test moves by hand; and how long to wait before trying again. */

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls `then` once, `ms` milliseconds from now; returns what cancels it. */
  after(ms: number, then: () => void): () => void;
}

/** `setTimeout` fires at once when asked to wait longer than these 25 days. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: Date.now,
  after(ms, then) {
    let timer: NodeJS.Timeout;
    const wait = (left: number): void => {
      const step = Math.min(left, LONGEST_TIMEOUT);
      timer = setTimeout(() => (left > step ? wait(left - step) : then()), step);
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
};

/** Waits, in milliseconds, are spread over a span that begins here, doubles with each attempt, and ends there. */
const FIRST_SPAN = 500;
const LONGEST_SPAN = 30_000;

/**
 * How long to wait before the next attempt, in milliseconds. The whole span is jitter: of a thousand executors that were
 * cut off at once, no two come back together.
 *
 * @param failures attempts that have failed, from 0
 * @param random from 0 to below 1
 */
export const backoff = (failures: number, random: () => number): number =>
  random() * Math.min(LONGEST_SPAN, FIRST_SPAN * 2 ** Math.min(failures, 16));

/** Resolves after `ms` milliseconds, or as soon as `signal` aborts. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const cancel = clock.after(ms, done);
    signal.addEventListener('abort', done);
  });
}
