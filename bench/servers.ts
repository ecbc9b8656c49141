/** The servers that take part in a measurement: how each is started, and how it is seen that all has arrived there. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Contender } from './compare.js';
import { missingPackages } from './packages.js';
import type { Surroundings } from './scenario.js';
import { type ServerProcess, startServer } from './server-process.js';

/** How the load generator checks that all has arrived: see arrivals.ts. */
export type ArrivalCheck = 'states' | 'counts';

/** A server that the bench can start. */
export interface Server {
  readonly name: string;
  readonly check: ArrivalCheck;
  /** Why it can't take part here; undefined if it can. */
  readonly absent?: string | undefined;
  /**
   * @param threads for its actors, where it has any
   * @param folder an empty one of its own
   */
  start(threads: number, folder: string): Promise<ServerProcess>;
}

/** A server that runs. */
export interface Target {
  readonly url: URL;
  readonly check: ArrivalCheck;
  /** 0 where the bench has not started it: then nothing is known of its CPU time and memory. */
  readonly pid: number;
}

const identitiesIn = (folder: string) => ({ AIWG_EXECUTOR_IDENTITY_STORE: join(folder, 'executor-identities.json') });

function startCallboard(threads: number, folder: string, keeping: string): Promise<ServerProcess> {
  const flags = ['--host=127.0.0.1', `--threads=${threads}`, '--log-level=warn', keeping];
  return startServer('../src/cli/main', ['serve', ...flags], identitiesIn(folder));
}

/** As it is by default: everything is on disk. */
export const callboard: Server = {
  name: 'callboard',
  check: 'states',
  start: (threads, folder) => startCallboard(threads, folder, `--data-dir=${folder}`),
};

/** Callboard that keeps everything in memory. */
export const ephemeral: Server = {
  name: 'ephemeral',
  check: 'states',
  start: (threads, folder) => startCallboard(threads, folder, '--ephemeral'),
};

export const baseline: Server = {
  name: 'baseline',
  check: 'states',
  absent: missingPackages('ajv', 'ajv-formats'),
  start: () => startServer('./baseline'),
};

/** Below both: `ws` decodes the frames, and nothing is done with them. */
export const floor: Server = { name: 'floor', check: 'counts', start: () => startServer('./floor') };

/** The floor with the least that the contract asks for: every event is parsed and validated, and then dropped. */
export const validatingFloor: Server = {
  name: 'floor that validates',
  check: 'counts',
  start: () => startServer('./floor', ['--validate']),
};

/** Callboard and the baseline, each with a subscriber to state changes in its process. */
export const listeningServers: readonly Server[] = [
  {
    ...callboard,
    start: (threads, folder) =>
      startServer('./listening-server', [`--threads=${threads}`, `--data-dir=${folder}`], identitiesIn(folder)),
  },
  { ...baseline, start: () => startServer('./baseline', ['--note-state-changes']) },
];

/**
 * The servers as contenders, each run in a fresh process that is gone afterwards with everything it wrote. Where the
 * surroundings name a running server, that one alone.
 *
 * @param threads Callboard's actor threads
 */
export function serverContenders<Result>(
  servers: readonly Server[],
  threads: number,
  { url }: Surroundings,
  measure: (label: string, target: Target) => Promise<Result>,
): Contender<Result>[] {
  if (url !== undefined) {
    return [{ name: url.host, measure: (label) => measure(label, { url, check: 'states', pid: 0 }) }];
  }
  return servers.map((server) => ({
    name: server.name,
    absent: server.absent,
    measure: (label) => withServer(server, threads, (target) => measure(label, target)),
  }));
}

async function withServer<Result>(
  { check, start }: Server,
  threads: number,
  work: (target: Target) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-bench-'));
  // What was killed may still be writing there.
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', remove);
  try {
    const { url, pid, stop } = await start(threads, folder);
    try {
      return await work({ url, check, pid });
    } finally {
      await stop();
    }
  } finally {
    remove();
    process.removeListener('exit', remove);
  }
}
