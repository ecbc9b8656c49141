/** What a system of actors, and an actor on one of its threads, can be made with. */
import type { ResourceLimits } from 'node:worker_threads';
import type { Behaviour, SpawnOptions } from './behaviour.js';
import type { Clock } from './clock.js';
import type { SystemEvent } from './events.js';

export interface SystemOptions {
  /** Worker threads, 0 to 255. Default: 0. */
  readonly threads?: number;
  /** Bytes under way to or from a thread above which its lane is saturated. Default: 128 KiB. */
  readonly highWater?: number;
  /** Limits of each thread; one that exceeds them dies and is replaced. Default: {@link heapLimits}. */
  readonly resourceLimits?: ResourceLimits;
  /** Default: the real one. Threads always have the real one. */
  readonly clock?: Clock;
  /** Numbers from 0 to below 1. Default: from the system's cryptographic source. */
  readonly random?: () => number;
  /** Told of failures, dead letters and lost threads. Default: all but dead letters go to standard error, a line each. */
  readonly observe?: (event: SystemEvent) => void;
  /**
   * `turn`: actors run by themselves, soon. `manual`: those of the calling thread wait for `run()`, `askNow()`, `settle()`
   * or something from a thread. Default: `turn`.
   */
  readonly schedule?: 'turn' | 'manual';
}

export interface SpawnOnThreadOptions<Args> extends SpawnOptions {
  /** Which thread, 0 to `threads` − 1. Default: each in turn. */
  readonly thread?: number;
  /** Makes the args anew when the actor is started again after its thread died. Default: the same args. */
  readonly restore?: () => Args;
}

/** The type of the messages a behaviour accepts. */
export type MessageOf<B> = B extends Behaviour<infer Message, infer _State, infer _Args> ? Message : never;
/** The type of the args a behaviour starts from. */
export type ArgsOf<B> = B extends Behaviour<infer _Message, infer _State, infer Args> ? Args : never;

/** How large the heap (its old generation) of a thread may grow by default, in MiB. */
export const DEFAULT_THREAD_HEAP_MB = 4_096;

/**
 * Limits of a thread whose heap may grow to so many MiB. The young generation is kept as small as Node 20 has it: what
 * survives in it moves to the old one at once, and where that is more than the 16 MiB that Node grants a thread to end in
 * (Node 24 has 64), V8 ends the whole process.
 */
export const heapLimits = (maxOldGenerationSizeMb = DEFAULT_THREAD_HEAP_MB): ResourceLimits => ({
  maxOldGenerationSizeMb,
  maxYoungGenerationSizeMb: 48,
});
