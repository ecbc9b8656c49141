/**
 * The load generator of whole missions: node dist/bench/missions-client.js --url http://127.0.0.1:7337
 *
 * It dispatches missions, lets its executors, which are those of the SDK, run them (`started`, some `progress`, `completed`),
 * and asks for each until it is `done` with exactly its events. So many are under way at once; each begins when one before has ended, or at a steady rate.
 * Executors can come and go meanwhile. It prints the lines described in client-report.ts; exit code 1 and one line on stderr
 * where a mission ends otherwise.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { AssignedMission } from '../src/client/index.js';
import { type Means, runClientProgram } from './client-program.js';
import type { MissionsResult } from './client-report.js';
import { cpuTimeEach, readCpuTime } from './cpu.js';
import { Crew } from './crew.js';
import { Latencies } from './latencies.js';
import { readAnonymousMemory } from './memory.js';
import { checkNewest, dispatch, missionIn, newMissionId } from './missions.js';

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:7337' },
    executors: { type: 'string', default: '8' },
    missions: { type: 'string', default: '5000' },
    /** Missions a second; 0 is as many as go through. */
    rate: { type: 'string', default: '0' },
    /** Missions under way at once, at most. */
    concurrency: { type: 'string', default: '32' },
    /** `mission.progress` events of each mission, at most 48: every event of a mission is looked for. */
    progress: { type: 'string', default: '5' },
    /** Seconds after which an executor leaves and another comes; 0: they stay. */
    turnover: { type: 'string', default: '0' },
    /** The server's process id, to read its CPU time and its memory. */
    'server-pid': { type: 'string', default: '0' },
  },
});
const url = new URL(values.url);
const pid = Number(values['server-pid']);
const progressEvents = Number(values.progress);
const turnover = Number(values.turnover) * 1000;

/** What an executor does with a mission: says all that is to be said. Progress is about 250 bytes of JSON each. */
function work(mission: AssignedMission): void {
  const running = mission.started({ agent_runtime: 'bench' });
  for (let iteration = 0; iteration < progressEvents; iteration++)
    running.progress({ phase: 'build', iteration, tokens_used: 40_000, summary: 'tests run', pct_complete: 40 });
  running.complete({ exit_code: 0 });
}

async function run({ agent, progress }: Means): Promise<MissionsResult> {
  const crew = new Crew(agent, url, work);
  await crew.join(Number(values.executors));
  const [dispatched, done] = [new Latencies(), new Latencies()];
  const memory: [number, number][] = [];
  const rate = Number(values.rate) / 1000;
  const missions = Number(values.missions);
  let begun = 0;
  let ended = 0;
  let replaced = 0;

  const cpuBefore = readCpuTime(pid);
  const ownCpuBefore = process.cpuUsage();
  const start = performance.now();

  const mission = async (executorId: string, due: number) => {
    const id = newMissionId();
    // Where executors leave, the one who is about to must not be given more.
    const filter = turnover > 0 ? { executor_id: executorId } : { capabilities: [crew.capability] };
    await dispatch(agent, url, id, filter);
    dispatched.record(performance.now() - due);
    const status = await missionIn('done', agent, url, id, crew.troubled, 1);
    done.record(performance.now() - due);
    const events = status.recent_events.map(({ event }) => event);
    if (events.length !== progressEvents + 2 || events[0] !== 'mission.started') {
      throw new Error(`${id}: it shows ${events.length} events from ${events[0]} on; ${progressEvents + 2} were sent.`);
    }
    checkNewest(id, status, progressEvents, progressEvents);
    ended++;
  };
  const keepBusy = async () => {
    while (begun < missions) {
      const due = rate > 0 ? start + begun / rate : performance.now();
      begun++;
      if (due > performance.now()) await delay(due - performance.now());
      await crew.give((executorId) => mission(executorId, due));
    }
  };
  /** Once a second: where it stands. */
  const watch = setInterval(() => {
    const bytes = readAnonymousMemory(pid);
    if (bytes !== undefined) memory.push([(performance.now() - start) / 1000, bytes]);
    progress(`${ended.toLocaleString('en')} missions done`);
  }, 1000);
  const isOver = new AbortController();
  const relieving = async () => {
    while (turnover > 0 && !isOver.signal.aborted) {
      await delay(turnover, undefined, { signal: isOver.signal }).catch(() => {});
      if (isOver.signal.aborted) return;
      await crew.relieve();
      replaced++;
    }
  };
  const relieved = relieving();
  relieved.catch(() => isOver.abort()); // Told below.
  await Promise.all(Array.from({ length: Number(values.concurrency) }, keepBusy));
  const seconds = (performance.now() - start) / 1000;
  const cpu = cpuTimeEach(cpuBefore, pid, ended);
  const ownCpu = process.cpuUsage(ownCpuBefore);
  isOver.abort();
  await relieved;
  clearInterval(watch);
  await crew.close();
  return {
    missions: ended,
    events: ended * (progressEvents + 2),
    seconds,
    missionsPerSecond: ended / seconds,
    dispatched: dispatched.summary(),
    done: done.summary(),
    cpu,
    replaced,
    memory,
    clientCores: (ownCpu.user + ownCpu.system) / 1e6 / seconds,
  };
}

await runClientProgram(run);
