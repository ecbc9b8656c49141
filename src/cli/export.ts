/** `callboard export`: all that a store holds, as lines of JSON. */
import { randomBytes } from 'node:crypto';
import { createWriteStream, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { Engine } from '../store/engine.js';
import { Exporter } from '../store/exporter.js';
import { openLmdb, syncFolder } from '../store/lmdb-engine.js';
import { StorageError } from '../store/storage-error.js';
import { tell } from './counts.js';
import { CommandError, FAILED, isSystemError } from './errors.js';
import type { ExportSettings } from './options.js';
import { Progress } from './progress.js';
import { stopOnSignals } from './signals.js';

/** Characters that are written at once. */
const PIECE = 64 * 1024;

/**
 * Writes it out as of one moment, whether a server runs on it or not. SIGINT or SIGTERM ends it early.
 *
 * @returns The exit code, 0; also where whoever reads standard output had enough.
 * @throws CommandError where there is no store, or the file cannot be written.
 */
export async function exportStore({ dataDir, out }: ExportSettings): Promise<number> {
  if (out !== undefined) checkTarget(out);
  const stop = stopOnSignals();
  try {
    const engine = openLmdb(dataDir, { readOnly: 'snapshot' });
    try {
      await write(engine, out, stop);
    } finally {
      engine.close();
    }
    return 0;
  } catch (error) {
    if (stop.aborted) {
      const what = out === undefined ? 'the export is not whole' : `${out} was not written`;
      throw new CommandError(FAILED, `stopped by ${stop.reason}: ${what}.`);
    }
    if (!(error instanceof StorageError)) throw error;
    const advice = error.code === 'storage_missing' ? ' Give its folder with --data-dir.' : '';
    throw new CommandError(FAILED, `${error.message}${advice}`, { cause: error });
  }
}

async function write(engine: Engine, out: string | undefined, stop: AbortSignal): Promise<void> {
  const exporter = new Exporter(engine);
  if (out === undefined) {
    await writeToOutput(exporter, stop);
  } else {
    await writeToFile(exporter, out, stop);
    tell('Exported', exporter.counts, `to ${out}`);
  }
}

async function writeToOutput(exporter: Exporter, stop: AbortSignal): Promise<void> {
  try {
    await writeTo(process.stdout, pieces(exporter, !process.stdout.isTTY), { signal: stop, end: false });
  } catch (error) {
    if (!isSystemError(error)) throw error;
    if (error.code === 'EPIPE') return; // Whoever read it had enough.
    throw new CommandError(FAILED, `standard output cannot be written: ${error.message}.`, { cause: error });
  }
}

/** Writes to a file beside it, so that half an export never has its name. */
async function writeToFile(exporter: Exporter, out: string, stop: AbortSignal): Promise<void> {
  const temporary = `${out}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = createWriteStream(temporary, { flags: 'wx', mode: 0o600, flush: true });
    await writeTo(file, pieces(exporter, true), { signal: stop });
    renameSync(temporary, out);
    syncFolder(dirname(out));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new CommandError(FAILED, `${out} cannot be written: ${error.message}.`, { cause: error });
  } finally {
    rmSync(temporary, { force: true });
  }
}

async function writeTo(
  target: Writable,
  source: AsyncGenerator<string, void>,
  options: { signal: AbortSignal; end?: boolean },
): Promise<void> {
  try {
    await pipeline(source, target, options);
  } finally {
    await source.return(); // A pipeline that fails does not wait for a piece that is being made from the store.
  }
}

/** The lines in pieces, each made when the one before was taken. */
async function* pieces(exporter: Exporter, showsProgress: boolean): AsyncGenerator<string, void> {
  const progress = showsProgress ? new Progress(process.stderr, { unit: 'missions' }, exporter.latest) : undefined;
  try {
    let piece = '';
    for (const line of exporter.lines()) {
      piece += line;
      if (piece.length < PIECE) continue;
      yield piece;
      piece = '';
      progress?.show(exporter.number);
      await turn(); // Writing to a pipe does not wait for the event loop, in which signals arrive.
    }
    yield piece;
  } finally {
    progress?.clear();
  }
}

/** A device or a pipe is nothing to be put aside for a file. */
function checkTarget(out: string): void {
  if (statSync(out, { throwIfNoEntry: false })?.isFile() === false)
    throw new CommandError(FAILED, `${out} is not a file: name one, or leave --out away and use standard output.`);
}
