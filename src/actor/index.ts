/** Actors on worker threads: everything a program of its own needs, and nothing of Callboard's executors. */
export type {
  AnyBehaviour,
  Behaviour,
  Context,
  Ended,
  EndReason,
  MailboxLimit,
  SpawnOptions,
  StopMode,
} from './behaviour.js';
export { backgroundClock, type Clock, realClock, VirtualClock } from './clock.js';
export type { DeadLetterReason, SystemEvent } from './events.js';
export type { HostStats } from './host.js';
export {
  type ArgsOf,
  DEFAULT_THREAD_HEAP_MB,
  heapLimits,
  type MessageOf,
  type SpawnOnThreadOptions,
  type SystemOptions,
} from './options.js';
export { AskError, type AskErrorCode, type AskOptions } from './question.js';
export { type AnyRef, formatRef, type Ref } from './ref.js';
export type { Decision, Supervision } from './supervision.js';
export { createSystem, type System } from './system.js';
export type { ActorSnapshot } from './worker.js';
