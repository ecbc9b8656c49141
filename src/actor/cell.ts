/**
 * A cell: one living actor inside its host, and the context its behaviour sees. Flat and small, since there may be a
 * million: what few actors have is kept apart, and the one message that waits for most of them is its own mailbox.
 */
import {
  type AnyBehaviour,
  type Behaviour,
  type Context,
  defaultMailbox,
  type Ended,
  type SpawnOptions,
  type StopMode,
} from './behaviour.js';
import type { Host } from './host.js';
import { type AnyRef, asRef, type Ref } from './ref.js';
import { Ring } from './ring.js';
import type { FailureCount, Supervision } from './supervision.js';
import type { Addressee } from './table.js';

/** `waiting`: not started yet, or between a failure and its restart. Messages queue, none is taken. */
export type CellStatus = 'running' | 'waiting' | 'ended';

/** What in a mailbox is more than a plain message. A class, so that one look tells. */
export class Envelope {}

/** The actor is to end once it has taken everything before this. */
export const DRAINED = new Envelope();

/** In place of a mailbox: nothing waits. */
const EMPTY = new Envelope();

/** Death watch. */
export class EndedSignal extends Envelope {
  readonly ended: Ended;
  constructor(ended: Ended) {
    super();
    this.ended = ended;
  }
}

/** The failure of a child, which the actor is to treat as its own. */
export class Escalated extends Envelope {
  readonly error: unknown;
  constructor(error: unknown) {
    super();
    this.error = error;
  }
}

/** A message whose sender waits for the answer at `replyTo`, and is told if there will be none. */
export class Asked extends Envelope {
  readonly message: unknown;
  readonly replyTo: number;
  constructor(message: unknown, replyTo: number) {
    super();
    this.message = message;
    this.replyTo = replyTo;
  }
}

/** Whether something in a mailbox is a message, which counts as one and may be dropped, and not a signal. */
export const isMessage = (item: unknown): boolean => !(item instanceof Envelope) || item instanceof Asked;

/** What few actors have. */
class Extras {
  supervision: Supervision | undefined = undefined;
  /** Told when this actor ends. */
  watchers: Set<number> | undefined = undefined;
  /** Actors elsewhere whose `watchers` this one is in, to be taken out when it ends. */
  watching: Set<number> | undefined = undefined;
  timers: Set<() => void> | undefined = undefined;
  failures: FailureCount | undefined = undefined;
}

export class Cell implements Context<unknown>, Addressee {
  readonly ref: number;
  readonly host: Host;
  readonly parent: Cell | undefined;
  readonly args: unknown;
  behaviour: AnyBehaviour;
  state: unknown = undefined;
  status: CellStatus = 'waiting';
  /** In the host's run queue. */
  queued = false;
  /** Undefined until it is needed. */
  extras: Extras | undefined = undefined;
  /** {@link EMPTY}, the one item that waits, or a ring of them. */
  #mailbox: unknown = EMPTY;
  // Children, as a doubly linked list: an actor without any pays nothing for it.
  firstChild: Cell | undefined = undefined;
  nextSibling: Cell | undefined = undefined;
  previousSibling: Cell | undefined = undefined;

  constructor(
    host: Host,
    ref: number,
    behaviour: AnyBehaviour,
    args: unknown,
    parent?: Cell,
    supervision?: Supervision,
  ) {
    this.host = host;
    this.ref = ref;
    this.behaviour = behaviour;
    this.args = args;
    this.parent = parent;
    if (supervision) this.needExtras().supervision = supervision;
    if (parent) {
      this.nextSibling = parent.firstChild;
      if (parent.firstChild) parent.firstChild.previousSibling = this;
      parent.firstChild = this;
    }
  }

  needExtras(): Extras {
    this.extras ??= new Extras();
    return this.extras;
  }

  // The mailbox.

  /** How many messages and signals wait. */
  get waiting(): number {
    const mailbox = this.#mailbox;
    if (mailbox instanceof Ring) return mailbox.length;
    return mailbox === EMPTY ? 0 : 1;
  }

  accept(message: unknown): boolean {
    const { limit, overflow } = this.behaviour.mailbox ?? defaultMailbox;
    if (this.waiting >= limit && !(overflow === 'drop-oldest' && this.#dropOldest())) {
      this.host.deadLetter(this.ref, 'mailbox-full', message);
      return overflow !== 'refuse';
    }
    this.enqueue(message);
    return true;
  }

  /** Takes what is first in the mailbox, which must not be empty. */
  take(): unknown {
    const mailbox = this.#mailbox;
    this.host.backlog--;
    if (!(mailbox instanceof Ring)) {
      this.#mailbox = EMPTY;
      return mailbox;
    }
    const item: unknown = mailbox.shift();
    if (mailbox.length === 0) {
      this.#mailbox = EMPTY;
      this.host.giveRing(mailbox);
    }
    return item;
  }

  /** Drops the oldest message; signals before it keep their place. @returns false if there is none to drop */
  #dropOldest(): boolean {
    const signals: Envelope[] = [];
    let dropped: unknown = EMPTY;
    while (dropped === EMPTY && this.waiting > 0) {
      const item = this.take();
      if (item instanceof Envelope && !isMessage(item)) signals.push(item);
      else dropped = item;
    }
    for (const signal of signals.reverse()) this.enqueueFirst(signal);
    if (dropped === EMPTY) return false;
    this.host.deadLetter(this.ref, 'mailbox-full', dropped);
    return true;
  }

  /** Puts something in the mailbox whatever its limit: for messages let in, and for signals. */
  enqueue(item: unknown): void {
    const mailbox = this.#mailbox;
    if (mailbox === EMPTY) this.#mailbox = item;
    else this.#ring(mailbox).push(item);
    this.#enqueued();
  }

  /** Puts a signal before everything else. */
  enqueueFirst(signal: Envelope): void {
    const mailbox = this.#mailbox;
    if (mailbox === EMPTY) this.#mailbox = signal;
    else this.#ring(mailbox).unshift(signal);
    this.#enqueued();
  }

  /** The mailbox as a ring, with the one item in it that it was so far. */
  #ring(mailbox: unknown): Ring<unknown> {
    if (mailbox instanceof Ring) return mailbox;
    const ring = this.host.takeRing();
    ring.push(mailbox);
    this.#mailbox = ring;
    return ring;
  }

  #enqueued(): void {
    this.host.backlog++;
    if (!this.queued && this.status === 'running') this.host.makeReady(this);
  }

  /** Takes what children and watched actors did out of the mailbox: no news to the actor's next life, which knows none of them. */
  dropNews(): void {
    for (let left = this.waiting; left > 0; left--) {
      const item = this.take();
      if (!(item instanceof EndedSignal || item instanceof Escalated)) this.enqueue(item);
    }
  }

  // The context.

  get self(): Ref<unknown> {
    return asRef(this.ref);
  }

  tell<Other>(to: Ref<Other>, message: Other): boolean {
    return this.host.tell(to, message);
  }

  spawn<ChildMessage, ChildState, Args>(
    behaviour: Behaviour<ChildMessage, ChildState, Args>,
    args: Args,
    options?: SpawnOptions,
  ): Ref<ChildMessage> {
    // It would have no one to end it.
    if (this.status === 'ended') throw new Error('an actor that has ended can not have children');
    return this.host.spawn(behaviour, args, options, this);
  }

  stop(ref: AnyRef, mode: StopMode = 'drain'): void {
    this.host.stop(ref, mode);
  }

  watch(ref: AnyRef): void {
    if (this.status === 'ended') return;
    const extras = this.needExtras();
    extras.watching ??= new Set();
    extras.watching.add(ref);
    this.host.watch(ref, this.ref);
  }

  unwatch(ref: AnyRef): void {
    if (this.extras?.watching?.delete(ref)) this.host.unwatch(ref, this.ref);
  }

  after(ms: number, message: unknown): () => void {
    if (this.status === 'ended') return () => undefined;
    const extras = this.needExtras();
    const cancel = this.host.clock.after(ms, () => {
      extras.timers?.delete(cancel);
      this.host.tell(this.self, message);
    });
    extras.timers ??= new Set();
    extras.timers.add(cancel);
    return () => {
      if (extras.timers?.delete(cancel)) cancel();
    };
  }

  now(): number {
    return this.host.clock.now();
  }

  random(): number {
    return this.host.random();
  }
}
