/**
 * Dispatch: picks an executor for a mission, creates the mission, and hands it over; and again, where the executor's
 * resync shows that it never arrived.
 */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import * as v from 'valibot';
import {
  type DispatchPayload,
  type DispatchResponse,
  dispatchResponseSchema,
  type ErrorBody,
  type ErrorCode,
  type ExecutorRegistration,
  errorBodySchema,
  errorStatus,
  type MissionState,
  parseDispatchPayload,
} from '../contract/index.js';
import type { Supervisor } from '../registry/supervisor.js';
import type { Found } from '../store/thread.js';
import { Sampler } from './sampler.js';

/** An executor's answer is read no further than this, in bytes. */
const MAX_ANSWER = 64 * 1024;

/** What the operator is told. */
export type DispatchAnswer =
  | { readonly status: 202; readonly body: DispatchResponse }
  | { readonly status: (typeof errorStatus)[ErrorCode]; readonly body: ErrorBody };

interface Known {
  /** Of the payload, to tell a repetition from another mission of the same id. */
  readonly fingerprint: string;
  readonly answer: Promise<DispatchAnswer>;
  /** Where no store keeps it: what a replay needs, until the mission is past `assigned`. */
  dispatched: Dispatched | undefined;
}

interface Dispatched {
  readonly sessionId: string;
  readonly payload: DispatchPayload;
}

/** Missions whose dispatch is replayed to one executor at a time. */
const REPLAYS_AT_ONCE = 4;

const isPastAssigned = (state: MissionState): boolean => state !== 'queued' && state !== 'assigned';

export class Dispatcher {
  readonly #supervisor: Supervisor<string>;
  readonly #log: Logger;
  readonly #sampler = new Sampler();
  readonly #timeout: number;
  /** By mission id: a repeated dispatch is answered as the first was, be it still under way. */
  readonly #known = new Map<string, Known>();
  /** Missions that are being forwarded, or are to be. */
  readonly #forwarding = new Set<string>();
  /** By executor: the missions whose dispatch is to be replayed to it, and how many are being so. */
  readonly #replays = new Map<string, { readonly waiting: Set<string>; running: number }>();
  /** By mission: who waits for what becomes of its dispatch, which an earlier run left under way. */
  readonly #waiting = new Map<string, ((answer: DispatchAnswer | undefined) => void)[]>();
  readonly #closed = new AbortController();

  /** @param timeout milliseconds that an executor has to answer. Default: 10,000, the contract's limit */
  constructor(supervisor: Supervisor<string>, log: Logger, timeout = 10_000) {
    this.#supervisor = supervisor;
    this.#log = log;
    this.#timeout = timeout;
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
    if (found !== undefined) return this.#answerFound(found, fingerprint);
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
      answer = await this.#forward(sessionId, payload, picked, false);
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
  async #answerFound(found: Found, fingerprint: string): Promise<DispatchAnswer> {
    const { missionId, executorId, payload } = found.mission;
    if (payload === undefined || fingerprintOf(payload) !== fingerprint)
      return refusal('mission_exists', `mission ${missionId} exists${payload ? ', with another payload' : ''}`);
    const kept = keptAnswerOf(found);
    if (kept !== undefined) return kept;
    // Callboard was stopped while it was being dispatched: the executor's resync shows whether it arrived.
    const { directory, missions, store } = this.#supervisor;
    if (directory.missions.get(missionId)?.state === 'queued') {
      const answer = await this.#outcome(missionId);
      if (answer !== undefined) {
        await missions.look(missionId)?.later();
        await store?.kept();
        return answer;
      }
    }
    const state = directory.missions.get(missionId)?.state ?? found.state.state;
    switch (state) {
      case 'queued':
        return refusal(
          'executor_not_connected',
          `mission ${missionId} is queued: its dispatch was cut short, and is repeated when its executor has resynced`,
        );
      case 'failed':
      case 'aborted':
        return refusal('mission_exists', `mission ${missionId} exists, and has ${state} before it was assigned`);
      default: {
        const a2aInstanceId = payload.a2a_instance_id;
        const more = typeof a2aInstanceId === 'string' ? { a2a_instance_id: a2aInstanceId } : {};
        return { status: 202, body: { mission_id: missionId, executor_id: executorId, ...more, status: 'assigned' } };
      }
    }
  }

  /** What becomes of a mission that is queued: the answer of its replay; undefined if it moves on by itself, or not in time. */
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
    if (known !== undefined && isPastAssigned(state)) known.dispatched = undefined;
  }

  /**
   * Forwards a mission once more, in its turn: its executor's resync has left it out, and it was never heard to have it.
   * Nothing happens while it is being forwarded anyway.
   */
  replay(missionId: string): void {
    const executorId = this.#supervisor.directory.missions.get(missionId)?.executorId;
    if (executorId === undefined || this.#forwarding.has(missionId)) return;
    this.#forwarding.add(missionId);
    const replays = this.#replays.get(executorId) ?? { waiting: new Set(), running: 0 };
    this.#replays.set(executorId, replays);
    replays.waiting.add(missionId);
    if (replays.running < REPLAYS_AT_ONCE) void this.#replayAll(executorId, replays);
  }

  /** Stops replaying: what was under way is replayed after the executor's next resync. */
  close(): void {
    this.#closed.abort();
    for (const missionId of [...this.#waiting.keys()]) this.#settle(missionId, undefined);
  }

  async #replayAll(executorId: string, replays: { readonly waiting: Set<string>; running: number }): Promise<void> {
    replays.running++;
    for (const missionId of replays.waiting) {
      replays.waiting.delete(missionId);
      if (!this.#closed.signal.aborted)
        await this.#replay(missionId, executorId).catch((error: unknown) => {
          if (!this.#closed.signal.aborted && this.#sampler.admits('replay'))
            this.#log.warn({ missionId, err: error }, 'a dispatch could not be replayed');
        });
      this.#forwarding.delete(missionId);
    }
    if (--replays.running === 0) this.#replays.delete(executorId);
  }

  async #replay(missionId: string, executorId: string): Promise<void> {
    const { directory, missions, store } = this.#supervisor;
    const found = await store?.find(missionId);
    const dispatched = found === undefined ? this.#known.get(missionId)?.dispatched : dispatchedOf(found);
    if (dispatched === undefined) {
      missions.doubt(missionId);
      return;
    }
    const executor = directory.executors.get(executorId);
    if (executor === undefined || !this.#isUnheard(missionId)) return;
    const { sessionId, payload } = dispatched;
    const answer = await this.#forward(sessionId, payload, executor, true);
    if (found !== undefined && keptAnswerOf(found) === undefined)
      store?.keep({ type: 'answer', number: found.number, answer: { ...answer.body } });
    if (this.#sampler.admits('replay')) this.#log.info({ missionId, ...answer.body }, 'a dispatch was replayed');
    this.#settle(missionId, answer);
  }

  #isUnheard(missionId: string): boolean {
    const state = this.#supervisor.directory.missions.get(missionId)?.state;
    return state !== undefined && !isPastAssigned(state);
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

  /** @param again it was forwarded before, and may have arrived: an executor that says 409 has it */
  async #forward(
    sessionId: string,
    payload: DispatchPayload,
    executor: ExecutorRegistration,
    again: boolean,
  ): Promise<DispatchAnswer> {
    const { executorId, a2aInstanceId, transportEndpoints, token } = executor;
    const missionId = payload.mission_id;
    const rest = transportEndpoints.rest.replace(/\/+$/, '');
    const timeout = AbortSignal.timeout(this.#timeout);
    const signal = again ? AbortSignal.any([timeout, this.#closed.signal]) : timeout;
    const failed = (code: ErrorCode, detail: string): DispatchAnswer => {
      // It may have shown by itself meanwhile that the first one arrived.
      if (!again || this.#isUnheard(missionId)) this.#supervisor.missions.fail(missionId, `${code}: ${detail}`);
      return refusal(code, `mission ${missionId} was not taken by its executor: ${detail}`);
    };
    const post = (url: string): Promise<Response> =>
      fetch(url, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(payload),
        redirect: 'manual',
        signal,
      });
    try {
      let response = await post(`${rest}/api/v1/sessions/${encodeURIComponent(sessionId)}/dispatch`);
      if (response.status === 404) {
        await response.body?.cancel();
        response = await post(`${rest}/dispatch`);
      }
      if (!response.ok && !(again && response.status === 409)) {
        await response.body?.cancel();
        return failed('executor_rejected', `it answered ${response.status}`);
      }
      // It has the mission, whatever becomes of the rest of its answer.
      const estimatedStart = estimatedStartOf(await read(response).catch(() => ''));
      // One that is over by now may even be forgotten already: it is not to come back.
      const state = this.#supervisor.directory.missions.get(missionId)?.state;
      if (state === undefined || state === 'aborted') this.#supervisor.tellAborted(executorId, missionId);
      else if (!again || state === 'queued') this.#supervisor.missions.assign(missionId, executorId);
      const named = payload.a2a_instance_id ?? (wantedInstance(payload) === undefined ? undefined : a2aInstanceId);
      const body: DispatchResponse = {
        mission_id: missionId,
        executor_id: executorId,
        ...(named !== undefined && { a2a_instance_id: named }),
        status: 'assigned',
        ...(estimatedStart !== undefined && { estimated_start: estimatedStart }),
      };
      return { status: 202, body };
    } catch (error) {
      if (timeout.aborted) return failed('executor_timeout', `it did not answer within ${this.#timeout} ms`);
      if (signal.aborted) throw error;
      // Where the connection was cut, it may have arrived and only its answer be lost: asked again, the executor says so.
      if (!again) return this.#forward(sessionId, payload, executor, true);
      return failed('executor_unreachable', reasonOf(error));
    }
  }
}

/** The A2A instance id that a dispatch filters by, under either of its names. */
const wantedInstance = ({ executor_filter: filter = {} }: DispatchPayload): string | undefined =>
  filter.a2a_instance_id ?? filter.instance_id ?? undefined;

const fingerprintOf = (payload: unknown): string => createHash('sha256').update(canonical(payload)).digest('base64');

/** What was answered to a dispatch in an earlier run, or long ago; undefined if it was not. */
function keptAnswerOf({ mission }: Found): DispatchAnswer | undefined {
  const kept = v.safeParse(v.union([dispatchResponseSchema, errorBodySchema]), mission.answer);
  if (!kept.success) return undefined;
  const body = kept.output;
  return 'error' in body ? { status: errorStatus[body.error], body } : { status: 202, body };
}

/** What a mission was dispatched with; undefined if that was not over REST. */
function dispatchedOf({ mission: { sessionId, payload } }: Found): Dispatched | undefined {
  const parsed = parseDispatchPayload(payload);
  return sessionId !== undefined && parsed.ok ? { sessionId, payload: parsed.payload } : undefined;
}

const refusal = (code: ErrorCode, detail: string): DispatchAnswer => ({
  status: errorStatus[code],
  body: { error: code, detail },
});

/** JSON with sorted keys: equal for equal payloads, however they were written. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );

/** An answer's body as text, or nothing if it is longer than anyone needs. */
async function read(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > MAX_ANSWER) return '';
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

const answerSchema = v.object({ estimated_start: dispatchResponseSchema.entries.estimated_start });

/** The one thing in an executor's answer that is passed on; an executor may answer anything. */
function estimatedStartOf(body: string): string | undefined {
  try {
    const answer = v.safeParse(answerSchema, JSON.parse(body));
    return answer.success ? answer.output.estimated_start : undefined;
  } catch {
    return undefined;
  }
}

/** `fetch` fails with "fetch failed" and keeps the reason in `cause`. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
