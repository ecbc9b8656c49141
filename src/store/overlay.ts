/** An engine as it will be once some changes are committed: what can be read while nothing can be written. */
import type { Entry, RangeOptions, ReadableEngine } from './engine.js';

export class Overlay implements ReadableEngine {
  readonly #engine: ReadableEngine;
  readonly #changes: () => ReadonlyMap<string, Uint8Array | undefined>;

  /** @param changes as they are at that time; undefined deletes */
  constructor(engine: ReadableEngine, changes: () => ReadonlyMap<string, Uint8Array | undefined>) {
    this.#engine = engine;
    this.#changes = changes;
  }

  get(key: string): Uint8Array | undefined {
    const changes = this.#changes();
    return changes.has(key) ? changes.get(key) : this.#engine.get(key);
  }

  *range(from: string, to: string, options: RangeOptions = {}): Iterable<Entry> {
    const { reverse = false, limit = Number.POSITIVE_INFINITY } = options;
    const changes = this.#changes();
    const isBefore = (one: string, other: string): boolean =>
      reverse ? compare(one, other) > 0 : compare(one, other) < 0;
    const common = commonStart(from, to);
    const changed = [...changes]
      .filter(([key]) => key.startsWith(common) && compare(key, from) >= 0 && compare(key, to) < 0)
      .sort(([one], [other]) => (isBefore(one, other) ? -1 : 1));
    if (changed.length === 0) {
      yield* this.#engine.range(from, to, options);
      return;
    }
    let count = 0;
    let next = 0;
    /** What is changed, up to a key; all of it without one. */
    const changedBefore = function* (key?: string): Iterable<Entry> {
      for (let [at, value] = changed[next] ?? []; at !== undefined; [at, value] = changed[next] ?? []) {
        if (count >= limit || (key !== undefined && !isBefore(at, key))) return;
        next++;
        if (value === undefined) continue;
        count++;
        yield { key: at, value };
      }
    };
    for (const entry of this.#engine.range(from, to, { reverse })) {
      yield* changedBefore(entry.key);
      if (count >= limit) return;
      if (changes.has(entry.key)) continue;
      count++;
      yield entry;
    }
    yield* changedBefore();
  }

  refresh(): void {
    this.#engine.refresh();
  }
}

/** What every key between the two begins with: looked for first, for that is quick, and there may be many keys. */
function commonStart(from: string, to: string): string {
  let length = 0;
  while (length < from.length && from[length] === to[length]) length++;
  return from.slice(0, length);
}

/** By their bytes, as an engine does. */
const compare = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other));
