/** What the store is built on: an ordered map on disk, or in memory. */

/** The longest key, in bytes of UTF-8. */
export const MAX_KEY_BYTES = 1978;

/** The record that says which version of the format a store has; an engine writes it when it makes a new store. */
export const VERSION_KEY = 'version';

/** The version of the format that this code reads and writes. */
export const STORE_VERSION = 1;

/** Which entries of a range, and in which order. */
export interface RangeOptions {
  /** From the last entry down. Default: from the first one up. */
  reverse?: boolean;
  /** At most so many entries. Default: all. */
  limit?: number;
}

/** One record. */
export interface Entry {
  key: string;
  value: Uint8Array;
}

/**
 * An ordered map from strings to bytes, changed by atomic, durable commits. It is synchronous: it belongs on a thread
 * that may wait for a disk.
 *
 * Keys are 1 to {@link MAX_KEY_BYTES} bytes of UTF-8, and ordered by these bytes. The bytes that it hands out are its
 * own, never to be written to. Reads see a snapshot: that of the last {@link commit} or {@link refresh} of this engine,
 * or a later one if the thread has been through its event loop since.
 */
export interface Engine {
  /**
   * The value of a key, undefined if there is none. Valid until the next call of any method: copy what is to be kept.
   * @throws RangeError for a key that is empty or too long
   */
  get(key: string): Uint8Array | undefined;

  /**
   * The entries with `from <= key < to` in the order of their keys. An entry's value is valid until the next one is
   * taken, or any other method is called. The range goes on showing what was there when its first entry was taken.
   * Take it to its end or leave it by `break`: one that is forgotten half-way keeps its snapshot on the disk.
   * @param from at most {@link MAX_KEY_BYTES} long, and may be empty
   * @param to as `from`
   * @throws RangeError for a longer `from` or `to`, when the first entry is taken
   */
  range(from: string, to: string, options?: RangeOptions): Iterable<Entry>;

  /**
   * Applies all changes, or none. When it returns they are durable: they survive a loss of power.
   * @param changes new values by key; undefined deletes
   * @throws StorageError when they cannot be written; then nothing has changed, and it may be tried again
   * @throws RangeError for a key that is empty or too long; then nothing has changed
   */
  commit(changes: ReadonlyMap<string, Uint8Array | undefined>): void;

  /** Lets go of the snapshot, so that the next read sees what other threads and processes have committed meanwhile. */
  refresh(): void;

  /** Bytes in use, free space inside the file not counted. */
  readonly size: number;

  /** Ends it; nothing else may be called after that. A second time does nothing. */
  close(): void;
}

/** What a reader needs of it. */
export type ReadableEngine = Pick<Engine, 'get' | 'range' | 'refresh'>;

/** @throws RangeError for a key that no record can have */
export function checkKey(key: string): void {
  if (key === '') throw new RangeError('A key must not be empty.');
  checkBound(key);
}

/** @throws RangeError for a bound of a range that is longer than any key */
export function checkBound(key: string): void {
  if (key.length * 3 <= MAX_KEY_BYTES) return; // No character of a string makes more than three bytes.
  const bytes = Buffer.byteLength(key);
  if (bytes > MAX_KEY_BYTES) throw new RangeError(`A key of ${bytes} bytes is longer than ${MAX_KEY_BYTES}.`);
}

/** What the record of the version holds in a store of this version. */
export function versionRecord(): Uint8Array {
  return Buffer.from(JSON.stringify(STORE_VERSION));
}
