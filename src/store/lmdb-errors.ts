import { statfsSync } from 'node:fs';
import { constants } from 'node:os';
import { StorageError, type StorageErrorCode } from './storage-error.js';

/** LMDB's own error codes; others are the operating system's. */
const MAP_FULL = -30792;
const DAMAGE = new Set([-30797, -30796, -30794, -30793]); // No such page, corrupted, other version, not LMDB.

const { EDQUOT, EINVAL, EIO, ENOENT, ENOSPC } = constants.errno;
const FULL = new Set([ENOSPC, EDQUOT, MAP_FULL]);

/** LMDB has given up (MDB_PANIC); lmdb-js goes on without a transaction, which LMDB then calls invalid. */
const FAILED = new Set([-30795, EINVAL]);

/** Less free space than this, in bytes, says that a write that failed did so for want of space. */
const NEXT_TO_NOTHING = 2 ** 20;

/** What LMDB writes beside a value, in bytes: its own pages, and the leaf and branch that it stands in. */
const PAGES_PER_VALUE = 2 * 4096;
const PAGES_PER_COMMIT = 2 ** 16;

/**
 * Looks whether a commit fits on the disk before LMDB tries: where a write fails for want of space, lmdb-js 3.5.6 writes
 * its message past the end of a buffer of 100 bytes (mdb.c, `last_error`), and the process may die of that later.
 * Pages that LMDB would use again are not counted, and what others write in the same moment is not known.
 * @throws StorageError `storage_full`
 */
export function checkSpace(folder: string, changes: ReadonlyMap<string, Uint8Array | undefined>): void {
  let needed = PAGES_PER_COMMIT + changes.size * PAGES_PER_VALUE;
  for (const value of changes.values()) needed += value?.length ?? 0;
  const free = freeBytes(folder);
  if (free === undefined || free >= needed) return;
  const why = `${free} bytes are free, and ${needed} may be needed`;
  throw new StorageError('storage_full', `The store ${folder} ${SAYINGS.storage_full} (${why}).`);
}

/**
 * What LMDB or the file system threw, as an error of the store's.
 * @param folder the store's
 * @returns the same error if it is a StorageError already
 */
export function storageErrorOf(error: unknown, folder: string): StorageError {
  if (error instanceof StorageError) return error;
  const what = error instanceof Error ? error.message : String(error);
  const code = codeOf(error, folder);
  return new StorageError(code, `The store ${folder} ${SAYINGS[code]} (${what}).`, { cause: error });
}

const SAYINGS: Record<StorageErrorCode, string> = {
  storage_full: 'has no space left on its disk',
  storage_unwritable: 'cannot be used',
  storage_failed: 'failed, and must be closed by all threads',
  storage_missing: 'is not there',
  storage_taken: 'is not empty',
  storage_locked: 'is in use',
  storage_newer: 'is newer than this Callboard',
  storage_damaged: 'is damaged',
};

function codeOf(error: unknown, folder: string): StorageErrorCode {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (typeof code !== 'number') return 'storage_unwritable';
  if (FULL.has(code) || (code === EIO && isFull(folder))) return 'storage_full';
  if (FAILED.has(code)) return 'storage_failed';
  if (DAMAGE.has(code)) return 'storage_damaged';
  return code === ENOENT ? 'storage_missing' : 'storage_unwritable';
}

/** LMDB calls a write that ended early, as at the end of the disk, an I/O error. */
const isFull = (folder: string): boolean => (freeBytes(folder) ?? NEXT_TO_NOTHING) < NEXT_TO_NOTHING;

/** What is free on the disk of a folder; undefined where that cannot be told, as of one that was removed meanwhile. */
function freeBytes(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
