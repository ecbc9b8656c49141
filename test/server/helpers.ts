/** A server, executors and operators over real sockets, for the tests of this folder. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import * as v from 'valibot';
import { WebSocket } from 'ws';
import { errorBodySchema, errorStatus, missionStatusResponseSchema } from '#src/contract/index.js';
import { type CallboardServer, createServer, type ServerOptions } from '#src/server/index.js';

/** A test, or a whole file of them: what is to be cleaned up after it. */
export interface Scope {
  after(clean: () => unknown): void;
}

/** A server, be it in this process or in another one. */
export type Served = Pick<CallboardServer, 'url'>;

/** Waits until `look` gives something, without a timer of its own choosing what is soon enough. */
export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  patience = 30_000,
): Promise<T> {
  for (const deadline = Date.now() + patience; ; ) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    assert.ok(Date.now() < deadline, `it never came to be: ${look}`);
    // Not at once: what is waited for needs the processor.
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** A server on a free port, with an identity file of its own; it ends with the test. */
export async function serve(t: Scope, options: Partial<ServerOptions> = {}): Promise<CallboardServer> {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-server-'));
  process.env.AIWG_EXECUTOR_IDENTITY_STORE = join(folder, 'identities.json');
  const server = await createServer({ port: 0, threads: 1, log: pino({ level: 'silent' }), ...options });
  t.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  // The file is named when it is first needed, and other servers of this process come after.
  server.registry.supervisor.identities.matches(randomUUID(), 'x');
  await server.listen();
  return server;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

export async function send(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}

export const post = (url: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> =>
  send(url, {
    method: 'POST',
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    headers: { 'content-type': 'application/json', ...headers },
  });

/** That an answer is this error of the contract, in the contract's shape. @returns its body */
export function assertError(answer: Answer, code: keyof typeof errorStatus): v.InferOutput<typeof errorBodySchema> {
  const body = v.parse(errorBodySchema, answer.body);
  assert.deepEqual([answer.status, body.error], [errorStatus[code], code], body.detail);
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/);
  return body;
}

export const registration = (executorId: string, more: Record<string, unknown> = {}) => ({
  executor_id: executorId,
  name: 'test',
  version: '1.2.3',
  spec_version: '1.0.0',
  transport_endpoints: { rest: 'http://127.0.0.1:9', ws: 'ws://127.0.0.1:9' },
  capabilities: [],
  ...more,
});

const registered = v.object({ token: v.string() });

/** Registers an executor. @returns its token */
export async function register(
  server: Served,
  executorId: string,
  more: Record<string, unknown> = {},
): Promise<string> {
  const { status, body } = await post(`${server.url}/api/v1/executors/register`, registration(executorId, more));
  assert.equal(status, 201);
  return v.parse(registered, body).token;
}

export const socketUrl = (server: Served, executorId: string, token: string): string =>
  `${server.url.replace('http', 'ws')}/ws/executors/${executorId}?token=${token}`;

/** An event, as the text of its frame. */
export const envelope = (
  executor_id: string,
  event: string,
  mission_id: string | undefined,
  data?: Record<string, unknown>,
): string => JSON.stringify({ event, executor_id, mission_id, ts: new Date().toISOString(), data });

/** An executor with a WebSocket. */
export class Executor {
  readonly executorId: string;
  readonly token: string;
  readonly ws: WebSocket;
  /** What it was sent. */
  readonly received: Record<string, unknown>[] = [];
  /** How its socket closed. */
  readonly closed: Promise<{ code: number; reason: string }>;

  constructor(executorId: string, token: string, ws: WebSocket) {
    this.executorId = executorId;
    this.token = token;
    this.ws = ws;
    ws.on('error', () => undefined);
    ws.on('message', (data) => this.received.push(JSON.parse(String(data))));
    this.closed = once(ws, 'close').then(([code, reason]) => ({ code, reason: String(reason) }));
  }

  event(event: string, missionId: string | undefined, data?: Record<string, unknown>): void {
    this.ws.send(envelope(this.executorId, event, missionId, data));
  }
}

/** Connects an executor that is registered. */
export async function dial(t: Scope, server: Served, executorId: string, token: string): Promise<Executor> {
  const executor = new Executor(executorId, token, new WebSocket(socketUrl(server, executorId, token)));
  t.after(() => executor.ws.terminate());
  await once(executor.ws, 'open');
  return executor;
}

/** Registers and connects an executor. */
export async function executor(
  t: Scope,
  server: Served,
  more: Record<string, unknown> = {},
  executorId: string = randomUUID(),
): Promise<Executor> {
  return dial(t, server, executorId, await register(server, executorId, more));
}

/** A connected executor that lives on this thread: new ones are registered until one does. */
export async function executorOn(t: Scope, server: CallboardServer, thread: number): Promise<Executor> {
  for (;;) {
    const executorId = randomUUID();
    const token = await register(server, executorId);
    if (server.registry.supervisor.threadOf(executorId) === thread) return dial(t, server, executorId, token);
  }
}

/** A mission by its id, held against the published shape. */
export async function mission(
  server: Served,
  missionId: string,
): Promise<v.InferOutput<typeof missionStatusResponseSchema>> {
  const { status, body } = await send(`${server.url}/api/v1/missions/${encodeURIComponent(missionId)}`);
  assert.equal(status, 200);
  return v.parse(missionStatusResponseSchema, body);
}

/** Waits until a mission is in a state. */
export async function inState(server: Served, missionId: string, state: string): Promise<void> {
  await until(async () => (await mission(server, missionId)).state === state);
}

/** The HTTP side of an executor. @returns its URL */
export async function endpoint(
  t: Scope,
  answer: (request: IncomingMessage, response: ServerResponse, body: string) => void,
): Promise<string> {
  const http = createHttpServer(async (request, response) => {
    // Not what Callboard was killed in the middle of, nor what dials whoever had this port before.
    const body = request.method === 'POST' ? await text(request).catch(() => undefined) : undefined;
    if (body === undefined) response.writeHead(404).end();
    else answer(request, response, body);
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  t.after(() => {
    http.closeAllConnections();
    http.close();
  });
  const address = http.address();
  assert.ok(address !== null && typeof address === 'object');
  return `http://127.0.0.1:${address.port}`;
}

/** A bare TCP connection to the server, and all that comes back on it. */
export class Raw {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  readonly closed: Promise<unknown>;

  constructor(t: Scope, server: CallboardServer) {
    this.socket = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1' });
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
    t.after(() => this.socket.destroy());
  }

  get text(): string {
    return this.#received.toString('latin1');
  }

  get bytes(): Buffer {
    return this.#received;
  }

  write(...parts: (string | Buffer)[]): void {
    this.socket.write(Buffer.concat(parts.map((part) => Buffer.from(part))));
  }

  /** Waits for something to have come, and returns what it is and what follows. */
  async match(pattern: RegExp): Promise<string> {
    return until(() => pattern.test(this.text) && this.text);
  }
}

/** The upgrade request of an executor, as bytes. */
export const upgrade = (path: string, headers: Record<string, string> = {}): string => {
  const all = {
    Host: 'callboard',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
};

/** A frame as a client sends it, masked with zeros (RFC 6455, section 5.2). */
export function frame(payload: string | Buffer, opcode = 0x1, final = true): Buffer {
  const bytes = Buffer.from(payload);
  const head = [opcode | (final ? 0x80 : 0)];
  if (bytes.length < 126) head.push(0x80 | bytes.length);
  else if (bytes.length < 65_536) head.push(0x80 | 126, bytes.length >> 8, bytes.length & 255);
  else head.push(0x80 | 127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((shift) => (bytes.length >> shift) & 255));
  return Buffer.concat([Buffer.from([...head, 0, 0, 0, 0]), bytes]);
}
