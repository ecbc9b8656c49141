/** A cell: one living actor inside its host, and the context its behaviour sees. Flat, since there may be a million. */
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
import type { Ring } from './ring.js';
import type { FailureCount, Supervision } from './supervision.js';
import type { Addressee } from './table.js';

/** `waiting`: not started yet, or between a failure and its restart. Messages queue, none is taken. */
export type CellStatus = 'running' | 'waiting' | 'ended';

/** What in a mailbox is more than a plain message. A class, so that one look tells. */
export class Envelope {}

/** The actor is to end once it has taken everything before this. */
export const DRAINED = new Envelope();

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

export class Cell implements Context<unknown>, Addressee {
  readonly ref: number;
  readonly host: Host;
  readonly parent: Cell | undefined;
  readonly args: unknown;
  readonly supervision: Supervision | undefined;
  behaviour: AnyBehaviour;
  state: unknown = undefined;
  started = false;
  status: CellStatus = 'waiting';
  /** Only while it holds something. */
  mailbox: Ring<unknown> | undefined = undefined;
  /** In the host's run queue. */
  queued = false;
  /** Told when this actor ends. */
  watchers: Set<number> | undefined = undefined;
  /** Actors elsewhere whose `watchers` this one is in, to be taken out when it ends. */
  watching: Set<number> | undefined = undefined;
  timers: Set<() => void> | undefined = undefined;
  failures: FailureCount | undefined = undefined;
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
    this.supervision = supervision;
    if (parent) {
      this.nextSibling = parent.firstChild;
      if (parent.firstChild) parent.firstChild.previousSibling = this;
      parent.firstChild = this;
    }
  }

  accept(message: unknown): boolean {
    const { limit, overflow } = this.behaviour.mailbox ?? defaultMailbox;
    if ((this.mailbox?.length ?? 0) >= limit && !(overflow === 'drop-oldest' && this.#dropOldest())) {
      this.host.deadLetter(this.ref, 'mailbox-full', message);
      return overflow !== 'refuse';
    }
    this.enqueue(message);
    return true;
  }

  /** Drops the oldest message; signals before it keep their place. @returns false if there is none to drop */
  #dropOldest(): boolean {
    const mailbox = this.mailbox;
    if (mailbox === undefined) return false;
    const signals: unknown[] = [];
    let item: unknown;
    let found = false;
    while (!found && mailbox.length > 0) {
      item = mailbox.shift();
      found = isMessage(item);
      if (!found) signals.push(item);
    }
    for (const signal of signals.reverse()) mailbox.unshift(signal);
    if (!found) return false;
    this.host.backlog--;
    this.host.deadLetter(this.ref, 'mailbox-full', item);
    return true;
  }

  /** Puts something in the mailbox whatever its limit: for messages let in, and for signals. */
  enqueue(item: unknown): void {
    this.mailbox ??= this.host.takeRing();
    this.mailbox.push(item);
    this.#enqueued();
  }

  /** Puts a signal before everything else. */
  enqueueFirst(signal: Envelope): void {
    this.mailbox ??= this.host.takeRing();
    this.mailbox.unshift(signal);
    this.#enqueued();
  }

  #enqueued(): void {
    this.host.backlog++;
    if (!this.queued && this.status === 'running') this.host.makeReady(this);
  }

  /** Takes what children and watched actors did out of the mailbox: no news to the actor's next life, which knows none of them. */
  dropNews(): void {
    for (let left = this.mailbox?.length ?? 0; left > 0; left--) {
      const item = this.mailbox?.shift();
      if (item instanceof EndedSignal || item instanceof Escalated) this.host.backlog--;
      else this.mailbox?.push(item);
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
    this.watching ??= new Set();
    this.watching.add(ref);
    this.host.watch(ref, this.ref);
  }

  unwatch(ref: AnyRef): void {
    if (this.watching?.delete(ref)) this.host.unwatch(ref, this.ref);
  }

  after(ms: number, message: unknown): () => void {
    if (this.status === 'ended') return () => undefined;
    const cancel = this.host.clock.after(ms, () => {
      this.timers?.delete(cancel);
      this.host.tell(this.self, message);
    });
    this.timers ??= new Set();
    this.timers.add(cancel);
    return () => {
      if (this.timers?.delete(cancel)) cancel();
    };
  }

  now(): number {
    return this.host.clock.now();
  }

  random(): number {
    return this.host.random();
  }
}
