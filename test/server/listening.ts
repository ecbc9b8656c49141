/** Executors that only listen, written with nothing but node:http and ws, for the tests of this folder. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { Executor, type Scope } from './helpers.js';

/** What becomes of an upgrade request. */
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

export interface Listening {
  /** `127.0.0.1:port`. */
  readonly address: string;
  /** The paths of the upgrade requests that came. */
  readonly dialled: string[];
  /** The connections that came of them. */
  readonly connections: Executor[];
  /** The first of these. */
  readonly connected: Promise<Executor>;
  /** The dispatches that it was sent. */
  readonly dispatched: { readonly mission_id: string }[];
}

export const endpointsOf = ({ address }: Pick<Listening, 'address'>, scheme = '') => ({
  transport_endpoints: { rest: `http${scheme}://${address}`, ws: `ws${scheme}://${address}` },
});

/**
 * An executor that listens.
 * @param onConnected what it does as soon as its socket is open
 * @param onUpgrade what it does with an upgrade request. Default: it becomes a WebSocket
 */
export async function listening(
  t: Scope,
  executorId: string,
  onConnected: (executor: Executor) => void = () => undefined,
  onUpgrade?: OnUpgrade,
  http: Server = createServer(),
): Promise<Listening> {
  const protocol = new WebSocketServer({ noServer: true });
  const dialled: string[] = [];
  const connections: Executor[] = [];
  const dispatched: { mission_id: string }[] = [];
  const open = new Set<Duplex>();
  let onFirst = (_: Executor): void => undefined;
  const connected = new Promise<Executor>((resolve) => {
    onFirst = resolve;
  });
  const accept: OnUpgrade = (request, socket, head) =>
    protocol.handleUpgrade(request, socket, head, (ws) => {
      const executor = new Executor(executorId, '', ws);
      connections.push(executor);
      onFirst(executor);
      onConnected(executor);
    });
  http.on('upgrade', (request, socket, head) => {
    open.add(socket);
    socket.on('error', () => socket.destroy());
    dialled.push(request.url ?? '');
    (onUpgrade ?? accept)(request, socket, head);
  });
  http.on('request', async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    dispatched.push(JSON.parse(body));
    response.end('{}');
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  t.after(() => {
    for (const socket of open) socket.destroy();
    http.closeAllConnections();
    http.close();
  });
  return { address: addressOf(http), dialled, connections, connected, dispatched };
}

/** A TCP server, and the sockets that it was given: a peer that may do anything. */
export async function rawPeer(t: Scope, onSocket: (socket: Socket) => void = () => undefined) {
  const sockets: Socket[] = [];
  const tcp = createTcpServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.resume();
    onSocket(socket);
  });
  tcp.listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    tcp.close();
  });
  return { address: addressOf(tcp), sockets };
}

function addressOf(server: { address(): ReturnType<Server['address']> }): string {
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  return `127.0.0.1:${address.port}`;
}
