/**
 * An executor's one connection to Callboard: registers, dials or waits to be dialled, notices where nobody is there any
 * more, and begins again, until it is stopped.
 */
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { backoff, type Clock, pause } from './clock.js';
import { RegistrationError, reasonOf } from './errors.js';
import type { Rest } from './rest.js';
import { closeOf, socketOptions } from './socket.js';

/** Milliseconds for a WebSocket to open, and for Callboard to dial one that waits for that. */
const OPEN_LIMIT = 10_000;
const DIAL_LIMIT = 30_000;
/** Milliseconds between two pings, and without a word from Callboard, which pings every 20 s, until it counts as gone. */
const PING_EVERY = 20_000;
const SILENCE = 45_000;
/** The payload of a ping that only asks whether Callboard is there. */
const ALIVE = 'alive';
/** The contract's close codes. */
const DEREGISTERED = 1000;
/** The reason that Callboard gives with it where an operator did that, who does not want it to come back. */
const BY_OPERATOR = 'operator_deleted';
const BAD_TOKEN = 4001;
const REPLACED = 4002;
const REPLACED_REASON = 'replaced by a newer connection';
/** As long as after so many failures an executor waits that was replaced. */
const REPLACED_FAILURES = 6;

export interface ConnectionOptions {
  readonly executorId: string;
  /** Whether it waits to be dialled. */
  readonly listens: boolean;
  readonly rest: Rest;
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Ends every wait. */
  readonly stop: AbortSignal;
  /** The body that registers it. */
  readonly registration: () => object;
  /** Begins on a new connection. @param signal aborts when that is gone @returns once it is of use */
  readonly onOpen: (socket: WebSocket, signal: AbortSignal) => Promise<void>;
  readonly onText: (text: string) => void;
  readonly onPong: (payload: string) => void;
  readonly onClose: () => void;
  /** An operator has deleted the executor. */
  readonly onDeleted: () => void;
  readonly warn: (message: string) => void;
}

export class Connection {
  readonly #options: ConnectionOptions;
  /** The latest, by which Callboard dispatches and dials. */
  #token: string | undefined;
  /** Whether Callboard knows the executor, by that token; as far as is known. */
  #isRegistered = false;
  #socket: WebSocket | undefined;
  /** One that Callboard has dialled and that is not attended to yet, and who is to be told of it. */
  #dialled: WebSocket | undefined;
  #onDialled = (): void => undefined;
  /** Attempts to connect that have failed in a row. */
  #failures = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get token(): string | undefined {
    return this.#token;
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /**
   * Registers and connects, again and again, until it is stopped.
   * @param onReady called once that has been done, or it is stopped
   * @throws RegistrationError if the first registration is refused
   */
  async run(onReady: () => void): Promise<void> {
    const { listens, rest, stop, random, registration, warn } = this.#options;
    let isFirst = true;
    const begun = (): void => {
      isFirst = false;
      onReady();
    };
    while (!stop.aborted) {
      try {
        if (this.#token === undefined || !this.#isRegistered) {
          this.#token = await rest.register(registration(), stop);
          this.#isRegistered = true;
        }
        if (listens) begun();
        const socket = await (listens ? this.#awaitDial() : this.#dial(this.#token));
        await this.#attend(socket, begun);
      } catch (error) {
        if (stop.aborted) break;
        if (error instanceof RegistrationError && isFirst) throw error;
        warn(`no connection to ${rest.url}: ${reasonOf(error)}`);
      }
      await this.#pause(backoff(this.#failures++, random));
    }
    onReady();
  }

  /** Takes a WebSocket that Callboard has dialled, in place of any that stands. It is read once it is attended to. */
  accept(socket: WebSocket): void {
    if (this.#options.stop.aborted) {
      socket.terminate();
      return;
    }
    this.#dialled?.resume();
    this.#dialled?.close(REPLACED, REPLACED_REASON);
    socket.pause();
    this.#dialled = socket;
    this.#isRegistered = true;
    this.#onDialled();
  }

  /** Cuts what stands. */
  cut(): void {
    this.#socket?.terminate();
    this.#dialled?.terminate();
  }

  /** Closes what stands, and waits until it is closed. */
  async close(): Promise<void> {
    this.#dialled?.terminate();
    if (this.#socket === undefined) return;
    const closed = closeOf(this.#socket);
    this.#socket.close(1000);
    await closed;
  }

  /** Waits so many milliseconds, or until Callboard has dialled. */
  async #pause(ms: number): Promise<void> {
    if (this.#dialled !== undefined) return;
    const { clock, stop } = this.#options;
    const dialled = new AbortController();
    this.#onDialled = () => dialled.abort();
    await pause(clock, ms, AbortSignal.any([dialled.signal, stop]));
  }

  async #dial(token: string): Promise<WebSocket> {
    const { executorId, rest, stop } = this.#options;
    const socket = new WebSocket(rest.socketUrl(executorId, token), { ...socketOptions, handshakeTimeout: OPEN_LIMIT });
    let refusal: number | undefined;
    socket.on('error', () => undefined); // Told by the close event that follows it.
    socket.on('unexpected-response', (_, { statusCode = 0 }) => {
      refusal = statusCode;
      if (statusCode === 401 || statusCode === 404) this.#isRegistered = false;
      socket.terminate();
    });
    // What comes with the handshake waits until it is attended to.
    socket.once('open', () => socket.pause());
    try {
      await once(socket, 'open', { signal: stop });
      return socket;
    } catch (error) {
      socket.terminate();
      throw refusal === undefined ? error : new Error(`it answered ${refusal} to the WebSocket`);
    }
  }

  /**
   * Waits until Callboard dials. Where it does not, it may have forgotten the executor, which then registers again; a
   * dial that comes late is one by the token that it has still.
   */
  async #awaitDial(): Promise<WebSocket> {
    await this.#pause(DIAL_LIMIT);
    const socket = this.#dialled;
    this.#dialled = undefined;
    if (socket !== undefined) return socket;
    this.#isRegistered = false;
    throw new Error('it has not dialled');
  }

  /** Serves a connection until it closes, or Callboard has dialled another. @param onReady called once it is of use */
  async #attend(socket: WebSocket, onReady: () => void): Promise<void> {
    const { listens, stop, onOpen, onClose, onDeleted, warn } = this.#options;
    const gone = new AbortController();
    const closed = closeOf(socket);
    // The old one may be half open, so that its closing takes long: nobody waits for that.
    const replaced = new Promise<{ code: number; reason: string }>((resolve) => {
      this.#onDialled = () => {
        socket.close(REPLACED, REPLACED_REASON);
        resolve({ code: REPLACED, reason: REPLACED_REASON });
      };
    });
    this.#listen(socket, gone.signal);
    if (socket.readyState !== WebSocket.OPEN || stop.aborted) socket.terminate();
    this.#socket = socket;
    const opening = onOpen(socket, gone.signal).then(
      () => {
        this.#failures = 0;
        onReady();
      },
      (error: unknown) => {
        if (gone.signal.aborted) return;
        warn(`missions cannot be read back: ${reasonOf(error)}`);
        socket.terminate();
      },
    );
    const { code, reason } = await Promise.race([closed, replaced]);
    gone.abort();
    onClose();
    if (this.#socket === socket) this.#socket = undefined;
    await opening;
    if (code === DEREGISTERED && reason === BY_OPERATOR) return onDeleted();
    // It was deregistered, or it is unknown; unless it has been dialled since.
    if ((code === DEREGISTERED || code === BAD_TOKEN) && this.#dialled === undefined) this.#isRegistered = false;
    // Two processes with one identity are not to take the place of each other as fast as they can.
    if (code === REPLACED) this.#failures = REPLACED_FAILURES;
    const guess = code === REPLACED && !listens ? ': does another process have the same identity?' : '';
    if (!stop.aborted) warn(`the connection is lost (${code}${reason && ` ${reason}`})${guess}`);
  }

  /** Hears what comes, and cuts the connection where nothing does. @param gone when it is not the one any more */
  #listen(socket: WebSocket, gone: AbortSignal): void {
    const { clock, onText, onPong } = this.#options;
    let heard = clock.now();
    // What was on its way on a connection that was replaced counts still, but for pongs: they are of its pings.
    socket.on('message', (data, isBinary) => {
      heard = clock.now();
      if (!isBinary) onText(String(data));
    });
    socket.on('ping', () => {
      heard = clock.now();
    });
    socket.on('pong', (payload) => {
      heard = clock.now();
      if (!gone.aborted) onPong(String(payload));
    });
    let cancelPing = (): void => undefined;
    const watch = (): void => {
      if (clock.now() - heard > SILENCE) socket.terminate();
      else {
        if (socket.readyState === WebSocket.OPEN) socket.ping(ALIVE);
        cancelPing = clock.after(PING_EVERY, watch);
      }
    };
    cancelPing = clock.after(PING_EVERY, watch);
    gone.addEventListener('abort', () => cancelPing());
    socket.resume();
  }
}
