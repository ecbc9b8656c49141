/** What `callboard bench` can be told: scenarios, the options of every scenario, and those that each has of its own. */
import { resolve } from 'node:path';
import type { Parameter, Scenario } from '../../bench/scenario.js';
import { scenarios } from '../../bench/scenarios.js';
import {
  flagHead,
  helpRows,
  misused,
  type Option,
  type OptionTable,
  quoted,
  readOptions,
  toggle,
  wholeNumber,
  wrapped,
} from './flags.js';

const file = {
  placeholder: 'file',
  expects: 'the path of a file',
  parse: (text: string) => (text === '' || text.includes('\0') ? undefined : resolve(text)),
  fallback: () => undefined,
};

/** The options of every scenario. */
export const benchOptions = {
  smoke: {
    ...toggle,
    name: 'smoke',
    help: 'Tiny: check every outcome, measure nothing. Without a scenario: all of them.',
    fallback: () => false,
  },
  url: {
    placeholder: 'url',
    expects: 'an http:// URL without a path',
    parse: parseOrigin,
    name: 'url',
    help: 'Measure the server of the contract that runs there, on this machine, and nothing else.',
    fallback: () => undefined,
  },
  json: { ...file, name: 'json', help: 'Write the figures to a file, too.' },
  html: { ...file, name: 'html', help: 'Write a page with tables and charts to a file, too.' },
} satisfies OptionTable;

/** What `callboard bench` was told. */
export interface BenchSettings {
  readonly smoke: boolean;
  readonly url: URL | undefined;
  readonly json: string | undefined;
  readonly html: string | undefined;
  readonly tasks: readonly { scenario: Scenario; parameters: Record<string, number> }[];
}

/**
 * @param args The names of scenarios, then flags. A flag counts for every one of them that knows it.
 * @throws CommandError where a scenario or a flag is unknown, or a value is bad.
 */
export function benchSettings(args: readonly string[]): BenchSettings {
  const firstFlag = args.findIndex((arg) => arg.startsWith('-'));
  const names = firstFlag === -1 ? args : args.slice(0, firstFlag);
  const flags = args.slice(names.length);
  const chosen = names.length === 0 || names.includes('all') ? scenarios : names.map(scenarioOf);

  // Nothing comes from the environment: a variable that is meant for a server must not change what is measured.
  const table = { ...Object.assign({}, ...chosen.map(ownOptions)), ...benchOptions };
  const read = readOptions('bench', table, flags, {});
  const smoke = read(benchOptions.smoke);
  if (names.length === 0 && !smoke) throw misused('bench', `no scenario given: choose from ${choices()}`);
  const url = read<URL | undefined>(benchOptions.url);
  const serverless = url && chosen.find(({ takesUrl = false }) => !takesUrl);
  if (serverless) throw misused('bench', `--url is not for ${serverless.name}`);

  const tasks = chosen.map((scenario) => {
    // A table for each, since the same flag may have another range in another scenario.
    const own = readOptions('bench', { ...table, ...ownOptions(scenario) }, flags, {});
    const values = Object.entries(scenario.parameters).map(([name, parameter]) => {
      const given = own(parameterOption(name, parameter));
      return [name, given ?? (smoke ? parameter.smoke : parameter.default)] as const;
    });
    return { scenario, parameters: Object.fromEntries(values) };
  });
  const [json, html] = [benchOptions.json, benchOptions.html].map((option) => read<string | undefined>(option));
  return { smoke, url, json, html, tasks };
}

const choices = () => `${scenarios.map(({ name }) => name).join(', ')}, or all`;

function scenarioOf(name: string): Scenario {
  const scenario = scenarios.find((known) => known.name === name);
  if (scenario === undefined) throw misused('bench', `unknown scenario ${quoted(name)}: choose from ${choices()}`);
  return scenario;
}

const ownOptions = ({ parameters }: Scenario): OptionTable =>
  Object.fromEntries(Object.entries(parameters).map(([name, parameter]) => [name, parameterOption(name, parameter)]));

function parameterOption(name: string, { help, lowest = 1 }: Parameter): Option<number | undefined> {
  return { ...wholeNumber(lowest, 999_999_999), name, help, fallback: () => undefined };
}

/** The help text: about the scenarios among the arguments, or about all of them where there is none. */
export function benchHelp(args: readonly string[]): string {
  const asked = scenarios.filter(({ name }) => args.includes(name));
  const own = (asked.length === 0 ? scenarios : asked).flatMap(({ name, shows, parameters }) => [
    '',
    `${name}:`,
    ...wrapped(shows, 78).map((line) => `  ${line}`),
    ...helpRows(
      Object.entries(parameters).map(([flag, parameter]) => [
        flagHead(parameterOption(flag, parameter)),
        `${parameter.help} (default: ${parameter.default})`,
      ]),
    ),
  ]);
  const common = Object.values<Option<unknown>>(benchOptions).map((option) => [flagHead(option), option.help] as const);
  return `Usage: callboard bench <scenario>... [options]
       callboard bench all [options]
       callboard bench --smoke

Measure Callboard, and its rivals beside it in the same run.

Options of every scenario:
${helpRows([...common, ['--help', 'Show this; after a scenario, only what is about it.']]).join('\n')}

Scenarios, what each shows, and options of its own:
${own.join('\n')}
`;
}

/** The address of a server, without anything after it: routes are resolved from the root. */
function parseOrigin(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'http:' && url.href === `${url.origin}/` ? url : undefined;
}
