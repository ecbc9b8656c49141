/** `callboard bench` as a process: help, mistakes, a smoke run with its files, a failed outcome, and Ctrl-C. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as v from 'valibot';
import { portOf } from '#bench/executors.js';
import { type Measurement, measurementsSchema } from '#bench/measurement.js';
import { scenarios } from '#bench/scenarios.js';
import { benchOptions, benchSettings } from '#src/cli/bench-options.js';
import { callboard } from '../cli/callboard.js';
import { sample } from './sample.js';

const folder = mkdtempSync(join(tmpdir(), 'callboard-bench-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('the help names every scenario, what it shows, and each of its flags with its default, in 80 columns', async () => {
  const { code, stdout, stderr } = await callboard(['bench', '--help']).ended;
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  const prose = stdout.replaceAll(/\s+/g, ' ');
  for (const { name, shows, parameters } of scenarios) {
    const flags = Object.entries(parameters).map(
      ([flag, parameter]) => `--${flag} <number> ${parameter.help} (default: ${parameter.default})`,
    );
    const section = [`${name}:`, shows, ...flags].join(' ').replaceAll(/\s+/g, ' ');
    assert.ok(prose.includes(section), section);
  }
  for (const { name, help } of Object.values(benchOptions)) assert.match(prose, new RegExp(`--${name} .*${help}`));
  for (const line of stdout.split('\n')) assert.ok(line.length <= 80, line);
});

test('no flag of a scenario is one of the command, and a smoke run is no larger than a real one', () => {
  const common = [...Object.keys(benchOptions), 'help'];
  for (const { name, parameters } of scenarios) {
    assert.deepEqual(
      Object.keys(parameters).filter((flag) => common.includes(flag)),
      [],
      name,
    );
    for (const { smoke, default: real, lowest = 1 } of Object.values(parameters)) {
      // A default of 0 is "as it turns out".
      assert.ok(lowest <= smoke && (real === 0 || smoke <= real) && Number.isInteger(real), name);
    }
  }
  assert.equal(new Set(scenarios.map(({ name }) => name)).size, scenarios.length);
});

const mistakes: [args: string[], says: RegExp][] = [
  [[], /no scenario given: choose from ingest, .*or all/],
  [['inges'], /unknown scenario "inges": choose from ingest, .*or all/],
  [['ingest', 'inges'], /unknown scenario "inges": choose from/],
  [['ingest', '--evnts', '5'], /unknown flag "--evnts"/],
  [['ingest', '--events', '0'], /--events must be a whole number from 1 to 999999999, not "0"/],
  [['ingest', '--events'], /--events needs a value, a whole number/],
  [['--smoke', 'ingest'], /unexpected argument "ingest"/],
  [['ingest', '--smoke=maybe'], /--smoke must be true or false, not "maybe"/],
  [['ingest', '--url', '127.0.0.1:7337'], /--url must be an http:\/\/ URL without a path, not "127\.0\.0\.1:7337"/],
  [['latency', '--smoke', '--url', 'http://127.0.0.1:9'], /--url is not for latency/],
  [['ingest', '--json', '--smoke'], /--json needs a value, the path of a file/],
];

for (const [args, says] of mistakes) {
  test(`callboard bench ${args.join(' ')} is a mistake`, () => {
    assert.throws(() => benchSettings(args), says);
  });
}

test('a mistake is one line and exit code 2', async () => {
  const { code, stdout, stderr } = await callboard(['bench', 'inges']).ended;
  assert.match(stderr, /^callboard bench: unknown scenario "inges": [^\n]*\. See callboard bench --help\.\n$/);
  assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
});

test('several scenarios may be named, or all; --smoke alone is all of them, with the values of a smoke run', () => {
  const namesOf = (...args: string[]) => benchSettings(args).tasks.map(({ scenario }) => scenario.name);
  const all = scenarios.map(({ name }) => name);
  assert.deepEqual(namesOf('ingest', 'ingest'), ['ingest', 'ingest']);
  assert.deepEqual(namesOf('all'), all);
  assert.deepEqual(namesOf('--smoke'), all);
  for (const { scenario, parameters } of benchSettings(['--smoke']).tasks) {
    const smoke = Object.entries(scenario.parameters).map(([name, parameter]) => [name, parameter.smoke]);
    assert.deepEqual(parameters, Object.fromEntries(smoke));
  }
});

test('a flag wins over the default and over the value of a smoke run', () => {
  const [real] = benchSettings(['ingest', '--runs', '7']).tasks;
  assert.deepEqual([real?.parameters.runs, real?.parameters.connections], [7, 8]);
  const [smoke] = benchSettings(['ingest', '--smoke', '--runs=7']).tasks;
  assert.deepEqual([smoke?.parameters.runs, smoke?.parameters.connections], [7, 2]);
});

test('the environment is not looked at', async () => {
  const { stderr } = await callboard(['bench', 'ingest', '--json', join(folder, 'no', 'x.json')], {
    CALLBOARD_EVENTS: 'x',
    CALLBOARD_URL: 'x',
  }).ended;
  assert.match(stderr, /^callboard bench: cannot write the results: ENOENT/);
});

test('a smoke run checks its outcomes and writes its files', async () => {
  const [json, html] = [join(folder, 'pick.json'), join(folder, 'pick.html')];
  const { code, stdout, stderr } = await callboard(['bench', 'pick', '--smoke', '--json', json, '--html', html]).ended;
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
  assert.match(stdout, /^pick: as it should be: callboard, .*\n/);
  const measurements = v.parse(v.strictTuple([v.strictObject(measurementsSchema.item.entries)]), readJson(json));
  const [{ scenario, parameters, report }] = measurements;
  assert.deepEqual(
    { scenario, parameters },
    { scenario: 'pick', parameters: benchSettings(['pick', '--smoke']).tasks[0]?.parameters },
  );
  assert.deepEqual(report.contenders, ['callboard', 'linear scan', 'floor: in turn']);
  assert.equal(report.figures.length, 4);
  for (const { samples } of report.figures) assert.deepEqual(Object.keys(samples), report.contenders);
  const sizes = report.curves[0]?.points.callboard?.map(([size]) => size);
  assert.deepEqual(sizes, [100, 1000]);
  assert.match(readFileSync(html, 'utf8'), /<section id="pick">/);
});

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));

test('the schema takes what the tests of the page show, and refuses what is not of its shape', () => {
  assert.deepEqual(v.parse(measurementsSchema, JSON.parse(JSON.stringify([sample]))), [sample]);
  const wrong: Partial<Measurement>[] = [{ at: 'yesterday' }, { parameters: { runs: Number.NaN } }];
  for (const part of wrong) assert.ok(!v.is(measurementsSchema, JSON.parse(JSON.stringify([{ ...sample, ...part }]))));
  const { machine, ...without } = sample;
  assert.ok(machine && !v.is(measurementsSchema, [without]));
});

test('a server that does not keep the contract is one line and exit code 1', { timeout: 60_000 }, async () => {
  const server = createServer((_, response) => response.writeHead(500).end('no')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${portOf(server.address())}`;
  const { code, stdout, stderr } = await callboard(['bench', 'ingest', '--smoke', '--url', url]).ended;
  server.close();
  assert.equal(stderr, 'callboard bench: ingest: POST /api/v1/executors/register answered 500, not 201: no\n');
  assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
});

test('Ctrl-C ends every process that was started, and removes what they wrote', { timeout: 60_000 }, async () => {
  const temporary = mkdtempSync(join(folder, 'tmp-'));
  const running = callboard(['bench', 'ingest', '--duration', '600', '--warmup', '0'], { TMPDIR: temporary });
  const children = await startedBy(running.pid, 2); // A server, and the load generator.
  running.kill('SIGINT');
  assert.equal((await running.ended).code, 130);
  for (const pid of children) await gone(pid);
  assert.deepEqual(
    readdirSync(temporary).filter((name) => name.startsWith('callboard-bench-')),
    [],
  );
});

/** The processes that `pid` has started, once there are `count`. */
async function startedBy(pid: number, count: number): Promise<string[]> {
  for (;;) {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    if (children.length >= count) return children;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Resolves once a process is no more. */
async function gone(pid: string): Promise<void> {
  while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 10));
}
