/**
 * An executor: takes missions, and sees to it that what they say arrives, in order and once, whatever becomes of the
 * connection.
 */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { DispatchPayload, MissionEventName } from '../contract/index.js';
import { isTerminal } from '../contract/transitions.js';
import { checkData, MAX_SIZE, parseJson, pushedOf } from './checks.js';
import { backoff, type Clock, pause, systemClock } from './clock.js';
import { Connection } from './connection.js';
import { Endpoint, isLoopback } from './endpoint.js';
import { messageOf, reasonOf } from './errors.js';
import { readIdentity } from './identity.js';
import { Mission, type MissionHost } from './mission.js';
import type { Executor, ExecutorOptions } from './options.js';
import { Outgoing } from './outgoing.js';
import { Rest } from './rest.js';
import { received } from './socket.js';

const MAX_QUEUED = 10_000;
/** Milliseconds for the last words to arrive, and for deregistering. */
const CLOSE_LIMIT = 5_000;
/** Ids of ended missions that are remembered, so that a dispatch that is repeated late begins nothing. */
const MAX_ENDED = 10_000;
/** Bytes of the missions' ids in a resync: it is one frame, and has some bytes more. */
const MAX_IDS = MAX_SIZE - 1_024;
/** Missions that are read back at once. */
const READ_AT_ONCE = 16;
/** A mission's question may be answered in the last moment: it is looked at a little later. */
const EXPIRY_GRACE = 1_000;

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

/** Bytes of an id in a list, with its comma. */
const sizeOf = (id: string): number => Buffer.byteLength(JSON.stringify(id)) + 1;

class Client implements Executor, MissionHost {
  readonly id: string;
  readonly options: ExecutorOptions;
  url = '';
  readonly closed: Promise<void>;
  #onClosed = (): void => undefined;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #rest: Rest;
  readonly #connection: Connection;
  readonly #endpoint: Endpoint;
  readonly #outgoing: Outgoing;
  readonly #missions = new Map<string, Mission>();
  readonly #ended = new Set<string>();
  /** Bytes of their ids in a resync, at most: some that are over may be counted still. */
  #idBytes = 0;
  /** Ends every wait. */
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;
  /** What a resync has pushed has come: until then, missions may be resumed that nobody wants to be. */
  #settled = false;
  /** The time of the latest event: no two have the same, so that each can be found again. */
  #latest = { ms: 0, count: 0 };

  constructor(id: string, options: ExecutorOptions) {
    const { clock = systemClock, random = Math.random, listen, maxQueued = MAX_QUEUED, connect } = options;
    this.id = id;
    this.options = options;
    this.closed = new Promise((resolve) => {
      this.#onClosed = resolve;
    });
    this.#clock = clock;
    this.#random = random;
    this.#rest = new Rest(options.url);
    this.#outgoing = new Outgoing(clock, maxQueued);
    this.#connection = new Connection({
      executorId: id,
      listens: connect === 'listen',
      rest: this.#rest,
      clock,
      random,
      stop: this.#stop.signal,
      registration: () => this.#registration(),
      onOpen: (socket, signal) => this.#catchUp(socket, signal),
      onText: (text) => this.#receive(text),
      onPong: (payload) => this.#outgoing.onPong(payload),
      onClose: () => this.#outgoing.close(),
      onDeleted: () => this.#deleted(),
      warn: (message) => this.warn(message),
    });
    this.#endpoint = new Endpoint({
      executorId: id,
      host: listen?.host ?? '127.0.0.1',
      port: listen?.port ?? 0,
      token: () => this.#connection.token,
      onDispatch: (dispatch) => this.#take(dispatch),
      onSocket: connect === 'listen' ? (socket) => this.#connection.accept(socket) : undefined,
    });
  }

  get connected(): boolean {
    return this.#connection.isOpen;
  }

  async start(): Promise<void> {
    const { signal } = this.options;
    const giveUp = (): void => this.#cut();
    signal?.addEventListener('abort', giveUp);
    try {
      this.url = await this.#endpoint.listen();
      this.url = this.options.listen?.publicUrl ?? this.url;
      if (isLoopback(this.url) && !isLoopback(this.options.url))
        this.warn(`Callboard is elsewhere and cannot reach ${this.url}: set listen.host, and listen.publicUrl`);
      signal?.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        this.#connection.run(resolve).catch(reject);
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
    const { ts, text } = this.#envelope(missionId, event, data);
    this.#outgoing.add(missionId, event, ts, text);
  }

  check(missionId: string, event: MissionEventName, data: object): void {
    this.#envelope(missionId, event, data);
  }

  isWaiting(missionId: string, event: MissionEventName): boolean {
    return this.#outgoing.isWaiting(missionId, event);
  }

  isFull(): boolean {
    return this.#outgoing.full;
  }

  warn(message: string): void {
    try {
      this.options.onWarning?.(message);
    } catch (error) {
      // Trouble with telling of trouble is not to end what goes on.
      process.emitWarning(`onWarning: ${messageOf(error)}`);
    }
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
    if (this.#missions.has(id)) return true;
    // Its end may still be on its way.
    if (this.#ended.has(id) && this.#outgoing.missions.has(id)) return true;
    if (this.#closing !== undefined || this.#stop.signal.aborted || this.#outgoing.full || !this.#hasRoom(id))
      return false;
    if (this.#ended.has(id)) void this.#takeAgain(dispatch);
    else this.#begin(dispatch);
    return true;
  }

  /** Counts one more mission, where a resync can still list it. */
  #hasRoom(id: string): boolean {
    if (this.#idBytes + sizeOf(id) > MAX_IDS) {
      this.#idBytes = 0;
      for (const owned of this.#owned()) this.#idBytes += sizeOf(owned);
    }
    if (this.#idBytes + sizeOf(id) > MAX_IDS) return false;
    this.#idBytes += sizeOf(id);
    return true;
  }

  #begin(dispatch: DispatchPayload): void {
    const mission = new Mission(dispatch, this);
    this.#missions.set(mission.id, mission);
    // After the answer.
    setImmediate(() => void mission.begin());
  }

  /**
   * A mission of this id is over here. Where that is so at Callboard, too, its dispatch is only repeated late. Where
   * nothing has been said of it there, it is another one: Callboard has forgotten the first.
   */
  async #takeAgain(dispatch: DispatchPayload): Promise<void> {
    const id = dispatch.mission_id;
    const { signal } = this.#stop;
    for (let looks = 0; !signal.aborted; looks++) {
      try {
        const recorded = await this.#rest.mission(id, signal);
        if (recorded === undefined || isTerminal(recorded.state) || recorded.newest !== undefined) return;
        // Another dispatch of it may have begun it meanwhile.
        if (this.#closing === undefined && !signal.aborted && this.#ended.delete(id)) this.#begin(dispatch);
        return;
      } catch {
        await pause(this.#clock, backoff(looks, this.#random), signal);
      }
    }
  }

  // The connection.

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

  /** The missions that it has: one that is over is so only once Callboard has been told, for what is left out is lost. */
  #owned(): Set<string> {
    return new Set([...this.#outgoing.missions, ...this.#missions.keys()]);
  }

  #sendResync(socket: WebSocket, owned: ReadonlySet<string>): void {
    const owned_mission_ids = [...owned];
    const ts = this.#timestamp();
    const data = { owned_mission_ids, protocol_version: '1.0.0' };
    socket.send(JSON.stringify({ event: 'executor.resync', executor_id: this.id, ts, data }));
  }

  /** Finds out what Callboard has of each mission, then sends the rest. */
  async #catchUp(socket: WebSocket, signal: AbortSignal): Promise<void> {
    this.#settled = false;
    const owned = this.#owned();
    this.#sendResync(socket, owned);
    // What is read is to be as it is after the resync.
    if (owned.size > 0) await received(socket, signal);
    const left = owned.values();
    const compareNext = async (): Promise<void> => {
      for (const missionId of left) await this.#compare(missionId, signal, true);
    };
    await Promise.all(Array.from({ length: READ_AT_ONCE }, compareNext));
    signal.throwIfAborted();
    const asked = new Set([...this.#missions.values()].flatMap((mission) => mission.asked ?? []));
    const open = await this.#rest.openQuestions(this.id, asked, signal);
    // By then all has come that the resync had pushed; and no operator resumes what has not been said again to wait.
    await received(socket, signal);
    this.#settled = true;
    for (const mission of this.#missions.values()) mission.restate(open);
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
    if (pushed === undefined) return;
    // A resync has suspended missions resumed, though nobody asked for it: they stay suspended, and say so again.
    if (pushed.event === 'mission.resumed' && pushed.wasSuspended && !this.#settled) return;
    this.#missions.get(pushed.missionId)?.receive(pushed);
  }

  #envelope(missionId: string, event: MissionEventName, data: object): { ts: string; text: string } {
    checkData(event, data);
    const ts = this.#timestamp();
    const text = JSON.stringify({ event, executor_id: this.id, mission_id: missionId, ts, data });
    if (Buffer.byteLength(text) > MAX_SIZE) throw new RangeError(`an event may have ${MAX_SIZE} bytes`);
    return { ts, text };
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
    this.#connection.cut();
  }

  /** Ends it and its missions here and now, without another word to Callboard. */
  #end(why: string): void {
    this.#cut();
    for (const mission of this.#missions.values()) void mission.abort(why, false);
    this.#endpoint.close();
  }

  #deleted(): void {
    this.#closing ??= Promise.resolve();
    this.#end('an operator has deleted its executor');
    this.warn('an operator has deleted this executor: it stays away');
    this.#onClosed();
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
    const { token } = this.#connection;
    if (token !== undefined)
      await this.#rest
        .deregister(this.id, token, AbortSignal.timeout(CLOSE_LIMIT))
        .catch((error: unknown) => this.warn(`not deregistered: ${reasonOf(error)}`));
    await this.#connection.close();
    this.#endpoint.close();
    this.#onClosed();
  }
}
