/** The scenario `ingest-small`: many connections, and each event a small TCP packet of its own. */
import { compare } from './compare.js';
import { clientNote, ingestFigures, measureFlood } from './flood.js';
import { latencyFigures } from './latencies.js';
import type { Scenario } from './scenario.js';
import { baseline, callboard, ephemeral, floor, serverContenders, validatingFloor } from './servers.js';

export const ingestSmall: Scenario<'connections' | 'events' | 'warmup' | 'threads' | 'runs'> = {
  name: 'ingest-small',
  shows: 'How many events a second go in over hundreds or thousands of connections, in one small packet each.',
  parameters: {
    connections: { help: 'executors, each with one connection and one mission', default: 500, smoke: 20 },
    events: { help: 'events in the measured flood, over all connections', default: 1_000_000, smoke: 2000 },
    warmup: { help: 'events before the measured flood', default: 100_000, smoke: 200, lowest: 0 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 2 },
    runs: { help: 'runs of each server, in turn', default: 3, smoke: 1 },
  },
  takesUrl: true,
  async run({ connections, events, warmup, threads, runs }, surroundings) {
    const flood = { connections, missions: 1, events, duration: 0, warmup, send: 'packets' } as const;
    const contenders = serverContenders(
      [callboard, ephemeral, baseline, floor, validatingFloor],
      threads,
      surroundings,
      (label, target) => measureFlood(label, target, flood, surroundings),
    );
    const { results, notes } = await compare(contenders, runs, surroundings);
    return {
      contenders: [...results.keys()],
      figures: [...ingestFigures(results), ...latencyFigures('GET since due', results, ({ get }) => get.sinceDue)],
      curves: [],
      distributions: [],
      notes: [...notes, clientNote(results)],
    };
  },
};
