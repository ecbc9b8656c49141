/**
 * What the calling thread remembers of the actors on threads: which were spawned from it, and who watches which. When a
 * thread dies, this is all that is left of them.
 */
import { firstAddress, hostOf } from './ref.js';
import type { FailureCount, Supervision } from './supervision.js';
import { AddressTable } from './table.js';

/** An actor that was spawned from the calling thread: what it takes to start it again. */
export interface RemoteActor {
  readonly ref: number;
  readonly module: string;
  readonly args: unknown;
  /** Makes the args anew. */
  readonly restore: (() => unknown) | undefined;
  readonly supervision: Supervision | undefined;
  /** Undefined until its thread has died once. */
  failures: FailureCount | undefined;
}

export class RemoteActors {
  readonly #spawned: AddressTable<RemoteActor>[] = [];
  /** Watched → watchers, both anywhere. */
  readonly #watches = new Map<number, Set<number>>();

  /** @param threads how many; they are numbered from 1 */
  constructor(threads: number) {
    for (let thread = 1; thread <= threads; thread++) this.#spawned.push(new AddressTable(firstAddress(thread) + 1));
  }

  /** Gives an actor an address on a thread. @returns undefined if there is no such thread */
  add(
    thread: number,
    module: URL,
    args: unknown,
    restore: (() => unknown) | undefined,
    supervision: Supervision | undefined,
  ): RemoteActor | undefined {
    const table = this.#spawned[thread - 1];
    if (table === undefined) return undefined;
    const actor = { ref: table.free(), module: module.href, args, restore, supervision, failures: undefined };
    table.add(actor);
    return actor;
  }

  forget(ref: number): void {
    const table = this.#spawned[hostOf(ref) - 1];
    const actor = table?.get(ref);
    if (actor) table?.remove(actor);
  }

  get(ref: number): RemoteActor | undefined {
    return this.#spawned[hostOf(ref) - 1]?.get(ref);
  }

  /** What was spawned on a thread and has not ended. */
  on(thread: number): readonly RemoteActor[] {
    return [...(this.#spawned[thread - 1] ?? [])];
  }

  watch(watched: number, watcher: number): void {
    const watchers = this.#watches.get(watched) ?? new Set();
    this.#watches.set(watched, watchers.add(watcher));
  }

  unwatch(watched: number, watcher: number): void {
    const watchers = this.#watches.get(watched);
    if (watchers?.delete(watcher) && watchers.size === 0) this.#watches.delete(watched);
  }

  /** Every watch, as [watched, watcher]. */
  watches(): readonly (readonly [number, number])[] {
    return [...this.#watches].flatMap(([watched, watchers]) =>
      Array.from(watchers, (watcher) => [watched, watcher] as const),
    );
  }
}
