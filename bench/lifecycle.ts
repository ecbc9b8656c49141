/** The scenario `lifecycle`: whole missions, from the dispatch to `done`, over REST and sockets. */
import { runClient } from './client-process.js';
import { missionsResult } from './client-report.js';
import { compare, figureOf } from './compare.js';
import { clientNote } from './flood.js';
import { distributionOf, latencyFigures } from './latencies.js';
import type { Scenario } from './scenario.js';
import { baseline, callboard, serverContenders } from './servers.js';

type Name = 'executors' | 'missions' | 'concurrency' | 'progress' | 'warmup' | 'threads' | 'runs';

export const lifecycle: Scenario<Name> = {
  name: 'lifecycle',
  shows: 'How many missions a second are dispatched, run and ended, and how long the operator waits for each step.',
  parameters: {
    executors: { help: 'executors, among which the server picks', default: 8, smoke: 2 },
    missions: { help: 'missions, measured', default: 5000, smoke: 40 },
    concurrency: { help: 'missions under way at once', default: 32, smoke: 4 },
    progress: { help: 'mission.progress events of each mission, at most 48', default: 5, smoke: 2 },
    warmup: { help: 'missions before', default: 1000, smoke: 4 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 2 },
    runs: { help: 'runs of each server, in turn', default: 3, smoke: 1 },
  },
  takesUrl: true,
  async run({ executors, missions, concurrency, progress, warmup, threads, runs }, surroundings) {
    const contenders = serverContenders([callboard, baseline], threads, surroundings, async (label, { url, pid }) => {
      const send = (count: number) =>
        runClient(
          './missions-client',
          { url: url.href, executors, missions: count, concurrency, progress, 'server-pid': pid },
          missionsResult,
          (line) => surroundings.progress(`${label}: ${line}`),
        );
      await send(warmup);
      const result = await send(missions);
      if (result.missions !== missions) throw new Error(`${label}: ${result.missions} of ${missions} missions ended.`);
      return result;
    });
    const { results, notes } = await compare(contenders, runs, surroundings);
    return {
      contenders: [...results.keys()],
      figures: [
        figureOf('missions/s', 'more', results, ({ missionsPerSecond }) => missionsPerSecond),
        figureOf('main thread µs/mission', 'less', results, ({ cpu }) => cpu?.mainThread),
        figureOf('all threads µs/mission', 'less', results, ({ cpu }) => cpu?.allThreads),
        ...latencyFigures('dispatch to answer', results, ({ dispatched }) => dispatched),
        ...latencyFigures('dispatch to done', results, ({ done }) => done),
      ],
      curves: [],
      distributions: [
        distributionOf('From a dispatch to its answer', results, ({ dispatched }) => dispatched),
        distributionOf('From a dispatch to the mission seen done', results, ({ done }) => done),
      ],
      notes: [...notes, clientNote(results)],
    };
  },
};
