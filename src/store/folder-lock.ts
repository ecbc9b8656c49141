/**
 * A lock on a folder that the kernel lets go of when its holder ends, however it ends. Node has no call for file locks,
 * so it is a name that only one process can listen on: on Linux one that is in no file system (an abstract socket), on
 * Windows a named pipe; elsewhere a file that is opened to the exclusion of others, which the BSDs and macOS offer.
 */
import { closeSync, openSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { StorageError } from './storage-error.js';

// From the BSDs' <fcntl.h>: Node has no name for it.
const O_RDWR = 0x2;
const O_NONBLOCK = 0x4;
const O_EXLOCK = 0x20;
const O_CREAT = 0x200;

/** Some versions of Node fill such a name up with zeros and some do not: one of full length is the same to all. */
const ABSTRACT_NAME_LENGTH = 107;

/**
 * Takes the lock, or refuses at once. On Linux it does not reach beyond a container that has a network of its own.
 * @returns lets go of it
 * @throws StorageError `storage_locked` if another thread or process has it
 */
export function lockFolder(folder: string): () => void {
  if (process.platform === 'linux') return listen(`\0${nameOf(folder).padEnd(ABSTRACT_NAME_LENGTH, '.')}`, folder);
  if (process.platform === 'win32') return listen(`\\\\.\\pipe\\${nameOf(folder)}`, folder);
  return openExclusively(join(folder, 'writer.lock'), folder);
}

/** The same by whichever path, link or mount the folder is reached. */
function nameOf(folder: string): string {
  const { dev, ino } = statSync(folder, { bigint: true });
  return `callboard-store-${dev}-${ino}`;
}

function listen(name: string, folder: string): () => void {
  const server = createServer((socket) => socket.destroy());
  // It is known on return whether the name was free; the event that says so comes later and is not needed.
  server.on('error', () => undefined);
  server.listen(name);
  if (!server.listening) throw locked(folder);
  server.unref();
  return () => server.close();
}

function openExclusively(path: string, folder: string): () => void {
  try {
    const file = openSync(path, O_RDWR | O_CREAT | O_NONBLOCK | O_EXLOCK, 0o600);
    return () => closeSync(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') throw locked(folder);
    throw error;
  }
}

function locked(folder: string): StorageError {
  return new StorageError('storage_locked', `The store ${folder} is in use by another Callboard: stop that one first.`);
}
