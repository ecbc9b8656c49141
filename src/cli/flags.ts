/**
 * How options are described, read and explained. An option is described once, as an `Option`; from that description
 * come its flag, its environment variable, its default, its error message and its lines in the help text.
 */
import { parseArgs } from 'node:util';
import { CommandError, MISUSED } from './errors.js';

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What an option's text may be, and what it means. */
export interface Kind<T> {
  /** Stands for the value in the help text, without its brackets: `number`. */
  readonly placeholder: string;
  /** What a value must be, worded to follow "must be". */
  readonly expects: string;
  /** The value of `text`, or undefined where it is none. */
  parse(text: string): T | undefined;
  /** What the flag alone stands for, as a text. Default: it needs a value. */
  readonly alone?: string;
}

/** One option of a command. `name` is that of the flag, in kebab case: `data-dir` is `--data-dir` and `CALLBOARD_DATA_DIR`. */
export interface Option<T> extends Kind<T> {
  readonly name: string;
  readonly help: string;
  /** The value where neither a flag nor the environment gives one. */
  fallback(env: Environment): T;
  /** The fallback in the help's words. Default: the fallback itself. */
  readonly fallbackText?: string;
  /** Its value may stand without the flag: `callboard import FILE`. At most one option of a command. */
  readonly bare?: true;
}

/** The options of one command, in the order in which its help shows them. */
export type OptionTable = Readonly<Record<string, Option<unknown>>>;

/** Gives the value of an option of the table that was read. */
export type Read = <T>(option: Option<T>) => T;

/** A whole number from `min` to `max`, both included, in decimal digits. */
export function wholeNumber(min: number, max: number): Kind<number> {
  return {
    placeholder: 'number',
    expects: `a whole number from ${min} to ${max}`,
    parse: (text) => (/^\d{1,15}$/.test(text) ? within(min, max, Number(text)) : undefined),
  };
}

/** A decimal number from `min` to `max`, both included: `20` or `0.5`. */
export function decimal(min: number, max: number): Kind<number> {
  return {
    placeholder: 'number',
    expects: `a number from ${min} to ${max}`,
    parse: (text) => (/^(\d{1,15}(\.\d{1,15})?|\.\d{1,15})$/.test(text) ? within(min, max, Number(text)) : undefined),
  };
}

/** A whole number with a unit, in the unit that counts 1, from 1 to `max`: `30d` is a number of milliseconds. */
export function measured(units: Readonly<Record<string, number>>, example: string, max: number): Kind<number> {
  return {
    placeholder: example,
    expects: `a whole number with a unit (${Object.keys(units).join(', ')}), like ${example}`,
    parse(text) {
      const [, digits = '', unit = ''] = /^(\d{1,15})([a-z]+)$/.exec(text) ?? [];
      const size = Object.hasOwn(units, unit) ? units[unit] : undefined;
      return size === undefined ? undefined : within(1, max, Number(digits) * size);
    },
  };
}

/** One of a few words. */
export function oneOf<const W extends string>(words: readonly W[]): Kind<W> {
  return {
    placeholder: 'word',
    expects: `one of ${words.join(', ')}`,
    parse: (text) => words.find((word) => word === text),
  };
}

/** True or false; the flag alone, `--smoke`, is true, and a value follows it as in `--smoke=false`. */
export const toggle: Kind<boolean> = {
  placeholder: 'true|false',
  expects: 'true or false',
  parse: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
  alone: 'true',
};

/** Any text that has no space or control character in it and is not empty, such as a host name. */
export function word(placeholder: string, expects: string): Kind<string> {
  return { placeholder, expects, parse: (text) => (/^[^\s\p{Cc}]+$/u.test(text) ? text : undefined) };
}

const within = (min: number, max: number, value: number) => (value >= min && value <= max ? value : undefined);

/** The environment variable of an option: `CALLBOARD_DATA_DIR` for `data-dir`. */
export function variableOf(option: Option<unknown>): string {
  return `CALLBOARD_${option.name.toUpperCase().replaceAll('-', '_')}`;
}

/**
 * Reads a command's options: a flag wins over the environment, the environment over the default. Of a flag given twice
 * the last wins; an empty environment variable is as good as none.
 *
 * @param command The command's name, for the error messages.
 * @param table The options it knows.
 * @param args The arguments after the command: `['--port', '0']`.
 * @throws CommandError naming the flag or the variable, and the value, where one is unknown, missing or bad.
 *
 * @example
 * const read = readOptions('serve', serveOptions, ['--port', '0'], process.env);
 * read(serveOptions.port); // 0
 */
export function readOptions(command: string, table: OptionTable, args: readonly string[], env: Environment): Read {
  const options = Object.values(table);
  const flags = flagValues(command, options, args);
  const read: Read = (option) => {
    const flag = flags.get(option.name);
    const variable = variableOf(option);
    const text = flag ?? (env[variable] || undefined);
    if (text === undefined) return option.fallback(env);
    const value = option.parse(text);
    if (value !== undefined) return value;
    const source = flag === undefined ? variable : `--${option.name}`;
    throw misused(command, `${source} must be ${option.expects}, not ${quoted(text)}`);
  };
  for (const option of options) read(option); // So that every mistake is found before anything is done.
  return read;
}

/** The text of each flag that was given, by the option's name. */
function flagValues(command: string, options: readonly Option<unknown>[], args: readonly string[]) {
  // Not strict: parseArgs' own messages run over several sentences and do not name the command.
  const { tokens } = parseArgs({
    args: [...args],
    options: Object.fromEntries(
      options.map(({ name, alone }) => [name, { type: alone === undefined ? 'string' : 'boolean' } as const]),
    ),
    strict: false,
    tokens: true,
  });
  const values = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind === 'positional') {
      const bare = options.find((option) => option.bare && !values.has(option.name));
      if (bare === undefined) throw misused(command, `unexpected argument ${quoted(token.value)}`);
      values.set(bare.name, token.value);
      continue;
    }
    if (token.kind === 'option-terminator') continue;
    const option = options.find(({ name }) => token.rawName === `--${name}`);
    if (option === undefined) throw misused(command, `unknown flag ${quoted(token.rawName)}`);
    // `--host --port 1`: what follows is the next flag, not a host of that name.
    const follows = token.inlineValue || token.value?.startsWith('--') === false;
    const text = follows ? token.value : option.alone;
    if (text === undefined) throw misused(command, `${token.rawName} needs a value, ${option.expects}`);
    values.set(option.name, text);
  }
  return values;
}

/** The error of a command that was asked wrongly. @param problem A sentence without its full stop. */
export function misused(command: string, problem: string): CommandError {
  return new CommandError(MISUSED, `${problem}. See callboard ${command} --help.`);
}

/** Keeps a message on one line whatever was typed, and short. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/**
 * The help text of one command, at most 80 columns wide.
 *
 * @param summary What the command does, in a sentence or two.
 * @param env Decides the defaults that depend on it.
 */
export function helpText(command: string, summary: string, table: OptionTable, env: Environment): string {
  const rows = Object.values(table).map((option): [string, ...string[]] => {
    const fallback = option.fallbackText ?? String(option.fallback(env));
    return [flagHead(option), option.help, `Default: ${fallback}. Environment: ${variableOf(option)}.`];
  });
  const bare = Object.values(table).find((option) => option.bare);
  return [
    `Usage: callboard ${command} [options]${bare === undefined ? '' : ` [${bare.placeholder}]`}`,
    wrapped(summary, 80).join('\n'),
    ['Options:', ...helpRows([...rows, ['--help', 'Show this.']])].join('\n'),
    'A flag wins over its environment variable, and that over the default.\n',
  ].join('\n\n');
}

/** A flag as the help shows it: `--port <number>`, or `--smoke` where it needs no value. */
export function flagHead({ name, placeholder, alone }: Option<unknown>): string {
  return alone === undefined ? `--${name} <${placeholder}>` : `--${name}`;
}

/** Lines of the help in two columns, at most 80 wide: what stands first in each row, then its texts, one below the other. */
export function helpRows(rows: readonly (readonly [head: string, ...texts: string[]])[]): string[] {
  const indent = Math.max(...rows.map(([head]) => head.length)) + 4;
  return rows.flatMap(([head, ...texts]) =>
    texts
      .flatMap((text) => wrapped(text, 80 - indent))
      .map((line, index) => (index === 0 ? `  ${head}` : '').padEnd(indent) + line),
  );
}

/** Breaks a text at spaces into lines of at most `width` columns; a longer word stays whole. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const piece of text.split(' ')) {
    if (line !== '' && line.length + 1 + piece.length > width) {
      lines.push(line);
      line = piece;
    } else line += line === '' ? piece : ` ${piece}`;
  }
  return [...lines, line];
}
