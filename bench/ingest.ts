/** The scenario `ingest`: few connections, each as fast as it can, frames coalesced by TCP. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runClient } from './client-process.js';
import type { FloodResult } from './client-report.js';
import type { Scenario, Surroundings } from './scenario.js';
import { type ServerProcess, startServer } from './server-process.js';
import { spread } from './statistics.js';
import { figure, spreadFigure, tableLines } from './table.js';

type Values = Record<'connections' | 'missions' | 'events' | 'duration' | 'warmup' | 'threads' | 'runs', number>;

/** A server that takes part; `folder` is an empty one of its own. */
interface Contender {
  name: string;
  start(values: Values, folder: string): Promise<ServerProcess>;
}

const program = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** A and B; the ratios are of the first to the second. */
const contenders: [Contender, Contender] = [
  {
    name: 'callboard',
    start: ({ threads }, folder) =>
      startServer(
        [program('../src/cli/main.js'), 'serve', `--threads=${threads}`, `--data-dir=${folder}`, '--log-level=warn'],
        { AIWG_EXECUTOR_IDENTITY_STORE: join(folder, 'executor-identities.json') },
      ),
  },
  { name: 'baseline', start: () => startServer([program('./baseline.js')], {}) },
];

/** A line of the report each; `read` is undefined where a run does not have it. */
const figures: { title: string; read(result: FloodResult): number | undefined }[] = [
  { title: 'events/s', read: (result) => result.eventsPerSecond },
  { title: 'main thread µs/event', read: (result) => result.cpu?.mainThread },
  { title: 'all threads µs/event', read: (result) => result.cpu?.allThreads },
  { title: 'GET p50 ms, since due', read: (result) => result.get.sinceDue.p50 },
  { title: 'GET p99 ms, since due', read: (result) => result.get.sinceDue.p99 },
  { title: 'GET p50 ms, since sent', read: (result) => result.get.sinceSent.p50 },
  { title: 'GET p99 ms, since sent', read: (result) => result.get.sinceSent.p99 },
];

export const ingest: Scenario<keyof Values> = {
  name: 'ingest',
  shows:
    'How many events a second go in over few connections, what each costs the main thread, and whether GETs still work.',
  parameters: {
    connections: { help: 'executors, each with one connection', default: 8, smoke: 2 },
    missions: { help: 'missions on each connection', default: 4, smoke: 2 },
    events: { help: 'events in the measured flood, over all connections', default: 1_000_000, smoke: 4000 },
    duration: {
      help: 'seconds to flood for, instead of a number of events (0: by events)',
      default: 0,
      smoke: 0,
      lowest: 0,
    },
    warmup: { help: 'events before the measured flood', default: 200_000, smoke: 1000, lowest: 0 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 2 },
    runs: { help: 'runs of each server, in turn', default: 3, smoke: 1 },
  },
  run: (values, surroundings) =>
    surroundings.url === undefined
      ? comparePair(values, surroundings)
      : measureRunning(surroundings.url, values, surroundings),
};

/** Measures A B A B …, each in a fresh process, and prints both and their ratio. */
async function comparePair(values: Values, surroundings: Surroundings): Promise<object> {
  const results = new Map<string, FloodResult[]>(contenders.map(({ name }) => [name, []]));
  for (let run = 1; run <= values.runs; run++) {
    for (const contender of contenders) {
      const label = `run ${run} of ${values.runs}, ${contender.name}`;
      results.get(contender.name)?.push(await measureFresh(label, contender, values, surroundings));
    }
  }
  printReport([...results], surroundings);
  return Object.fromEntries(results);
}

/** One run against a server that is started for it, and gone afterwards with everything it wrote. */
async function measureFresh(label: string, contender: Contender, values: Values, surroundings: Surroundings) {
  surroundings.progress(`${label}: starting`);
  const folder = mkdtempSync(join(tmpdir(), 'callboard-bench-'));
  try {
    const server = await contender.start(values, folder);
    try {
      return await measure(label, server.url, server.pid, values, surroundings);
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureRunning(url: URL, values: Values, surroundings: Surroundings): Promise<object> {
  const results: FloodResult[] = [];
  for (let run = 1; run <= values.runs; run++) {
    results.push(await measure(`run ${run} of ${values.runs}, ${url.host}`, url, 0, values, surroundings));
  }
  printReport([[url.host, results]], surroundings);
  return { [url.host]: results };
}

/** One run of the load generator against one server. */
async function measure(label: string, url: URL, pid: number, values: Values, { progress }: Surroundings) {
  const { connections, missions, events, duration, warmup } = values;
  const flags = { url: url.href, connections, missions, events, duration, warmup, 'server-pid': pid };
  const result = await runClient(flags, (phase, sent) => progress(`${label}: ${phase}, ${figure(sent)} events sent`));
  if (result.missions !== connections * missions) throw new Error(`${label}: ${result.missions} missions ended.`);
  if (duration === 0 && result.events < events) throw new Error(`${label}: only ${result.events} events went in.`);
  return result;
}

/** A column for each server, and where there are two, the ratio of their medians with the range of the pairs' ratios. */
function printReport(results: [string, FloodResult[]][], { smoke, print }: Surroundings): void {
  if (smoke) {
    for (const [name, [result]] of results) {
      print(`ingest: ${name}: ${result?.events} events taken in, ${result?.missions} missions done`);
    }
    return;
  }
  const heading = ['', ...results.map(([name]) => name), ...(results.length === 2 ? ['ratio'] : [])];
  const rows = figures.flatMap(({ title, read }) => {
    const samples = results.map(([, runs]) => runs.flatMap((run) => read(run) ?? []));
    if (samples.some((values) => values.length === 0)) return [];
    const [a, b] = samples;
    return [[title, ...samples.map((values) => spreadFigure(spread(values))), ...(a && b ? [ratioFigure(a, b)] : [])]];
  });
  for (const line of tableLines([heading, ...rows])) print(line);
  print('Medians, and in brackets the lowest and the highest of the runs; of the ratios, of the pairs of runs.');
  if (rows.length < figures.length) {
    print('CPU figures are unavailable: they need /proc, and a server that the bench has started itself.');
  }
  const busiest = Math.max(...results.flatMap(([, runs]) => runs.map((run) => run.clientCores)));
  print(`The load generator used ${figure(busiest)} of a core at most while it sent.`);
}

/** The ratio of the medians, and the range of the ratios run by run. */
function ratioFigure(a: number[], b: number[]): string {
  const pairs = spread(a.map((value, run) => value / (b[run] ?? Number.NaN)));
  return spreadFigure({ ...pairs, median: spread(a).median / spread(b).median }, ' ×');
}
