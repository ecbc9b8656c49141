/** The scenario `recovery`: how long a server takes to be there again, with all missions that were not over. */
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { compare, figureOf } from './compare.js';
import { sendExpecting } from './http-client.js';
import { readAnonymousMemory } from './memory.js';
import type { Report } from './report.js';
import type { Scenario } from './scenario.js';
import { callboard } from './servers.js';

interface Result {
  seconds: number;
  /** Bytes for each mission; undefined where there is no /proc. */
  memory: number | undefined;
}

const executorsSchema = v.object({ executors: v.array(v.object({ active_mission_count: v.number() })) });

async function measure(missions: number, events: number, threads: number): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-bench-'));
  // What was killed may still be writing there.
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', remove);
  const agent = new Agent({ keepAlive: true });
  try {
    // Here, so that the other scenarios and the help do not load the store.
    const { storeMissions } = await import('./stored-missions.js');
    storeMissions(folder, missions, events);
    const start = performance.now();
    const { url, pid, stop } = await callboard.start(threads, folder);
    const seconds = (performance.now() - start) / 1000;
    try {
      const answer = await sendExpecting(200, agent, 'GET', new URL('/api/v1/executors', url));
      const { executors } = v.parse(executorsSchema, answer);
      const back = executors.reduce((sum, { active_mission_count: count }) => sum + count, 0);
      if (back !== missions) throw new Error(`Of ${missions} missions ${back} are back.`);
      const memory = readAnonymousMemory(pid);
      return { seconds, memory: memory === undefined ? undefined : memory / missions };
    } finally {
      await stop();
    }
  } finally {
    agent.destroy();
    remove();
    process.removeListener('exit', remove);
  }
}

export const recovery: Scenario<'missions' | 'events' | 'threads' | 'runs'> = {
  name: 'recovery',
  shows: 'How long a server takes to start with missions that were not over when it ended.',
  parameters: {
    missions: { help: 'missions', default: 100_000, smoke: 200 },
    events: { help: 'events of each', default: 50, smoke: 2, lowest: 0 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 2 },
    runs: { help: 'runs', default: 3, smoke: 1 },
  },
  async run({ missions, events, threads, runs }, surroundings): Promise<Report> {
    const contenders = [
      {
        name: 'callboard',
        measure: (label: string): Promise<Result> => {
          surroundings.progress(`${label}: ${missions} missions`);
          return measure(missions, events, threads);
        },
      },
    ];
    const { results, notes } = await compare(contenders, runs, surroundings);
    return {
      contenders: ['callboard'],
      figures: [
        figureOf('seconds from the start to the first answer', 'less', results, ({ seconds }) => seconds),
        figureOf('bytes/mission, anonymous memory of the process', 'less', results, ({ memory }) => memory),
      ],
      curves: [],
      distributions: [],
      notes: [...notes, 'With the start of the process itself, which takes half a second.'],
    };
  },
};
