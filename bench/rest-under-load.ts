/** The scenario `rest-under-load`: questions that are asked while events flood in. */
import { compare } from './compare.js';
import { clientNote, measureFlood } from './flood.js';
import { distributionOf, latencyFigures } from './latencies.js';
import type { Scenario } from './scenario.js';
import { baseline, callboard, serverContenders } from './servers.js';

export const restUnderLoad: Scenario<'connections' | 'missions' | 'events' | 'warmup' | 'threads' | 'runs'> = {
  name: 'rest-under-load',
  shows:
    'How long a GET takes (of a mission, of the list of executors) while events come in as fast as they are taken.',
  parameters: {
    connections: { help: 'executors, each with one connection', default: 8, smoke: 2 },
    missions: { help: 'missions on each connection', default: 4, smoke: 2 },
    events: { help: 'events in the measured flood, over all connections', default: 2_000_000, smoke: 4000 },
    warmup: { help: 'events before the measured flood', default: 200_000, smoke: 1000, lowest: 0 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 2 },
    runs: { help: 'runs of each server, in turn', default: 3, smoke: 1 },
  },
  takesUrl: true,
  async run({ connections, missions, events, warmup, threads, runs }, surroundings) {
    const flood = { connections, missions, events, duration: 0, warmup, send: 'chunks' } as const;
    const contenders = serverContenders([callboard, baseline], threads, surroundings, (label, target) =>
      measureFlood(label, target, flood, surroundings),
    );
    const { results, notes } = await compare(contenders, runs, surroundings);
    return {
      contenders: [...results.keys()],
      figures: [
        ...latencyFigures('GET since due', results, ({ get }) => get.sinceDue),
        ...latencyFigures('GET since sent', results, ({ get }) => get.sinceSent),
      ],
      curves: [],
      distributions: [
        distributionOf('GET during a flood, since it was due', results, ({ get }) => get.sinceDue),
        distributionOf('GET during a flood, since it was sent', results, ({ get }) => get.sinceSent),
      ],
      notes: [...notes, clientNote(results)],
    };
  },
};
