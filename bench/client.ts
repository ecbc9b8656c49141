/**
 * The load generator, a process of its own: node dist/bench/client.js --url http://127.0.0.1:7337
 *
 * It registers executors, dispatches missions to them, floods `mission.progress` over their connections, ends every mission,
 * and waits until the server shows each as `done` with its newest events in order. Only the contract is used, so it can be
 * pointed at any server of it on this machine. It prints the lines described in client-report.ts; exit code 1 and one line on
 * stderr where the server did anything else.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import type { ClientReport, FloodResult } from './client-report.js';
import { type CpuTime, readCpuTime } from './cpu.js';
import { connectExecutors, type Executor, inParallel } from './executors.js';
import { type Chunk, eventFrames, iterationRing, progressChunks } from './frames.js';
import { startGetProber } from './get-prober.js';
import { sendExpecting } from './http-client.js';

/** How much to send: a number of events over all connections, or as many as go through in some seconds. */
type Amount = { events: number } | { seconds: number };

/** An executor with its missions, and the frames it will send. */
interface Sender {
  executor: Executor;
  missionIds: string[];
  chunks: Chunk[];
  completed: Buffer;
}

const missionStatus = v.object({
  state: v.string(),
  recent_events: v.optional(
    v.array(v.object({ event: v.string(), data: v.optional(v.object({ iteration: v.optional(v.number()) })) })),
    [],
  ),
});
type MissionStatus = v.InferOutput<typeof missionStatus>;

const kept = 50;
const stallTimeLimit = 60_000;
const report = (line: ClientReport) => console.log(JSON.stringify(line));

/** Dispatches `missions` to each executor, brings them to `running`, and encodes what they will send. */
async function prepare(agent: Agent, url: URL, executors: Executor[], missions: number): Promise<Sender[]> {
  return inParallel(executors, async (executor) => {
    const missionIds = Array.from({ length: missions }, () => `bench-${randomBytes(9).toString('base64url')}`);
    for (const mission_id of missionIds) {
      await sendExpecting(202, agent, 'POST', new URL('/api/v1/sessions/bench/dispatch', url), {
        mission_id,
        objective: 'Take part in a measurement.',
        completion: 'Every event has arrived.',
        executor_filter: { executor_id: executor.id },
      });
    }
    // With a field of its own, so that servers which check `oneOf` over all shapes accept it too.
    const started = { state: 'running', agent_runtime: 'bench' };
    executor.socket.write(eventFrames(executor.id, missionIds, 'mission.started', started));
    for (const id of missionIds) await missionIn('running', agent, missionUrl(url, id), executor);
    return {
      executor,
      missionIds,
      chunks: progressChunks(executor.id, missionIds),
      completed: eventFrames(executor.id, missionIds, 'mission.completed', { state: 'done', exit_code: 0 }),
    };
  });
}

const missionUrl = (url: URL, id: string) => new URL(`/api/v1/missions/${id}`, url);

/** Asks for a mission until it is in `state`. */
async function missionIn(state: string, agent: Agent, url: URL, { closed }: Executor): Promise<MissionStatus> {
  const deadline = Date.now() + stallTimeLimit;
  for (;;) {
    const status = v.parse(missionStatus, await sendExpecting(200, agent, 'GET', url));
    if (status.state === state) return status;
    closed.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`${url.pathname} is still ${status.state}, not ${state}.`);
    await delay(5);
  }
}

/**
 * Sends whole rounds over one connection, as fast as it takes them, then `mission.completed` for every mission.
 *
 * @param progress is told of every round or rounds sent
 * @returns how many rounds were sent
 */
async function flood(sender: Sender, rounds: number, deadline: number, progress: (rounds: number) => void) {
  const { socket, closed } = sender.executor;
  let sent = 0;
  while (sent < rounds && performance.now() < deadline) {
    for (const { bytes, roundEnds } of sender.chunks) {
      const count = Math.min(roundEnds.length, rounds - sent);
      if (!socket.writable && !closed.aborted) await once(closed, 'abort');
      closed.throwIfAborted();
      // A new turn per chunk, even where the kernel takes everything: the GETs need this loop too.
      if (!socket.write(bytes.subarray(0, roundEnds[count - 1]))) await drained(sender.executor);
      await nextTurn();
      sent += count;
      progress(count);
      if (sent >= rounds || performance.now() >= deadline) break;
    }
  }
  socket.write(sender.completed);
  return sent;
}

/** Resolves when the socket takes more; rejects with the reason if the connection ends instead. */
async function drained({ socket, closed }: Executor): Promise<void> {
  try {
    await once(socket, 'drain', { signal: closed });
  } catch (error) {
    closed.throwIfAborted();
    throw error;
  }
}

/** The iterations among a mission's newest events; throws where one does not follow its predecessor. */
function consecutiveIterations(name: string, { recent_events }: MissionStatus): number[] {
  const iterations = recent_events.flatMap(({ data }) => data?.iteration ?? []);
  for (const [index, iteration] of iterations.slice(1).entries()) {
    const expected = ((iterations[index] ?? 0) + 1) % iterationRing;
    if (iteration !== expected) {
      throw new Error(`${name}: event ${iteration} is where ${expected} should be: one was lost or moved.`);
    }
  }
  return iterations;
}

/** Checks that a finished mission holds exactly the newest 50 of what was sent for it, in order. */
function checkNewest(name: string, status: MissionStatus, rounds: number): void {
  const iterations = consecutiveIterations(name, status);
  const expected = Math.min(rounds, kept - 1);
  const last = iterations.at(-1) ?? 0;
  if (status.recent_events.at(-1)?.event !== 'mission.completed')
    throw new Error(`${name}: its last event is missing.`);
  if (iterations.length !== expected || (rounds > 0 && last !== (rounds - 1) % iterationRing)) {
    throw new Error(`${name}: ${iterations.length} progress events up to ${last} are kept; ${rounds} were sent.`);
  }
}

/** One measured flood, from the first byte to the last mission seen done. */
async function measure(agent: Agent, url: URL, senders: Sender[], amount: Amount, phase: string, serverPid: number) {
  const missions = senders.flatMap(({ executor, missionIds }) => missionIds.map((id) => ({ id, executor })));
  const rounds = 'events' in amount ? Math.ceil(amount.events / missions.length) : Number.POSITIVE_INFINITY;
  const probed = missions.flatMap(({ id }) => [new URL('/api/v1/executors', url), missionUrl(url, id)]);
  const prober = startGetProber(probed, ({ pathname }, body) => {
    if (pathname.includes('/missions/')) consecutiveIterations(pathname, v.parse(missionStatus, body));
  });

  let sent = 0;
  const reporting = setInterval(() => report({ kind: 'progress', phase, sent }), 200);
  const cpuBefore = readCpuTime(serverPid);
  const ownCpuBefore = process.cpuUsage();
  const start = performance.now();
  const deadline = 'seconds' in amount ? start + amount.seconds * 1000 : Number.POSITIVE_INFINITY;
  const roundsSent = await Promise.all(
    senders.map((sender) =>
      flood(sender, rounds, deadline, (count) => {
        sent += count * sender.missionIds.length;
      }),
    ),
  );
  const sendTime = performance.now() - start;
  const ownCpu = process.cpuUsage(ownCpuBefore);
  const ends: MissionStatus[] = [];
  for (const { id, executor } of missions) {
    ends.push(await missionIn('done', agent, missionUrl(url, id), executor));
    prober.end(); // At the first: what is asked of an idle server says nothing.
  }
  const seconds = (performance.now() - start) / 1000;
  const cpuAfter = readCpuTime(serverPid);
  clearInterval(reporting);

  const perMission = senders.flatMap(({ missionIds }, index) => missionIds.map(() => roundsSent[index] ?? 0));
  for (const [index, status] of ends.entries()) {
    checkNewest(missions[index]?.id ?? '', status, perMission[index] ?? 0);
  }
  const events = sent + missions.length;
  const result: FloodResult = {
    events,
    missions: missions.length,
    seconds,
    eventsPerSecond: events / seconds,
    get: await prober.latency,
    cpu: cpuPerEvent(cpuBefore, cpuAfter, events),
    clientCores: (ownCpu.user + ownCpu.system) / 1000 / sendTime,
  };
  return result;
}

function cpuPerEvent(before: CpuTime | undefined, after: CpuTime | undefined, events: number): CpuTime | null {
  if (before === undefined || after === undefined) return null;
  return {
    mainThread: (after.mainThread - before.mainThread) / events,
    allThreads: (after.allThreads - before.allThreads) / events,
  };
}

try {
  const { values } = parseArgs({
    options: {
      url: { type: 'string', default: 'http://127.0.0.1:7337' },
      connections: { type: 'string', default: '8' },
      missions: { type: 'string', default: '4' },
      events: { type: 'string', default: '1000000' },
      /** Seconds; where it is given, `events` is not used. */
      duration: { type: 'string', default: '0' },
      /** Events sent, over missions of their own, before the measured flood. */
      warmup: { type: 'string', default: '200000' },
      /** The server's process id, to read its CPU time. */
      'server-pid': { type: 'string', default: '0' },
    },
  });
  const url = new URL(values.url);
  const agent = new Agent({ keepAlive: true });
  const [missions, warmup, duration] = [Number(values.missions), Number(values.warmup), Number(values.duration)];
  const pid = Number(values['server-pid']);
  const { executors, close } = await connectExecutors(agent, url, Number(values.connections));
  if (warmup > 0) {
    await measure(agent, url, await prepare(agent, url, executors, missions), { events: warmup }, 'warm-up', pid);
  }
  const amount = duration > 0 ? { seconds: duration } : { events: Number(values.events) };
  const senders = await prepare(agent, url, executors, missions);
  const result = await measure(agent, url, senders, amount, 'flood', pid);
  await close();
  agent.destroy();
  report({ kind: 'result', result });
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
