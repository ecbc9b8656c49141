/**
 * Executors for the load generator: registered over REST, connected over WebSockets, and accepting whatever is dispatched.
 */
import { randomUUID } from 'node:crypto';
import { type Agent, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import * as v from 'valibot';
import { WebSocket } from 'ws';
import { send, sendExpecting } from './http-client.js';

/** One executor with its connection open. */
export interface Executor {
  id: string;
  token: string;
  /** The TCP socket below the WebSocket: pre-encoded frames go straight to it. ws still answers the server's pings. */
  socket: Socket;
  /** Aborted when the connection ends, with the reason. */
  closed: AbortSignal;
  close(): void;
}

const connectTimeLimit = 30_000;
const registered = v.object({ token: v.string() });
const listed = v.object({ executors: v.array(v.object({ executor_id: v.string(), connected: v.boolean() })) });

/** Runs `work` over all items, at most 16 at a time, and returns the results in the items' order. */
export async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const entries = items.entries();
  const worker = async () => {
    for (const [index, item] of entries) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return results;
}

/**
 * Registers and connects `count` executors at the server `url`, and waits until it lists every one as connected.
 *
 * @returns the executors, and `close`, which disconnects and deregisters them
 */
export async function connectExecutors(
  agent: Agent,
  url: URL,
  count: number,
): Promise<{ executors: Executor[]; close(): Promise<void> }> {
  const receiver = await startDispatchReceiver();
  const executors = await inParallel(Array.from({ length: count }), () => connectOne(agent, url, receiver.port));
  await allListed(agent, url, executors);
  return {
    executors,
    async close() {
      for (const executor of executors) executor.close();
      await inParallel(executors, ({ id, token }) =>
        send(agent, 'DELETE', new URL(`/api/v1/executors/${id}`, url), undefined, token),
      );
      receiver.close();
    },
  };
}

/** The executors' own REST endpoint: answers 202 to every dispatch. */
async function startDispatchReceiver(): Promise<{ port: number; close(): void }> {
  const server = createServer((request, response) => {
    request.resume();
    const isDispatch = request.method === 'POST' && request.url?.endsWith('/dispatch');
    request.on('end', () => {
      response.writeHead(isDispatch ? 202 : 404, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: portOf(server.address()),
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The port of a listening TCP server's address. */
export function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('The server does not listen on a TCP port.');
  return address.port;
}

async function connectOne(agent: Agent, url: URL, receiverPort: number): Promise<Executor> {
  const id = randomUUID();
  const reply = await sendExpecting(201, agent, 'POST', new URL('/api/v1/executors/register', url), {
    executor_id: id,
    name: `bench-${id.slice(0, 8)}`,
    version: '1.0.0',
    spec_version: '1.0.0',
    transport_endpoints: { rest: `http://127.0.0.1:${receiverPort}`, ws: `ws://127.0.0.1:${receiverPort}` },
    capabilities: ['isolation:none', 'runtime:codex'],
  });
  const { token } = v.parse(registered, reply);
  const address = new URL(`/ws/executors/${id}?token=${encodeURIComponent(token)}`, url);
  address.protocol = 'ws:';
  const webSocket = new WebSocket(address, { perMessageDeflate: false });
  const closed = new AbortController();
  const socket = await new Promise<Socket>((resolve, reject) => {
    webSocket.once('upgrade', (response) => resolve(response.socket));
    webSocket.on('error', (error) => {
      reject(error);
      closed.abort(error);
    });
  });
  webSocket.on('close', (code, reason) => closed.abort(new Error(`The server closed a connection: ${code} ${reason}`)));
  return { id, token, socket, closed: closed.signal, close: () => webSocket.close(1000) };
}

/** A server may see a connection a little after its client does, and dispatches only to those it sees. */
async function allListed(agent: Agent, url: URL, executors: Executor[]): Promise<void> {
  const deadline = Date.now() + connectTimeLimit;
  const waiting = new Set(executors.map(({ id }) => id));
  for (;;) {
    const list = v.parse(listed, await sendExpecting(200, agent, 'GET', new URL('/api/v1/executors', url)));
    for (const { executor_id, connected } of list.executors) if (connected) waiting.delete(executor_id);
    if (waiting.size === 0) return;
    for (const { closed } of executors) closed.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`${waiting.size} executors are still not listed as connected.`);
    await delay(10);
  }
}
