/** Floods, for the scenarios that measure a server while events come in as fast as it takes them. */
import { runClient } from './client-process.js';
import { type FloodResult, floodResult } from './client-report.js';
import { figureOf } from './compare.js';
import type { Figure } from './report.js';
import type { Surroundings } from './scenario.js';
import type { Target } from './servers.js';

/** What to pour in. */
export interface Flood {
  connections: number;
  /** On each connection. */
  missions: number;
  /** Over all connections. */
  events: number;
  /** Seconds to flood for, instead of a number of events; 0: by events. */
  duration: number;
  /** Events before the measured ones, over missions of their own. */
  warmup: number;
  /** In chunks of 64 KiB, as TCP puts frames together; or each round of a connection as a packet of its own. */
  send: 'chunks' | 'packets';
}

/**
 * One flood by a load generator of its own.
 *
 * @throws where not all has arrived
 */
export async function measureFlood(
  label: string,
  { url, check, pid }: Target,
  { connections, missions, events, duration, warmup, send }: Flood,
  { progress }: Pick<Surroundings, 'progress'>,
): Promise<FloodResult> {
  const flags = { url: url.href, connections, missions, events, duration, warmup, send, check, 'server-pid': pid };
  const result = await runClient('./flood-client', flags, floodResult, (line) => progress(`${label}: ${line}`));
  if (result.missions !== connections * missions) throw new Error(`${label}: ${result.missions} missions ended.`);
  if (duration === 0 && result.events < events) throw new Error(`${label}: only ${result.events} events went in.`);
  return result;
}

/** What taking in an event costs. */
export function ingestFigures(results: ReadonlyMap<string, readonly FloodResult[]>): Figure[] {
  return [
    figureOf('events/s', 'more', results, ({ eventsPerSecond }) => eventsPerSecond),
    figureOf('main thread µs/event', 'less', results, ({ cpu }) => cpu?.mainThread),
    figureOf('all threads µs/event', 'less', results, ({ cpu }) => cpu?.allThreads),
  ];
}

/** How busy the load generator was: what the reader should know, as it may be the bottleneck. */
export function clientNote(results: ReadonlyMap<string, readonly { clientCores: number }[]>): string {
  const busiest = Math.max(...[...results.values()].flat().map(({ clientCores }) => clientCores));
  return `The load generator used ${busiest.toFixed(2)} of a core at most while it sent.`;
}
