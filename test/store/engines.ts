/** What the tests of the engines share. */
import type { TestContext } from 'node:test';
import type { Engine, RangeOptions } from '#src/store/engine.js';
import { type LmdbOptions, openLmdb } from '#src/store/lmdb-engine.js';

/** All keys that tests use are below this one. */
export const AFTER_ALL = '\u{10ffff}';

/** {@link openLmdb}, closed when the test is over. */
export function openFor(t: TestContext, folder: string, options?: LmdbOptions): Engine {
  const engine = openLmdb(folder, options);
  t.after(() => engine.close());
  return engine;
}

/** Commits texts; undefined deletes. */
export function put(engine: Engine, values: Record<string, string | undefined>): void {
  const entries = Object.entries(values);
  engine.commit(new Map(entries.map(([key, value]) => [key, value === undefined ? undefined : bytes(value)])));
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(engine: Engine, key: string): string | undefined {
  const value = engine.get(key);
  return value === undefined ? undefined : Buffer.from(value).toString();
}

/** A range as copies: key and value in hexadecimal digits. */
export function entriesOf(engine: Engine, from = '', to = AFTER_ALL, options?: RangeOptions): [string, string][] {
  return Array.from(engine.range(from, to, options), ({ key, value }) => [key, Buffer.from(value).toString('hex')]);
}
