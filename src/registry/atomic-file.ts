/**
 * A file that is written as a whole: the new text goes to a temporary file beside it, onto the disk, and then takes the
 * old one's place in one step. So a reader, or a crash, never finds half of it.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fsync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFile,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';

/** The temporary file is for its owner's eyes. */
const MODE = 0o600;

export class AtomicFile {
  readonly path: string;
  /** What the asynchronous write under way writes to. */
  #pending: string | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** Changes whenever the file is replaced; `absent` where there is none. Throws if it cannot be looked at. */
  fingerprint(): string {
    const stats = statSync(this.path, { throwIfNoEntry: false });
    return stats === undefined ? 'absent' : fingerprintOf(stats);
  }

  /**
   * Replaces the file, and makes its folder if need be. One such write at a time.
   * @param isOvertaken asked when the text is on disk: true if the file has something newer by now, and is to stay
   * @param replaced called with the file's new fingerprint as soon as it is in place
   */
  async write(text: string, isOvertaken: () => boolean, replaced: (fingerprint: string) => void): Promise<void> {
    const temporary = this.#newTemporary();
    this.#pending = temporary;
    try {
      // Made at once: whoever removes it must find it.
      const file = openSync(temporary, 'wx', MODE);
      try {
        await promisify(writeFile)(file, text);
        await promisify(fsync)(file);
      } finally {
        closeSync(file);
      }
      if (isOvertaken()) return;
      replaced(this.#putInPlace(temporary));
    } finally {
      this.#pending = undefined;
      rmSync(temporary, { force: true });
    }
    await syncFolder(dirname(this.path));
  }

  /** {@link write} that does not return before it is done, and overtakes one that is under way. */
  writeSync(text: string, replaced: (fingerprint: string) => void): void {
    const temporary = this.#newTemporary();
    try {
      writeFileSync(temporary, text, { flag: 'wx', mode: MODE, flush: true });
      replaced(this.#putInPlace(temporary));
    } finally {
      rmSync(temporary, { force: true });
    }
    syncFolderSync(dirname(this.path));
    // A process that ends now must not leave the overtaken write's file behind.
    if (this.#pending !== undefined) rmSync(this.#pending, { force: true });
  }

  #newTemporary(): string {
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    return `${this.path}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
  }

  #putInPlace(temporary: string): string {
    const fingerprint = fingerprintOf(statSync(temporary)); // A rename changes none of it.
    renameSync(temporary, this.path);
    return fingerprint;
  }
}

function fingerprintOf(stats: Stats): string {
  return `${stats.ino}:${stats.size}:${stats.mtimeMs}`;
}

// A rename is on disk for certain once its folder is. (Windows has no such call, and needs none.)
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function syncFolderSync(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
