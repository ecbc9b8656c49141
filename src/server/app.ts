/**
 * The HTTP routes, on Hono: it has no dependencies, its core can be read in one sitting, and an application is a
 * function from a request to a response, so that embedders can attach it to a server of their own, and a page, a
 * server-sent feed or an OpenAPI document can join it later.
 */
import type { BlockList } from 'node:net';
import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import type { Logger } from 'pino';
import type { Outcome } from '../../actors/mission.js';
import { AskError } from '../actor/index.js';
import {
  type ErrorBody,
  type ErrorCode,
  errorStatus,
  type Issue,
  jsonSchema,
  MAX_FRAME,
  type OperatorAction,
  parseDispatchPayload,
  parseEventsQuery,
  parseHitlResponse,
  parseMissionsQuery,
  parseQuestionsQuery,
} from '../contract/index.js';
import type { Inquiry } from '../registry/executor-actors.js';
import type { Supervisor } from '../registry/supervisor.js';
import { StorageError } from '../store/storage-error.js';
import { isLocal } from './addresses.js';
import type { Dispatcher } from './dispatch.js';
import { METRICS_TYPE, metricsText } from './metrics.js';
import { Sampler } from './sampler.js';
import type { Upgrades } from './upgrade.js';

/** Bytes of a request's body. */
const MAX_BODY = 1024 * 1024;

/** What the routes are about. */
export interface AppParts {
  readonly supervisor: Supervisor<string>;
  readonly dispatcher: Dispatcher;
  readonly upgrades: Pick<Upgrades, 'rotate'>;
  /** The proxies whose `X-Forwarded-For` is believed. */
  readonly trusted: BlockList;
  readonly log: Logger;
  /** False from the moment the server is told to stop. */
  readonly isReady: () => boolean;
}

/** Hono is run by `@hono/node-server`, which hands on Node's own request and response. */
interface Node {
  Bindings: HttpBindings;
}

/** A request that is answered with an error of the contract. */
class Refused extends Error {
  readonly code: ErrorCode;
  readonly issues: readonly Issue[] | undefined;

  constructor(code: ErrorCode, detail: string, issues?: readonly Issue[]) {
    super(detail);
    this.code = code;
    this.issues = issues;
  }
}

/** What an outcome's error means in words. */
const refusals: Record<Extract<Outcome, { ok: false }>['error'], string> = {
  mission_not_found: 'there is no such mission',
  mission_terminal: 'the mission is over',
  invalid_transition: 'the mission is in a state from which this is not possible',
  hitl_not_pending: 'the mission does not wait for an answer to this question',
  hitl_expired: 'the time for an answer to this question is over',
  payload_too_large: `the event that would bring the executor this answer has more than the ${MAX_FRAME} bytes of a frame`,
  executor_not_connected: "the mission's executor is not connected: try again when it is",
};

export function createApp({ supervisor, dispatcher, upgrades, trusted, log, isReady }: AppParts): Hono<Node> {
  const app = new Hono<Node>();
  const { directory, identities } = supervisor;
  const sampler = new Sampler();

  app.get('/healthz', (c) => json(c, { status: 'ok' }));
  app.get('/readyz', (c) => {
    if (!isReady()) return json(c, { status: 'stopping' }, 503);
    const trouble = supervisor.store?.trouble;
    if (trouble !== undefined) return json(c, { status: 'storage_unavailable', detail: trouble.message }, 503);
    return json(c, { status: 'ready' });
  });
  app.get('/metrics', (c) => c.body(metricsText(supervisor, isReady()), 200, { 'content-type': METRICS_TYPE }));
  app.get('/api/v1/schema', (c) => json(c, jsonSchema()));

  app.post('/api/v1/executors/register', async (c) => {
    const body = await readJson(c);
    supervisor.store?.check();
    const local = isLocal(c.env.incoming, trusted);
    const registered = supervisor.register(body, local);
    if (!registered.ok) return refuse(registered.error, detailOf(registered.issues), registered.issues);
    const { response, warnings, rotated } = registered;
    const executorId = response.executor_id;
    const warning = warnings.join('; ');
    if (rotated) upgrades.rotate(executorId);
    if (warning !== '' && sampler.admits('warned'))
      log.warn({ executorId, warning }, 'an executor registered with a warning');
    await supervisor.kept();
    // That a token from before is worth nothing is in the identities' file only.
    if (!local)
      await identities
        .kept(executorId)
        .catch(() => refuse('storage_unavailable', 'the token cannot be kept: register again later'));
    supervisor.warned(executorId);
    return json(c, response, 201, warning === '' ? {} : { 'x-aiwg-warning': warning });
  });

  app.get('/api/v1/executors', async (c) => {
    checkBearer(c, (token) => identities.ownerOf(token) !== undefined);
    const inquiries = [...directory.executors.keys()].map((executorId) => supervisor.summary(executorId)?.later());
    return json(c, { executors: (await Promise.all(inquiries)).flatMap((summary) => summary ?? []) });
  });

  app.get('/api/v1/executors/:id', async (c) => {
    checkBearer(c, (token) => identities.ownerOf(token) !== undefined);
    const summary = await supervisor.summary(c.req.param('id'))?.later();
    return summary
      ? json(c, summary)
      : refuse('executor_not_found', 'there is no such executor: it may have to register again');
  });

  app.delete('/api/v1/executors/:id', async (c) => {
    const executorId = c.req.param('id');
    if (!directory.executors.has(executorId)) return refuse('executor_not_found', 'there is no such executor');
    const byExecutor = checkBearer(c, (token) => identities.matches(executorId, token));
    supervisor.deregister(executorId, byExecutor ? 'graceful_shutdown' : 'operator_deleted');
    await supervisor.kept();
    return c.body(null, 204);
  });

  app.post('/api/v1/sessions/:id/dispatch', async (c) => {
    const parsed = parseDispatchPayload(await readJson(c));
    if (!parsed.ok) return refuse('invalid_payload', detailOf(parsed.issues), parsed.issues);
    const { status, body } = await dispatcher.dispatch(c.req.param('id'), parsed.payload);
    return json(c, body, status);
  });

  app.get('/api/v1/missions', async (c) => {
    const parsed = parseMissionsQuery(c.req.query());
    if (!parsed.ok) return refuse('invalid_payload', detailOf(parsed.issues), parsed.issues);
    const page = await supervisor.missions.list(parsed.query);
    if (page === undefined)
      return refuse('invalid_payload', 'missions can be listed by session only where they are kept');
    const missions = `[${page.missions.join(',')}]`;
    return send(c, `{"missions":${missions}${page.next === undefined ? '' : `,"next_cursor":"${page.next}"`}}`);
  });

  app.get('/api/v1/missions/:id/events', async (c) => {
    const parsed = parseEventsQuery(c.req.query());
    if (!parsed.ok) return refuse('invalid_payload', detailOf(parsed.issues), parsed.issues);
    const { after, limit } = parsed.query;
    const page = await supervisor.missions.history(c.req.param('id'), after, limit);
    if (page === undefined) return refuse('mission_not_found', 'there is no such mission');
    const next = page.next === undefined ? '' : `,"next_after":${page.next}`;
    return send(c, `{"mission_id":${JSON.stringify(c.req.param('id'))},"events":[${page.texts.join(',')}]${next}}`);
  });

  app.get('/api/v1/missions/:id', async (c) => {
    const status = await supervisor.missions.status(c.req.param('id'));
    if (status === undefined) return refuse('mission_not_found', 'there is no such mission');
    return send(c, status);
  });

  app.post('/api/v1/missions/:id/hitl_response', async (c) => {
    const parsed = parseHitlResponse(await readJson(c));
    if (!parsed.ok) return refuse('invalid_payload', detailOf(parsed.issues), parsed.issues);
    const { hitl_id: hitlId, response } = parsed.payload;
    return accepted(c, supervisor, supervisor.missions.respond(c.req.param('id'), hitlId, response));
  });

  app.get('/api/v1/hitl', async (c) => {
    const parsed = parseQuestionsQuery(c.req.query());
    if (!parsed.ok) return refuse('invalid_payload', detailOf(parsed.issues), parsed.issues);
    const { questions, unread, next } = await supervisor.questionPages.read(parsed.query);
    return json(c, {
      questions,
      ...(unread.length > 0 && { unread }),
      ...(next && { next_cursor: `${next.at}-${next.number}` }),
    });
  });

  for (const action of ['pause', 'resume', 'abort'] as const satisfies readonly OperatorAction[])
    app.post(`/api/v1/missions/:id/${action}`, (c) =>
      accepted(c, supervisor, supervisor.missions.operate(c.req.param('id'), action)),
    );

  // A known path with another method.
  for (const path of new Set(app.routes.filter(({ method }) => method !== 'ALL').map((route) => route.path)))
    app.all(path, (c) => {
      const methods = app.routes.flatMap(({ path: known, method }) =>
        known === path && method !== 'ALL' ? method : [],
      );
      const response = errorResponse('method_not_allowed', `${c.req.path} does not know ${c.req.method}`);
      response.headers.set('Allow', methods.join(', ').replace('GET', 'GET, HEAD'));
      return response;
    });

  app.notFound((c) => errorResponse('not_found', `there is nothing at ${c.req.path}`));
  app.onError((error) => {
    if (error instanceof Refused) return errorResponse(error.code, error.message, error.issues);
    if (error instanceof StorageError) return errorResponse('storage_unavailable', storageDetail(error));
    if (error instanceof AskError) {
      log.warn({ error: error.message }, 'an actor did not answer');
      return errorResponse('unavailable', 'the part of the server that knows this is busy or restarting: try again');
    }
    log.error({ err: error }, 'a request failed');
    return errorResponse('internal_error', 'something went wrong here: the log says more');
  });
  return app;
}

/**
 * Answers with JSON text, straight by Node's response: a web `Response` on the way there costs as much as the rest of a
 * small GET. Errors, which are rare, take that way.
 */
function send(c: Context<Node>, text: string, status = 200, headers: Readonly<Record<string, string>> = {}): Response {
  const length = Buffer.byteLength(text);
  c.env.outgoing.writeHead(status, { 'content-type': 'application/json', 'content-length': length, ...headers });
  c.env.outgoing.end(text);
  return RESPONSE_ALREADY_SENT;
}

const json = (c: Context<Node>, body: object, status?: number, headers?: Readonly<Record<string, string>>): Response =>
  send(c, JSON.stringify(body), status, headers);

/** Answers an operator's wish about a mission. */
async function accepted(
  c: Context<Node, string>,
  supervisor: Supervisor<string>,
  inquiry: Inquiry<Outcome>,
): Promise<Response> {
  const outcome = await inquiry.later();
  if (!outcome.ok) throw new Refused(outcome.error, refusals[outcome.error]);
  await supervisor.kept();
  return json(c, { mission_id: c.req.param('id'), state: outcome.state }, 202);
}

const storageDetail = ({ message }: StorageError): string =>
  `${message} What was asked may have been done, and hold until a restart and no longer: when /readyz says "ready", see what became of it`;

/** @returns whether a bearer was sent; throws if it was, and is wrong */
function checkBearer(c: Context<Node>, isRight: (token: string) => boolean): boolean {
  const header = c.req.header('authorization');
  if (header === undefined) return false;
  const token = /^Bearer +(\S+) *$/i.exec(header)?.[1];
  if (token === undefined || !isRight(token)) throw new Refused('token_invalid', 'the bearer token is not valid here');
  return true;
}

async function readJson(c: Context<Node>): Promise<unknown> {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') throw new Refused('unsupported_media_type', 'send application/json');
  const text = await readText(c);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Refused('invalid_json', error instanceof Error ? error.message : 'the body is not JSON');
  }
}

async function readText(c: Context<Node>): Promise<string> {
  let size = Number(c.req.header('content-length') ?? 0);
  const chunks: Uint8Array[] = [];
  // Nothing is read of a body that says it is too large; one that does not say is counted.
  if (size <= MAX_BODY) {
    size = 0;
    try {
      for await (const chunk of c.req.raw.body ?? []) {
        size += chunk.length;
        if (size > MAX_BODY) break;
        chunks.push(chunk);
      }
    } catch {
      throw new Refused('invalid_payload', 'the body did not arrive whole');
    }
  }
  if (size > MAX_BODY) throw new Refused('payload_too_large', `a body may have ${MAX_BODY} bytes`);
  return Buffer.concat(chunks).toString();
}

const detailOf = (issues: readonly Issue[]): string =>
  issues.map(({ path, message }) => (path === '' ? message : `${path} ${message}`)).join('; ');

function refuse(code: ErrorCode, detail: string, issues?: readonly Issue[]): never {
  throw new Refused(code, detail, issues);
}

/** The answer that every error gets. */
export function errorResponse(code: ErrorCode, detail: string, issues?: readonly Issue[]): Response {
  const body: ErrorBody = { error: code, detail, ...(issues && { issues: [...issues] }) };
  return Response.json(body, { status: errorStatus[code] });
}
