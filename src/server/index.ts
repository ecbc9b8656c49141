/** The server: the contract's routes and WebSockets on a port, or on an HTTP server of the embedder's own. */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { type Logger, pino } from 'pino';
import { NORMAL } from '../contract/close-codes.js';
import { type AsyncExecutorRegistry, createRegistry } from '../registry/async-registry.js';
import type { EndedMissionLimits } from '../registry/ended-missions.js';
import { addressSet } from './addresses.js';
import { createApp, errorResponse } from './app.js';
import { Dispatcher } from './dispatch.js';
import { logEvents, logNotice, logRecovery, logTrouble } from './notices.js';
import { onClientError } from './raw-error.js';
import { Upgrades } from './upgrade.js';

export interface ServerOptions extends Partial<EndedMissionLimits> {
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** 0 is any free one. Default: 7337. */
  readonly port?: number;
  /** Worker threads, 1 to 255. Default: one for each processor. */
  readonly threads?: number;
  /** Megabytes of heap for each thread. Default: 4,096. */
  readonly threadHeapMb?: number;
  /**
   * A folder in which to keep executors, missions and events, made if there is none; only one server at a time can use it.
   * Default: none, nothing outlives the process.
   */
  readonly dataDir?: string | undefined;
  /** Milliseconds after which an event is durable at the latest, with `dataDir`. Default: 20. */
  readonly flushInterval?: number;
  /** With `dataDir`: milliseconds for which a mission is kept after its end. Default: 30 days. */
  readonly retain?: number;
  /** With `dataDir`: bytes that may be kept; beyond, missions that ended first go before their time. Default: 10 GiB. */
  readonly maxStoreBytes?: number;
  /** Milliseconds without a connection after which an executor is deregistered (`timeout`). Default: it never is. */
  readonly executorTimeout?: number | undefined;
  /**
   * Addresses and CIDR ranges of proxies whose `X-Forwarded-For` says where a registration comes from. Default: none, nobody
   * is believed.
   */
  readonly trustProxy?: readonly string[];
  /** Default: none. */
  readonly log?: Logger;
}

export interface CallboardServer {
  readonly registry: AsyncExecutorRegistry;
  /** Where it listens, e.g. `http://127.0.0.1:7337`. */
  readonly url: string;
  /** Listens on the port. Rejects with the system's error: `EADDRINUSE`, `EACCES`, … */
  listen(): Promise<void>;
  /** Takes a request: for the `request` event of an HTTP server of your own. */
  handleRequest(request: IncomingMessage, response: ServerResponse): void;
  /** Takes an upgrade: for its `upgrade` event. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /**
   * Stops listening, finishes what is under way, closes every WebSocket with 1001 and ends the threads. An HTTP server of
   * your own keeps listening: WebSocket upgrades that it still hands over are refused with 503, and requests are not to
   * be handed over any more, so close it first.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Milliseconds that a client may take for its headers, and for a whole request. */
const HEADERS_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 30_000;
/** Milliseconds between two looks at who has taken longer. */
const TIMEOUT_CHECKS = 1_000;
/** Milliseconds that open requests have to finish, then executors to answer a close, then threads to catch up. */
const CLOSE_TIMEOUT = 3_000;

/**
 * Makes a server and starts its threads; with `dataDir`, the missions that were not over are back when it resolves.
 * @throws StorageError if the folder cannot be used
 * @throws RangeError if what `trustProxy` has is no address
 * @example
 * await using server = await createServer({ port: 0 });
 * await server.listen();
 * console.log(server.url);
 */
export async function createServer(options: ServerOptions = {}): Promise<CallboardServer> {
  const {
    host = '127.0.0.1',
    port = 7337,
    log = pino({ level: 'silent' }),
    trustProxy = [],
    ...registryOptions
  } = options;
  const trusted = addressSet(trustProxy);
  const registry = await createRegistry({
    ...registryOptions,
    onNotice: (notice) => logNotice(log, notice),
    onTrouble: (trouble) => logTrouble(log, trouble),
    onRecovery: logRecovery(log),
  });
  const { supervisor } = registry;
  logEvents(log, registry);
  const upgrades = new Upgrades(supervisor, log);
  // Those of an earlier run, and whoever comes.
  for (const executorId of supervisor.directory.executors.keys()) upgrades.expect(executorId);
  registry.on('executor:registered', ({ executorId }) => upgrades.expect(executorId));
  registry.on('executor:deregistered', ({ executorId, reason }) => upgrades.close(executorId, NORMAL, reason));
  const dispatcher = new Dispatcher(supervisor, log);
  supervisor.onUndelivered = (missionId) => dispatcher.replay(missionId);
  registry.on('mission:state_change', ({ missionId, state }) => dispatcher.moved(missionId, state));
  registry.on('mission:forgotten', ({ missionId }) => dispatcher.forget(missionId));
  let ready = true;
  const isReady = (): boolean => ready;
  const app = createApp({ supervisor, dispatcher, upgrades, trusted, log, isReady });
  const listener = getRequestListener(app.fetch, {
    // The globals of an embedder's process are not ours to replace.
    overrideGlobalObjects: false,
    errorHandler: () => errorResponse('invalid_payload', 'the request has a bad host or path'),
  });
  /** Requests under way. */
  const responses = new Set<ServerResponse>();
  const handleRequest = (request: IncomingMessage, response: ServerResponse): void => {
    responses.add(response);
    response.once('close', () => responses.delete(response));
    void listener(request, response);
  };

  const limits = { headersTimeout: HEADERS_TIMEOUT, requestTimeout: REQUEST_TIMEOUT };
  const http = createHttpServer({ ...limits, connectionsCheckingInterval: TIMEOUT_CHECKS }, handleRequest);
  http.on('upgrade', upgrades.handle);
  http.on('clientError', onClientError);
  let closing: Promise<void> | undefined;

  const close = async (): Promise<void> => {
    ready = false;
    const closed = new Promise((resolve) => http.close(resolve));
    await within(CLOSE_TIMEOUT, Promise.all([...responses].map(closeOf)));
    http.closeAllConnections();
    dispatcher.close();
    await within(CLOSE_TIMEOUT, upgrades.closeAll());
    upgrades.destroy();
    await closed;
    await within(CLOSE_TIMEOUT, supervisor.system.settle());
    await registry.shutdown();
  };

  const server: CallboardServer = {
    registry,
    get url() {
      const address = http.address();
      return urlOf(address !== null && typeof address === 'object' ? address : { address: host, port, family: '' });
    },
    listen: () =>
      new Promise((resolve, reject) => {
        http.once('error', reject);
        http.listen(port, host, () => {
          http.off('error', reject);
          resolve();
        });
      }),
    handleRequest,
    handleUpgrade: upgrades.handle,
    close: () => {
      closing ??= close();
      return closing;
    },
    [Symbol.asyncDispose]: () => server.close(),
  };
  return server;
}

const urlOf = ({ address, port }: AddressInfo): string =>
  `http://${address.includes(':') ? `[${address}]` : address}:${port}`;

const closeOf = (response: ServerResponse): Promise<void> => new Promise((resolve) => response.once('close', resolve));

/** Waits for `work`, but no longer than `ms` milliseconds. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}
