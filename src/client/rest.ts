/** What an executor asks Callboard over REST. */
import {
  isUnknownMission,
  MAX_SIZE,
  parseJson,
  questionsOf,
  type RecordedMission,
  recordedOf,
  refusalOf,
  tokenOf,
} from './checks.js';
import { RegistrationError } from './errors.js';

/** Milliseconds for an answer. */
const TIME_LIMIT = 10_000;
/** Bytes of a mission with its 50 newest events, each of which may fill a frame. */
const MAX_MISSION = 52 * MAX_SIZE;
/** Questions of a page: as many as fit into the same, however long they are. */
const PAGE = 50;
/** Statuses below 500 that do not say that asking was wrong. */
const TEMPORARY = [408, 429];

export class Rest {
  /** Of Callboard, as it was given. */
  readonly url: string;
  readonly #base: URL;

  constructor(url: string) {
    this.url = url;
    this.#base = new URL(url.endsWith('/') ? url : `${url}/`);
  }

  /** The URL of the executor's WebSocket. */
  socketUrl(executorId: string, token: string): URL {
    const url = new URL(`ws/executors/${executorId}`, this.#base);
    url.protocol = url.protocol.replace('http', 'ws');
    url.searchParams.set('token', token);
    return url;
  }

  /** @returns the token @throws RegistrationError if it is refused for good; any other error is worth another attempt */
  async register(body: object, signal: AbortSignal): Promise<string> {
    const { status, content } = await this.#ask('POST', 'api/v1/executors/register', signal, { body });
    if (status >= 400 && status < 500 && !TEMPORARY.includes(status))
      throw new RegistrationError(status, `Callboard refuses the registration: ${status} ${refusalOf(content)}`);
    const token = tokenOf(content);
    if (status !== 201 || token === undefined) throw new Error(`it answered ${status} ${refusalOf(content)}`);
    return token;
  }

  /** @returns whether it was registered */
  async deregister(executorId: string, token: string, signal: AbortSignal): Promise<boolean> {
    const { status, content } = await this.#ask('DELETE', `api/v1/executors/${executorId}`, signal, { token });
    if (status !== 204 && status !== 404) throw new Error(`it answered ${status} ${refusalOf(content)}`);
    return status === 204;
  }

  /** What it has of a mission; undefined: Callboard does not know it. */
  async mission(missionId: string, signal: AbortSignal): Promise<RecordedMission | undefined> {
    const path = `api/v1/missions/${encodeURIComponent(missionId)}`;
    const { status, content } = await this.#ask('GET', path, signal, { limit: MAX_MISSION });
    if (isUnknownMission(status, content)) return undefined;
    const recorded = recordedOf(content);
    if (status !== 200 || recorded === undefined) throw new Error(`it answered ${status} ${refusalOf(content)}`);
    return recorded;
  }

  /** Which of these questions of an executor are open; none, with a Callboard that does not list them. */
  async openQuestions(executorId: string, ids: ReadonlySet<string>, signal: AbortSignal): Promise<Set<string>> {
    const open = new Set<string>();
    let filter = `&executor_id=${executorId}`;
    for (let next: string | undefined = ''; next !== undefined && open.size < ids.size; ) {
      const path = `api/v1/hitl?limit=${PAGE}${filter}${next && `&cursor=${encodeURIComponent(next)}`}`;
      const { status, content } = await this.#ask('GET', path, signal, { limit: MAX_MISSION });
      if (status === 404) break;
      if (status === 400 && filter !== '') {
        // It lists everybody's only.
        filter = '';
        continue;
      }
      const page = questionsOf(content);
      if (status !== 200 || page === undefined) throw new Error(`it answered ${status} ${refusalOf(content)}`);
      for (const id of page.ids) if (ids.has(id)) open.add(id);
      next = page.next;
    }
    return open;
  }

  async #ask(
    method: string,
    path: string,
    signal: AbortSignal,
    { body, token, limit = MAX_SIZE }: { body?: object; token?: string; limit?: number },
  ) {
    const response = await fetch(new URL(path, this.#base), {
      method,
      headers: {
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIME_LIMIT)]),
    });
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of response.body ?? []) {
      size += chunk.length;
      if (size > limit) throw new RangeError(`its answer has more than ${limit} bytes`);
      chunks.push(chunk);
    }
    return { status: response.status, content: parseJson(Buffer.concat(chunks).toString()) };
  }
}
