/**
 * The load generator of a steady rate: node dist/bench/latency-client.js --url http://127.0.0.1:7402 --rate 1000
 *
 * It sends `mission.paused` and `mission.resumed` in turn, on a schedule that does not wait for the server, and asks the
 * subscriber in the server's process (state-changes.ts) when it heard of each change. Latency counts from when an event was
 * due. It prints the lines described in client-report.ts; exit code 1 and one line on stderr where a change is missing.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { arrivalsByState } from './arrivals.js';
import { type Means, runClientProgram } from './client-program.js';
import type { LatencyResult } from './client-report.js';
import { Fleet } from './executors.js';
import { eventFrames } from './frames.js';
import { sendExpecting } from './http-client.js';
import { Latencies } from './latencies.js';
import { Sender, sendChunks } from './senders.js';
import { stateChanges, stateChangesPath } from './state-changes.js';

const { values } = parseArgs({
  options: {
    url: { type: 'string', default: 'http://127.0.0.1:7402' },
    connections: { type: 'string', default: '8' },
    /** On each connection; a burst of the schedule is one event for each of them. */
    missions: { type: 'string', default: '16' },
    /** Events a second over all connections; 0 is a quarter of what the server takes at most, which is measured first. */
    rate: { type: 'string', default: '0' },
    /** Seconds at that rate. */
    duration: { type: 'string', default: '5' },
    /** Seconds before, over missions of their own: at that rate, or as fast as the server takes it. */
    warmup: { type: 'string', default: '1' },
  },
});
const url = new URL(values.url);
const missions = Number(values.missions);
const now = () => Number(process.hrtime.bigint());

/** Enough rounds to fill a few chunks; an even number, so that pauses and resumptions alternate over and over. */
const roundCount = 32;

function alternatingRounds(executorId: string, missionIds: string[]): Buffer[] {
  // Distinct from every other shape, so that servers which check `oneOf` over all shapes accept them too.
  const paused = { state: 'paused', reason: 'The bench holds this mission for a moment.' };
  const resumed = { state: 'running', resumed_from: 'paused' };
  return Array.from({ length: roundCount }, (_, round) =>
    round % 2 === 0
      ? eventFrames(executorId, missionIds, 'mission.paused', paused)
      : eventFrames(executorId, missionIds, 'mission.resumed', resumed),
  );
}

/** Sends bursts, one round of one connection each, in turn, whenever one is due. @returns when each was due, by sender */
async function pace(senders: Sender[], rate: number, seconds: number, sent: Latencies): Promise<number[][]> {
  const interval = (missions / rate) * 1e9;
  const rounds = Math.max(1, Math.round((rate * seconds) / missions / senders.length));
  const dues = senders.map((): number[] => []);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const start = now();
  for (let burst = 0; burst < rounds * senders.length; burst++) {
    const due = start + burst * interval;
    const left = (due - now()) / 1e6;
    // Timers know whole milliseconds only; this sleeps more exactly, and most intervals are shorter than one.
    if (left > 0) Atomics.wait(sleeper, 0, 0, left);
    senders[burst % senders.length]?.sendRound(Math.floor(burst / senders.length));
    sent.record((now() - due) / 1e6);
    dues[burst % senders.length]?.push(due);
    await nextTurn();
  }
  return dues;
}

async function run({ agent, progress }: Means): Promise<LatencyResult> {
  const fleet = await Fleet.start(agent, url);
  const executors = await fleet.join(Number(values.connections));
  const arrivals = arrivalsByState(agent, fleet, 1);
  const prepare = () => Sender.prepareAll(agent, url, executors, missions, arrivals, alternatingRounds);
  const finish = async (senders: Sender[]) => {
    for (const sender of senders) sender.complete();
    await arrivals.processed(senders, () => {});
  };

  /** A quarter of the events a second that go in when each is sent as soon as there is room for it. */
  const quarterOfSaturation = async (senders: Sender[]): Promise<number> => {
    const start = performance.now();
    let events = 0;
    const deadline = start + Number(values.warmup) * 1000;
    await sendChunks(senders, { rounds: Number.POSITIVE_INFINITY, deadline }, (more) => {
      events += more;
    });
    await finish(senders);
    return ((events / (performance.now() - start)) * 1000) / 4;
  };

  progress('warm-up');
  let rate = Number(values.rate);
  const first = await prepare();
  if (rate === 0) rate = await quarterOfSaturation(first);
  else {
    await pace(first, rate, Number(values.warmup), new Latencies());
    await finish(first);
  }

  progress(`${Math.round(rate).toLocaleString('en')} events/s`);
  const senders = await prepare();
  const [heard, sent] = [new Latencies(), new Latencies()];
  const start = performance.now();
  const dues = await pace(senders, rate, Number(values.duration), sent);
  const seconds = (performance.now() - start) / 1000;
  await finish(senders);
  let events = 0;
  for (const [index, sender] of senders.entries()) {
    const due = dues[index] ?? [];
    for (const id of sender.missionIds) {
      const times = await heardOf(id, due.length);
      for (const [round, time] of times.entries()) heard.record((time - (due[round] ?? 0)) / 1e6);
      events += times.length;
    }
  }
  await fleet.close();
  return { events, eventsPerSecond: events / seconds, heard: heard.summary(), sent: sent.summary() };

  /** When the subscriber heard of each of `count` changes. @throws where it heard of others, or in another order */
  async function heardOf(missionId: string, count: number): Promise<number[]> {
    const path = `${stateChangesPath}${missionId}`;
    const { states, times } = v.parse(stateChanges, await sendExpecting(200, agent, 'GET', new URL(path, url)));
    const started = states.indexOf('running') + 1;
    const expected = Array.from({ length: count }, (_, round) => (round % 2 === 0 ? 'paused' : 'running'));
    const between = states.slice(started, -1);
    const wrong = [...expected, 'done'].findIndex((state, round) => states[started + round] !== state);
    if (wrong >= 0 || between.length !== count) {
      throw new Error(
        `${missionId}: the subscriber heard of ${between.length} changes of ${count}; the first wrong one is number ${wrong}.`,
      );
    }
    return times.slice(started, started + count);
  }
}

await runClientProgram(run);
