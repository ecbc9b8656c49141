/**
 * Runs one contender of an actor scenario in a fresh process of its own, so that none disturbs another's compiled code
 * and heap: a program in bench/callboard/, bench/nact/ or bench/node/, or an Erlang module in bench/erlang/.
 */
import { type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import * as v from 'valibot';
import { startProgram } from './program.js';

/**
 * Runs a program of Node's, with the values as its argument; actor-program.ts is its side of this. It prints one line of
 * JSON.
 *
 * @param name its path from this folder, without extension
 * @throws where it fails, with what it printed; where it prints something else than the schema says
 */
export async function runNode<Schema extends v.GenericSchema>(
  name: string,
  values: Readonly<Record<string, number>>,
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  return v.parse(schema, JSON.parse(await outputOf(name, startProgram(name, [JSON.stringify(values)]))));
}

/** An Erlang module: its source, which exports `main`, called with a list of integers. */
export interface ErlangModule {
  readonly name: string;
  readonly source: string;
  /** Flags of `erl`: how many processes there may be, say. */
  readonly flags: readonly string[];
}

/** Compiles an Erlang module in a temporary folder and runs it; it prints one line of JSON. @throws as `runNode` */
export async function runErlang<Schema extends v.GenericSchema>(
  { name, source, flags }: ErlangModule,
  values: readonly number[],
  schema: Schema,
): Promise<v.InferOutput<Schema>> {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-erlang-'));
  try {
    writeFileSync(join(folder, `${name}.erl`), source);
    await outputOf('erlc', start('erlc', ['-o', folder, join(folder, `${name}.erl`)]));
    const call = `${name}:main([${values.join(',')}]), halt().`;
    const child = start('erl', [...flags, '-noshell', '-pa', folder, '-eval', call]);
    return v.parse(schema, JSON.parse(await outputOf('erl', child)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Why Erlang can't take part; undefined if it can. */
export function erlangAbsent(): string | undefined {
  try {
    execFileSync('erl', ['-noshell', '-eval', 'halt().'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'there is no erl on this machine';
  }
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

/** Killed when this process exits. */
function start(program: string, args: readonly string[]): Child {
  // Where it fails, Erlang would leave a crash dump in the current folder.
  const env = { ...process.env, ERL_CRASH_DUMP_SECONDS: '0' };
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));
  return child;
}

async function outputOf(name: string, child: Child): Promise<string> {
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (child.exitCode !== 0) throw new Error(`${name} failed. It printed: ${(output + errors).trim().slice(-2000)}`);
  return output;
}
