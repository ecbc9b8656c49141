/**
 * The operator of a simulation, over REST only: dispatches missions, follows each to its end, answers, pauses and
 * resumes where its scenario asks for it, and says what is wrong with what Callboard tells of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import * as v from 'valibot';
import {
  type ContractEvent,
  type DispatchPayload,
  dispatchResponseSchema,
  executorStatusSchema,
  isTerminal,
  type MissionState,
  type MissionStatusResponse,
  missionStatusResponseSchema,
} from '../contract/index.js';
import { CommandError, FAILED } from './errors.js';
import { ask, type Call } from './rest.js';
import { Semaphore } from './semaphore.js';
import { recentEvents, type Scenario, type SimulatedMission } from './simulated-mission.js';

/** Requests under way at once; the rest wait their turn. */
const maxRequests = 32;
/** Milliseconds for an executor to be connected in Callboard's eyes, and for a mission to reach its end. */
const connectLimit = 10_000;
const missionLimit = 60_000;
/** Milliseconds between two looks at a mission: at first, and at most. */
const firstLook = 50;
const slowestLook = 500;

/** What a mission is to be. */
export interface Plan {
  readonly missionId: string;
  readonly scenario: Scenario;
  /** Only executors that have it are asked, so that no real one is given a pretended mission. */
  readonly capability: string;
}

export class SimulatedOperator {
  readonly #url: URL;
  readonly #session: string;
  readonly #stop: AbortSignal;
  readonly #requests = new Semaphore(maxRequests);

  /**
   * @param url The URL of Callboard, with a slash at its end.
   * @param session Names the session that missions are dispatched in.
   * @param stop Ends every wait.
   */
  constructor(url: URL, session: string, stop: AbortSignal) {
    this.#url = url;
    this.#session = session;
    this.#stop = stop;
  }

  /** Resolves when Callboard says that the executor is connected. @throws CommandError after ten seconds. */
  async untilConnected(executorId: string): Promise<void> {
    const call: Call = { method: 'GET', path: `api/v1/executors/${executorId}` };
    for await (const _ of this.#looks(connectLimit)) {
      if ((await this.#ask(call, executorStatusSchema)).connected) return;
    }
    throw new CommandError(
      FAILED,
      `executor ${executorId} is not connected ${connectLimit} ms after it opened its WebSocket.`,
    );
  }

  /** Dispatches a mission. @returns The id of the executor that got it. */
  async dispatch({ missionId, scenario, capability }: Plan): Promise<string> {
    const body: DispatchPayload = {
      mission_id: missionId,
      objective: `Pretend to work: ${scenario}`,
      completion: 'The simulated executor says that it is done',
      long_running: scenario === 'checkpoint',
      executor_filter: { capabilities: [capability] },
      metadata: { scenario },
    };
    const path = `api/v1/sessions/${this.#session}/dispatch`;
    return (await this.#ask({ method: 'POST', path, body }, dispatchResponseSchema)).executor_id;
  }

  /**
   * Follows a dispatched mission to its end, doing the operator's part in it.
   *
   * @param mission The mission as its executor has it.
   * @returns What is wrong with it, in words; empty where it ended as it should.
   */
  async follow(executorId: string, { missionId, scenario }: Plan, mission: SimulatedMission): Promise<string[]> {
    const route = `api/v1/missions/${missionId}`;
    const done = new Set<string>();
    const act = async (action: string, body: object = {}) => {
      if (done.has(action)) return;
      done.add(action);
      await this.#ask({ method: 'POST', path: `${route}/${action}`, body }, v.unknown());
    };
    let state: MissionState = 'queued';
    for await (const _ of this.#looks(missionLimit)) {
      const status = await this.#ask({ method: 'GET', path: route }, missionStatusResponseSchema);
      state = status.state;
      if (isTerminal(status.state)) return wrongs(status, executorId, scenario, mission);
      if (state === 'hitl-required') {
        const question = status.recent_events?.findLast((event) => event.event === 'mission.hitl_required');
        if (question === undefined) return ['it waits for an answer, but its recent_events hold no question'];
        await act('hitl_response', { hitl_id: question.data.hitl_id, response: 'Yes, go on.' });
      } else if (scenario === 'pause' && state === 'running') await act('pause');
      else if (scenario === 'pause' && state === 'paused') await act('resume');
    }
    return [`still ${state} after ${missionLimit / 1000} s`];
  }

  #ask<T>(call: Call, answer: v.GenericSchema<unknown, T>): Promise<T> {
    return this.#requests.run(() => ask(this.#url, call, answer));
  }

  /** Yields at once and then ever less often, until `limit` milliseconds have passed. */
  async *#looks(limit: number): AsyncGenerator<void> {
    const end = performance.now() + limit;
    for (let wait = firstLook; performance.now() < end; wait = Math.min(wait * 1.5, slowestLook)) {
      yield;
      await sleep(wait, undefined, { signal: this.#stop });
    }
  }
}

/** Where a mission that has ended differs from what its executor sent. */
function wrongs(
  status: MissionStatusResponse,
  executorId: string,
  scenario: Scenario,
  mission: SimulatedMission,
): string[] {
  const expected = {
    mission_id: mission.id,
    executor_id: executorId,
    state: 'done',
    exit_code: 0,
    error: undefined,
    completed_at: mission.sent.at(-1)?.ts,
    pty_session_ref: `pty-${mission.id}`,
  };
  const { recent_events = [], ...told } = status;
  const differing = Object.entries(expected)
    .map(([field, value]) => ({ field, value, is: new Map<string, unknown>(Object.entries(told)).get(field) }))
    .filter(({ value, is }) => value !== is)
    .map(({ field, value, is }) => `${field} is ${is}, not ${value}`);
  if (mission.scenario !== scenario) differing.push(`dispatched as ${scenario}, it arrived as ${mission.scenario}`);
  if (!isSameStory(recent_events, mission)) {
    const names = (events: readonly ContractEvent[]) => events.map(({ event }) => event).join(' ');
    differing.push(`recent_events are [${names(recent_events)}], but these were sent: [${names(mission.sent)}]`);
  }
  return differing;
}

/**
 * Whether the recent events are the newest that the executor sent, in order, each as it was sent. Callboard may have
 * kept what it pushed itself among them.
 */
function isSameStory(recent: readonly ContractEvent[], { sent, pushed }: SimulatedMission): boolean {
  let left = sent.length;
  for (const event of recent.toReversed()) {
    if (isDeepStrictEqual(event, sent[left - 1])) left--;
    else if (!pushed.some((envelope) => isDeepStrictEqual(event, envelope))) return false;
  }
  return left === 0 || recent.length === recentEvents;
}
