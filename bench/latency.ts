/** The scenario `latency`: from an event to whoever subscribed to state changes, at a rate that the server bears easily. */
import { runClient } from './client-process.js';
import { latencyResult } from './client-report.js';
import { compare, figureOf } from './compare.js';
import { distributionOf, latencyFigures } from './latencies.js';
import type { Scenario } from './scenario.js';
import { listeningServers, serverContenders } from './servers.js';

export const latency: Scenario<'connections' | 'missions' | 'rate' | 'duration' | 'warmup' | 'threads' | 'runs'> = {
  name: 'latency',
  shows:
    'How long after an event was due a subscriber in the server process hears of the state change, at a fixed rate.',
  parameters: {
    connections: { help: 'executors, each with one connection', default: 8, smoke: 2 },
    missions: { help: 'missions on each connection, whose events are due together', default: 16, smoke: 2 },
    rate: {
      help: 'events a second (0: a quarter of what each server takes at most, which is measured first)',
      default: 0,
      smoke: 400,
      lowest: 0,
    },
    duration: { help: 'seconds at that rate', default: 5, smoke: 1 },
    warmup: { help: 'seconds before: at that rate or, where it is 0, at most', default: 2, smoke: 1 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 1 },
    runs: { help: 'runs of each server, in turn', default: 3, smoke: 1 },
  },
  async run({ connections, missions, rate, duration, warmup, threads, runs }, surroundings) {
    const contenders = serverContenders(listeningServers, threads, surroundings, (label, { url }) =>
      runClient(
        './latency-client',
        { url: url.href, connections, missions, rate, duration, warmup },
        latencyResult,
        (line) => surroundings.progress(`${label}: ${line}`),
      ),
    );
    const { results, notes } = await compare(contenders, runs, surroundings);
    const own = Math.max(...[...results.values()].flat().map(({ sent }) => sent.p99));
    return {
      contenders: [...results.keys()],
      figures: [
        ...latencyFigures('event to subscriber', results, ({ heard }) => heard),
        figureOf('events/s, as scheduled', 'more', results, ({ eventsPerSecond }) => eventsPerSecond),
      ],
      curves: [],
      distributions: [distributionOf('From an event due to a state change heard of', results, ({ heard }) => heard)],
      notes: [
        ...notes,
        `The load generator's own part of this: it sent within ${own.toFixed(2)} ms of when an event was due (p99, worst run).`,
      ],
    };
  },
};
