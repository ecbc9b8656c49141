/** The bench's command line: `npm run bench -- <scenario> [flags]`. `--help` says the rest. */
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { ingest } from './ingest.js';
import type { Scenario, Surroundings } from './scenario.js';

const scenarios: readonly Scenario[] = [ingest];

/** Asked wrongly: one line, exit code 2. */
class UsageError extends Error {}

function help(): string {
  const lines = scenarios.flatMap(({ name, shows, parameters }) => [
    `  ${name}  ${shows}`,
    ...Object.entries(parameters).map(
      ([flag, { help, default: value }]) => `    ${`--${flag} N`.padEnd(16)}${help} (default: ${value})`,
    ),
    '',
  ]);
  return `Usage: npm run bench -- <scenario> [flags]
       npm run bench -- --smoke

Scenarios, and the flags of each:
${lines.join('\n')}
Flags of every scenario:
    --smoke         tiny: check outcomes, measure nothing; without a scenario: all of them
    --url URL       measure the server of the contract that runs there, on this machine
    --json FILE     write the figures to a file, too
    --help          this
`;
}

const common = {
  smoke: { type: 'boolean', default: false },
  url: { type: 'string' },
  json: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** Reads the command line; `parameters` are the flags that the scenario adds. */
function parse(args: string[], parameters: Scenario['parameters']) {
  const own = Object.fromEntries(Object.keys(parameters).map((name) => [name, { type: 'string' }] as const));
  try {
    return parseArgs({ args, allowPositionals: true, options: { ...own, ...common } });
  } catch (error) {
    // Node's messages go on to explain how to pass such a thing after all.
    const [problem] = String(error instanceof Error ? error.message : error).split(/\.\s/);
    throw new UsageError(`${problem}. See --help.`);
  }
}

/** The scenario's parameters: from its flags, else by default. */
function parameterValues({ parameters }: Scenario, flags: Record<string, unknown>, smoke: boolean) {
  const entries = Object.entries(parameters).map(([name, parameter]) => {
    const flag = flags[name];
    if (flag === undefined) return [name, smoke ? parameter.smoke : parameter.default] as const;
    const lowest = parameter.lowest ?? 1;
    if (typeof flag !== 'string' || !/^\d{1,9}$/.test(flag) || Number(flag) < lowest) {
      throw new UsageError(`--${name} takes a whole number from ${lowest} to 999999999, not ${JSON.stringify(flag)}.`);
    }
    return [name, Number(flag)] as const;
  });
  return Object.fromEntries(entries);
}

/** A line on a terminal that the next one replaces; nothing elsewhere. */
function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
}

/** Runs one scenario and returns what goes into the JSON file. */
async function run(scenario: Scenario, flags: Record<string, unknown>, surroundings: Surroundings): Promise<object> {
  const parameters = parameterValues(scenario, flags, surroundings.smoke);
  const results = await scenario.run(parameters, surroundings);
  const machine = { cpu: cpus()[0]?.model, cores: availableParallelism(), platform: process.platform };
  return { scenario: scenario.name, at: new Date().toISOString(), machine, node: process.version, parameters, results };
}

async function main(args: string[]): Promise<void> {
  const scenario = scenarios.find(({ name }) => name === args[0]);
  const { values, positionals } = parse(args, scenario?.parameters ?? {});
  if (values.help) return console.log(help());
  const [stray] = scenario === undefined ? positionals : positionals.slice(1);
  if (stray !== undefined) {
    const names = scenarios.map(({ name }) => name).join(', ');
    throw new UsageError(`One scenario comes first (${names}), then flags: ${stray} is neither. See --help.`);
  }
  if (scenario === undefined && !values.smoke) throw new UsageError('Which scenario? See --help.');
  if (values.url !== undefined && !/^http:\/\/./.test(values.url)) {
    throw new UsageError(`--url takes an http:// URL, not ${values.url}.`);
  }
  const surroundings: Surroundings = {
    smoke: values.smoke,
    url: values.url === undefined ? undefined : new URL(values.url),
    print(line) {
      showProgress('');
      console.log(line);
    },
    progress: showProgress,
  };
  const reports: object[] = [];
  for (const chosen of scenario === undefined ? scenarios : [scenario]) {
    reports.push(await run(chosen, values, surroundings));
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(reports, null, 2)}\n`);
}

// Through process.exit, so that the processes that were started end too.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

try {
  await main(process.argv.slice(2));
} catch (error) {
  showProgress('');
  console.error(`bench: ${error instanceof Error ? error.message : error}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
