/** Dispatch: picks an executor for a mission, creates the mission, and hands it over. */
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
}

export class Dispatcher {
  readonly #supervisor: Supervisor<string>;
  readonly #log: Logger;
  readonly #sampler = new Sampler();
  readonly #timeout: number;
  /** By mission id: a repeated dispatch is answered as the first was, be it still under way. */
  readonly #known = new Map<string, Known>();

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
    this.#known.set(missionId, { fingerprint, answer });
    answer.then(
      // Where no mission came of it, it may be tried again; one that is over long since is found in the store.
      () => this.#supervisor.directory.missions.has(missionId) || this.forget(missionId),
      () => this.forget(missionId),
    );
    return answer;
  }

  async #answerNew(sessionId: string, payload: DispatchPayload, fingerprint: string): Promise<DispatchAnswer> {
    const missionId = payload.mission_id;
    const { missions, directory, store } = this.#supervisor;
    const found = await store?.find(missionId);
    if (found !== undefined) return answerOf(found, fingerprint);
    if (directory.missions.has(missionId)) return refusal('mission_exists', `mission ${missionId} exists`);
    store?.check();
    const picked = this.#pick(payload);
    if ('status' in picked) return picked;
    // Before anything is sent, so that no early event is lost, and none of a mission that a restart would forget.
    const number = missions.create(missionId, picked.executorId, 'queued', { sessionId, payload });
    try {
      await this.#supervisor.kept();
    } catch (error) {
      // So that it can be dispatched anew when there is room.
      missions.withdraw(missionId);
      throw error;
    }
    const answer = await this.#forward(sessionId, payload, picked);
    if (store === undefined || number === undefined) return answer;
    store.keep({ type: 'answer', number, answer: { ...answer.body } });
    // Its actor has written by then that its executor has it.
    await missions.look(missionId)?.later();
    await store.kept();
    return answer;
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

  async #forward(
    sessionId: string,
    payload: DispatchPayload,
    { executorId, a2aInstanceId, transportEndpoints, token }: ExecutorRegistration,
  ): Promise<DispatchAnswer> {
    const missionId = payload.mission_id;
    const rest = transportEndpoints.rest.replace(/\/+$/, '');
    const signal = AbortSignal.timeout(this.#timeout);
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
      if (!response.ok) {
        await response.body?.cancel();
        return this.#failed(missionId, 'executor_rejected', `it answered ${response.status}`);
      }
      // It has the mission, whatever becomes of the rest of its answer.
      const estimatedStart = estimatedStartOf(await read(response).catch(() => ''));
      // One that is over by now may even be forgotten already: it is not to come back.
      const state = this.#supervisor.directory.missions.get(missionId)?.state;
      if (state === undefined || state === 'aborted') this.#tellAborted(missionId, executorId);
      else this.#supervisor.missions.assign(missionId, executorId);
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
      if (signal.aborted)
        return this.#failed(missionId, 'executor_timeout', `it did not answer within ${this.#timeout} ms`);
      return this.#failed(missionId, 'executor_unreachable', reasonOf(error));
    }
  }

  /** An operator aborted the mission before its executor knew of it. */
  #tellAborted(mission_id: string, executor_id: string): void {
    const data = { state: 'aborted', aborted_by: 'operator' };
    const event = { event: 'mission.aborted', executor_id, mission_id, ts: new Date().toISOString(), data };
    // Where it does not arrive, the executor is told when it resyncs.
    this.#supervisor
      .push(executor_id, event)
      ?.later()
      .catch(() => undefined);
  }

  #failed(missionId: string, code: ErrorCode, detail: string): DispatchAnswer {
    this.#supervisor.missions.fail(missionId, `${code}: ${detail}`);
    return refusal(code, `mission ${missionId} was not taken by its executor: ${detail}`);
  }
}

/** The A2A instance id that a dispatch filters by, under either of its names. */
const wantedInstance = ({ executor_filter: filter = {} }: DispatchPayload): string | undefined =>
  filter.a2a_instance_id ?? filter.instance_id ?? undefined;

const fingerprintOf = (payload: unknown): string => createHash('sha256').update(canonical(payload)).digest('base64');

/** What was answered to a dispatch in an earlier run, or long ago. */
function answerOf({ mission }: Found, fingerprint: string): DispatchAnswer {
  const { missionId, payload, answer } = mission;
  if (payload === undefined || fingerprintOf(payload) !== fingerprint)
    return refusal('mission_exists', `mission ${missionId} exists${payload ? ', with another payload' : ''}`);
  const kept = v.safeParse(v.union([dispatchResponseSchema, errorBodySchema]), answer);
  if (kept.success) {
    const body = kept.output;
    return 'error' in body ? { status: errorStatus[body.error], body } : { status: 202, body };
  }
  return refusal('mission_exists', `mission ${missionId} exists: it was being dispatched when Callboard stopped`);
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
