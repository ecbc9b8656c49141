/**
 * The load generator of floods: node dist/bench/flood-client.js --url http://127.0.0.1:7337
 *
 * It registers executors, dispatches missions to them, floods `mission.progress` over their connections, ends every mission,
 * and waits until the server shows each as `done` with its newest events in order. Only the contract is used, so it can be
 * pointed at any server of it on this machine. It prints the lines described in client-report.ts; exit code 1 and one line on
 * stderr where the server did anything else.
 */
import { parseArgs } from 'node:util';
import { type Arrivals, arrivalsByCount, arrivalsByState } from './arrivals.js';
import { type Means, runClientProgram } from './client-program.js';
import type { FloodResult } from './client-report.js';
import { cpuTimeEach, readCpuTime } from './cpu.js';
import { Fleet } from './executors.js';
import { progressRounds } from './frames.js';
import { startGetProber } from './get-prober.js';
import { missionUrl } from './missions.js';
import { Sender, sendChunks, sendPackets } from './senders.js';

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:7337' },
    connections: { type: 'string', default: '8' },
    missions: { type: 'string', default: '4' },
    /** Over all connections. */
    events: { type: 'string', default: '1000000' },
    /** Seconds; where it is given, `events` is not used. */
    duration: { type: 'string', default: '0' },
    /** Events sent, over missions of their own, before the measured flood. */
    warmup: { type: 'string', default: '200000' },
    /** `chunks` of 64 KiB, or each round a packet of its own: `packets`. */
    send: { type: 'string', default: 'chunks' },
    /** By `states` or by `counts`. */
    check: { type: 'string', default: 'states' },
    /** The server's process id, to read its CPU time. */
    'server-pid': { type: 'string', default: '0' },
  },
});
const url = new URL(values.url);
const pid = Number(values['server-pid']);
const inPackets = values.send === 'packets';

/** At most so many rounds are encoded: more than a server keeps events of a mission, and few where connections are many. */
const ring = inPackets ? 61 : 256;

/** One flood, from the first byte to the moment when everything was seen processed. */
async function flood(
  senders: Sender[],
  rounds: number,
  deadline: number,
  arrivals: Arrivals,
  progress: (events: number) => void,
): Promise<FloodResult> {
  // With many connections, the list of all executors is as much work as thousands of events.
  const lists = inPackets ? [] : [new URL('/api/v1/executors', url)];
  const missions = senders.flatMap(({ missionIds }) => missionIds);
  const prober = startGetProber(
    missions.flatMap((id) => [...lists, missionUrl(url, id)]),
    arrivals.glance,
  );

  let events = 0;
  const reporting = setInterval(() => progress(events), 200);
  const cpuBefore = readCpuTime(pid);
  const ownCpuBefore = process.cpuUsage();
  const start = performance.now();
  const roundsSent = await (inPackets ? sendPackets : sendChunks)(senders, { rounds, deadline }, (more) => {
    events += more;
  });
  for (const sender of senders) sender.complete();
  events += missions.length;
  const sendTime = performance.now() - start;
  const ownCpu = process.cpuUsage(ownCpuBefore);
  // At the first that is done: what is asked of an idle server says nothing.
  await arrivals.processed(senders, prober.end);
  const seconds = (performance.now() - start) / 1000;
  const cpu = cpuTimeEach(cpuBefore, pid, events);
  clearInterval(reporting);
  await arrivals.check(senders, roundsSent);
  return {
    events,
    missions: missions.length,
    seconds,
    eventsPerSecond: events / seconds,
    get: await prober.latency,
    cpu,
    clientCores: (ownCpu.user + ownCpu.system) / 1000 / sendTime,
  };
}

async function run({ agent, progress }: Means): Promise<FloodResult> {
  const missions = Number(values.missions);
  const fleet = await Fleet.start(agent, url);
  progress('connecting');
  const executors = await fleet.join(Number(values.connections));
  const arrivals = values.check === 'counts' ? arrivalsByCount(agent, fleet) : arrivalsByState(agent, fleet, ring);
  const phase = async (name: string, events: number, duration: number) => {
    progress(`${name}, preparing`);
    const rounds = duration > 0 ? Number.POSITIVE_INFINITY : Math.ceil(events / executors.length / missions);
    const senders = await Sender.prepareAll(agent, url, executors, missions, arrivals, (executorId, missionIds) =>
      progressRounds(executorId, missionIds, Math.min(ring, rounds)),
    );
    const deadline = duration > 0 ? performance.now() + duration * 1000 : Number.POSITIVE_INFINITY;
    return flood(senders, rounds, deadline, arrivals, (sent) =>
      progress(`${name}, ${sent.toLocaleString('en')} events sent`),
    );
  };
  if (Number(values.warmup) > 0) await phase('warm-up', Number(values.warmup), 0);
  const result = await phase('flood', Number(values.events), Number(values.duration));
  await fleet.close();
  return result;
}

await runClientProgram(run);
