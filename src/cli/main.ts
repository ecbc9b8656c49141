#!/usr/bin/env node
/** The `callboard` command: finds the command that is asked for, reads its options, runs it. */
import { existsSync, readFileSync } from 'node:fs';
import * as v from 'valibot';
import { CommandError, FAILED, MISUSED } from './errors.js';
import { executorOptions, executorSettings } from './executor-options.js';
import { type Environment, helpText, type OptionTable, type Read, readOptions } from './flags.js';
import {
  exportOptions,
  exportSettings,
  importOptions,
  importSettings,
  serveOptions,
  serveSettings,
  simulateOptions,
  simulateSettings,
} from './options.js';

interface Command {
  readonly summary: string;
  help(args: readonly string[], env: Environment): Promise<string>;
  /** Resolves to the exit code. The command's code is imported here, so that others cost nothing. */
  run(args: readonly string[], env: Environment): Promise<number>;
}

/** A command that takes options, and nothing else. @param more For its help, behind the summary. */
function optionsOnly(
  name: string,
  summary: string,
  options: OptionTable,
  run: (read: Read) => Promise<number>,
  more = '',
): [string, Command] {
  return [
    name,
    {
      summary,
      help: async (_, env) => helpText(name, `${summary} ${more}`.trim(), options, env),
      run: (args, env) => run(readOptions(name, options, args, env)),
    },
  ];
}

const commands = new Map<string, Command>([
  optionsOnly(
    'serve',
    'Serve the executor contract over HTTP and WebSocket until told to stop.',
    serveOptions,
    async (read) => {
      const { serve } = await import('./serve.js');
      return serve(serveSettings(read));
    },
  ),
  optionsOnly(
    'executor',
    'Take missions, and run a command for each.',
    executorOptions,
    async (read) => {
      const settings = executorSettings(read);
      const { runExecutor } = await import('./executor.js');
      return runExecutor(settings);
    },
    'Its output is shown as progress, its exit code is the end: 0 is done. Pausing a mission stops the process group ' +
      'of its command, aborting it ends that group. NOTHING IS ISOLATED: whoever may dispatch has this command run on ' +
      'this machine, with all the rights of whoever started it. A process that leaves the group, by a session ' +
      '(setsid) or a group (timeout) of its own, escapes being paused and ended.',
  ),
  optionsOnly(
    'simulate',
    'Drive a Callboard with pretended executors and missions, and check it.',
    simulateOptions,
    async (read) => {
      const { simulate } = await import('./simulate.js');
      return simulate(simulateSettings(read));
    },
    'It goes on where Callboard is restarted meanwhile: every mission is to end as it should all the same. It ends early ' +
      'when an executor has had no connection for half a minute.',
  ),
  optionsOnly(
    'export',
    'Write out all that is kept, to back it up or to move it.',
    exportOptions,
    async (read) => {
      const { exportStore } = await import('./export.js');
      return exportStore(exportSettings(read));
    },
    'It also does so while a server runs on that folder, as of one moment. What it writes is NDJSON: executors, then ' +
      'missions, each with its events. The tokens of executors are in it, which whoever has them can act with: the ' +
      'file of --out is for its owner only (mode 0600), so keep it that way, and mind where a pipe leads.',
  ),
  optionsOnly(
    'import',
    'Make a store from what callboard export wrote.',
    importOptions,
    async (read) => {
      const { importStore } = await import('./import.js');
      return importStore(importSettings(read));
    },
    'Every line is checked first. The store is there when the whole file is in it; if anything is wrong, nothing is.',
  ),
  [
    'bench',
    {
      summary: 'Measure Callboard, and its rivals beside it.',
      help: async (args) => (await import('./bench-options.js')).benchHelp(args),
      async run(args) {
        const { benchSettings } = await import('./bench-options.js');
        const settings = benchSettings(args);
        const { bench } = await import('./bench.js');
        return bench(settings);
      },
    },
  ],
]);

const usage = `Usage: callboard <command> [options]

Commands:
${[...commands].map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`).join('\n')}

Options:
  --help      Show this; after a command, its options.
  --version   Show the version.
`;

async function main(args: readonly string[], env: Environment): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) throw new CommandError(MISUSED, `no command given.\n\n${usage}`);
  if (name === '--help' || name === '-h') return print(usage);
  if (name === '--version' || name === '-v') return print(`${version()}\n`);
  const command = commands.get(name);
  if (command === undefined) {
    const what = name.startsWith('-') ? 'flag' : 'command';
    throw new CommandError(MISUSED, `unknown ${what} ${JSON.stringify(name)}. See callboard --help.`);
  }
  if (rest.includes('--help') || rest.includes('-h')) return print(await command.help(rest, env));
  return command.run(rest, env);
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** The version in package.json, which is one folder further up from the compiled file. */
function version(): string {
  const file = ['../../package.json', '../../../package.json']
    .map((path) => new URL(path, import.meta.url))
    .find((url) => existsSync(url));
  if (file === undefined) throw new Error('package.json is missing from the installation');
  return v.parse(v.object({ version: v.string() }), JSON.parse(readFileSync(file, 'utf8'))).version;
}

const args = process.argv.slice(2);
try {
  process.exitCode = await main(args, process.env);
} catch (error) {
  const known = error instanceof CommandError;
  const who = commands.has(args[0] ?? '') ? `callboard ${args[0]}` : 'callboard';
  // An unexpected error is a mistake in Callboard: its stack is what a report of it needs.
  process.stderr.write(`${who}: ${known ? error.message : error instanceof Error ? error.stack : error}\n`);
  process.exitCode = known ? error.exitCode : FAILED;
}
