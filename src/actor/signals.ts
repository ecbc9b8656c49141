/**
 * Signals: what threads tell each other about actors, beside the messages to them. Plain data; on a lane a signal to
 * the actor at address a is sent to the address −a.
 */
import type { Ended, StopMode } from './behaviour.js';
import type { SystemEvent } from './events.js';
import type { Supervision } from './supervision.js';

/** To an actor, or to a question that waits for its answer. */
export type ActorSignal =
  | { readonly kind: 'stop'; readonly mode: StopMode }
  | { readonly kind: 'watch'; readonly watcher: number }
  | { readonly kind: 'unwatch'; readonly watcher: number }
  | { readonly kind: 'ended'; readonly ended: Ended }
  /** A message whose sender waits for the answer at `replyTo`, and must be told if there will be none. */
  | { readonly kind: 'ask'; readonly message: unknown; readonly replyTo: number }
  | { readonly kind: 'unanswered'; readonly reason: string };

/** To a thread: start an actor at this address. */
export interface SpawnSignal {
  readonly kind: 'spawn';
  readonly module: string;
  readonly args: unknown;
  readonly supervision: Supervision | undefined;
}

/** To the system, at {@link SYSTEM_ADDRESS}: something that whoever observes it should know. */
export interface ObservedSignal {
  readonly kind: 'observed';
  readonly event: SystemEvent;
}

export type RemoteSignal = ActorSignal | SpawnSignal | ObservedSignal;

/** The address of the calling thread's system itself: it is told when an actor that it spawned on a thread ends. */
export const SYSTEM_ADDRESS = 1;

/** Tells a signal from anything else that came with a negative address. */
export const isSignal = (message: unknown): message is RemoteSignal =>
  typeof message === 'object' && message !== null && 'kind' in message;
