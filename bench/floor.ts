/**
 * The floor under ingest: `ws` decodes the frames on one event loop, and nothing is done with them but to count them; with
 * `--validate` they are parsed and held against the contract first. It speaks just enough of the contract for
 * bench/flood-client.ts: executors register, are listed and leave; missions are dispatched, not forwarded, and never change.
 * `GET /bench/frames` says how many frames of each executor have arrived.
 *
 * Run by itself: `node dist/bench/floor.js --port 7401`.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { parseEvent } from '../src/contract/index.js';

interface Executor {
  token: string;
  socket?: WebSocket;
  frames: number;
}

const registration = v.object({ executor_id: v.string() });
const dispatch = v.object({
  mission_id: v.string(),
  executor_filter: v.object({ executor_id: v.string() }),
});

const { values: flags } = parseArgs({
  options: { port: { type: 'string', default: '7401' }, validate: { type: 'boolean', default: false } },
});

const executors = new Map<string, Executor>();
/** The executor of each mission. */
const missions = new Map<string, string>();

type Answer = [status: number, body?: object];
const notFound: Answer = [404, { error: 'not_found', detail: 'There is no such thing.' }];

function register(body: unknown): Answer {
  const { executor_id } = v.parse(registration, body);
  const token = randomBytes(32).toString('base64url');
  executors.set(executor_id, { token, frames: 0 });
  return [201, { executor_id, token, registered_at: new Date().toISOString() }];
}

function list(): Answer {
  const all = Array.from(executors, ([executor_id, { socket }]) => ({
    executor_id,
    connected: socket !== undefined,
    active_mission_count: 0,
  }));
  return [200, { executors: all }];
}

function deregister(id: string): Answer {
  executors.get(id)?.socket?.close(1000);
  return executors.delete(id) ? [204] : notFound;
}

function take(body: unknown): Answer {
  const { mission_id, executor_filter } = v.parse(dispatch, body);
  missions.set(mission_id, executor_filter.executor_id);
  return [202, { mission_id, ...executor_filter, status: 'assigned' }];
}

function mission(id: string): Answer {
  const executor_id = missions.get(id);
  if (executor_id === undefined) return notFound;
  return [200, { mission_id: id, executor_id, state: 'assigned', recent_events: [] }];
}

async function route(request: IncomingMessage): Promise<Answer> {
  const { method, url: path = '/' } = request;
  const id = path.split('/')[4] ?? '';
  if (method === 'GET' && path === '/healthz') return [200, { status: 'ok' }];
  if (method === 'GET' && path === '/api/v1/executors') return list();
  if (method === 'GET' && path.startsWith('/api/v1/missions/')) return mission(id);
  if (method === 'DELETE' && path.startsWith('/api/v1/executors/')) return deregister(id);
  if (method === 'GET' && path === '/bench/frames') {
    return [200, { frames: Object.fromEntries(Array.from(executors, ([id, { frames }]) => [id, frames])) }];
  }
  if (method !== 'POST') return notFound;
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  const body: unknown = JSON.parse(text);
  if (path === '/api/v1/executors/register') return register(body);
  return path.endsWith('/dispatch') ? take(body) : notFound;
}

const isValid = (data: RawData): boolean => parseEvent(JSON.parse(data.toString())).ok;

const server = createServer(async (request, response) => {
  const [status, body] = await route(request).catch((error: unknown): Answer => {
    return [400, { error: 'invalid_payload', detail: String(error) }];
  });
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(body === undefined ? undefined : JSON.stringify(body));
});
const sockets = new WebSocketServer({ noServer: true });

server.on('upgrade', (request, socket, head) => {
  const executor = executors.get(/^\/ws\/executors\/([^/?]+)/.exec(request.url ?? '')?.[1] ?? '');
  if (executor === undefined) {
    socket.destroy();
    return;
  }
  sockets.handleUpgrade(request, socket, head, (webSocket) => {
    executor.socket = webSocket;
    webSocket.on('message', (data) => {
      if (!flags.validate || isValid(data)) executor.frames++;
    });
  });
});

server.listen(Number(flags.port), '127.0.0.1', () => console.log(`the floor listens on 127.0.0.1:${flags.port}`));
process.once('SIGTERM', () => process.exit(0));
