/** Missions as the load generators dispatch them and look at them, over REST. */
import { randomBytes } from 'node:crypto';
import type { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import * as v from 'valibot';
import { sendExpecting } from './http-client.js';

const missionStatus = v.object({
  state: v.string(),
  recent_events: v.optional(
    v.array(v.object({ event: v.string(), data: v.optional(v.object({ iteration: v.optional(v.number()) })) })),
    [],
  ),
});

/** What the load generators look at in the answer about a mission. */
export type MissionStatus = v.InferOutput<typeof missionStatus>;

/** How many events a server keeps of a mission. */
export const keptEvents = 50;

const stallTimeLimit = 60_000;

/** An id that no other mission has. */
export const newMissionId = () => `bench-${randomBytes(9).toString('base64url')}`;

export const missionUrl = (url: URL, id: string) => new URL(`/api/v1/missions/${id}`, url);

/** Reads the body of a GET. @throws where it is not a mission's status */
export const readMissionStatus = (body: unknown): MissionStatus => v.parse(missionStatus, body);

/** Dispatches a mission to whichever executor the filter allows; resolves when the server has answered 202. */
export async function dispatch(agent: Agent, url: URL, id: string, filter: object): Promise<void> {
  await sendExpecting(202, agent, 'POST', new URL('/api/v1/sessions/bench/dispatch', url), {
    mission_id: id,
    objective: 'Take part in a measurement.',
    completion: 'Every event has arrived.',
    executor_filter: filter,
  });
}

/**
 * Asks for a mission until it is in `state`.
 *
 * @param interval milliseconds between an answer and the next question
 * @throws where it is not for a minute
 */
export async function missionIn(
  state: string,
  agent: Agent,
  url: URL,
  id: string,
  closed: AbortSignal,
  interval = 5,
): Promise<MissionStatus> {
  const deadline = Date.now() + stallTimeLimit;
  for (;;) {
    const status = readMissionStatus(await sendExpecting(200, agent, 'GET', missionUrl(url, id)));
    if (status.state === state) return status;
    closed.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`Mission ${id} is still ${status.state}, not ${state}.`);
    await delay(interval);
  }
}

/** The iterations among a mission's newest events; throws where one does not follow its predecessor, modulo `ring`. */
export function consecutiveIterations(name: string, { recent_events }: MissionStatus, ring: number): number[] {
  const iterations = recent_events.flatMap(({ data }) => data?.iteration ?? []);
  for (const [index, iteration] of iterations.slice(1).entries()) {
    const expected = ((iterations[index] ?? 0) + 1) % ring;
    if (iteration !== expected) {
      throw new Error(`${name}: event ${iteration} is where ${expected} should be: one was lost or moved.`);
    }
  }
  return iterations;
}

/** Checks that a mission which is done holds exactly the newest of what was sent for it, in order. */
export function checkNewest(name: string, status: MissionStatus, progressEvents: number, ring: number): void {
  const iterations = consecutiveIterations(name, status, ring);
  const expected = Math.min(progressEvents, keptEvents - 1);
  const last = iterations.at(-1) ?? 0;
  if (status.recent_events.at(-1)?.event !== 'mission.completed')
    throw new Error(`${name}: its last event is missing.`);
  if (iterations.length !== expected || (progressEvents > 0 && last !== (progressEvents - 1) % ring)) {
    throw new Error(
      `${name}: ${iterations.length} progress events up to ${last} are kept; ${progressEvents} were sent.`,
    );
  }
}
