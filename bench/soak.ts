/** The scenario `soak`: a steady flow of missions for as long as one likes, to see whether memory stays flat. */
import { runClient } from './client-process.js';
import { missionsResult } from './client-report.js';
import { compare, figureOf } from './compare.js';
import { slope } from './memory.js';
import type { Scenario } from './scenario.js';
import { callboard, serverContenders } from './servers.js';

type Name = 'duration' | 'warmup' | 'rate' | 'concurrency' | 'executors' | 'turnover' | 'progress' | 'threads';

const kilobytesPerMinute = 60 / 1024;
const megabyte = 1024 * 1024;

export const soak: Scenario<Name> = {
  name: 'soak',
  shows: 'Whether memory stays flat while missions are created, run and ended, and executors come and go.',
  parameters: {
    duration: { help: 'seconds', default: 600, smoke: 3 },
    warmup: { help: 'of them, seconds whose memory does not count', default: 120, smoke: 0, lowest: 0 },
    rate: { help: 'missions a second', default: 200, smoke: 10 },
    concurrency: { help: 'missions under way at once, at most', default: 64, smoke: 8 },
    executors: { help: 'executors at a time', default: 8, smoke: 2 },
    turnover: { help: 'seconds after which one of them leaves and another comes', default: 5, smoke: 1 },
    progress: { help: 'mission.progress events of each mission, at most 48', default: 20, smoke: 2 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 1 },
  },
  takesUrl: true,
  async run({ duration, warmup, rate, concurrency, executors, turnover, progress, threads }, surroundings) {
    if (warmup >= duration)
      throw new Error(`The ${warmup} s of --warmup leave nothing of the ${duration} s to measure.`);
    const missions = duration * rate;
    const contenders = serverContenders([callboard], threads, surroundings, async (label, { url, pid }) => {
      const result = await runClient(
        './missions-client',
        { url: url.href, missions, rate, concurrency, executors, turnover, progress, 'server-pid': pid },
        missionsResult,
        (line) => surroundings.progress(`${label}: ${line}`),
      );
      if (result.missions !== missions) throw new Error(`${label}: ${result.missions} of ${missions} missions ended.`);
      return result;
    });
    const { results, notes } = await compare(contenders, 1, surroundings);
    const series = Array.from(results, ([name, [result]]) => [name, result?.memory ?? []] as const);
    const measured = series.filter(([, points]) => points.length > 0);
    return {
      contenders: [...results.keys()],
      figures: [
        figureOf('resident memory, growth in kB/min', 'less', results, ({ memory }) => {
          const bytesPerSecond = slope(memory.filter(([second]) => second >= warmup));
          return bytesPerSecond && bytesPerSecond * kilobytesPerMinute;
        }),
        figureOf('missions/s', 'more', results, ({ missionsPerSecond }) => missionsPerSecond),
        figureOf('executors replaced', 'more', results, ({ replaced }) => replaced),
      ],
      curves: [
        {
          title: 'Resident memory',
          x: 'seconds',
          y: 'MB',
          logX: false,
          points: Object.fromEntries(
            measured.map(([name, points]) => [name, points.map(([x, y]): [number, number] => [x, y / megabyte])]),
          ),
        },
      ],
      distributions: [],
      notes:
        measured.length > 0
          ? notes
          : [...notes, 'Memory is not known: that needs /proc, and a server that the bench has started itself.'],
    };
  },
};
