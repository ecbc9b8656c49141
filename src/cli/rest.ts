/** One request to Callboard's REST routes, and its answer read against a schema. */
import * as v from 'valibot';
import { errorBodySchema } from '../contract/index.js';
import { CommandError, FAILED, messageOf } from './errors.js';

/** Milliseconds: a little more than the ten seconds that Callboard itself gives an executor to take a dispatch. */
const timeLimit = 15_000;

/** What one request says. */
export interface Call {
  readonly method: 'GET' | 'POST';
  /** Below the URL of Callboard, without a slash in front: `api/v1/executors`. */
  readonly path: string;
  readonly body?: object;
}

/**
 * Sends one request.
 *
 * @param base The URL of Callboard, with a slash at its end.
 * @param answer What the body of a 2xx answer must be: `v.unknown()` where it does not matter.
 * @returns The body of the answer; undefined where it has none.
 * @throws CommandError with one line for every other ending: no answer, a refusal, an answer of another shape.
 */
export async function ask<T>(base: URL, call: Call, answer: v.GenericSchema<unknown, T>): Promise<T> {
  const { method, path } = call;
  const failed = (problem: string, cause?: unknown) =>
    new CommandError(FAILED, `${method} /${path}: ${problem}`, { cause });
  const { response, content } = await exchange(base, call);
  if (!response.ok) {
    const refusal = v.safeParse(errorBodySchema, content);
    throw failed(
      `${response.status}${refusal.success ? ` ${refusal.output.error} (${refusal.output.detail})` : ', not an answer of Callboard: is --url right?'}`,
    );
  }
  const result = v.safeParse(answer, content);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw failed(`${response.status}, but its answer is wrong at "${v.getDotPath(issue) ?? ''}": ${issue.message}`);
}

/** Sends the request and reads the answer; its content is undefined where it is not JSON. */
async function exchange(base: URL, { method, path, body }: Call) {
  try {
    const response = await fetch(new URL(path, base), {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.timeout(timeLimit),
    });
    return { response, content: parseJson(await response.text()) };
  } catch (error) {
    throw new Unreachable(base, error);
  }
}

/** Nothing answers at the URL. */
export class Unreachable extends CommandError {
  constructor(base: URL, cause: unknown) {
    super(
      FAILED,
      `nothing answers at ${base.href} (${reason(cause)}). Start it with callboard serve, or name another with --url.`,
      { cause },
    );
  }
}

/** The code of a failed fetch, such as ECONNREFUSED, or else its message. */
function reason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code;
  return messageOf(cause);
}

/** What a text says as JSON; undefined where it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
