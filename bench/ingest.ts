/** The scenario `ingest`: few connections, each as fast as it can, frames coalesced by TCP. */
import { compare } from './compare.js';
import { clientNote, ingestFigures, measureFlood } from './flood.js';
import { latencyFigures } from './latencies.js';
import type { Scenario } from './scenario.js';
import { baseline, callboard, ephemeral, floor, serverContenders } from './servers.js';

export const ingest: Scenario<'connections' | 'missions' | 'events' | 'duration' | 'warmup' | 'threads' | 'runs'> = {
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
  async run({ threads, runs, ...flood }, surroundings) {
    const contenders = serverContenders(
      [callboard, ephemeral, baseline, floor],
      threads,
      surroundings,
      (label, target) => measureFlood(label, target, { ...flood, send: 'chunks' }, surroundings),
    );
    const { results, notes } = await compare(contenders, runs, surroundings);
    return {
      contenders: [...results.keys()],
      figures: [
        ...ingestFigures(results),
        ...latencyFigures('GET since due', results, ({ get }) => get.sinceDue),
        ...latencyFigures('GET since sent', results, ({ get }) => get.sinceSent),
      ],
      curves: [],
      distributions: [],
      notes: [...notes, clientNote(results)],
    };
  },
};
