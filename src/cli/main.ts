#!/usr/bin/env node
/** The `callboard` command: finds the command that is asked for, reads its options, runs it. */
import { existsSync, readFileSync } from 'node:fs';
import * as v from 'valibot';
import { CommandError, FAILED, MISUSED } from './errors.js';
import { type Environment, helpText, type OptionTable, type Read, readOptions } from './flags.js';
import { serveOptions, serveSettings, simulateOptions, simulateSettings } from './options.js';

interface Command {
  readonly summary: string;
  readonly options: OptionTable;
  /** Resolves to the exit code. The command's code is imported here, so that help and mistakes cost nothing. */
  run(read: Read): Promise<number>;
}

const commands = new Map<string, Command>([
  [
    'serve',
    {
      summary: 'Serve the executor contract over HTTP and WebSocket until told to stop.',
      options: serveOptions,
      async run(read) {
        const { serve } = await import('./serve.js');
        return serve(serveSettings(read));
      },
    },
  ],
  [
    'simulate',
    {
      summary: 'Drive a Callboard with pretended executors and missions, and check it.',
      options: simulateOptions,
      async run(read) {
        const { simulate } = await import('./simulate.js');
        return simulate(simulateSettings(read));
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
  if (rest.includes('--help') || rest.includes('-h')) {
    return print(helpText(name, command.summary, command.options, env));
  }
  return command.run(readOptions(name, command.options, rest, env));
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
