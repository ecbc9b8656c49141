/** The engine of a store on disk: LMDB, in one file of a folder. */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { open, type RootDatabase, type Transaction } from 'lmdb';
import * as v from 'valibot';
import type { CommitGate } from './commit-gate.js';
import {
  checkBound,
  checkKey,
  type Engine,
  type Entry,
  type RangeOptions,
  STORE_VERSION,
  VERSION_KEY,
  versionRecord,
} from './engine.js';
import { lockFolder } from './folder-lock.js';
import { checkSpace, storageErrorOf } from './lmdb-errors.js';
import { findDamage } from './lmdb-file.js';
import { StorageError } from './storage-error.js';

/** The file in the store's folder. LMDB keeps another one beside it, `store.mdb-lock`, which is of no worth at rest. */
export const STORE_FILE = 'store.mdb';

/** How to open a store on disk. */
export interface LmdbOptions {
  /**
   * Only read: no commits, no lock, and no store is made where there is none. Default: false.
   *
   * `snapshot`: and see one moment of it, also over turns of the event loop, until {@link Engine.refresh}. What is freed
   * meanwhile stays on the disk.
   */
  readOnly?: boolean | 'snapshot';
  /**
   * What commits go through, for a thread that another one may end: see {@link CommitGate}, and the hang it prevents.
   * Default: none, which is right on a thread that is not ended from outside.
   */
  gate?: CommitGate;
}

/**
 * Opens the store in a folder: one writer at a time, and any number of readers, on threads or in processes of their
 * own. In the writer's process, open the writer first: what LMDB opens once for reading stays so for all threads. A
 * writer makes the folder and the store if there is none, for its owner's eyes only.
 *
 * On a thread that never comes back to its event loop, each {@link Engine.refresh} followed by a read leaves a timer
 * of some hundred bytes behind until it does.
 * @throws StorageError if it cannot; a store that is refused as damaged or newer is left as it is
 */
export function openLmdb(folder: string, options: LmdbOptions = {}): Engine {
  if (options.readOnly)
    return new LmdbEngine(openStore(folder, true), folder, undefined, options.readOnly === 'snapshot');
  const unlock = lockFolder(makeFolder(folder));
  try {
    const engine = new LmdbEngine(openStore(folder, false), folder, { unlock, gate: options.gate });
    syncFolder(folder); // A new file is on disk for certain once its folder is.
    return engine;
  } catch (error) {
    unlock();
    throw error;
  }
}

type Store = RootDatabase<Uint8Array, string>;

/** More than a store will need, and no more than a range of addresses: so the map is never moved under its readers. */
const MAP_BYTES = 2 ** 36;

/** UTF-8 as it is. (LMDB's own encoding of strings escapes some characters.) */
const keyEncoder = {
  writeKey(key: string, target: Buffer, start: number): number {
    // lmdb-js makes a larger buffer when it gets this error; Buffer.write would cut the key off.
    if (start + key.length * 3 > target.length && start + Buffer.byteLength(key) > target.length) {
      throw new RangeError('The buffer is too small for the key.');
    }
    return start + target.write(key, start);
  },
  readKey: (source: Buffer, start: number, end: number): string => source.toString('utf8', start, end),
};

/** Values as they are. As an "encoder" they are not copied once more for each read; see {@link Engine.get}. */
const valueEncoder = {
  // lmdb-js writes what lies at a value's address, and finds none for shared memory.
  encode: (value: Uint8Array): Uint8Array =>
    value.buffer instanceof SharedArrayBuffer ? Uint8Array.prototype.slice.call(value) : value,
  // A large buffer that lmdb-js reuses, and whose `length` it overwrites.
  decode: (bytes: Buffer): Uint8Array => bytes.subarray(0, bytes.length),
};

/** The parts of LMDB's statistics that {@link Engine.size} adds up. */
const treeSchema = v.object({
  treeBranchPageCount: v.number(),
  treeLeafPageCount: v.number(),
  overflowPages: v.number(),
});
const statsSchema = v.object({ ...treeSchema.entries, pageSize: v.number(), free: treeSchema });

/** What an engine has that writes. */
interface Writer {
  unlock: () => void;
  gate: CommitGate | undefined;
}

class LmdbEngine implements Engine {
  readonly #store: Store;
  readonly #folder: string;
  readonly #writer: Writer | undefined;
  /** What reads go through to see one moment. */
  #moment: { readonly transaction?: Transaction } = {};
  #isClosed = false;

  constructor(store: Store, folder: string, writer?: Writer, isSnapshot = false) {
    this.#store = store;
    this.#folder = folder;
    this.#writer = writer;
    try {
      if (isSnapshot) this.#moment = { transaction: store.useReadTransaction() };
      this.#checkVersion();
    } catch (error) {
      void store.close();
      throw error;
    }
  }

  get size(): number {
    const { free, pageSize, ...records } = v.parse(statsSchema, this.#store.getStats());
    const trees = [records, free].map((tree) => tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages);
    return trees.reduce((sum, pages) => sum + pages, 2) * pageSize; // Two pages say where the trees are.
  }

  get(key: string): Uint8Array | undefined {
    checkKey(key);
    try {
      return this.#store.get(key, this.#moment);
    } catch (error) {
      throw this.#errorOf(error);
    }
  }

  *range(from: string, to: string, { reverse = false, limit }: RangeOptions = {}): Iterable<Entry> {
    checkBound(from);
    checkBound(to);
    if (to === '') return; // Nothing is below it; and LMDB would take it for no bound at all.
    const bounds = reverse
      ? { start: to, end: from, exclusiveStart: true, inclusiveEnd: true, reverse }
      : { start: from, end: to };
    try {
      yield* this.#store.getRange({ ...bounds, ...(limit === undefined ? {} : { limit }), ...this.#moment });
    } catch (error) {
      throw this.#errorOf(error);
    }
  }

  commit(changes: ReadonlyMap<string, Uint8Array | undefined>): void {
    for (const key of changes.keys()) checkKey(key);
    if (this.#writer === undefined) {
      throw new StorageError('storage_unwritable', `The store ${this.#folder} was opened only for reading.`);
    }
    const { gate } = this.#writer;
    try {
      checkSpace(this.#folder, changes);
      if (gate === undefined) this.#write(changes);
      else gate.pass(() => this.#write(changes));
    } catch (error) {
      throw this.#errorOf(error);
    }
  }

  refresh(): void {
    const { transaction } = this.#moment;
    transaction?.done();
    this.#store.resetReadTxn();
    if (transaction !== undefined) this.#moment = { transaction: this.#store.useReadTransaction() };
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#moment.transaction?.done();
    void this.#store.close(); // It is done on return: there is no asynchronous write that it would wait for.
    this.#writer?.unlock();
  }

  #write(changes: ReadonlyMap<string, Uint8Array | undefined>): void {
    this.#store.transactionSync(() => {
      for (const [key, value] of changes) {
        if (value === undefined) this.#store.removeSync(key);
        else this.#store.putSync(key, value);
      }
    });
  }

  #checkVersion(): void {
    const record = this.get(VERSION_KEY);
    if (record !== undefined) {
      refuseOtherVersion(Buffer.from(record).toString(), this.#folder);
    } else if ([...this.range('', '\u{10ffff}', { limit: 1 })].length > 0) {
      throw new StorageError('storage_damaged', `${this.#folder} holds records of something else than Callboard.`);
    } else if (this.#writer !== undefined) {
      this.commit(new Map([[VERSION_KEY, versionRecord()]]));
    }
  }

  #errorOf(error: unknown): StorageError {
    return storageErrorOf(error, this.#folder);
  }
}

function openStore(folder: string, readOnly: boolean): Store {
  const path = join(folder, STORE_FILE);
  // A variable, for the types do not know permissionsMode.
  const options = {
    path,
    readOnly,
    noSubdir: true,
    permissionsMode: 0o600,
    mapSize: MAP_BYTES,
    overlappingSync: false, // A commit that has returned is on disk.
    encoder: valueEncoder,
    keyEncoder,
  };
  try {
    const isThere = existsSync(path);
    if (readOnly && !isThere) throw new StorageError('storage_missing', `There is no store in ${folder}.`);
    const damage = isThere ? findDamage(path) : undefined;
    if (damage !== undefined) throw new StorageError('storage_damaged', `${path} is no whole store: ${damage}.`);
    return open<Uint8Array, string>(options);
  } catch (error) {
    if (!readOnly && error instanceof Error && 'code' in error && error.code === constants.errno.EINVAL) {
      const why = 'this process opened it for reading first, and must open the writer first';
      throw new StorageError('storage_failed', `The store ${folder} cannot be written: ${why}.`, { cause: error });
    }
    throw storageErrorOf(error, folder);
  }
}

/** @throws StorageError unless the version's record says that this code can use the store */
function refuseOtherVersion(text: string, folder: string): void {
  const version = Number(text);
  if (version === STORE_VERSION) return;
  if (!Number.isInteger(version) || version < STORE_VERSION) {
    throw new StorageError('storage_damaged', `The store ${folder} does not say which version it has.`);
  }
  const known = `this one knows versions up to ${STORE_VERSION}`;
  throw new StorageError(
    'storage_newer',
    `The store ${folder} has version ${version}, which a newer Callboard wrote: ${known}.`,
  );
}

/** Makes the folder of a store, for its owner's eyes only, if there is none. @returns the folder @throws StorageError */
export function makeFolder(folder: string): string {
  try {
    const made = mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (made !== undefined) syncFolder(dirname(made));
  } catch (error) {
    throw storageErrorOf(error, folder);
  }
  return folder;
}

/** What a folder holds is on disk for certain once this was done. (Windows has no such call, and needs none.) */
export function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
