/**
 * The rival: the executor contract served the plain way, everything on one event loop. One ws server on node:http,
 * `JSON.parse`, ajv over the whole published envelope, a Map of executors and a Map of missions, parsed events kept.
 * It does the contract's work for what the load generators send, and it is not slowed down anywhere on purpose.
 * Nothing is stored on disk, so registering costs it nothing.
 *
 * Run by itself: `node dist/bench/baseline.js --port 7400`.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { parseArgs } from 'node:util';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { type WebSocket, WebSocketServer } from 'ws';
import { applyEvent, type Envelope, type Mission, missionStatus, terminal } from './baseline-mission.js';
import { publishedSchema } from './published-schema.js';
import { StateChanges } from './state-changes.js';

interface RegisterPayload {
  executor_id: string;
  a2a_instance_id?: string;
  name: string;
  version: string;
  spec_version: string;
  transport_endpoints: { rest: string; ws: string; grpc?: string };
  capabilities: string[];
}

interface DispatchPayload {
  mission_id: string;
  long_running?: boolean;
  executor_filter?: { executor_id?: string | null; capabilities?: string[] };
}

interface Executor {
  registration: RegisterPayload;
  token: string;
  registeredAt: string;
  socket?: WebSocket;
  lastEventTs?: string;
  missions: Set<string>;
}

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '7400' },
    /** For the scenario `latency`. */
    'note-state-changes': { type: 'boolean', default: false },
  },
});
const changes = values['note-state-changes'] ? new StateChanges() : undefined;
const frameLimit = 1024 * 1024;
const dispatchTimeLimit = 10_000;
const ajv = new Ajv2020({ allErrors: true, strict: false });
formats.default(ajv);
ajv.addSchema(publishedSchema);
const definition = (name: string) => ({ $ref: `executor.aiwg.io/v1#/$defs/${name}` });
const isEnvelope = ajv.compile<Envelope>(definition('event_envelope'));
const isRegister = ajv.compile<RegisterPayload>(definition('register_payload'));
const isDispatch = ajv.compile<DispatchPayload>(definition('dispatch_payload'));

const executors = new Map<string, Executor>();
const missions = new Map<string, Mission>();

/** Takes one text frame of `executor`: parses, validates, and applies it to the executor's mission. */
function receive(executor: Executor, frame: string): void {
  let envelope: unknown;
  try {
    envelope = JSON.parse(frame);
  } catch {
    return;
  }
  if (!isEnvelope(envelope) || envelope.executor_id !== executor.registration.executor_id) return;
  executor.lastEventTs = envelope.ts;
  if (envelope.event === 'executor.resync') resync(executor, envelope);
  const mission = envelope.mission_id === undefined ? undefined : missions.get(envelope.mission_id);
  if (mission === undefined || mission.executorId !== envelope.executor_id) return;
  const before = mission.state;
  applyEvent(mission, envelope);
  if (mission.state !== before) changes?.note(mission.missionId, mission.state);
  if (terminal.has(mission.state)) executor.missions.delete(mission.missionId);
}

/** Every listed live mission of the executor runs again; those that were suspended are told so. */
function resync(executor: Executor, { data, executor_id, ts }: Envelope): void {
  const listed = Array.isArray(data?.owned_mission_ids) ? data.owned_mission_ids : [];
  for (const id of listed) {
    const mission = missions.get(id);
    if (mission === undefined || mission.executorId !== executor_id || terminal.has(mission.state)) continue;
    if (mission.state === 'suspended') {
      const resumed = { state: 'running', resumed_from: 'suspended' };
      executor.socket?.send(
        JSON.stringify({ event: 'mission.resumed', executor_id, mission_id: id, ts, data: resumed }),
      );
    }
    mission.state = 'running';
    mission.updatedAt = ts;
  }
}

/** Registers an executor, or updates it and answers its token once more. */
function register(payload: unknown, response: ServerResponse): void {
  if (!isRegister(payload)) {
    refuse(response, 400, 'invalid_payload', ajv.errorsText(isRegister.errors));
    return;
  }
  const known = executors.get(payload.executor_id);
  const executor: Executor = known ?? {
    registration: payload,
    token: randomBytes(32).toString('base64url'),
    registeredAt: new Date().toISOString(),
    missions: new Set(),
  };
  executor.registration = payload;
  executors.set(payload.executor_id, executor);
  const { token, registeredAt } = executor;
  answer(response, 201, { executor_id: payload.executor_id, token, registered_at: registeredAt });
}

/** Creates the mission, picks an executor that fits, forwards to it, and answers when it has accepted. */
async function dispatch(sessionId: string, payload: unknown, response: ServerResponse): Promise<void> {
  if (!isDispatch(payload)) return refuse(response, 400, 'invalid_payload', ajv.errorsText(isDispatch.errors));
  if (missions.has(payload.mission_id)) return refuse(response, 409, 'mission_exists', 'The mission is known already.');
  const executor = pick(payload);
  if (executor === undefined) return refuse(response, 503, 'no_executor_available', 'No connected executor fits.');
  const { executor_id, transport_endpoints } = executor.registration;
  const now = new Date().toISOString();
  const mission: Mission = {
    missionId: payload.mission_id,
    executorId: executor_id,
    state: 'queued',
    createdAt: now,
    updatedAt: now,
    recentEvents: [],
  };
  missions.set(mission.missionId, mission);
  executor.missions.add(mission.missionId);
  const forward = (path: string) =>
    fetch(`${transport_endpoints.rest}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${executor.token}` },
      body: JSON.stringify(payload),
      signal: AbortSignal.timeout(dispatchTimeLimit),
    });
  try {
    let reply = await forward(`/api/v1/sessions/${sessionId}/dispatch`);
    if (reply.status === 404) reply = await forward('/dispatch');
    await reply.arrayBuffer();
    if (!reply.ok) throw new Error(`The executor answered ${reply.status}.`);
  } catch (error) {
    mission.state = 'failed';
    mission.error = String(error);
    executor.missions.delete(mission.missionId);
    return refuse(response, 502, 'executor_unreachable', mission.error);
  }
  if (mission.state === 'queued') mission.state = 'assigned';
  answer(response, 202, { mission_id: mission.missionId, executor_id, status: 'assigned' });
}

/** The connected executor that fits with the fewest live missions; sandboxed ones first. */
function pick({ executor_filter = {}, long_running }: DispatchPayload): Executor | undefined {
  const needed = [...(executor_filter.capabilities ?? []), ...(long_running ? ['resumable'] : [])];
  const cost = ({ registration: { capabilities }, missions }: Executor): number => {
    const sandboxed = capabilities.includes('isolation:vm') || capabilities.includes('isolation:container');
    return missions.size + (sandboxed ? 0 : 1e9);
  };
  const fitting = [...executors.values()].filter(
    ({ socket, registration: { executor_id, capabilities } }) =>
      socket !== undefined &&
      (executor_filter.executor_id ?? executor_id) === executor_id &&
      needed.every((capability) => capabilities.includes(capability)),
  );
  return fitting.sort((a, b) => cost(a) - cost(b))[0];
}

function executorStatus({ registration, socket, lastEventTs, missions, registeredAt }: Executor): object {
  return {
    ...registration,
    connected: socket !== undefined,
    last_event_ts: lastEventTs,
    active_mission_count: missions.size,
    registered_at: registeredAt,
  };
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, error: string, detail: string): void {
  answer(response, status, { error, detail });
}

function deregister(id: string, response: ServerResponse): void {
  const executor = executors.get(id);
  if (executor === undefined) {
    refuse(response, 404, 'executor_not_found', 'No executor has this id.');
    return;
  }
  executors.delete(id);
  executor.socket?.close(1000, 'deregistered');
  response.writeHead(204).end();
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > frameLimit) throw new Error('The body is too large.');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString());
}

async function route(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? '/';
  if (changes?.answer(path, response)) return;
  const [, collection, id] = /^\/api\/v1\/(executors|missions|sessions)\/([^/]+)/.exec(path) ?? [];
  if (request.method === 'GET' && path === '/healthz') return answer(response, 200, { status: 'ok' });
  if (request.method === 'GET' && path === '/api/v1/executors')
    return answer(response, 200, { executors: [...executors.values()].map(executorStatus) });
  if (request.method === 'GET' && collection === 'missions') {
    const mission = missions.get(id ?? '');
    if (mission === undefined) return refuse(response, 404, 'mission_not_found', 'No mission has this id.');
    return answer(response, 200, missionStatus(mission));
  }
  if (request.method === 'DELETE' && collection === 'executors') return deregister(id ?? '', response);
  if (request.method === 'POST' && path === '/api/v1/executors/register')
    return register(await readJson(request), response);
  if (request.method === 'POST' && collection === 'sessions' && path.endsWith('/dispatch'))
    return dispatch(id ?? '', await readJson(request), response);
  refuse(response, 404, 'not_found', 'No such route.');
}

const server = createServer((request, response) => {
  route(request, response).catch((error: unknown) => refuse(response, 400, 'invalid_json', String(error)));
});
const sockets = new WebSocketServer({ noServer: true, maxPayload: frameLimit });

server.on('upgrade', (request, socket, head) => {
  const url = new URL(request.url ?? '/', 'http://baseline');
  const executor = executors.get(/^\/ws\/executors\/([^/]+)$/.exec(url.pathname)?.[1] ?? '');
  sockets.handleUpgrade(request, socket, head, (webSocket) => {
    webSocket.on('error', () => webSocket.terminate());
    if (executor === undefined || url.searchParams.get('token') !== executor.token) {
      webSocket.close(4001, 'token_invalid');
      return;
    }
    executor.socket?.close(4002, 'replaced');
    executor.socket = webSocket;
    webSocket.on('message', (frame, isBinary) => {
      if (!isBinary) receive(executor, frame.toString());
    });
    webSocket.on('close', () => {
      if (executor.socket === webSocket) delete executor.socket;
    });
  });
});

server.listen(Number(values.port), '127.0.0.1', () => console.log(`baseline listens on 127.0.0.1:${values.port}`));
process.once('SIGTERM', () => process.exit(0));
