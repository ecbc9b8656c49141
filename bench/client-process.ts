/** Runs the load generator, bench/client.ts, as a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { clientReport, type FloodResult } from './client-report.js';

const client = fileURLToPath(new URL('./client.js', import.meta.url));

/**
 * Runs one client to its end.
 *
 * @param flags those of client.ts: `{ url, connections: 8 }`
 * @param progress told now and then of the phase it is in and how many events it has sent in it
 * @throws where the client does, with its message: the server lost an event, say
 */
export async function runClient(
  flags: Record<string, string | number>,
  progress: (phase: string, sent: number) => void,
): Promise<FloodResult> {
  const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  const child = spawn(process.execPath, [...process.execArgv, client, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const closed = once(child, 'close');
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk).slice(-2000);
  });
  let result: FloodResult | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const report = v.parse(clientReport, JSON.parse(line));
    if (report.kind === 'result') result = report.result;
    else progress(report.phase, report.sent);
  }
  await closed;
  process.removeListener('exit', kill);
  if (result === undefined) throw new Error(errors.trim() || 'The load generator ended without a result.');
  return result;
}
