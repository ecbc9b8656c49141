/**
 * An executor: registers, keeps one connection to Callboard, takes missions, and sees to it that what they say arrives,
 * in order and once, whatever becomes of the connection.
 */
import { on, once } from 'node:events';
import { WebSocket } from 'ws';
import type { DispatchPayload, MissionEventName } from '../contract/index.js';
import { checkData, isOver, MAX_SIZE, parseJson, pushedOf } from './checks.js';
import { backoff, type Clock, pause, realClock } from './clock.js';
import { Dispatches } from './dispatches.js';
import { messageOf, RegistrationError } from './errors.js';
import { readIdentity } from './identity.js';
import { Mission, type MissionHost } from './mission.js';
import type { Executor, ExecutorOptions } from './options.js';
import { Outgoing } from './outgoing.js';
import { Rest } from './rest.js';

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
/** That of one whose answer says that all before it was received. */
const RECEIVED = 'received';
/** A mission's question may be answered in the last moment: it is looked at a little later. */
const EXPIRY_GRACE = 1_000;
/** The contract's close codes. */
const DEREGISTERED = 1000;
const BAD_TOKEN = 4001;
const REPLACED = 4002;
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
  readonly #dispatches: Dispatches;
  readonly #outgoing: Outgoing;
  readonly #missions = new Map<string, Mission>();
  readonly #ended = new Set<string>();
  /** Ends every wait. */
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;
  #token: string | undefined;
  #socket: WebSocket | undefined;
  /** One that Callboard has dialled and that is not attended to yet, and who waits for it. */
  #dialled: WebSocket | undefined;
  #onDialled = (): void => undefined;
  /** What a resync has pushed has come: until then, missions may be resumed that nobody wants to be. */
  #settled = false;
  /** Attempts to connect that have failed in a row. */
  #failures = 0;
  /** The time of the latest event: no two have the same, so that each can be found again. */
  #latest = { ms: 0, count: 0 };

  constructor(id: string, options: ExecutorOptions) {
    const { clock = realClock, random = Math.random, listen, maxQueued = MAX_QUEUED, connect } = options;
    this.id = id;
    this.options = options;
    this.#clock = clock;
    this.#random = random;
    this.#rest = new Rest(options.url);
    this.#outgoing = new Outgoing(clock, maxQueued);
    this.#dispatches = new Dispatches({
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
    const giveUp = (): void => this.#stop.abort();
    signal?.addEventListener('abort', giveUp);
    try {
      this.url = await this.#dispatches.listen();
      this.url = this.options.listen?.publicUrl ?? this.url;
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        this.#run(resolve).catch(reject);
      });
      signal?.throwIfAborted();
    } catch (error) {
      this.#stop.abort();
      this.#dispatches.close();
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

  lookAt(missionId: string, time: number): () => void {
    return this.#clock.after(Math.max(0, time - this.#clock.now()) + EXPIRY_GRACE, () => {
      // What cannot be learnt now is learnt at the next connection.
      void this.#compare(missionId, this.#stop.signal, false).catch(() => undefined);
    });
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
    if (this.#closing !== undefined || this.#outgoing.full) return false;
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
        this.#token ??= await this.#rest.register(this.#registration(), signal);
        if (this.options.connect === 'listen') begun();
        const socket = await this.#open(this.#token);
        await this.#attend(socket, begun);
      } catch (error) {
        if (signal.aborted) break;
        if (error instanceof RegistrationError && isFirst) throw error;
        this.warn(`no connection to ${this.options.url}: ${reasonOf(error)}`);
      }
      if (this.#dialled === undefined) await pause(this.#clock, backoff(this.#failures++, this.#random), signal);
    }
    ready();
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
      handshakeTimeout: OPEN_LIMIT,
      maxPayload: MAX_SIZE,
      perMessageDeflate: false,
    });
    socket.on('error', () => undefined); // Told by the close event that follows it.
    socket.on('unexpected-response', (_, { statusCode = 0 }) => {
      if (statusCode === 401 || statusCode === 404) this.#token = undefined;
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

  /** Waits until Callboard dials. Where it does not, it may have forgotten the executor, which then registers again. */
  async #awaitDial(): Promise<WebSocket> {
    const patience = new AbortController();
    const limit = AbortSignal.any([patience.signal, this.#stop.signal]);
    this.#onDialled = () => patience.abort();
    if (this.#dialled === undefined) await pause(this.#clock, 3 * OPEN_LIMIT, limit);
    this.#onDialled = () => undefined;
    const socket = this.#dialled;
    this.#dialled = undefined;
    if (socket !== undefined) return socket;
    this.#token = undefined;
    throw new Error('it has not dialled');
  }

  #accept(socket: WebSocket): void {
    this.#dialled?.close(REPLACED, 'replaced by a newer connection');
    this.#dialled = socket;
    this.#socket?.close(REPLACED, 'replaced by a newer connection');
    this.#onDialled();
  }

  /** Serves a connection until it closes. @param onReady called once Callboard has said where each mission stands */
  async #attend(socket: WebSocket, onReady: () => void): Promise<void> {
    const gone = new AbortController();
    const closed = closeOf(socket);
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
      this.#outgoing.onPong(String(payload));
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
    if (socket.readyState !== WebSocket.OPEN) socket.terminate();
    this.#socket = socket;
    this.#settled = false;
    this.#resync(socket);
    const catchingUp = this.#catchUp(socket, gone.signal, onReady).catch((error: unknown) => {
      if (gone.signal.aborted) return;
      this.warn(`missions cannot be read back: ${reasonOf(error)}`);
      socket.terminate();
    });
    const { code, reason } = await closed;
    gone.abort();
    cancelPing();
    this.#outgoing.close();
    if (this.#socket === socket) this.#socket = undefined;
    await catchingUp;
    // An operator deregistered it, or it is unknown.
    if (code === DEREGISTERED || code === BAD_TOKEN) this.#token = undefined;
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
    const open = await this.#rest.openQuestions(asked, signal);
    // By then all has come that the resync had pushed; and no operator resumes what has not been said again to wait.
    await received(socket, signal);
    this.#settled = true;
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
  }

  /**
   * Holds a mission against what Callboard says of it. One that is over there is over here, too; one that Callboard does
   * not know any more (it keeps nothing, and was started anew) is given up: nobody could be told of it.
   * @param isAway nothing is on its way, so that what Callboard does not have is lost
   */
  async #compare(missionId: string, signal: AbortSignal, isAway: boolean): Promise<void> {
    const standing = await this.#rest.mission(missionId, signal);
    signal.throwIfAborted();
    if (standing !== undefined && !isOver(standing.state)) {
      if (isAway) this.#outgoing.has(missionId, standing.newest);
      return;
    }
    this.#outgoing.drop(missionId);
    const why = standing === undefined ? 'Callboard does not know it any more' : `it is ${standing.state}`;
    const mission = this.#missions.get(missionId);
    const over = mission?.abort(why, false) ?? Promise.resolve();
    // Whoever dispatches it to a Callboard that has forgotten it means a new one.
    if (standing === undefined) void over.then(() => this.#ended.delete(missionId));
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
      const cut = setTimeout(() => socket.terminate(), 1_000);
      await closed;
      clearTimeout(cut);
    }
    this.#dispatches.close();
  }
}

/** How a socket closes, or that it has. Not by `once`, which would reject at an error, such as a frame too large. */
function closeOf(socket: WebSocket): Promise<{ code: number; reason: string }> {
  return new Promise((resolve) => {
    if (socket.readyState === WebSocket.CLOSED) resolve({ code: 1006, reason: '' });
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
}

/** Resolves once all that was sent so far has been received. @throws AbortError */
async function received(socket: WebSocket, signal: AbortSignal): Promise<void> {
  socket.ping(RECEIVED);
  for await (const [payload] of on(socket, 'pong', { signal })) if (String(payload) === RECEIVED) return;
}

/** `fetch` fails with "fetch failed" and keeps the reason in `cause`. */
const reasonOf = (error: unknown): string =>
  messageOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);
