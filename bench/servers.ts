/** The servers of the contract that are measured side by side, each in a fresh process for every run. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingPackages } from './packages.js';
import { type ServerProcess, startServer } from './server-process.js';

/** A server that takes part. */
export interface Server {
  readonly name: string;
  /** Why it can't take part here; undefined if it can. */
  readonly absent?: string | undefined;
  /**
   * @param threads for its actors, where it has any
   * @param folder an empty one of its own
   */
  start(threads: number, folder: string): Promise<ServerProcess>;
}

const program = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Callboard first. */
export const servers: readonly Server[] = [
  {
    name: 'callboard',
    start: (threads, folder) =>
      startServer(
        [
          ...[program('../src/cli/main.js'), 'serve', '--host=127.0.0.1', `--threads=${threads}`],
          ...[`--data-dir=${folder}`, '--log-level=warn'],
        ],
        { AIWG_EXECUTOR_IDENTITY_STORE: join(folder, 'executor-identities.json') },
      ),
  },
  {
    name: 'baseline',
    absent: missingPackages('ajv', 'ajv-formats'),
    start: () => startServer([program('./baseline.js')], {}),
  },
];

/** Does `work` with a server that is started for it, and gone afterwards with everything it wrote. */
export async function withServer<Result>(
  { start }: Server,
  threads: number,
  work: (server: ServerProcess) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-bench-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  try {
    const server = await start(threads, folder);
    try {
      return await work(server);
    } finally {
      await server.stop();
    }
  } finally {
    remove();
    process.removeListener('exit', remove);
  }
}
