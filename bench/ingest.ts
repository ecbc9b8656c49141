/** The scenario `ingest`: few connections, each as fast as it can, frames coalesced by TCP. */
import { runClient } from './client-process.js';
import type { FloodResult } from './client-report.js';
import { type Contender, compare, figureOf } from './compare.js';
import type { Report } from './report.js';
import type { Scenario, Surroundings } from './scenario.js';
import { servers, withServer } from './servers.js';
import { figure } from './statistics.js';

type Values = Record<'connections' | 'missions' | 'events' | 'duration' | 'warmup' | 'threads' | 'runs', number>;

export const ingest: Scenario<keyof Values> = {
  name: 'ingest',
  shows:
    'How many events a second go in over few connections, what each costs the main thread, and whether GETs still work.',
  parameters: {
    connections: { help: 'executors, each with one connection', default: 8, smoke: 2 },
    missions: { help: 'missions on each connection', default: 4, smoke: 2 },
    events: { help: 'events in the measured flood, over all connections', default: 1_000_000, smoke: 4000 },
    duration: {
      help: 'seconds to flood for, instead of a number of events; 0: by events',
      default: 0,
      smoke: 0,
      lowest: 0,
    },
    warmup: { help: 'events before the measured flood', default: 200_000, smoke: 1000, lowest: 0 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 2 },
    runs: { help: 'runs of each server, in turn', default: 3, smoke: 1 },
  },
  takesUrl: true,
  async run(values, surroundings) {
    const { results, notes } = await compare(contenders(values, surroundings), values.runs, surroundings);
    return reportOf(results, surroundings.smoke ? notes : [...notes, loadNote(results)]);
  },
};

/** Those that are started for it, or the one that runs already. */
function contenders(values: Values, surroundings: Surroundings): Contender<FloodResult>[] {
  const { url } = surroundings;
  if (url !== undefined) {
    return [{ name: url.host, measure: (label) => measure(label, { url, pid: 0 }, values, surroundings) }];
  }
  return servers.map((server) => ({
    name: server.name,
    absent: server.absent,
    measure: (label) => withServer(server, values.threads, (started) => measure(label, started, values, surroundings)),
  }));
}

/** One run of the load generator against one server; a `pid` of 0 is unknown. */
async function measure(
  label: string,
  { url, pid }: { url: URL; pid: number },
  values: Values,
  { progress }: Surroundings,
): Promise<FloodResult> {
  const { connections, missions, events, duration, warmup } = values;
  const flags = { url: url.href, connections, missions, events, duration, warmup, 'server-pid': pid };
  const result = await runClient(flags, (phase, sent) => progress(`${label}: ${phase}, ${figure(sent)} events sent`));
  if (result.missions !== connections * missions) throw new Error(`${label}: ${result.missions} missions ended.`);
  if (duration === 0 && result.events < events) throw new Error(`${label}: only ${result.events} events went in.`);
  return result;
}

function reportOf(results: ReadonlyMap<string, FloodResult[]>, notes: string[]): Report {
  const lacksCpu = [...results.values()].flat().some(({ cpu }) => cpu === null);
  return {
    contenders: [...results.keys()],
    figures: [
      figureOf('events/s', 'more', results, (result) => result.eventsPerSecond),
      figureOf('main thread µs/event', 'less', results, (result) => result.cpu?.mainThread),
      figureOf('all threads µs/event', 'less', results, (result) => result.cpu?.allThreads),
      figureOf('GET p50 ms, since due', 'less', results, (result) => result.get.sinceDue.p50),
      figureOf('GET p99 ms, since due', 'less', results, (result) => result.get.sinceDue.p99),
      figureOf('GET p50 ms, since sent', 'less', results, (result) => result.get.sinceSent.p50),
      figureOf('GET p99 ms, since sent', 'less', results, (result) => result.get.sinceSent.p99),
    ],
    curves: [],
    distributions: [],
    notes: [
      ...notes,
      ...(lacksCpu
        ? ['CPU figures are missing: they need /proc, and a server that the bench has started itself.']
        : []),
    ],
  };
}

function loadNote(results: ReadonlyMap<string, FloodResult[]>): string {
  const busiest = Math.max(...[...results.values()].flat().map(({ clientCores }) => clientCores));
  return `The load generator used ${figure(busiest)} of a core at most while it sent; near 1, the figures are its own.`;
}
