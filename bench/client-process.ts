/** Runs a load generator as a process of its own. */
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import * as v from 'valibot';
import { clientLine } from './client-report.js';
import { startProgram } from './program.js';

/**
 * Runs one load generator to its end.
 *
 * @param program as `startProgram` takes it: `./flood-client`
 * @param flags the program's: `{ url, connections: 8 }`
 * @param result what it reports
 * @param progress told now and then of the phase it is in and how far it has come in it: `2,000 events sent`
 * @throws where the load generator does, with its message: the server lost an event, say
 */
export async function runClient<Result>(
  program: string,
  flags: Readonly<Record<string, string | number>>,
  result: v.GenericSchema<unknown, Result>,
  progress: (line: string) => void,
): Promise<Result> {
  const child = startProgram(
    program,
    Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
  );
  const closed = once(child, 'close');
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk).slice(-2000);
  });
  let found: { result: Result } | undefined;
  for await (const text of createInterface({ input: child.stdout })) {
    const line = v.parse(clientLine, JSON.parse(text));
    if (line.kind === 'progress') progress(line.text);
    else found = { result: v.parse(result, line.result) };
  }
  await closed;
  if (found === undefined) throw new Error(errors.trim() || `${program} ended without a result.`);
  return found.result;
}
