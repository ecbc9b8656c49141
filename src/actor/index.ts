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
export { AskError, type AskErrorCode, type AskOptions } from './question.js';
export { type AnyRef, formatRef, type Ref } from './ref.js';
export type { Decision, Supervision } from './supervision.js';
export {
  type ArgsOf,
  createSystem,
  DEFAULT_THREAD_HEAP_MB,
  type MessageOf,
  type SpawnOnThreadOptions,
  type System,
  type SystemOptions,
} from './system.js';
export type { ActorSnapshot } from './worker.js';
