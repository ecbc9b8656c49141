/**
 * The actors on threads, as the calling thread knows them: which were spawned from it, and who watches which. When a
 * thread dies, this is all that is left of them: whoever watched one is told, and what was spawned from here starts again.
 */
import type { EndReason } from './behaviour.js';
import type { Clock } from './clock.js';
import { describeError, type SystemEvent } from './events.js';
import type { Host } from './host.js';
import { asRef, firstAddress, hostOf } from './ref.js';
import type { SpawnSignal } from './signals.js';
import { FailureCount, type Supervision } from './supervision.js';
import { AddressTable } from './table.js';

/** An actor that was spawned from the calling thread: what it takes to start it again. */
interface RemoteActor {
  readonly ref: number;
  readonly module: string;
  readonly args: unknown;
  /** Makes the args anew. */
  readonly restore: (() => unknown) | undefined;
  readonly supervision: Supervision | undefined;
  /** Undefined until its thread has died once. */
  failures: FailureCount | undefined;
}

export interface RemoteActorsOptions {
  /** How many threads; they are numbered from 1. */
  readonly threads: number;
  /** The calling thread's. */
  readonly host: Host;
  readonly clock: Clock;
  readonly observe: (event: SystemEvent) => void;
  /** Sends to the thread of an address that an actor is to start there. */
  readonly sendSpawn: (ref: number, signal: SpawnSignal) => void;
}

export class RemoteActors {
  readonly #options: RemoteActorsOptions;
  readonly #spawned: AddressTable<RemoteActor>[] = [];
  /** Watched → watchers, both anywhere. */
  readonly #watches = new Map<number, Set<number>>();

  constructor(options: RemoteActorsOptions) {
    this.#options = options;
    for (let thread = 1; thread <= options.threads; thread++)
      this.#spawned.push(new AddressTable(firstAddress(thread) + 1));
  }

  /** Starts an actor on a thread. @returns its address; undefined if there is no such thread */
  spawn(
    thread: number,
    module: URL,
    args: unknown,
    restore: (() => unknown) | undefined,
    supervision: Supervision | undefined,
  ): number | undefined {
    const table = this.#spawned[thread - 1];
    if (table === undefined) return undefined;
    const actor = { ref: table.free(), module: module.href, args, restore, supervision, failures: undefined };
    table.add(actor);
    this.#start(actor, args);
    return actor.ref;
  }

  /** An actor has ended, or is to: it is not to be started again. */
  forget(ref: number): void {
    const table = this.#spawned[hostOf(ref) - 1];
    const actor = table?.get(ref);
    if (actor) table?.remove(actor);
  }

  watch(watched: number, watcher: number): void {
    const watchers = this.#watches.get(watched) ?? new Set();
    this.#watches.set(watched, watchers.add(watcher));
  }

  unwatch(watched: number, watcher: number): void {
    const watchers = this.#watches.get(watched);
    if (watchers?.delete(watcher) && watchers.size === 0) this.#watches.delete(watched);
  }

  giveUp(ref: number, name: string, error: string): void {
    this.forget(ref);
    this.#options.observe({ type: 'actor-given-up', ref: asRef(ref), name, error });
    this.#tellWatchers((watched) => watched === ref, 'failed', error);
  }

  /** A thread died, and there is another in its place. */
  onLost(thread: number, error: string): void {
    for (const [watched, watcher] of this.#eachWatch())
      if (hostOf(watcher) === thread) this.#options.host.unwatch(asRef(watched), watcher);
    this.#tellWatchers((watched) => hostOf(watched) === thread, 'thread-lost', error);
    for (const actor of [...(this.#spawned[thread - 1] ?? [])]) this.#restart(actor, error);
  }

  #start({ ref, module, supervision }: RemoteActor, args: unknown): void {
    this.#options.sendSpawn(ref, { kind: 'spawn', module, args, supervision });
  }

  #restart(actor: RemoteActor, error: string): void {
    const policy: Supervision = actor.supervision ?? {};
    const decision = policy.decide ?? 'restart';
    actor.failures ??= new FailureCount();
    if (decision === 'stop' || decision === 'escalate') this.forget(actor.ref);
    else if (actor.failures.note(this.#options.clock.now(), policy) === undefined)
      this.giveUp(actor.ref, actor.module, error);
    else {
      try {
        this.#start(actor, actor.restore ? actor.restore() : actor.args);
      } catch (reason) {
        this.giveUp(actor.ref, actor.module, describeError(reason));
      }
    }
  }

  #tellWatchers(of: (watched: number) => boolean, reason: EndReason, error: string): void {
    for (const [watched, watcher] of this.#eachWatch()) {
      if (!of(watched)) continue;
      this.unwatch(watched, watcher);
      this.#options.host.tellEnded(watcher, { ref: asRef(watched), reason, error });
    }
  }

  /** Every watch at this moment, as [watched, watcher]. */
  #eachWatch(): readonly (readonly [number, number])[] {
    return [...this.#watches].flatMap(([watched, watchers]) =>
      Array.from(watchers, (watcher) => [watched, watcher] as const),
    );
  }
}
