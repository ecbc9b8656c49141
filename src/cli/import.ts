/** `callboard import`: a store from what `callboard export` wrote. */
import { createReadStream, fstatSync, openSync } from 'node:fs';
import { addAbortSignal, type Readable } from 'node:stream';
import type { Counts } from '../store/export-lines.js';
import { ImportError, Importer } from '../store/importer.js';
import { makeStore } from '../store/new-store.js';
import { splitLines } from '../store/split-lines.js';
import { StorageError } from '../store/storage-error.js';
import { tell } from './counts.js';
import { CommandError, FAILED, isSystemError } from './errors.js';
import { misused } from './flags.js';
import type { ImportSettings } from './options.js';
import { Progress } from './progress.js';
import { stopOnSignals } from './signals.js';

/**
 * Makes a store in a folder that has none. SIGINT or SIGTERM ends it early, and leaves none.
 *
 * @returns The exit code, 0.
 * @throws CommandError where there is a store with something in it, or the file cannot be read or is not what it should be.
 */
export async function importStore({ dataDir, file }: ImportSettings): Promise<number> {
  if (file === undefined && process.stdin.isTTY) throw misused('import', 'no file given, and nothing is piped in');
  const stop = stopOnSignals();
  try {
    tell('Imported', await importAll(dataDir, file, stop), `into ${dataDir}`);
    return 0;
  } catch (error) {
    if (stop.aborted) throw new CommandError(FAILED, `stopped by ${stop.reason}: nothing was imported.`);
    if (error instanceof StorageError) throw new CommandError(FAILED, error.message, { cause: error });
    const source = file ?? 'standard input';
    if (error instanceof ImportError)
      throw new CommandError(FAILED, `${source}, ${error.message}. Nothing was imported.`, { cause: error });
    if (isSystemError(error))
      throw new CommandError(FAILED, `${source} cannot be read: ${error.message}.`, { cause: error });
    throw error;
  }
}

async function importAll(dataDir: string, file: string | undefined, stop: AbortSignal): Promise<Counts> {
  const { source, size } = opened(file);
  addAbortSignal(stop, source);
  const progress = new Progress(process.stderr, { unit: 'MB', shown: inMegabytes }, size);
  try {
    return await makeStore(dataDir, async (engine) => {
      const importer = new Importer(engine);
      for await (const line of splitLines(watched(source, progress))) importer.line(line);
      importer.close();
      return importer.counts;
    });
  } finally {
    source.destroy();
    progress.clear();
  }
}

/** What is to be read, and how many bytes it has where that is known. */
function opened(file: string | undefined): { source: Readable; size: number | undefined } {
  const descriptor = file === undefined ? process.stdin.fd : openSync(file, 'r');
  const stats = fstatSync(descriptor);
  const source = file === undefined ? process.stdin : createReadStream('', { fd: descriptor });
  return { source, size: stats.isFile() ? stats.size : undefined };
}

async function* watched(source: AsyncIterable<Uint8Array>, progress: Progress): AsyncGenerator<Uint8Array, void> {
  let done = 0;
  for await (const piece of source) {
    yield piece;
    done += piece.length;
    progress.show(done);
  }
}

const inMegabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
