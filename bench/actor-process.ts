/**
 * Runs one contender of an actor scenario in a fresh process of its own, so that none disturbs another's compiled code
 * and heap: a program in bench/callboard/ or bench/nact/, or an Erlang module in bench/erlang/.
 */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as v from 'valibot';

const execute = promisify(execFile);
const timeLimit = 300_000;

/** A program of the bench by its path from here, without its extension: compiled it ends in .js, under a loader in .ts. */
const programFile = (program: string): string =>
  fileURLToPath(new URL(`./${program}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));

/**
 * Runs a program of Node's: `callboard/pingpong`. actor-program.ts is its side of this.
 *
 * @param nodeFlags in addition to those of this process
 * @throws where it fails, with what it printed; where it prints something else than the schema says
 */
export async function runNode<Schema extends v.GenericSchema>(
  program: string,
  values: Readonly<Record<string, number>>,
  schema: Schema,
  nodeFlags: readonly string[] = [],
): Promise<v.InferOutput<Schema>> {
  const args = [...process.execArgv, ...nodeFlags, programFile(program), JSON.stringify(values)];
  return v.parse(schema, JSON.parse(await outputOf(process.execPath, args)));
}

/** An Erlang module: its source, which exports `main(Args)`, called with the values in order, as a list of integers. */
export interface ErlangModule {
  readonly name: string;
  readonly source: string;
  /** Flags of `erl`: how many processes there may be, say. */
  readonly flags?: readonly string[];
}

/** Compiles an Erlang module in a temporary folder and runs it; it prints one line of JSON. @throws as `runNode` */
export async function runErlang<Schema extends v.GenericSchema>(
  { name, source, flags = [] }: ErlangModule,
  values: readonly number[],
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-erlang-'));
  try {
    writeFileSync(join(folder, `${name}.erl`), source);
    await outputOf('erlc', ['-o', folder, join(folder, `${name}.erl`)]);
    const call = `${name}:main([${values.join(',')}]), halt().`;
    return v.parse(schema, JSON.parse(await outputOf('erl', [...flags, '-noshell', '-pa', folder, '-eval', call])));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Why Erlang can't take part; undefined if it can. */
export function erlangAbsent(): string | undefined {
  try {
    execFileSync('erl', ['-noshell', '-eval', 'halt().'], { stdio: 'ignore', timeout: timeLimit });
    return undefined;
  } catch {
    return 'there is no erl on this machine';
  }
}

/** Why nact can't take part; undefined if it can. */
export async function nactAbsent(): Promise<string | undefined> {
  try {
    await import('nact');
    return undefined;
  } catch {
    return 'nact is missing: npm install --no-save nact@7';
  }
}

async function outputOf(program: string, args: readonly string[]): Promise<string> {
  // Ended with this process, should that be stopped.
  const stop = new AbortController();
  const abort = (): void => stop.abort();
  process.once('exit', abort);
  try {
    return (await execute(program, args, { signal: stop.signal, timeout: timeLimit, killSignal: 'SIGKILL' })).stdout;
  } finally {
    process.removeListener('exit', abort);
  }
}
