import {
  checkBound,
  checkKey,
  type Engine,
  type Entry,
  type RangeOptions,
  VERSION_KEY,
  versionRecord,
} from './engine.js';

/** An engine that keeps everything in memory, for as long as it lives: for tests, and where nothing need survive. */
export class MemoryEngine implements Engine {
  /** By {@link sortable} key. */
  readonly #values = new Map<string, Uint8Array>();
  /** The keys of `#values` in order; undefined when there are new or fewer ones. */
  #sorted: string[] | undefined;
  #size = 0;

  constructor() {
    this.commit(new Map([[VERSION_KEY, versionRecord()]]));
  }

  /** Bytes of all keys and values. */
  get size(): number {
    return this.#size;
  }

  get(key: string): Uint8Array | undefined {
    checkKey(key);
    return this.#values.get(sortable(key));
  }

  *range(from: string, to: string, options: RangeOptions = {}): Iterable<Entry> {
    checkBound(from);
    checkBound(to);
    this.#sorted ??= [...this.#values.keys()].sort();
    const sorted = this.#sorted;
    const { reverse = false, limit = Number.POSITIVE_INFINITY } = options;
    const [first, end] = [placeOf(sortable(from), sorted), placeOf(sortable(to), sorted)];
    const keys = reverse
      ? sorted.slice(Math.max(first, end - limit), end).reverse()
      : sorted.slice(first, Math.min(end, first + limit));
    // All at once: a commit must not show in a range that has begun.
    const entries = keys.map((key) => ({ key, value: this.#values.get(key) }));
    for (const { key, value } of entries) {
      if (value !== undefined) yield { key: Buffer.from(key, 'latin1').toString(), value };
    }
  }

  commit(changes: ReadonlyMap<string, Uint8Array | undefined>): void {
    for (const key of changes.keys()) checkKey(key);
    for (const [key, value] of changes) this.#set(sortable(key), value && new Uint8Array(value));
  }

  refresh(): void {}

  close(): void {
    this.#values.clear();
    this.#sorted = undefined;
    this.#size = 0;
  }

  #set(key: string, value: Uint8Array | undefined): void {
    const old = this.#values.get(key);
    if ((old === undefined) !== (value === undefined)) this.#sorted = undefined;
    if (old !== undefined) this.#size -= key.length + old.length;
    if (value === undefined) {
      this.#values.delete(key);
    } else {
      this.#values.set(key, value);
      this.#size += key.length + value.length;
    }
  }
}

/** The key with a character for each byte of its UTF-8, which strings are compared by as bytes are. */
function sortable(key: string): string {
  return Buffer.from(key).toString('latin1');
}

/** How many of some sorted keys come before one. */
function placeOf(key: string, sorted: readonly string[]): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
