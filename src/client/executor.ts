/**
 * An executor: registers, keeps one connection to Callboard, takes missions, and sees to it that what they say arrives,
 * in order and once, whatever becomes of the connection.
 */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { DispatchPayload, MissionEventName } from '../contract/index.js';
import { isTerminal } from '../contract/transitions.js';
import { checkData, MAX_SIZE, parseJson, pushedOf } from './checks.js';
import { backoff, type Clock, pause, systemClock } from './clock.js';
import { Endpoint } from './endpoint.js';
import { messageOf, RegistrationError } from './errors.js';
import { readIdentity } from './identity.js';
import { Mission, type MissionHost } from './mission.js';
import type { Executor, ExecutorOptions } from './options.js';
import { Outgoing } from './outgoing.js';
import { Rest } from './rest.js';
import { closeOf, received, socketOptions } from './socket.js';

const MAX_QUEUED = 10_000;
/** Milliseconds for a WebSocket to open, and for Callboard to dial one that waits for that. */
const OPEN_LIMIT = 10_000;
/** Milliseconds between two pings, and without a word from Callboard, which pings every 20 s, until it counts as gone. */
const PING_EVERY = 20_000;
const SILENCE = 45_000;
/** Milliseconds for the last words to arrive, and for deregistering. */
const CLOSE_LIMIT = 5_000;
/** Ids of ended missions that are remembered, so that a dispatch that is repeated late begins nothing. */
const MAX_ENDED = 10_000;
/** The payload of a ping that only asks whether Callboard is there. */
const ALIVE = 'alive';
/** A mission's question may be answered in the last moment: it is looked at a little later. */
const EXPIRY_GRACE = 1_000;
/** The contract's close codes. */
const DEREGISTERED = 1000;
/** The reason that Callboard gives with it where an operator did that, who does not want it to come back. */
const BY_OPERATOR = 'operator_deleted';
const BAD_TOKEN = 4001;
const REPLACED = 4002;
const REPLACED_REASON = 'replaced by a newer connection';
/** As long as after so many failures an executor waits that was replaced. */
const REPLACED_FAILURES = 6;

/**
 * Registers an executor and has it at work until it is closed.
 *
 * @returns once it is registered and, where it dials, connected: it is tried until then
 * @throws RegistrationError if Callboard refuses the registration
 * @throws Error if the identity file cannot be used, the port is taken, or `signal` aborts
 * @example
 * const executor = await createExecutor({
 *   url: 'http://127.0.0.1:7337',
 *   identityFile: './executor.json',
 *   name: 'my executor',
 *   onDispatch: (mission) => mission.started().complete({ summary: mission.dispatch.objective }),
 * });
 */
export async function createExecutor(options: ExecutorOptions): Promise<Executor> {
  const id = options.identityFile === undefined ? options.executorId : await readIdentity(options.identityFile);
  const client = new Client(id, options);
  await client.start();
  return client;
}

class Client implements Executor, MissionHost {
  readonly id: string;
  readonly options: ExecutorOptions;
  url = '';
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #rest: Rest;
  readonly #endpoint: Endpoint;
  readonly #outgoing: Outgoing;
  readonly #missions = new Map<string, Mission>();
  readonly #ended = new Set<string>();
  /** Ends every wait. */
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;
  /** The latest, by which Callboard dispatches and dials. */
  #token: string | undefined;
  /** Whether Callboard knows it, by that token; as far as is known. */
  #isRegistered = false;
  #socket: WebSocket | undefined;
  /** One that Callboard has dialled and that is not attended to yet, and who is to be told of it. */
  #dialled: WebSocket | undefined;
  #onDialled = (): void => undefined;
  /** Callboard knows again which missions are paused or suspended: until then it takes them to run. */
  #settled = false;
  /** Attempts to connect that have failed in a row. */
  #failures = 0;
  /** The time of the latest event: no two have the same, so that each can be found again. */
  #latest = { ms: 0, count: 0 };

  constructor(id: string, options: ExecutorOptions) {
    const { clock = systemClock, random = Math.random, listen, maxQueued = MAX_QUEUED, connect } = options;
    this.id = id;
    this.options = options;
    this.#clock = clock;
    this.#random = random;
    this.#rest = new Rest(options.url);
    this.#outgoing = new Outgoing(clock, maxQueued);
    this.#endpoint = new Endpoint({
      executorId: id,
      host: listen?.host ?? '127.0.0.1',
      port: listen?.port ?? 0,
      token: () => this.#token,
      onDispatch: (dispatch) => this.#take(dispatch),
      onSocket: connect === 'listen' ? (socket) => this.#accept(socket) : undefined,
    });
  }

  get connected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  async start(): Promise<void> {
    const { signal } = this.options;
    const giveUp = (): void => this.#cut();
    signal?.addEventListener('abort', giveUp);
    try {
      this.url = await this.#endpoint.listen();
      this.url = this.options.listen?.publicUrl ?? this.url;
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        this.#run(resolve).catch(reject);
      });
      signal?.throwIfAborted();
    } catch (error) {
      this.#end('the executor has given up');
      throw error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  // What missions need.

  say(missionId: string, event: MissionEventName, data: object): void {
    checkData(event, data);
    const ts = this.#timestamp();
    const text = JSON.stringify({ event, executor_id: this.id, mission_id: missionId, ts, data });
    if (Buffer.byteLength(text) > MAX_SIZE) throw new RangeError(`an event may have ${MAX_SIZE} bytes`);
    this.#outgoing.add(missionId, event, ts, text);
  }

  isWaiting(missionId: string, event: MissionEventName): boolean {
    return this.#outgoing.isWaiting(missionId, event);
  }

  isFull(): boolean {
    return this.#outgoing.full;
  }

  warn(message: string): void {
    this.options.onWarning?.(message);
  }

  now(): number {
    return this.#clock.now();
  }

  lookFrom(missionId: string, time: number): () => void {
    const done = new AbortController();
    void this.#lookUntilOver(missionId, time, AbortSignal.any([done.signal, this.#stop.signal]));
    return () => done.abort();
  }

  ended({ id }: Mission): void {
    this.#missions.delete(id);
    this.#ended.add(id);
    const [oldest] = this.#ended;
    if (this.#ended.size > MAX_ENDED && oldest !== undefined) this.#ended.delete(oldest);
  }

  // Missions that come.

  #take(dispatch: DispatchPayload): boolean {
    const id = dispatch.mission_id;
    if (this.#missions.has(id) || this.#ended.has(id)) return true;
    if (this.#closing !== undefined || this.#stop.signal.aborted || this.#outgoing.full) return false;
    const mission = new Mission(dispatch, this);
    this.#missions.set(id, mission);
    // After the answer.
    setImmediate(() => void mission.begin());
    return true;
  }

  // The connection.

  /** Registers and connects, again and again. @param ready called once that has been done */
  async #run(ready: () => void): Promise<void> {
    const { signal } = this.#stop;
    let isFirst = true;
    const begun = (): void => {
      isFirst = false;
      ready();
    };
    while (!signal.aborted) {
      try {
        if (this.#token === undefined || !this.#isRegistered) {
          this.#token = await this.#rest.register(this.#registration(), signal);
          this.#isRegistered = true;
        }
        if (this.options.connect === 'listen') begun();
        const socket = await this.#open(this.#token);
        await this.#attend(socket, begun);
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof RegistrationError && isFirst) throw error;
        this.warn(`no connection to ${this.options.url}: ${reasonOf(error)}`);
      }
      await this.#pause(backoff(this.#failures++, this.#random));
    }
    ready();
  }

  /** Waits so many milliseconds, or until Callboard has dialled. */
  async #pause(ms: number): Promise<void> {
    if (this.#dialled !== undefined) return;
    const dialled = new AbortController();
    this.#onDialled = () => dialled.abort();
    await pause(this.#clock, ms, AbortSignal.any([dialled.signal, this.#stop.signal]));
  }

  #registration() {
    const { name, version = '1.0.0', a2aInstanceId, capabilities = [] } = this.options;
    return {
      executor_id: this.id,
      ...(a2aInstanceId !== undefined && { a2a_instance_id: a2aInstanceId }),
      name,
      version,
      spec_version: '1.0.0',
      transport_endpoints: { rest: this.url, ws: this.url.replace(/^http/, 'ws') },
      capabilities,
    };
  }

  #open(token: string): Promise<WebSocket> {
    return this.options.connect === 'listen' ? this.#awaitDial() : this.#dial(token);
  }

  async #dial(token: string): Promise<WebSocket> {
    const { signal } = this.#stop;
    const socket = new WebSocket(this.#rest.socketUrl(this.id, token), {
      ...socketOptions,
      handshakeTimeout: OPEN_LIMIT,
    });
    socket.on('error', () => undefined); // Told by the close event that follows it.
    socket.on('unexpected-response', (_, { statusCode = 0 }) => {
      if (statusCode === 401 || statusCode === 404) this.#isRegistered = false;
      socket.terminate();
    });
    try {
      await once(socket, 'open', { signal });
      return socket;
    } catch (error) {
      socket.terminate();
      throw error;
    }
  }

  /**
   * Waits until Callboard dials. Where it does not, it may have forgotten the executor, which then registers again; a
   * dial that comes late is one by the token that it has still.
   */
  async #awaitDial(): Promise<WebSocket> {
    await this.#pause(3 * OPEN_LIMIT);
    const socket = this.#dialled;
    this.#dialled = undefined;
    if (socket !== undefined) return socket;
    this.#isRegistered = false;
    throw new Error('it has not dialled');
  }

  #accept(socket: WebSocket): void {
    if (this.#stop.signal.aborted) {
      socket.terminate();
      return;
    }
    this.#dialled?.close(REPLACED, REPLACED_REASON);
    this.#dialled = socket;
    this.#isRegistered = true;
    this.#onDialled();
  }

  /** Serves a connection until it closes, or Callboard has dialled another. @param onReady called once Callboard has said where each mission stands */
  async #attend(socket: WebSocket, onReady: () => void): Promise<void> {
    const gone = new AbortController();
    const closed = closeOf(socket);
    // The old one may be half open, so that its closing takes long: nobody waits for that.
    const replaced = new Promise<{ code: number; reason: string }>((resolve) => {
      this.#onDialled = () => {
        socket.close(REPLACED, REPLACED_REASON);
        resolve({ code: REPLACED, reason: REPLACED_REASON });
      };
    });
    let heard = this.#clock.now();
    socket.on('message', (data, isBinary) => {
      heard = this.#clock.now();
      if (!isBinary) this.#receive(String(data));
    });
    socket.on('ping', () => {
      heard = this.#clock.now();
    });
    socket.on('pong', (payload) => {
      heard = this.#clock.now();
      if (!gone.signal.aborted) this.#outgoing.onPong(String(payload));
    });
    let cancelPing = (): void => undefined;
    const watch = (): void => {
      if (this.#clock.now() - heard > SILENCE) socket.terminate();
      else {
        if (socket.readyState === WebSocket.OPEN) socket.ping(ALIVE);
        cancelPing = this.#clock.after(PING_EVERY, watch);
      }
    };
    cancelPing = this.#clock.after(PING_EVERY, watch);
    if (socket.readyState !== WebSocket.OPEN || this.#stop.signal.aborted) socket.terminate();
    this.#socket = socket;
    this.#settled = false;
    this.#resync(socket);
    const catchingUp = this.#catchUp(socket, gone.signal, onReady).catch((error: unknown) => {
      if (gone.signal.aborted) return;
      this.warn(`missions cannot be read back: ${reasonOf(error)}`);
      socket.terminate();
    });
    const { code, reason } = await Promise.race([closed, replaced]);
    gone.abort();
    cancelPing();
    this.#outgoing.close();
    if (this.#socket === socket) this.#socket = undefined;
    await catchingUp;
    if (code === DEREGISTERED && reason === BY_OPERATOR && this.#closing === undefined) {
      this.#closing = Promise.resolve();
      this.#end('an operator has deleted its executor');
      this.warn('an operator has deleted this executor: it stays away');
      return;
    }
    if (code === DEREGISTERED || code === BAD_TOKEN) this.#isRegistered = false;
    // Two processes with one identity are not to take the place of each other as fast as they can.
    if (code === REPLACED) this.#failures = REPLACED_FAILURES;
    if (!this.#stop.signal.aborted) this.warn(`the connection is lost (${code}${reason && ` ${reason}`})`);
  }

  #resync(socket: WebSocket): void {
    const owned_mission_ids = [...this.#missions.keys()];
    const ts = this.#timestamp();
    const data = { owned_mission_ids, protocol_version: '1.0.0' };
    socket.send(JSON.stringify({ event: 'executor.resync', executor_id: this.id, ts, data }));
  }

  /** Finds out what Callboard has of each mission, then sends the rest. */
  async #catchUp(socket: WebSocket, signal: AbortSignal, onReady: () => void): Promise<void> {
    const missions = new Set([...this.#outgoing.missions, ...this.#missions.keys()]);
    // What is read is to be as it is after the resync.
    if (missions.size > 0) await received(socket, signal);
    for (const missionId of missions) await this.#compare(missionId, signal, true);
    signal.throwIfAborted();
    const asked = new Set([...this.#missions.values()].flatMap((mission) => mission.asked ?? []));
    const open = await this.#rest.openQuestions(this.id, asked, signal);
    signal.throwIfAborted();
    for (const mission of this.#missions.values()) mission.restate(open);
    this.#failures = 0;
    this.#outgoing.open({
      get bufferedAmount() {
        return socket.bufferedAmount;
      },
      send: (text, done) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(text, done);
      },
      ping: (payload) => {
        if (socket.readyState === WebSocket.OPEN) socket.ping(payload);
      },
    });
    onReady();
    await received(socket, signal);
    this.#settled = true;
  }

  /**
   * Holds a mission against what Callboard says of it. One that is over there is over here, too; one that Callboard does
   * not know any more (it keeps nothing, and was started anew) is given up: nobody could be told of it.
   * @param isAway nothing is on its way, so that what Callboard does not have is lost
   */
  async #compare(missionId: string, signal: AbortSignal, isAway: boolean): Promise<void> {
    const recorded = await this.#rest.mission(missionId, signal);
    signal.throwIfAborted();
    if (recorded !== undefined && !isTerminal(recorded.state)) {
      if (isAway) this.#outgoing.has(missionId, recorded.newest);
      return;
    }
    this.#outgoing.drop(missionId);
    const why = recorded === undefined ? 'Callboard does not know it any more' : `it is ${recorded.state}`;
    const mission = this.#missions.get(missionId);
    const over = mission?.abort(why, false) ?? Promise.resolve();
    // Whoever dispatches it to a Callboard that has forgotten it means a new one.
    if (recorded === undefined) void over.then(() => this.#ended.delete(missionId));
  }

  /** Callboard may be away just then, or its clock behind: so once is not enough. */
  async #lookUntilOver(missionId: string, time: number, signal: AbortSignal): Promise<void> {
    await pause(this.#clock, Math.max(0, time - this.#clock.now()) + EXPIRY_GRACE, signal);
    for (let looks = 0; !signal.aborted; looks++) {
      await this.#compare(missionId, signal, false).catch(() => undefined);
      await pause(this.#clock, backoff(looks, this.#random), signal);
    }
  }

  #receive(text: string): void {
    const pushed = pushedOf(parseJson(text));
    // A resync has suspended missions resumed, though nobody asked for it: they stay suspended, and say so again.
    if (pushed === undefined || (pushed.event === 'mission.resumed' && !this.#settled)) return;
    this.#missions.get(pushed.missionId)?.receive(pushed);
  }

  /** RFC 3339; within a millisecond, further digits tell events apart. */
  #timestamp(): string {
    const ms = Math.floor(this.#clock.now());
    const { ms: before, count } = this.#latest;
    this.#latest = ms > before ? { ms, count: 0 } : { ms: before, count: count + 1 };
    const text = new Date(this.#latest.ms).toISOString();
    if (this.#latest.count === 0) return text;
    return `${text.slice(0, -1)}${String(this.#latest.count).padStart(6, '0')}Z`;
  }

  /** Has it try nothing more. */
  #cut(): void {
    this.#stop.abort();
    this.#socket?.terminate();
    this.#dialled?.terminate();
  }

  /** Ends it and its missions here and now, without another word to Callboard. */
  #end(why: string): void {
    this.#cut();
    for (const mission of this.#missions.values()) void mission.abort(why, false);
    this.#endpoint.close();
  }

  async #close(): Promise<void> {
    const resumable = this.options.capabilities?.includes('resumable') ?? false;
    const patience = new AbortController();
    const cancel = this.#clock.after(CLOSE_LIMIT, () => patience.abort());
    const late = once(patience.signal, 'abort').catch(() => undefined);
    const last = Promise.all([...this.#missions.values()].map((mission) => mission.leave(resumable)));
    await Promise.race([last.then(() => this.#outgoing.confirmed()), late]);
    if (patience.signal.aborted) this.warn('Callboard may not have got the last events');
    cancel();
    // Before Callboard closes the connection, so that nobody registers again.
    this.#stop.abort();
    const token = this.#token;
    if (token !== undefined)
      await this.#rest
        .deregister(this.id, token, AbortSignal.timeout(CLOSE_LIMIT))
        .catch((error: unknown) => this.warn(`not deregistered: ${reasonOf(error)}`));
    this.#dialled?.terminate();
    const socket = this.#socket;
    if (socket !== undefined) {
      const closed = closeOf(socket);
      socket.close(1000);
      await closed;
    }
    this.#endpoint.close();
  }
}

/** `fetch` fails with "fetch failed" and keeps the reason in `cause`. */
const reasonOf = (error: unknown): string =>
  messageOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);
