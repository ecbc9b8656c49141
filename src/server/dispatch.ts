/** Dispatch: picks an executor for a mission, creates the mission, and has it forwarded; a repetition gets the same answer. */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { DispatchPayload, ExecutorRegistration, MissionState } from '../contract/index.js';
import type { Supervisor } from '../registry/supervisor.js';
import type { Found } from '../store/thread.js';
import { assigned, type DispatchAnswer, keptAnswerOf, refusal, wantedInstance } from './dispatch-answer.js';
import { Forwarder } from './forward.js';
import { type Dispatched, mayBeUnbegun, Replays } from './replays.js';
import { Sampler } from './sampler.js';

interface Known {
  /** Of the payload, to tell a repetition from another mission of the same id. */
  readonly fingerprint: string;
  readonly answer: Promise<DispatchAnswer>;
  /** Where no store keeps it: what a replay needs, until the mission has begun. */
  dispatched: Dispatched | undefined;
}

export class Dispatcher {
  readonly #supervisor: Supervisor<string>;
  readonly #log: Logger;
  readonly #sampler = new Sampler();
  readonly #timeout: number;
  /** By mission id: a repeated dispatch is answered as the first was, be it still under way. */
  readonly #known = new Map<string, Known>();
  /** Missions that are being forwarded, or are to be. */
  readonly #forwarding = new Set<string>();
  readonly #forwarder: Forwarder;
  readonly #replays: Replays;
  /** By mission: who waits for what becomes of its dispatch, which an earlier run left under way. */
  readonly #waiting = new Map<string, ((answer: DispatchAnswer | undefined) => void)[]>();

  /** @param timeout milliseconds that an executor has to answer. Default: 10,000, the contract's limit */
  constructor(supervisor: Supervisor<string>, log: Logger, timeout = 10_000) {
    this.#supervisor = supervisor;
    this.#log = log;
    this.#timeout = timeout;
    this.#forwarder = new Forwarder(supervisor, timeout);
    this.#replays = new Replays({
      supervisor,
      log,
      forwarding: this.#forwarding,
      dispatchedOf: (missionId) => this.#known.get(missionId)?.dispatched,
      forward: (dispatched, executor, signal) =>
        this.#forwarder.forward(dispatched, executor, { isRepeated: true, signal }),
      onAnswer: (missionId, answer) => this.#settle(missionId, answer),
    });
  }

  async dispatch(sessionId: string, payload: DispatchPayload): Promise<DispatchAnswer> {
    const answer = await this.#answer(sessionId, payload);
    if (answer.status !== 202 && this.#sampler.admits(answer.body.error))
      this.#log.warn({ missionId: payload.mission_id, ...answer.body }, 'a dispatch was refused');
    return answer;
  }

  /** The mission is forgotten, and so is its dispatch: another of that id is a new one. */
  forget(missionId: string): void {
    this.#known.delete(missionId);
  }

  #answer(sessionId: string, payload: DispatchPayload): DispatchAnswer | Promise<DispatchAnswer> {
    const missionId = payload.mission_id;
    const fingerprint = fingerprintOf(payload);
    const known = this.#known.get(missionId);
    if (known?.fingerprint === fingerprint) return known.answer;
    if (known !== undefined) return refusal('mission_exists', `mission ${missionId} exists, with another payload`);
    const answer = this.#answerNew(sessionId, payload, fingerprint);
    const { directory, store } = this.#supervisor;
    const dispatched = store === undefined ? { sessionId, payload } : undefined;
    this.#known.set(missionId, { fingerprint, answer, dispatched });
    answer.then(
      // Where no mission came of it, or nobody knows yet, it may be tried again; one that is over long since is found in
      // the store.
      ({ body }) => {
        // Nor does what another payload was told, in an earlier run's stead, stand for the mission's own.
        const isOpen = 'error' in body && (body.error === 'executor_not_connected' || body.error === 'mission_exists');
        if (isOpen || !directory.missions.has(missionId)) this.forget(missionId);
      },
      () => this.forget(missionId),
    );
    return answer;
  }

  async #answerNew(sessionId: string, payload: DispatchPayload, fingerprint: string): Promise<DispatchAnswer> {
    const missionId = payload.mission_id;
    const { missions, directory, store } = this.#supervisor;
    const found = await store?.find(missionId);
    if (found !== undefined) return this.#answerFound(found, payload, fingerprint);
    if (directory.missions.has(missionId)) return refusal('mission_exists', `mission ${missionId} exists`);
    store?.check();
    const picked = this.#pick(payload);
    if ('status' in picked) return picked;
    // Before anything is sent, so that no early event is lost, and none of a mission that a restart would forget.
    this.#forwarding.add(missionId);
    const number = missions.create(missionId, picked.executorId, 'queued', { sessionId, payload });
    let answer: DispatchAnswer;
    try {
      await this.#supervisor.kept().catch((error: unknown) => {
        // So that it can be dispatched anew when there is room.
        missions.withdraw(missionId);
        throw error;
      });
      answer = await this.#forwarder.forward({ sessionId, payload }, picked, { isRepeated: false });
    } finally {
      this.#forwarding.delete(missionId);
    }
    if (store === undefined || number === undefined) return answer;
    store.keep({ type: 'answer', number, answer: { ...answer.body } });
    // Its actor has written by then that its executor has it.
    await missions.look(missionId)?.later();
    await store.kept();
    return answer;
  }

  /** A repetition of what an earlier run was told, or what was told long ago: the same answer. */
  async #answerFound(found: Found, payload: DispatchPayload, fingerprint: string): Promise<DispatchAnswer> {
    const { missionId, executorId, payload: first } = found.mission;
    if (first === undefined || fingerprintOf(first) !== fingerprint)
      return refusal('mission_exists', `mission ${missionId} exists${first ? ', with another payload' : ''}`);
    const kept = keptAnswerOf(found);
    if (kept !== undefined) return kept;
    // Callboard was stopped while it was being dispatched: the executor's resync shows whether it arrived.
    const { missions, store } = this.#supervisor;
    if (this.#isCutShort(found)) {
      const answer = await this.#outcome(missionId);
      await missions.look(missionId)?.later();
      if (answer !== undefined) {
        await store?.kept();
        return answer;
      }
    }
    const now = (await store?.find(missionId)) ?? found;
    const state = this.#stateOf(now);
    if (this.#isCutShort(now))
      return refusal(
        'executor_not_connected',
        `mission ${missionId} is ${state}: its dispatch was cut short, and is repeated when its executor has resynced`,
      );
    switch (state) {
      case 'failed':
      case 'aborted':
        return refusal('mission_exists', `mission ${missionId} exists, and has ${state} before it was assigned`);
      default:
        return assigned(payload, executorId, this.#supervisor.directory.executors.get(executorId)?.a2aInstanceId);
    }
  }

  #stateOf({ mission: { missionId }, state: { state } }: Found): MissionState {
    return this.#supervisor.directory.missions.get(missionId)?.state ?? state;
  }

  /** Whether a mission that nobody was answered about is still to be dispatched, for all that is known. */
  #isCutShort(found: Found): boolean {
    const state = this.#stateOf(found);
    return state === 'queued' || (state === 'suspended' && found.state.heard !== true);
  }

  /** What becomes of a mission whose dispatch was cut short: the answer of its replay; undefined if it moves on by itself, or not in time. */
  #outcome(missionId: string): Promise<DispatchAnswer | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle(missionId, undefined), this.#timeout);
      const settle = (answer: DispatchAnswer | undefined): void => {
        clearTimeout(timer);
        resolve(answer);
      };
      this.#waiting.set(missionId, [...(this.#waiting.get(missionId) ?? []), settle]);
    });
  }

  #settle(missionId: string, answer: DispatchAnswer | undefined): void {
    const waiting = this.#waiting.get(missionId) ?? [];
    this.#waiting.delete(missionId);
    for (const settle of waiting) settle(answer);
  }

  /** Takes notice of a mission's state. */
  moved(missionId: string, state: MissionState): void {
    if (state !== 'queued') this.#settle(missionId, undefined);
    const known = this.#known.get(missionId);
    if (known !== undefined && !mayBeUnbegun(state)) known.dispatched = undefined;
  }

  /** Forwards a mission once more, in its turn: its executor's resync has left it out, and it was never heard to have it. */
  replay(missionId: string): void {
    this.#replays.replay(missionId);
  }

  /** Replays no more, and has nobody wait for it. */
  close(): void {
    this.#replays.close();
    for (const missionId of [...this.#waiting.keys()]) this.#settle(missionId, undefined);
  }

  #pick(payload: DispatchPayload): ExecutorRegistration | DispatchAnswer {
    const { executor_filter: filter = {}, long_running: longRunning = false } = payload;
    const { directory } = this.#supervisor;
    const a2aId = wantedInstance(payload);
    let executorId = filter.executor_id ?? undefined;
    if (executorId === undefined && a2aId !== undefined) {
      const named = [...directory.executors.values()].filter(({ a2aInstanceId }) => a2aInstanceId === a2aId);
      executorId = (named.find(({ connected }) => connected) ?? named[0])?.executorId;
      if (executorId === undefined)
        return refusal('no_executor_available', `no registered executor has the A2A instance id ${a2aId}`);
    }
    const wanted = {
      ...(executorId !== undefined && { executor_id: executorId }),
      ...(filter.capabilities !== undefined && { capabilities: filter.capabilities }),
    };
    const result = directory.pick(wanted, longRunning);
    if (result !== null) return result.executor;
    if (longRunning && directory.pick(wanted, false) !== null)
      return refusal('no_resumable_executor_available', 'executors fit, but none of them is resumable');
    return refusal(
      'no_executor_available',
      `none of the ${directory.executors.size} registered executors is connected and fits`,
    );
  }
}

const fingerprintOf = (payload: unknown): string => createHash('sha256').update(canonical(payload)).digest('base64');

/** JSON with sorted keys: equal for equal payloads, however they were written. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
