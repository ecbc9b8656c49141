/**
 * Executors for the load generators: registered over REST, connected over WebSockets, and accepting whatever is dispatched.
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
const dispatched = v.object({ mission_id: v.string() });

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
  readonly #members = new Map<string, Executor>();

  private constructor(agent: Agent, url: URL, receiver: DispatchReceiver) {
    this.#agent = agent;
    this.url = url;
    this.#receiver = receiver;
  }

  /** @param onDispatch told of each mission once its dispatch has been answered; default: nobody */
  static async start(
    agent: Agent,
    url: URL,
    onDispatch: (executor: Executor, missionId: string) => void = () => {},
  ): Promise<Fleet> {
    const receiver = await startDispatchReceiver((executorId, missionId) => {
      const executor = fleet.#members.get(executorId);
      if (executor !== undefined) onDispatch(executor, missionId);
    });
    const fleet = new Fleet(agent, url, receiver);
    return fleet;
  }

  /** Registers and connects so many more executors, and waits until the server lists every one as connected. */
  async join(count: number): Promise<Executor[]> {
    const executors = await inParallel(Array.from({ length: count }), () => this.#connect());
    // A server may see a connection a little after its client does, and dispatches only to those it sees.
    await this.#listing(executors, ({ connected }) => connected, 'listed as connected');
    return executors;
  }

  /** Waits until the server counts no live mission for any of these executors. */
  async idle(executors: readonly Executor[]): Promise<void> {
    await this.#listing(executors, ({ active_mission_count }) => active_mission_count === 0, 'without live missions');
  }

  /** Disconnects an executor and deregisters it. */
  async leave(executor: Executor): Promise<void> {
    this.#members.delete(executor.id);
    executor.close();
    const { id, token } = executor;
    const { status } = await send(this.#agent, 'DELETE', this.#route(`executors/${id}`), undefined, token);
    if (status !== 204) throw new Error(`DELETE of an executor answered ${status}, not 204.`);
  }

  /** All leave. */
  async close(): Promise<void> {
    await inParallel([...this.#members.values()], (executor) => this.leave(executor));
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
    this.#members.set(id, executor);
    return executor;
  }

  /** Asks for the list of executors until it says of each of these what `fits` looks for. */
  async #listing(
    executors: readonly Executor[],
    fits: (listed: { connected: boolean; active_mission_count: number }) => boolean,
    what: string,
  ): Promise<void> {
    let deadline = Date.now() + connectTimeLimit;
    let waiting = new Set(executors.map(({ id }) => id));
    for (;;) {
      const list = v.parse(listed, await sendExpecting(200, this.#agent, 'GET', this.#route('executors')));
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

  #route(path: string): URL {
    return new URL(`/api/v1/${path}`, this.url);
  }
}

interface DispatchReceiver {
  port: number;
  close(): void;
}

/** The executors' own REST endpoint, each below its id: answers 202 to every dispatch, then tells of it. */
async function startDispatchReceiver(
  onDispatch: (executorId: string, missionId: string) => void,
): Promise<DispatchReceiver> {
  const server = createServer((request, response) => {
    const executorId = /^\/([^/]+)\/(?:.*\/)?dispatch$/.exec(request.url ?? '')?.[1];
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      text += chunk;
    });
    request.on('end', () => {
      response.writeHead(executorId === undefined ? 404 : 202, { 'content-type': 'application/json' }).end('{}');
      if (executorId !== undefined) onDispatch(executorId, v.parse(dispatched, JSON.parse(text)).mission_id);
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
