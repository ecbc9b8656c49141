import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from './engine.js';
import { lockFolder } from './folder-lock.js';
import { keys } from './keys.js';
import { makeFolder, openLmdb, STORE_FILE, syncFolder } from './lmdb-engine.js';
import { storageErrorOf } from './lmdb-errors.js';
import { StorageError } from './storage-error.js';

/** In the store's folder, where the new one is made; what a crash has left there is removed by the next attempt. */
const WORKSHOP = 'new-store';
/** What is in a store in which nothing is. */
const OF_NO_WORTH: ReadonlySet<string> = new Set([keys.version, keys.checkpoint]);

/**
 * Makes a store with something in it, in a folder that has none or an empty one. It is made aside and put in its place
 * when `write` is done, so that half of it is never found there. Meanwhile nobody else can open a store there to write.
 * @returns what `write` does
 * @throws StorageError `storage_taken` if there is a store with something in it
 */
export async function makeStore<T>(folder: string, write: (engine: Engine) => Promise<T>): Promise<T> {
  const unlock = lockFolder(makeFolder(folder));
  const workshop = join(folder, WORKSHOP);
  try {
    if (!isEmpty(folder)) {
      const what = 'holds something already: import into a new folder, or move that store away first';
      throw new StorageError('storage_taken', `The store ${folder} ${what}.`);
    }
    removeAll(workshop, folder);
    const written = await writeTo(openLmdb(workshop), write);
    putInPlace(workshop, folder);
    return written;
  } finally {
    try {
      removeAll(workshop, folder);
    } finally {
      unlock();
    }
  }
}

async function writeTo<T>(engine: Engine, write: (engine: Engine) => Promise<T>): Promise<T> {
  try {
    return await write(engine);
  } finally {
    engine.close();
  }
}

function isEmpty(folder: string): boolean {
  if (!existsSync(join(folder, STORE_FILE))) return true;
  const engine = openLmdb(folder, { readOnly: true });
  try {
    return Array.from(engine.range('', keys.end(''), { limit: 3 })).every(({ key }) => OF_NO_WORTH.has(key));
  } finally {
    engine.close();
  }
}

function putInPlace(workshop: string, folder: string): void {
  try {
    // The readers of the empty store have the one; those of the new store make another.
    rmSync(join(folder, `${STORE_FILE}-lock`), { force: true });
    renameSync(join(workshop, STORE_FILE), join(folder, STORE_FILE));
    syncFolder(folder);
  } catch (error) {
    throw storageErrorOf(error, folder);
  }
}

function removeAll(path: string, folder: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    throw storageErrorOf(error, folder);
  }
}
