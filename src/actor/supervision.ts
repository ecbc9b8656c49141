/**
 * Supervision: what becomes of an actor that throws. One for one: its siblings do not notice.
 *
 * As in Erlang/OTP, restarts have an intensity: more than so many within a period, and the actor is given up on (its
 * parent is told through `ended`; to fail with it, the parent throws, or decides `escalate`). Unlike there, each child
 * is counted by itself, so that one bad mission does not end its ninety-nine siblings.
 */
import type { AnyRef } from './ref.js';

/**
 * - `resume`: keep the state of before the message, drop the message;
 * - `restart`: start again from the first state, keeping ref and mailbox;
 * - `stop`: end it;
 * - `escalate`: end it, and treat its parent as if that had thrown.
 */
export type Decision = 'resume' | 'restart' | 'stop' | 'escalate';

export interface Supervision {
  /** What to do, or a function that decides. A function can't be sent to another thread. Default: `restart`. */
  readonly decide?: Decision | ((error: unknown, child: AnyRef) => Decision);
  /** How many resumes or restarts within `period` are borne. Default: 3. */
  readonly intensity?: number;
  /** Milliseconds. Default: 5,000. */
  readonly period?: number;
  /** Wait before a restart: `min` the first time, doubled each time up to `max`. Milliseconds. Default: 10 to 1,000. */
  readonly backoff?: { readonly min: number; readonly max: number };
}

export const defaultSupervision = {
  decide: 'restart',
  intensity: 3,
  period: 5_000,
  backoff: { min: 10, max: 1_000 },
} satisfies Supervision;

/** Counts the failures of one actor within the period. */
export class FailureCount {
  #times: number[] = [];

  /**
   * Notes a failure.
   * @param now milliseconds
   * @returns how long to wait before the actor goes on, in milliseconds, or undefined: it is given up on
   */
  note(now: number, policy: Supervision): number | undefined {
    const period = policy.period ?? defaultSupervision.period;
    this.#times = this.#times.filter((time) => now - time < period);
    this.#times.push(now);
    if (this.#times.length > (policy.intensity ?? defaultSupervision.intensity)) return undefined;
    const { min, max } = policy.backoff ?? defaultSupervision.backoff;
    return Math.min(max, min * 2 ** (this.#times.length - 1));
  }
}
