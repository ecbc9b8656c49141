/**
 * An executor that only pretends to work, over real sockets: it registers, listens for dispatches on a loopback port,
 * and streams the events of its missions over one WebSocket. It shows the executor's half of the contract in its
 * simplest form; it does not reconnect.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { WebSocket } from 'ws';
import {
  type ContractEvent,
  type DispatchResponse,
  type ErrorCode,
  errorStatus,
  parseDispatchPayload,
  parseEvent,
  type RegisterPayload,
  registerResponseSchema,
  specVersion,
} from '../contract/index.js';
import { CommandError, FAILED, messageOf } from './errors.js';
import { ask, parseJson, Unreachable } from './rest.js';
import { type Saying, type Scenario, SimulatedMission, scenarios } from './simulated-mission.js';

/** What says how to run a mission. A dispatch that does not say it, as one from elsewhere, is run as a plain mission. */
const metadataSchema = v.fallback(v.object({ scenario: v.picklist(scenarios) }), { scenario: 'plain' });

const dispatchRoute = /^\/api\/v1\/sessions\/[^/]+\/dispatch$/;

/** Largest body and frame that are read, in bytes. */
const maxSize = 1024 * 1024;

/** Milliseconds for the WebSocket to open, or to close. */
const socketLimit = 10_000;

/** How long to wait before each further attempt to register, in milliseconds. */
const retryAfter = [100, 300, 900];

/** What a simulated executor is told. */
export interface SimulatedExecutorOptions {
  /** The URL of Callboard, with a slash at its end. */
  readonly url: URL;
  /** For people, at most 128 characters. */
  readonly name: string;
  readonly capabilities: readonly string[];
  /** Called once if the WebSocket closes before `close` is called, with the reason in words. */
  readonly onLost: (reason: string) => void;
}

/**
 * One executor.
 *
 * @example
 * const executor = await SimulatedExecutor.start({ url: new URL('http://127.0.0.1:7337/'), name: 'one', capabilities: [], onLost });
 * // dispatches are run as they arrive
 * await executor.close();
 */
export class SimulatedExecutor {
  readonly id = randomUUID();
  /** Events sent since the start. */
  eventCount = 0;
  readonly #options: SimulatedExecutorOptions;
  readonly #missions = new Map<string, SimulatedMission>();
  readonly #http: Server;
  /** Present once registered. */
  #token: string | undefined;
  #socket: WebSocket | undefined;

  private constructor(options: SimulatedExecutorOptions) {
    this.#options = options;
    this.#http = createServer((request, response) => void this.#serve(request, response));
  }

  /**
   * Listens, registers and connects.
   *
   * @throws CommandError where Callboard does not answer or refuses, or the WebSocket does not open.
   */
  static async start(options: SimulatedExecutorOptions): Promise<SimulatedExecutor> {
    const executor = new SimulatedExecutor(options);
    try {
      await executor.#register(await executor.#listen());
      await executor.#connect();
      return executor;
    } catch (error) {
      await executor.close().catch(() => {}); // The first failure is the one worth telling.
      throw error;
    }
  }

  /** A mission that was dispatched to this executor and not forgotten since. */
  mission(id: string): SimulatedMission | undefined {
    return this.#missions.get(id);
  }

  /** Drops a mission and its record; one that still runs is aborted. */
  forget(id: string): void {
    this.#missions.get(id)?.abort();
    this.#missions.delete(id);
  }

  /** Aborts the missions that still run, closes the connection, deregisters and stops listening. */
  async close(): Promise<void> {
    for (const mission of this.#missions.values()) mission.abort();
    await nextTurn(); // The missions' last words go out before the close frame.
    await this.#disconnect();
    const token = this.#token;
    this.#token = undefined;
    this.#http.close();
    this.#http.closeAllConnections();
    if (token !== undefined) {
      const path = `api/v1/executors/${this.id}`;
      await ask(this.#options.url, { method: 'DELETE', path, token }, v.unknown());
    }
  }

  async #listen(): Promise<number> {
    this.#http.listen(0, '127.0.0.1');
    await once(this.#http, 'listening');
    const address = this.#http.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
    return address.port;
  }

  async #register(port: number): Promise<void> {
    const { url, name, capabilities } = this.#options;
    const body: RegisterPayload = {
      executor_id: this.id,
      name,
      version: '1.0.0',
      spec_version: specVersion,
      transport_endpoints: { rest: `http://127.0.0.1:${port}`, ws: `ws://127.0.0.1:${port}` },
      capabilities: [...capabilities],
    };
    for (let attempt = 0; ; attempt++) {
      try {
        const call = { method: 'POST', path: 'api/v1/executors/register', body } as const;
        this.#token = (await ask(url, call, registerResponseSchema)).token;
        return;
      } catch (error) {
        const wait = retryAfter[attempt];
        if (wait === undefined || !(error instanceof Unreachable)) throw error;
        await sleep(wait);
      }
    }
  }

  /** Opens the WebSocket and begins, as every connection does, with the missions it owns: none. */
  async #connect(): Promise<void> {
    const url = new URL(`ws/executors/${this.id}`, this.#options.url);
    url.protocol = url.protocol.replace('http', 'ws');
    url.searchParams.set('token', this.#token ?? '');
    const socket = new WebSocket(url, {
      handshakeTimeout: socketLimit,
      maxPayload: maxSize,
      perMessageDeflate: false,
    });
    socket.on('message', (data) => this.#receive(data.toString()));
    socket.on('close', (code, reason) => {
      if (this.#socket !== socket) return;
      this.#options.onLost(
        `${this.#options.name} lost its connection (${code}${reason.length > 0 ? ` ${reason}` : ''})`,
      );
    });
    try {
      await once(socket, 'open');
    } catch (error) {
      throw new CommandError(FAILED, `the WebSocket at /ws/executors/${this.id} does not open: ${messageOf(error)}.`);
    }
    socket.on('error', () => {}); // Told by the close event that follows it.
    this.#socket = socket;
    this.#send({ event: 'executor.resync', ...this.#stamp(), data: { owned_mission_ids: [] } });
  }

  async #disconnect(): Promise<void> {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return;
    const closed = once(socket, 'close', { signal: AbortSignal.timeout(socketLimit) });
    socket.close(1000);
    await closed.catch(() => socket.terminate());
  }

  /** Takes a pushed event to its mission. Anything else is not for a simulation to judge. */
  #receive(text: string): void {
    const parsed = parseEvent(parseJson(text));
    if (parsed.ok) this.#missions.get(parsed.event.mission_id ?? '')?.receive(parsed.event);
  }

  #stamp() {
    return { executor_id: this.id, ts: new Date().toISOString() };
  }

  /** An event that cannot be sent is lost, and its absence is then found by whoever checks the mission. */
  #send(event: ContractEvent): ContractEvent {
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify(event));
      this.eventCount++;
    }
    return event;
  }

  /** The HTTP half: takes dispatches, from the holder of the token only. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = (status: number, body: object) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    const refuse = (error: ErrorCode, detail: string) => answer(errorStatus[error], { error, detail });
    if (request.method !== 'POST' || !dispatchRoute.test(request.url ?? '')) {
      return refuse('not_found', 'A simulated executor takes only dispatches.');
    }
    if (this.#token === undefined || request.headers.authorization !== `Bearer ${this.#token}`) {
      return refuse('token_invalid', 'The bearer is not the token of this executor.');
    }
    const text = await textOf(request).catch(() => undefined);
    if (text === undefined) return refuse('payload_too_large', `At most ${maxSize} bytes are read.`);
    const dispatch = parseDispatchPayload(parseJson(text));
    if (!dispatch.ok) return refuse('invalid_payload', 'The body is not a dispatch.');
    const { mission_id, metadata } = dispatch.payload;
    answer(202, { mission_id, executor_id: this.id, status: 'assigned' } satisfies DispatchResponse);
    if (!this.#missions.has(mission_id)) this.#begin(mission_id, v.parse(metadataSchema, metadata).scenario);
  }

  #begin(id: string, scenario: Scenario): void {
    const send = (saying: Saying) => this.#send({ ...saying, ...this.#stamp(), mission_id: id });
    const mission = new SimulatedMission(id, scenario, send);
    this.#missions.set(id, mission);
    void mission.run();
  }
}

/** The whole body of a request. @throws RangeError where it is larger than `maxSize`; Error where it is cut off. */
async function textOf(request: IncomingMessage): Promise<string> {
  request.setEncoding('utf8');
  let text = '';
  for await (const chunk of request) {
    text += chunk;
    if (text.length > maxSize) throw new RangeError('body too large');
  }
  return text;
}
