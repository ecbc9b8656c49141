/** Forwarding: asks an executor over HTTP to take a mission, and notes what comes of that. */
import * as v from 'valibot';
import { dispatchResponseSchema, type ErrorCode, type ExecutorRegistration } from '../contract/index.js';
import type { Supervisor } from '../registry/supervisor.js';
import { assigned, type DispatchAnswer, refusal } from './dispatch-answer.js';
import type { Dispatched } from './replays.js';

/** An executor's answer is read no further than this, in bytes. */
const MAX_ANSWER = 64 * 1024;

/** Asking an executor once to take a mission. */
interface Attempt {
  /** It was asked before, and may have it: one that says 409 does. */
  readonly isRepeated: boolean;
  /** When it has taken too long. */
  readonly deadline: AbortSignal;
  /** Ends the attempt, be it that the deadline has come. */
  readonly signal: AbortSignal;
}

export class Forwarder {
  readonly #supervisor: Supervisor<string>;
  readonly #timeout: number;

  /** @param timeout milliseconds that an executor has to answer */
  constructor(supervisor: Supervisor<string>, timeout: number) {
    this.#supervisor = supervisor;
    this.#timeout = timeout;
  }

  /**
   * Forwards a mission to its executor, which has one time limit for that, however often it is asked.
   * @param signal ends it before its time
   */
  forward(
    dispatched: Dispatched,
    executor: ExecutorRegistration,
    { isRepeated, signal }: { readonly isRepeated: boolean; readonly signal?: AbortSignal },
  ): Promise<DispatchAnswer> {
    const deadline = AbortSignal.timeout(this.#timeout);
    const ends = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    return this.#attempt(dispatched, executor, { isRepeated, deadline, signal: ends });
  }

  async #attempt(dispatched: Dispatched, executor: ExecutorRegistration, attempt: Attempt): Promise<DispatchAnswer> {
    const { sessionId, payload } = dispatched;
    const { executorId, a2aInstanceId, transportEndpoints, token } = executor;
    const { isRepeated, deadline, signal } = attempt;
    const missionId = payload.mission_id;
    const rest = transportEndpoints.rest.replace(/\/+$/, '');
    const failed = (code: ErrorCode, detail: string): DispatchAnswer => {
      // It may have shown by itself meanwhile that the first one arrived.
      this.#supervisor.missions.fail(missionId, `${code}: ${detail}`, isRepeated);
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
      if (!response.ok && !(isRepeated && response.status === 409)) {
        await response.body?.cancel();
        return failed('executor_rejected', `it answered ${response.status}`);
      }
      // It has the mission, whatever becomes of the rest of its answer.
      const estimatedStart = estimatedStartOf(await read(response).catch(() => ''));
      // One that is over by now may even be forgotten already: it is not to come back.
      const { directory, missions } = this.#supervisor;
      const state = directory.missions.get(missionId)?.state;
      if (state === undefined || state === 'aborted') this.#supervisor.tellAborted(executorId, missionId);
      else if (!isRepeated || state === 'queued') missions.assign(missionId, executorId);
      // Unless it has left once more.
      else if (state === 'suspended' && directory.executors.has(executorId)) missions.reassign(missionId, executorId);
      return assigned(payload, executorId, a2aInstanceId, estimatedStart);
    } catch (error) {
      if (deadline.aborted) return failed('executor_timeout', `it did not answer within ${this.#timeout} ms`);
      if (signal.aborted) throw error;
      // Where the connection was cut, it may have arrived and only its answer be lost: asked again, the executor says so.
      if (!isRepeated) return this.#attempt(dispatched, executor, { ...attempt, isRepeated: true });
      return failed('executor_unreachable', reasonOf(error));
    }
  }
}

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
