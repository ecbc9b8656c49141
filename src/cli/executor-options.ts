/** What `callboard executor` can be told. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { capabilitiesSchema } from '../contract/fields.js';
import { hasPlaceholder, isProgram, splitWords } from './command-line.js';
import {
  decimal,
  type Environment,
  misused,
  type OptionTable,
  quoted,
  type Read,
  toggle,
  wholeNumber,
} from './flags.js';
import { file, serveOptions, simulateOptions } from './options.js';

/** Characters that the contract allows for a name. */
const maxName = 128;

export const executorOptions = {
  run: {
    placeholder: 'command',
    expects: 'a command',
    parse: (text: string) => (text.trim() === '' || text.includes('\0') ? undefined : text),
    name: 'run',
    help:
      'What to run for each mission. It is split into words as a shell would, and no shell runs it. {objective}, ' +
      '{completion} and {mission_id} are filled in, each within its word; CALLBOARD_OBJECTIVE, CALLBOARD_COMPLETION ' +
      'and CALLBOARD_MISSION_ID are in its environment.',
    fallback: () => undefined,
    fallbackText: 'none, it has to be given',
  },
  shell: {
    ...toggle,
    name: 'shell',
    help:
      'Have /bin/sh run the command. Nothing is filled in then, for a shell would run what a mission says: write ' +
      '"$CALLBOARD_OBJECTIVE", with the quotes.',
    fallback: () => false,
  },
  ask: {
    placeholder: 'pattern',
    expects: 'a JavaScript regular expression',
    parse: parsePattern,
    name: 'ask',
    help:
      'Lines of output that this regular expression matches are questions to a human; the answer is written to the ' +
      'standard input of the command, as a line.',
    fallback: () => undefined,
    fallbackText: 'nothing is asked, and standard input is empty',
  },
  concurrency: {
    ...wholeNumber(1, 64),
    name: 'concurrency',
    help: 'Missions that run at once. Up to 1,000 more wait for their turn.',
    fallback: () => 4,
  },
  grace: {
    ...decimal(0.1, 3_600),
    name: 'grace',
    help: 'Seconds that a command has to end by itself once it got SIGTERM; then it is killed.',
    fallback: () => 5,
  },
  url: {
    ...simulateOptions.url,
    help: 'The Callboard to work for. It must run on this machine: it hands over missions at a loopback port.',
  },
  name: {
    placeholder: 'name',
    expects: `1 to ${maxName} characters, none of them a control character`,
    parse: (text: string) => (/^\P{Cc}+$/u.test(text) && text.length <= maxName ? text : undefined),
    name: 'name',
    help: 'What people see of the executor.',
    fallback: () => `${hostname()} runner`.slice(-maxName),
  },
  capabilities: {
    placeholder: 'list',
    expects: 'capabilities of the contract, separated by commas, like x-tests,runtime:codex',
    parse: parseCapabilities,
    name: 'capabilities',
    help: 'What dispatches may ask for: x-anything, runtime:codex, …, separated by commas.',
    fallback: () => [],
    fallbackText: 'none',
  },
  identityFile: {
    ...file,
    name: 'identity-file',
    help: 'File that says who the executor is, made at the first run. Each executor that runs needs one of its own.',
    fallback: (env: Environment) => join(serveOptions.dataDir.fallback(env), 'executor.json'),
    fallbackText: '$XDG_DATA_HOME/callboard/executor.json, else in ~/.local/share/callboard',
  },
} satisfies OptionTable;

/** What `callboard executor` was told. `grace` is in milliseconds. */
export type ExecutorSettings = ReturnType<typeof executorSettings>;

/**
 * @param read From `readOptions` with `executorOptions`.
 * @throws CommandError where the command to run is none, or cannot be.
 */
export function executorSettings(read: Read) {
  return {
    words: wordsOf(read<string | undefined>(executorOptions.run), read(executorOptions.shell)),
    ask: read<RegExp | undefined>(executorOptions.ask),
    concurrency: read(executorOptions.concurrency),
    grace: read(executorOptions.grace) * 1_000,
    url: read(executorOptions.url),
    name: read(executorOptions.name),
    capabilities: read<readonly string[]>(executorOptions.capabilities),
    identityFile: read(executorOptions.identityFile),
  };
}

/** The words to run. */
function wordsOf(text: string | undefined, isShell: boolean): readonly string[] {
  const wrong = (problem: string) => misused('executor', problem);
  if (text === undefined) throw wrong("--run is missing: --run 'npm test', for example");
  if (isShell) {
    if (hasPlaceholder(text))
      throw wrong('with --shell, --run fills nothing in: write "$CALLBOARD_OBJECTIVE" in place of {objective}');
    return ['/bin/sh', '-c', text];
  }
  const split = splitWords(text);
  if ('problem' in split) throw wrong(`--run ${split.problem}`);
  const [program = ''] = split.words;
  if (hasPlaceholder(program)) throw wrong('the first word of --run is the program, which no mission may choose');
  if (!isProgram(program, process.env.PATH)) throw wrong(`--run needs a program, and ${quoted(program)} is none`);
  return split.words;
}

function parsePattern(text: string): RegExp | undefined {
  try {
    return new RegExp(text);
  } catch {
    return undefined;
  }
}

function parseCapabilities(text: string): string[] | undefined {
  const list = v.safeParse(
    capabilitiesSchema,
    text.split(',').map((capability) => capability.trim()),
  );
  return list.success ? list.output : undefined;
}
