/**
 * The HTTP routes, on Hono: it has no dependencies, its core can be read in one sitting, and an application is a
 * function from a request to a response, so that embedders can attach it to a server of their own, and a page, a
 * server-sent feed or an OpenAPI document can join it later.
 */
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
  type OperatorAction,
  parseDispatchPayload,
  parseHitlResponse,
} from '../contract/index.js';
import type { Inquiry } from '../registry/executor-actors.js';
import type { Supervisor } from '../registry/supervisor.js';
import type { Dispatcher } from './dispatch.js';

/** Bytes of a request's body. */
const MAX_BODY = 1024 * 1024;

/** What the routes are about. */
export interface AppParts {
  readonly supervisor: Supervisor<string>;
  readonly dispatcher: Dispatcher;
  readonly log: Logger;
  /** False from the moment the server is told to stop. */
  readonly isReady: () => boolean;
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
  executor_not_connected: "the mission's executor is not connected: try again when it is",
};

export function createApp({ supervisor, dispatcher, log, isReady }: AppParts): Hono {
  const app = new Hono();
  const { directory, identities } = supervisor;

  app.get('/healthz', (c) => c.json({ status: 'ok' }));
  app.get('/readyz', (c) => (isReady() ? c.json({ status: 'ready' }) : c.json({ status: 'stopping' }, 503)));
  app.get('/api/v1/schema', (c) => c.json(jsonSchema()));

  app.post('/api/v1/executors/register', async (c) => {
    const registered = supervisor.register(await readJson(c));
    if (!registered.ok) return refuse(registered.error, detailOf(registered.issues), registered.issues);
    if (registered.warning !== undefined) c.header('X-AIWG-Warning', registered.warning);
    return c.json(registered.response, 201);
  });

  app.get('/api/v1/executors', async (c) => {
    checkBearer(c, (token) => identities.ownerOf(token) !== undefined);
    const inquiries = [...directory.executors.keys()].map((executorId) => supervisor.summary(executorId)?.later());
    return c.json({ executors: (await Promise.all(inquiries)).flatMap((summary) => summary ?? []) });
  });

  app.get('/api/v1/executors/:id', async (c) => {
    checkBearer(c, (token) => identities.ownerOf(token) !== undefined);
    const summary = await supervisor.summary(c.req.param('id'))?.later();
    return summary
      ? c.json(summary)
      : refuse('executor_not_found', 'there is no such executor: it may have to register again');
  });

  app.delete('/api/v1/executors/:id', (c) => {
    const executorId = c.req.param('id');
    if (!directory.executors.has(executorId)) return refuse('executor_not_found', 'there is no such executor');
    const byExecutor = checkBearer(c, (token) => identities.matches(executorId, token));
    supervisor.deregister(executorId, byExecutor ? 'graceful_shutdown' : 'operator_deleted');
    return c.body(null, 204);
  });

  app.post('/api/v1/sessions/:id/dispatch', async (c) => {
    const parsed = parseDispatchPayload(await readJson(c));
    if (!parsed.ok) return refuse('invalid_payload', detailOf(parsed.issues), parsed.issues);
    const { status, body } = await dispatcher.dispatch(c.req.param('id'), parsed.payload);
    return c.json(body, status);
  });

  app.get('/api/v1/missions/:id', async (c) => {
    const status = await supervisor.missions.status(c.req.param('id'))?.later();
    if (status === undefined) return refuse('mission_not_found', 'there is no such mission');
    return c.body(status, 200, { 'content-type': 'application/json' });
  });

  app.post('/api/v1/missions/:id/hitl_response', async (c) => {
    const parsed = parseHitlResponse(await readJson(c));
    if (!parsed.ok) return refuse('invalid_payload', detailOf(parsed.issues), parsed.issues);
    const { hitl_id: hitlId, response } = parsed.payload;
    return accepted(c, supervisor.missions.respond(c.req.param('id'), hitlId, response));
  });

  for (const action of ['pause', 'resume', 'abort'] as const satisfies readonly OperatorAction[])
    app.post(`/api/v1/missions/:id/${action}`, (c) =>
      accepted(c, supervisor.missions.operate(c.req.param('id'), action)),
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
    if (error instanceof AskError) {
      log.warn({ error: error.message }, 'an actor did not answer');
      return errorResponse('unavailable', 'the part of the server that knows this is busy or restarting: try again');
    }
    log.error({ err: error }, 'a request failed');
    return errorResponse('internal_error', 'something went wrong here: the log says more');
  });
  return app;
}

/** Answers an operator's wish about a mission. */
async function accepted(c: Context<object, string>, inquiry: Inquiry<Outcome>): Promise<Response> {
  const outcome = await inquiry.later();
  if (!outcome.ok) throw new Refused(outcome.error, refusals[outcome.error]);
  return c.json({ mission_id: c.req.param('id'), state: outcome.state }, 202);
}

/** @returns whether a bearer was sent; throws if it was, and is wrong */
function checkBearer(c: Context, isRight: (token: string) => boolean): boolean {
  const header = c.req.header('authorization');
  if (header === undefined) return false;
  const token = /^Bearer +(\S+) *$/i.exec(header)?.[1];
  if (token === undefined || !isRight(token)) throw new Refused('token_invalid', 'the bearer token is not valid here');
  return true;
}

async function readJson(c: Context): Promise<unknown> {
  const type = c.req.header('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json') throw new Refused('unsupported_media_type', 'send application/json');
  const text = await readText(c);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Refused('invalid_json', error instanceof Error ? error.message : 'the body is not JSON');
  }
}

async function readText(c: Context): Promise<string> {
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
