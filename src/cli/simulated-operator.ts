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
  executorsListResponseSchema,
  isTerminal,
  type MissionState,
  type MissionStatusResponse,
  missionStatusResponseSchema,
} from '../contract/index.js';
import { CommandError, FAILED } from './errors.js';
import { ask, type Call, Unreachable } from './rest.js';
import { Semaphore } from './semaphore.js';
import { ANSWER, recentEvents, type Said, type Scenario, type SimulatedMission } from './simulated-mission.js';

/** Requests under way at once; the rest wait their turn. */
const maxRequests = 32;
/**
 * Milliseconds for an executor to be connected in Callboard's eyes, and for a mission to be dispatched and to reach its
 * end.
 */
const connectLimit = 10_000;
const missionLimit = 60_000;
/** Milliseconds between two looks at a mission: at first, and at most. */
const firstLook = 50;
const slowestLook = 500;
/** Milliseconds between two looks whether a connection is cut; for how long, where nothing answers: Callboard may be stopping. */
const noticeTime = 100;
const stopTime = 10_000;

/** What a mission is to be. */
export interface Plan {
  readonly missionId: string;
  readonly scenario: Scenario;
  /** Only executors that have it are asked, so that no real one is given a pretended mission. */
  readonly capability: string;
}

export interface OperatorOptions {
  /** The URL of Callboard, with a slash at its end. */
  readonly url: URL;
  /** Names the session that missions are dispatched in. */
  readonly session: string;
  /** Ends every wait. */
  readonly stop: AbortSignal;
  /** When the connection of an executor was last in trouble, on performance.now's clock: now, where one has none. */
  readonly troubledAt: () => number;
}

export class SimulatedOperator {
  readonly #options: OperatorOptions;
  readonly #requests = new Semaphore(maxRequests);

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  /** @throws CommandError where nothing answers, or something else than Callboard. */
  async look(): Promise<void> {
    await this.#ask({ method: 'GET', path: 'api/v1/executors' }, executorsListResponseSchema);
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
    const call: Call = { method: 'POST', path: `api/v1/sessions/${this.#options.session}/dispatch`, body };
    const begun = performance.now();
    for await (const _ of this.#looks(missionLimit)) {
      // Callboard takes the same dispatch, asked for again, for the first one.
      const asked = await this.#tryAsking(begun, call, dispatchResponseSchema);
      if (asked !== undefined) return asked.answer.executor_id;
    }
    throw new Error(`not dispatched within ${missionLimit / 1000} s`);
  }

  /**
   * Follows a dispatched mission to its end, doing the operator's part in it: again, where a cut may have swallowed it.
   *
   * @param mission The mission as its executor has it.
   * @returns What is wrong with it, in words; empty where it ended as it should.
   */
  async follow(executorId: string, { missionId, scenario }: Plan, mission: SimulatedMission): Promise<string[]> {
    const route = `api/v1/missions/${missionId}`;
    const begun = performance.now();
    const act = async (action: string, body: object = {}): Promise<boolean> =>
      (await this.#tryAsking(begun, { method: 'POST', path: `${route}/${action}`, body }, v.unknown())) !== undefined;
    let state: MissionState = 'queued';
    /** The `ts` of the question that was answered last: one that is asked again has another. */
    let answered: string | undefined;
    for await (const _ of this.#looks(missionLimit)) {
      const asked = await this.#tryAsking(begun, { method: 'GET', path: route }, missionStatusResponseSchema);
      if (asked === undefined) continue;
      const status = asked.answer;
      state = status.state;
      if (isTerminal(state)) return wrongs(status, executorId, scenario, mission);
      const { recent_events: events = [] } = status;
      const newest = events.at(-1);
      if (newest?.event === 'mission.hitl_required') {
        // Whatever the state: a mission that was reconnected is said to run, and waits for its answer still.
        const { hitl_id } = newest.data;
        if (newest.ts !== answered && (await act('hitl_response', { hitl_id, response: ANSWER }))) answered = newest.ts;
      } else if (state === 'hitl-required') return ['it waits for an answer, but its newest event is no question'];
      else if (scenario === 'pause' && state === 'running') {
        if (!events.some(({ event }) => event === 'mission.paused')) await act('pause');
      } else if (state === 'paused' && newest?.event === 'mission.paused') await act('resume');
    }
    return [`still ${state} after ${missionLimit / 1000} s`];
  }

  #ask<T>(call: Call, answer: v.GenericSchema<unknown, T>): Promise<T> {
    return this.#requests.run(() => ask(this.#options.url, call, answer));
  }

  /**
   * Asks Callboard.
   *
   * @param since What is refused, or not answered, may be so for a cut of the executors' connections since then, on
   *   performance.now's clock. What a GET is answered is right or wrong all the same.
   * @returns undefined where it is so, and worth asking again.
   */
  #tryAsking<T>(
    since: number,
    call: Call,
    answer: v.GenericSchema<unknown, T>,
  ): Promise<{ readonly answer: T } | undefined> {
    // Whoever waits for executors to notice keeps others from asking a Callboard that is away.
    return this.#requests.run(async () => {
      try {
        return { answer: await ask(this.#options.url, call, answer) };
      } catch (error) {
        if (call.method === 'GET' && !(error instanceof Unreachable)) throw error;
        const end = performance.now() + (error instanceof Unreachable ? stopTime : 0);
        do await sleep(noticeTime, undefined, { signal: this.#options.stop });
        while (this.#options.troubledAt() < since && performance.now() < end);
        if (this.#options.troubledAt() < since) throw error;
        return undefined;
      }
    });
  }

  /** Yields at once and then ever less often, until `limit` milliseconds have passed. */
  async *#looks(limit: number): AsyncGenerator<void> {
    const end = performance.now() + limit;
    for (let wait = firstLook; performance.now() < end; wait = Math.min(wait * 1.5, slowestLook)) {
      yield;
      await sleep(wait, undefined, { signal: this.#options.stop });
    }
  }
}

/** Where a mission that has ended differs from what its executor said. */
function wrongs(
  status: MissionStatusResponse,
  executorId: string,
  scenario: Scenario,
  mission: SimulatedMission,
): string[] {
  const { recent_events = [], ...told } = status;
  const expected = {
    mission_id: mission.id,
    executor_id: executorId,
    state: 'done',
    exit_code: 0,
    error: undefined,
    completed_at: recent_events.at(-1)?.ts,
    pty_session_ref: `pty-${mission.id}`,
  };
  const differing = Object.entries(expected)
    .map(([field, value]) => ({ field, value, is: new Map<string, unknown>(Object.entries(told)).get(field) }))
    .filter(({ value, is }) => value !== is)
    .map(({ field, value, is }) => `${field} is ${is}, not ${value}`);
  if (mission.scenario !== scenario) differing.push(`dispatched as ${scenario}, it arrived as ${mission.scenario}`);
  if (!isSameStory(recent_events, mission.said)) {
    const names = (events: readonly { event: string }[]) => events.map(({ event }) => event).join(' ');
    differing.push(`recent_events are [${names(recent_events)}], but these were said: [${names(mission.said)}]`);
  }
  return differing;
}

/** Whether the recent events are the newest that were said: each once, in order, with its data. */
function isSameStory(recent: readonly ContractEvent[], said: readonly Said[]): boolean {
  const told = recent.filter((event, index) => !isRepetition(event, recent[index - 1]));
  if (told.length !== said.length && recent.length < recentEvents) return false;
  const newest = said.slice(said.length - told.length);
  return told.every((event, index) => isWhatWasSaid(event, newest[index]));
}

const holds: readonly string[] = ['mission.hitl_required', 'mission.paused', 'mission.suspended'];

/** After a cut, the SDK says once more what a mission waits for, at another time: what comes twice has the same time. */
const isRepetition = (event: ContractEvent, before: ContractEvent | undefined): boolean =>
  holds.includes(event.event) &&
  event.event === before?.event &&
  event.ts !== before.ts &&
  isDeepStrictEqual(event.data, before.data);

function isWhatWasSaid({ event, data = {} }: ContractEvent, said: Said | undefined): boolean {
  if (event !== said?.event) return false;
  const told = new Map<string, unknown>(Object.entries(data));
  return Object.entries(said.data).every(([field, value]) => isDeepStrictEqual(told.get(field), value));
}
