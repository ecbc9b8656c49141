/** Options: where their values come from, what is refused, and how that is told. */
import assert from 'node:assert/strict';
import { homedir, hostname } from 'node:os';
import { resolve } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { CommandError, MISUSED } from '#src/cli/errors.js';
import { executorOptions, executorSettings } from '#src/cli/executor-options.js';
import { helpText, type OptionTable, readOptions, variableOf } from '#src/cli/flags.js';
import {
  exportOptions,
  exportSettings,
  importOptions,
  importSettings,
  logLevels,
  serveOptions,
  serveSettings,
  simulateOptions,
  simulateSettings,
} from '#src/cli/options.js';

/** What an option takes, as the text and the value it means, and what it does not take. */
interface Samples {
  readonly command: string;
  readonly table: OptionTable;
  readonly key: string;
  readonly good: fc.Arbitrary<{ text: string; value: unknown }>;
  readonly bad: fc.Arbitrary<string>;
}

const wholeNumbers = (min: number, max: number) => ({
  good: fc.integer({ min, max }).map((value) => ({ text: String(value), value })),
  bad: fc.oneof(
    fc.integer({ min: max + 1 }).map(String),
    fc.integer({ max: min - 1 }).map(String),
    fc.constantFrom('1.5', '1e1', '0x10', '+1', ' 1', '1 ', '1,000', 'one', 'NaN', '9'.repeat(400)),
    fc.string({ minLength: 1 }).filter((text) => !/^\d+$/.test(text)),
  ),
});

const decimals = (max: number) => ({
  good: fc.integer({ min: 100, max: max * 1000 }).map((n) => ({ text: String(n / 1000), value: n / 1000 })),
  bad: fc.constantFrom('0', '0.05', '-1', String(max + 1), `${max}.5`, '1e3', 'Infinity', 'NaN', '.', '1.', 'fast'),
});

const paths = {
  good: fc.constantFrom('/var/lib/callboard', 'here', './two words').map((text) => ({ text, value: resolve(text) })),
  bad: fc.constantFrom('nul\0'),
};

const toggles = {
  good: fc.constantFrom({ text: 'true', value: true }, { text: 'false', value: false }),
  bad: fc.constantFrom('yes', '1', 'TRUE', ' true'),
};

const urls = {
  good: fc
    .constantFrom('http://127.0.0.1:1234', 'https://a.example/callboard', 'http://[::1]:80/')
    .map((text) => ({ text, value: new URL(text.endsWith('/') ? text : `${text}/`) })),
  bad: fc.constantFrom(
    '7337',
    'localhost:7337',
    'ftp://a',
    'ws://a',
    'http://',
    'http://a/?token=1',
    'http://u:p@a',
    '/',
  ),
};

const serve = { command: 'serve', table: serveOptions };
const simulate = { command: 'simulate', table: simulateOptions };
const executor = { command: 'executor', table: executorOptions };
const samples: readonly Samples[] = [
  { ...serve, key: 'port', ...wholeNumbers(0, 65_535) },
  {
    ...serve,
    key: 'host',
    good: fc.constantFrom('0.0.0.0', '::1', 'localhost', 'a.example').map((text) => ({ text, value: text })),
    bad: fc.constantFrom(' ', 'two words', 'line\nbreak', 'nul\0'),
  },
  { ...serve, key: 'threads', ...wholeNumbers(1, 64) },
  { ...serve, key: 'dataDir', ...paths },
  { ...serve, key: 'ephemeral', ...toggles },
  { ...serve, key: 'flushInterval', ...wholeNumbers(1, 10_000) },
  {
    ...serve,
    key: 'retain',
    good: fc.constantFrom(
      { text: '30d', value: 2_592_000_000 },
      { text: '12h', value: 43_200_000 },
      { text: '5m', value: 300_000 },
      { text: '1s', value: 1_000 },
    ),
    bad: fc.constantFrom('30', 'd', '0d', '1.5h', '-1d', '1D', '1 d', '1w', '1constructor', '40000d'),
  },
  {
    ...serve,
    key: 'maxStore',
    good: fc.constantFrom({ text: '10gb', value: 10_737_418_240 }, { text: '500mb', value: 524_288_000 }),
    bad: fc.constantFrom('10', 'gb', '0gb', '1.5gb', '10GB', '10 gb', '10kb', '61gb', '1tb'),
  },
  {
    ...serve,
    key: 'executorTimeout',
    good: fc.constantFrom({ text: '1h', value: 3_600_000 }, { text: '90s', value: 90_000 }),
    bad: fc.constantFrom('90', 'h', '0s', '1.5h', '-1h', 'off', '40000d'),
  },
  {
    ...serve,
    key: 'trustProxy',
    good: fc.constantFrom(
      { text: '127.0.0.1', value: ['127.0.0.1'] },
      { text: '10.0.0.0/8, fd00::/8,::1', value: ['10.0.0.0/8', 'fd00::/8', '::1'] },
    ),
    bad: fc.constantFrom(
      'true',
      'localhost',
      '10.0.0.0/33',
      '::/129',
      '10.0.0',
      '10.0.0.1,',
      '10.0.0.0/',
      'fe80::1%lo',
      '/8',
    ),
  },
  {
    ...serve,
    key: 'logLevel',
    good: fc.constantFrom(...logLevels).map((text) => ({ text, value: text })),
    bad: fc.constantFrom('loud', 'INFO', 'info ', '30', 'constructor'),
  },
  { ...simulate, key: 'url', ...urls },
  { ...simulate, key: 'executors', ...wholeNumbers(1, 1_000) },
  { ...simulate, key: 'missions', ...wholeNumbers(1, 10_000_000) },
  { ...simulate, key: 'rate', ...decimals(10_000) },
  { ...simulate, key: 'duration', ...decimals(604_800) },
  {
    ...executor,
    key: 'run',
    good: fc.constantFrom('npm test', "echo '").map((text) => ({ text, value: text })),
    bad: fc.constantFrom(' ', 'nul\0'),
  },
  { ...executor, key: 'shell', ...toggles },
  {
    ...executor,
    key: 'ask',
    good: fc.constantFrom('^Sure', '\\?$').map((text) => ({ text, value: new RegExp(text) })),
    bad: fc.constantFrom('(', '[z-a]', '+'),
  },
  { ...executor, key: 'concurrency', ...wholeNumbers(1, 64) },
  { ...executor, key: 'grace', ...decimals(3_600) },
  { ...executor, key: 'url', ...urls },
  {
    ...executor,
    key: 'name',
    good: fc.constantFrom('a runner', 'é'.repeat(128)).map((text) => ({ text, value: text })),
    bad: fc.constantFrom('x'.repeat(129), 'line\nbreak', 'nul\0'),
  },
  {
    ...executor,
    key: 'capabilities',
    good: fc.constantFrom(
      { text: 'x-tests', value: ['x-tests'] },
      { text: 'isolation:vm, x-a:b', value: ['isolation:vm', 'x-a:b'] },
    ),
    bad: fc.constantFrom('tests', 'x-a,', 'x-a,x-a', 'isolation:', ' '),
  },
  { ...executor, key: 'identityFile', ...paths },
  { command: 'export', table: exportOptions, key: 'dataDir', ...paths },
  { command: 'export', table: exportOptions, key: 'out', ...paths },
  { command: 'import', table: importOptions, key: 'dataDir', ...paths },
  { command: 'import', table: importOptions, key: 'file', ...paths },
];

function optionOf({ table, key }: Samples) {
  const option = table[key];
  assert.ok(option);
  return option;
}

test('every option of every command has its samples here', () => {
  const tables = [serveOptions, simulateOptions, executorOptions, exportOptions, importOptions];
  const keys = tables.flatMap((table) => Object.keys(table));
  assert.deepEqual(
    samples.map(({ key }) => key),
    keys,
  );
});

for (const sample of samples) {
  const option = optionOf(sample);
  const { command, table, good, bad } = sample;
  const flag = `--${option.name}`;

  test(`${command} ${flag} wins over ${variableOf(option)}, and that over the default`, () => {
    fc.assert(
      fc.property(good, good, fc.boolean(), (first, second, inline) => {
        // What needs no value has one only where it is joined to it.
        const given = ({ text }: { text: string }, joined: boolean) =>
          joined || option.alone !== undefined ? [`${flag}=${text}`] : [flag, text];
        const args = given(first, inline);
        const env = { [variableOf(option)]: second.text };
        assert.deepEqual(readOptions(command, table, args, env)(option), first.value);
        assert.deepEqual(readOptions(command, table, [], env)(option), second.value);
        assert.deepEqual(readOptions(command, table, [...given(second, false), ...args], {})(option), first.value);
      }),
    );
    assert.deepEqual(readOptions(command, table, [], {})(option), option.fallback({}));
    assert.deepEqual(readOptions(command, table, [], { [variableOf(option)]: '' })(option), option.fallback({}));
  });

  test(`${command} refuses a bad ${flag} in one line that names the flag or the variable, and the value`, () => {
    fc.assert(
      fc.property(bad, (text) => {
        const read = (args: string[], env: Record<string, string>) => () => readOptions(command, table, args, env);
        assert.throws(read([`${flag}=${text}`], {}), isMisuse(`${flag} must be `, text));
        assert.throws(read([], { [variableOf(option)]: text }), isMisuse(`${variableOf(option)} must be `, text));
      }),
    );
  });
}

/** A misuse told in one line that starts so and quotes the beginning of the value. */
function isMisuse(start: string, value = '') {
  return (error: unknown) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.exitCode, MISUSED);
    assert.ok(error.message.startsWith(start), error.message);
    assert.ok(error.message.includes(JSON.stringify(value.slice(0, 60)).slice(1, -1)), error.message);
    assert.doesNotMatch(error.message, /\p{Cc}/u);
    assert.match(error.message, /See callboard \w+ --help\.$/);
    return true;
  };
}

test('what is no option of the command is refused', () => {
  const read =
    (...args: string[]) =>
    () =>
      readOptions('serve', serveOptions, args, {});
  assert.throws(read('--ports', '1'), isMisuse('unknown flag "--ports"'));
  assert.throws(read('--no-port'), isMisuse('unknown flag "--no-port"'));
  assert.throws(read('-p', '1'), isMisuse('unknown flag "-p"'));
  assert.throws(read('--executors', '1'), isMisuse('unknown flag "--executors"'));
  assert.throws(read('--__proto__', '1'), isMisuse('unknown flag "--__proto__"'));
  assert.throws(read('8080'), isMisuse('unexpected argument "8080"'));
  assert.throws(read('--port', '1', '--', '8080'), isMisuse('unexpected argument "8080"'));
});

test('an option that is bare needs no flag, and is given once so', () => {
  const file = (...args: string[]) => importSettings(readOptions('import', importOptions, args, {})).file;
  assert.equal(file('--data-dir', 'there', '/backup'), '/backup');
  assert.equal(file('/backup', '--data-dir', 'there'), '/backup');
  assert.equal(file('--', '--backup'), resolve('--backup'));
  assert.throws(() => file('/backup', '/other'), isMisuse('unexpected argument', '/other'));
  assert.throws(() => file('nul\0'), isMisuse('--file must be ', 'nul\0'));
});

test('a flag without a value is refused, also where another flag follows it', () => {
  const read =
    (...args: string[]) =>
    () =>
      readOptions('serve', serveOptions, args, {});
  assert.throws(read('--host'), isMisuse('--host needs a value'));
  assert.throws(read('--host', '--port', '1'), isMisuse('--host needs a value'));
});

test('the defaults are those of the documentation', () => {
  const { threads, ...fixed } = serveSettings(readOptions('serve', serveOptions, [], {}));
  const dataDir = `${homedir()}/.local/share/callboard`;
  const kept = { dataDir, flushInterval: 20, retain: 30 * 86_400_000, maxStoreBytes: 10 * 2 ** 30 };
  assert.deepEqual(fixed, {
    port: 7337,
    host: '127.0.0.1',
    ...kept,
    executorTimeout: undefined,
    trustProxy: [],
    logLevel: 'info',
  });
  const ephemeral = serveSettings(readOptions('serve', serveOptions, ['--ephemeral'], {}));
  assert.equal(ephemeral.dataDir, undefined);
  assert.ok(threads >= 1 && threads <= 64);
  assert.deepEqual(simulateSettings(readOptions('simulate', simulateOptions, [], {})), {
    url: new URL('http://127.0.0.1:7337/'),
    executors: 2,
    missions: 20,
    rate: 20,
    duration: undefined,
  });
  assert.deepEqual(executorSettings(readOptions('executor', executorOptions, ['--run', "sh -c 'exit 3'"], {})), {
    words: ['sh', '-c', 'exit 3'],
    ask: undefined,
    concurrency: 4,
    grace: 5_000,
    url: new URL('http://127.0.0.1:7337/'),
    name: `${hostname()} runner`,
    capabilities: [],
    identityFile: `${dataDir}/executor.json`,
  });
  assert.deepEqual(exportSettings(readOptions('export', exportOptions, [], {})), { dataDir, out: undefined });
  assert.deepEqual(importSettings(readOptions('import', importOptions, [], {})), { dataDir, file: undefined });
});

test('what executor is to run is looked at before anything is done', () => {
  const words = (...args: string[]) => executorSettings(readOptions('executor', executorOptions, args, {})).words;
  assert.deepEqual(words('--run', 'echo "$HOME" | cat', '--shell'), ['/bin/sh', '-c', 'echo "$HOME" | cat']);
  assert.throws(() => words(), isMisuse('--run is missing'));
  assert.throws(() => words('--run', "sh 'a"), isMisuse("--run has a ' that is never closed"));
  assert.throws(() => words('--run', 'sh | cat'), isMisuse('--run has a | that only a shell understands'));
  assert.throws(() => words('--run', 'no-such-program x'), isMisuse('--run needs a program', 'no-such-program'));
  assert.throws(() => words('--run', 'a{objective} x'), isMisuse('the first word of --run is the program'));
  assert.throws(() => words('--run', "''"), isMisuse('--run needs a program'));
  const filled = () => words('--run', 'echo {objective}', '--shell');
  assert.throws(filled, isMisuse('with --shell, --run fills nothing in: write "$CALLBOARD_OBJECTIVE"'));
});

test('the data folder is below XDG_DATA_HOME where that is absolute', () => {
  const dataDir = (base: string) =>
    readOptions('serve', serveOptions, [], { XDG_DATA_HOME: base })(serveOptions.dataDir);
  assert.equal(dataDir('/srv/data'), '/srv/data/callboard');
  assert.equal(dataDir('data'), `${homedir()}/.local/share/callboard`);
});

test('the help of a command shows each flag, its variable and its default in 80 columns', () => {
  const tables = {
    serve: serveOptions,
    simulate: simulateOptions,
    executor: executorOptions,
    export: exportOptions,
    import: importOptions,
  };
  for (const [command, table] of Object.entries(tables)) {
    const help = helpText(command, 'What it does.', table, {});
    const prose = help.replaceAll(/\s+/g, ' ');
    for (const option of Object.values<OptionTable[string]>(table)) {
      const value = option.alone === undefined ? ` <${option.placeholder}>` : '';
      assert.match(help, new RegExp(`^  --${option.name}${value} `, 'm'));
      const fallback = option.fallbackText ?? String(option.fallback({}));
      assert.ok(prose.includes(`${option.help} Default: ${fallback}. Environment: ${variableOf(option)}.`), prose);
    }
    for (const line of help.split('\n')) assert.ok(line.length <= 80, line);
  }
});
