/**
 * Executors' connections: authenticates one that dials, has those dialled that only listen, and joins either's socket to
 * a connection actor on its thread.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { isSampled } from '../../actors/messages.js';
import { type Behaviour, type Clock, type Ref, realClock } from '../actor/index.js';
import { BAD_TOKEN, GOING_AWAY, REPLACED } from '../contract/close-codes.js';
import type { Supervisor } from '../registry/supervisor.js';
import type connectionBehaviour from './connection.js';
import { type ConnectionInput, type ConnectionStart, connectionModule, type Peer } from './connection.js';
import { Dialler } from './dialler.js';
import { refuse } from './raw-error.js';
import { Sampler } from './sampler.js';
import { Feeds, socketActor } from './socket.js';

const PATH = /^\/ws\/executors\/([^/]+)$/;
const REJECTED = { code: BAD_TOKEN, reason: 'token_invalid' } as const;
/** The headers that the protocol reads. */
const HEADERS = ['upgrade', 'connection', 'sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol'];

/** A nonce of 16 bytes, in base64 (RFC 6455, section 4.1). */
const KEY = /^[+/0-9A-Za-z]{22}==$/;
/** The versions that ws speaks. */
const VERSIONS = ['13', '8'];

/** What tests change, so as not to wait. */
export interface UpgradesOptions {
  /** By which executors are dialled. Default: the real time */
  readonly clock?: Clock;
  /** Milliseconds between two pings. Default: 20,000 */
  readonly pingInterval?: number;
}

/** Is told by connections which executors refuse to be dialled, by closing with 4001. */
const refusals: Behaviour<string, Dialler, Dialler> = {
  name: 'refusals',
  start: (dialler) => dialler,
  receive(dialler, executorId) {
    dialler.refused(executorId);
    return dialler;
  },
};

export class Upgrades {
  readonly #supervisor: Supervisor<string>;
  readonly #log: Logger;
  readonly #sampler = new Sampler();
  readonly #feeds: Feeds;
  readonly #current = new Map<string, Ref<ConnectionInput>>();
  readonly #open = new Map<Ref<ConnectionInput>, Duplex>();
  readonly #dialler: Dialler;
  readonly #refusals: Ref<string>;
  readonly #pingInterval: { readonly pingInterval?: number };
  #rejected = 0;
  #closing = false;

  constructor(
    supervisor: Supervisor<string>,
    log: Logger,
    { clock = realClock, ...pingInterval }: UpgradesOptions = {},
  ) {
    this.#supervisor = supervisor;
    this.#log = log;
    this.#pingInterval = pingInterval;
    this.#feeds = new Feeds(supervisor.system);
    this.#dialler = new Dialler({
      directory: supervisor.directory,
      log,
      clock,
      random: Math.random,
      onOpen: (executorId, socket) => {
        const peer = { role: 'server', executorId, refusals: this.#refusals } as const;
        this.#take(executorId, peer, socket);
      },
    });
    this.#refusals = supervisor.system.spawn(refusals, this.#dialler);
  }

  /** Takes an upgrade request: for the `upgrade` event of a `node:http` server. */
  readonly handle = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => socket.destroy());
    const asked = parseUrl(request.url);
    if (this.#closing) refuse(socket, 'unavailable', 'the server is shutting down');
    else if (asked === undefined) refuse(socket, 'not_found', 'WebSockets are at /ws/executors/:executor_id');
    else if (!isHandshake(request)) refuse(socket, 'invalid_payload', 'this is not a WebSocket handshake');
    else {
      // To be read as what follows it: where the socket is.
      if (head.length > 0) socket.unshift(head);
      this.#authenticate(asked, request, socket);
    }
  };

  #authenticate({ executorId, token }: Asked, request: IncomingMessage, socket: Duplex): void {
    const { directory, identities } = this.#supervisor;
    // A token of an earlier run does not do: Callboard must know the executor's endpoints again first.
    if (directory.executors.has(executorId) && identities.matches(executorId, token))
      this.#accept(executorId, request, socket);
    else this.#reject(executorId, request, socket);
  }

  /** Dials an executor that is registered, unless it connects within a moment. */
  expect(executorId: string): void {
    this.#dialler.expect(executorId);
  }

  /** An executor has another token: it is to connect anew with that, whoever dials. */
  rotate(executorId: string): void {
    this.close(executorId, REJECTED.code, REJECTED.reason);
    // It may have been expected already when it registered, and that is over with the rest.
    this.expect(executorId);
  }

  /** Closes an executor's connection, and dials it no more until it is expected again. */
  close(executorId: string, code: number, reason: string): void {
    this.#dialler.forget(executorId);
    const connection = this.#current.get(executorId);
    if (connection !== undefined) this.#supervisor.system.tell(connection, { type: 'close', code, reason });
  }

  /** Accepts no more, and closes every connection with 1001; resolves when all are closed. */
  async closeAll(): Promise<void> {
    this.#closing = true;
    this.#dialler.close();
    const closed = [...this.#open].map(([connection, socket]) => {
      this.#supervisor.system.tell(connection, { type: 'close', code: GOING_AWAY, reason: 'server is shutting down' });
      return new Promise((resolve) => socket.once('close', resolve));
    });
    await Promise.all(closed);
  }

  /** Cuts off whoever has not closed. */
  destroy(): void {
    this.#feeds.close();
  }

  #accept(executorId: string, request: IncomingMessage, socket: Duplex): void {
    this.#dialler.forget(executorId);
    this.#take(executorId, { role: 'client', headers: headersOf(request) }, socket);
  }

  /** An executor's connection stands from here on, in place of any that did. */
  #take(executorId: string, peer: Peer, socket: Duplex): void {
    const supervisor = this.#supervisor;
    const executor = supervisor.executor(executorId);
    const former = this.#current.get(executorId);
    if (former !== undefined)
      supervisor.system.tell(former, { type: 'close', code: REPLACED, reason: 'replaced by a newer connection' });
    const connection = this.#join(supervisor.threadOf(executorId), { executor, peer }, socket);
    this.#current.set(executorId, connection);
    if (this.#sampler.admits('connected'))
      this.#log.info(
        { executorId, replaces: former !== undefined, dialled: peer.role === 'server' },
        'an executor connected',
      );
    supervisor.attach(executorId, connection);
    const onEnd = (): void => {
      if (this.#current.get(executorId) !== connection) return;
      this.#current.delete(executorId);
      if (this.#sampler.admits('disconnected')) this.#log.info({ executorId }, 'an executor disconnected');
      supervisor.detach(executorId, connection);
      this.#dialler.lost(executorId, peer.role === 'client');
    };
    // Once it is over for one side: the other may keep a socket half open for as long as it is let.
    socket.once('finish', onEnd);
    socket.once('close', onEnd);
  }

  #reject(executorId: string, request: IncomingMessage, socket: Duplex): void {
    // Anyone can do this as often as they like.
    if (isSampled(++this.#rejected))
      this.#log.warn({ executorId: executorId.slice(0, 64), count: this.#rejected }, 'a connection had no valid token');
    this.#join(
      this.#rejected % this.#supervisor.system.threads,
      { executor: undefined, reject: REJECTED, peer: { role: 'client', headers: headersOf(request) } },
      socket,
    );
  }

  /** Starts both halves of a connection. */
  #join(
    thread: number,
    start: Pick<ConnectionStart, 'executor' | 'reject' | 'peer'>,
    socket: Duplex,
  ): Ref<ConnectionInput> {
    const { system } = this.#supervisor;
    const link = system.spawn(socketActor, { socket, role: start.peer.role });
    const connection = system.spawnOnThread<typeof connectionBehaviour>(
      connectionModule,
      { ...start, ...this.#pingInterval, socket: link },
      { thread, supervision: { decide: 'stop' } },
    );
    system.tell(link, { connection });
    this.#open.set(connection, socket);
    this.#feeds.add(socket, thread, connection);
    socket.once('end', () => system.tell(connection, { type: 'socket-ended' }));
    socket.once('close', () => {
      this.#open.delete(connection);
      system.tell(connection, { type: 'socket-closed' });
      system.stop(link);
    });
    return connection;
  }
}

/** What an upgrade request asks for. */
interface Asked {
  readonly executorId: string;
  readonly token: string;
}

function parseUrl(path: string | undefined): Asked | undefined {
  try {
    const { pathname, searchParams } = new URL(path ?? '', 'http://callboard');
    const executorId = PATH.exec(pathname)?.[1];
    return executorId === undefined
      ? undefined
      : { executorId: decodeURIComponent(executorId), token: searchParams.get('token') ?? '' };
  } catch {
    return undefined; // No URL, or not in UTF-8.
  }
}

/** Whether ws will shake hands: it does so on a thread, and by then the executor counts as connected. */
function isHandshake({ method, headers }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    headers.upgrade?.toLowerCase() === 'websocket' &&
    KEY.test(headers['sec-websocket-key'] ?? '') &&
    VERSIONS.includes(headers['sec-websocket-version'] ?? '')
  );
}

function headersOf({ headers }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(
    HEADERS.flatMap((name) => {
      const value = headers[name];
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );
}
