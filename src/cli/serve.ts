/** `callboard serve`: runs a server until it is told to stop. */
import { once } from 'node:events';
import { createServer } from '../server/index.js';
import { StorageError } from '../store/storage-error.js';
import { CommandError, FAILED } from './errors.js';
import { createLog } from './log.js';
import type { ServeSettings } from './options.js';
import { stopOnSignals } from './signals.js';

/** Milliseconds that a graceful stop may take. */
const stopLimit = 10_000;

/**
 * Serves until SIGINT or SIGTERM, then stops gracefully: within ten seconds, or the process ends with exit code 1.
 * A second signal ends it at once.
 *
 * @returns The exit code, 0.
 * @throws CommandError where the address cannot be listened on, or the data folder not be used.
 */
export async function serve({ logLevel, ...settings }: ServeSettings): Promise<number> {
  const { host, port, threads, dataDir } = settings;
  const stop = stopOnSignals();
  const log = await createLog(logLevel);
  const server = await createServer({ ...settings, log }).catch((error: unknown) => {
    throw error instanceof StorageError ? new CommandError(FAILED, error.message, { cause: error }) : error;
  });
  try {
    await server.listen();
  } catch (error) {
    await server.close();
    throw cannotListen(error, host, port);
  }
  // However little else is to be logged: nobody else knows the port, if it was to be any.
  const announcing = logLevel === 'silent' ? log : log.child({}, { level: 'info' });
  announcing.info({ url: server.url, threads, dataDir }, `listening on ${server.url}`);

  if (!stop.aborted) await once(stop, 'abort');
  log.info({ signal: stop.reason }, 'stopping');
  // Not cleared: it also ends a process that something keeps alive after the server has closed.
  setTimeout(() => {
    log.fatal(`not stopped after ${stopLimit} ms, giving up`);
    process.exit(FAILED);
  }, stopLimit).unref();
  await server.close();
  log.info('stopped');
  return 0;
}

/** Says in one line why `listen` failed and what to do, where that is known; else gives the error back as it is. */
function cannotListen(error: unknown, host: string, port: number): unknown {
  const advice = new Map<unknown, string>([
    ['EADDRINUSE', `port ${port} on ${host} is taken: stop what listens there, or choose another with --port`],
    ['EACCES', `port ${port} on ${host} is not allowed to this user: choose one above 1023 with --port`],
    ['EADDRNOTAVAIL', `${host} is not an address of this machine: choose another with --host`],
    ['ENOTFOUND', `${host} is not a known host: choose another with --host`],
  ]).get(error instanceof Error && 'code' in error ? error.code : undefined);
  return advice === undefined ? error : new CommandError(FAILED, `${advice}.`, { cause: error });
}
