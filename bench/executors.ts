/**
 * Executors for the load generators of floods: registered over REST, connected over WebSockets, and accepting whatever is
 * dispatched. Not those of the SDK: they send frames that were encoded before, straight to their sockets.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type Agent, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import * as v from 'valibot';
import { WebSocket } from 'ws';
import { send, sendExpecting } from './http-client.js';

const connectTimeLimit = 30_000;
const registered = v.object({ token: v.string() });
const listed = v.object({
  executors: v.array(v.object({ executor_id: v.string(), connected: v.boolean(), active_mission_count: v.number() })),
});
/** What a server lists of an executor. */
type Listed = v.InferOutput<typeof listed>['executors'][number];

/** One executor with its connection open. */
export class Executor {
  readonly id: string;
  readonly token: string;
  /** Aborted when the connection ends, with the reason. */
  readonly closed: AbortSignal;
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  #frames = 0;

  constructor(id: string, token: string, webSocket: WebSocket, socket: Socket) {
    this.id = id;
    this.token = token;
    this.#webSocket = webSocket;
    this.#socket = socket;
    socket.setNoDelay();
    const closed = new AbortController();
    this.closed = closed.signal;
    webSocket.on('error', (error) => closed.abort(error));
    webSocket.on('close', (code, reason) =>
      closed.abort(new Error(`The server closed a connection: ${code} ${reason}`)),
    );
  }

  /** Frames sent so far. */
  get frames(): number {
    return this.#frames;
  }

  /** Whether the system has taken everything that was sent. */
  get isFree(): boolean {
    return this.#socket.writableLength === 0;
  }

  /**
   * Sends so many pre-encoded frames: straight to the TCP socket below the WebSocket, which still answers pings.
   *
   * @returns whether the socket takes more without `drained`
   */
  send(bytes: Buffer, frames: number): boolean {
    this.closed.throwIfAborted();
    this.#frames += frames;
    return this.#socket.write(bytes);
  }

  /** Resolves when the socket takes more; rejects with the reason if the connection ends instead. */
  drained(): Promise<void> {
    return this.#hears(this.#socket, 'drain');
  }

  /** Resolves when the server's WebSocket has decoded all that was sent: a pong comes in the order of the frames. */
  async decoded(): Promise<void> {
    const pong = this.#hears(this.#webSocket, 'pong');
    this.#webSocket.ping();
    await pong;
  }

  close(): void {
    this.#webSocket.close(1000);
  }

  async #hears(emitter: Socket | WebSocket, event: string): Promise<void> {
    try {
      await once(emitter, event, { signal: this.closed });
    } catch (error) {
      this.closed.throwIfAborted();
      throw error;
    }
  }
}

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

/** The executors of one load generator at the server `url`. */
export class Fleet {
  /** Offered by these executors and, as good as certainly, by no others. */
  readonly capability = `x-bench-${randomBytes(6).toString('hex')}`;
  readonly url: URL;
  readonly #agent: Agent;
  readonly #receiver: DispatchReceiver;
  readonly #members: Executor[] = [];

  private constructor(agent: Agent, url: URL, receiver: DispatchReceiver) {
    this.#agent = agent;
    this.url = url;
    this.#receiver = receiver;
  }

  static async start(agent: Agent, url: URL): Promise<Fleet> {
    return new Fleet(agent, url, await startDispatchReceiver());
  }

  /** Registers and connects so many more executors, and waits until the server lists every one as connected. */
  async join(count: number): Promise<Executor[]> {
    const executors = await inParallel(Array.from({ length: count }), () => this.#connect());
    // A server may see a connection a little after its client does, and dispatches only to those it sees.
    await untilListed(this.#agent, this.url, executors, ({ connected }) => connected, 'listed as connected');
    return executors;
  }

  /** Waits until the server counts no live mission for any of these executors. */
  async idle(executors: readonly Executor[]): Promise<void> {
    const isIdle = ({ active_mission_count }: Listed) => active_mission_count === 0;
    await untilListed(this.#agent, this.url, executors, isIdle, 'without live missions');
  }

  /** All disconnect and are deregistered. */
  async close(): Promise<void> {
    await inParallel(this.#members, async (executor) => {
      executor.close();
      const { id, token } = executor;
      const { status } = await send(this.#agent, 'DELETE', this.#route(`executors/${id}`), undefined, token);
      if (status !== 204) throw new Error(`DELETE of an executor answered ${status}, not 204.`);
    });
    this.#receiver.close();
  }

  async #connect(): Promise<Executor> {
    const id = randomUUID();
    const { port } = this.#receiver;
    const reply = await sendExpecting(201, this.#agent, 'POST', this.#route('executors/register'), {
      executor_id: id,
      name: `bench-${id.slice(0, 8)}`,
      version: '1.0.0',
      spec_version: '1.0.0',
      transport_endpoints: { rest: `http://127.0.0.1:${port}/${id}`, ws: `ws://127.0.0.1:${port}/${id}` },
      capabilities: ['isolation:none', 'runtime:codex', this.capability],
    });
    const { token } = v.parse(registered, reply);
    const address = new URL(`/ws/executors/${id}?token=${encodeURIComponent(token)}`, this.url);
    address.protocol = 'ws:';
    const webSocket = new WebSocket(address, { perMessageDeflate: false });
    const socket = await new Promise<Socket>((resolve, reject) => {
      webSocket.once('upgrade', (response) => resolve(response.socket));
      webSocket.once('error', reject);
    });
    const executor = new Executor(id, token, webSocket, socket);
    this.#members.push(executor);
    return executor;
  }

  #route(path: string): URL {
    return new URL(`/api/v1/${path}`, this.url);
  }
}

/**
 * Asks for the list of executors until it says of each of these what `fits` looks for.
 *
 * @param executors with the signal that tells of the end of their connections
 * @param what what `fits` looks for, in words
 */
export async function untilListed(
  agent: Agent,
  url: URL,
  executors: readonly Pick<Executor, 'id' | 'closed'>[],
  fits: (listed: Listed) => boolean,
  what: string,
): Promise<void> {
  let deadline = Date.now() + connectTimeLimit;
  let waiting = new Set(executors.map(({ id }) => id));
  for (;;) {
    const list = v.parse(listed, await sendExpecting(200, agent, 'GET', new URL('/api/v1/executors', url)));
    const fitting = new Set(list.executors.filter(fits).map(({ executor_id }) => executor_id));
    const left = new Set([...waiting].filter((id) => !fitting.has(id)));
    if (left.size === 0) return;
    for (const { closed } of executors) closed.throwIfAborted();
    if (left.size < waiting.size) deadline = Date.now() + connectTimeLimit;
    if (Date.now() > deadline) throw new Error(`${left.size} executors are still not ${what}.`);
    waiting = left;
    await delay(10);
  }
}

interface DispatchReceiver {
  port: number;
  close(): void;
}

/** The executors' own REST endpoint, each below its id: answers 202 to every dispatch. */
async function startDispatchReceiver(): Promise<DispatchReceiver> {
  const server = createServer((request, response) => {
    const status = request.url?.endsWith('/dispatch') ? 202 : 404;
    request.resume();
    request.on('end', () => response.writeHead(status, { 'content-type': 'application/json' }).end('{}'));
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
