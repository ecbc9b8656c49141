/**
 * What an actor does: a behaviour, a function of (state, message, context), and what its context offers it.
 *
 * @example
 * type Count = { add: number } | { get: Ref<number> };
 * const counter: Behaviour<Count, number, { from: number }> = {
 *   name: 'counter',
 *   start: ({ from }) => from,
 *   receive(count, message, context) {
 *     if ('add' in message) return count + message.add;
 *     context.tell(message.get, count);
 *     return count;
 *   },
 * };
 */
import type { AnyRef, Ref } from './ref.js';
import type { Supervision } from './supervision.js';

export interface Behaviour<Message, State, Args = void> {
  /** What kind of actor this is; shown in logs. */
  readonly name: string;
  /** Bounds on what may wait for the actor. Default: {@link defaultMailbox}. */
  readonly mailbox?: MailboxLimit;
  /** How the children of this actor are treated when they throw. Default: {@link defaultSupervision}. */
  readonly childSupervision?: Supervision;
  /** Makes the first state; called when the actor starts, and again whenever it is restarted. Not asynchronous, nor are the others. */
  start(args: Args, context: Context<Message>): State;
  /** Takes one message and returns the next state (the same object, if it is changed in place). */
  receive(state: State, message: Message, context: Context<Message>): State;
  /** Told that a watched actor or a child has ended; returns the next state. Without it, watching tells nothing. */
  ended?(state: State, ended: Ended, context: Context<Message>): State;
  /** Last words: the actor is about to end or to be restarted. */
  stopped?(state: State, reason: EndReason, context: Context<Message>): void;
}

/** A behaviour of which only the name is known. */
export type AnyBehaviour = Behaviour<unknown, unknown, unknown>;

export interface MailboxLimit {
  /** Messages that may wait. */
  readonly limit: number;
  /** What gives way when it is full: the message that comes (`refuse` tells the sender so, `drop-newest` does not), or the oldest. */
  readonly overflow: 'refuse' | 'drop-oldest' | 'drop-newest';
}

export const defaultMailbox: MailboxLimit = { limit: 10_000, overflow: 'refuse' };

/** Why an actor ended: it was asked to, it was given up on after it threw, its thread died, or there was none such. */
export type EndReason = 'stopped' | 'failed' | 'thread-lost' | 'no-such-actor';

/** Death watch: which actor ended, and why. Plain data. */
export interface Ended {
  readonly ref: AnyRef;
  readonly reason: EndReason;
  /** What it threw, or what ended its thread. */
  readonly error?: string;
}

export interface SpawnOptions {
  /** How this actor is treated when it throws, in place of its parent's `childSupervision`. */
  readonly supervision?: Supervision;
}

/**
 * What an actor can do. It is valid for the life of the actor, also after an `await` of its own; it can not be sent to
 * another thread. Its functions are methods: `context.tell(…)`, not `const { tell } = context`.
 */
export interface Context<Message> {
  readonly self: Ref<Message>;
  /** Sends a message and never waits. @returns false if it certainly will not arrive (it is then a dead letter) */
  tell<Other>(to: Ref<Other>, message: Other): boolean;
  /** Starts a child on this thread. It ends with its parent, and when its parent is restarted. @throws Error if the actor has ended */
  spawn<ChildMessage, ChildState, Args>(
    behaviour: Behaviour<ChildMessage, ChildState, Args>,
    args: Args,
    options?: SpawnOptions,
  ): Ref<ChildMessage>;
  /** Ends an actor: `drain` lets it finish what is in its mailbox first, `now` does not. Default: `drain`. */
  stop(ref: AnyRef, mode?: StopMode): void;
  /** Death watch: `ended` is called once when that actor ends, at once if there is none such. */
  watch(ref: AnyRef): void;
  /** Ends a death watch. News that is in the mailbox already still comes. */
  unwatch(ref: AnyRef): void;
  /** Sends a message to the actor itself, `ms` milliseconds from now, unless it ends or restarts before. @returns what cancels it */
  after(ms: number, message: Message): () => void;
  /** Milliseconds since the epoch, by the system's clock. */
  now(): number;
  /** A number from 0 to below 1, by the system's source of randomness. */
  random(): number;
}

export type StopMode = 'drain' | 'now';
