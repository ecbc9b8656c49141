/**
 * The thread's half of a connection: the WebSocket protocol, run by ws on a stream whose bytes come and go by the lane.
 * So frames are decoded where their events are applied, and the supervisor thread only moves bytes. The plain ones, that
 * is nearly all, are read past ws: see frames.ts.
 */
import { type ClientRequest, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import type { ExecutorMessage } from '../../actors/executor.js';
import type { ConnectionMessage } from '../../actors/messages.js';
import type { Behaviour, Context, Ref } from '../actor/index.js';
import { BAD_TOKEN, GOING_AWAY, SERVICE_RESTART } from '../contract/close-codes.js';
import { MAX_FRAME } from '../contract/index.js';
import { FrameReader } from './frames.js';
import { acceptOf } from './handshake.js';
import type { SocketMessage } from './socket.js';

/** The module of this behaviour, for spawning it on a thread. */
export const connectionModule = new URL(import.meta.url);

/** Milliseconds between two pings; a peer that answers none for two of them is gone. */
const PING_INTERVAL = 20_000;
const MAX_UNANSWERED = 2;
/** How long a peer that was dialled may take to close once that is agreed, in milliseconds. */
const CLOSE_PATIENCE = 5_000;

/** Who began, and so which side of the protocol the peer is. */
export type Peer =
  | {
      readonly role: 'client';
      /** Headers of its upgrade request. */
      readonly headers: Readonly<Record<string, string>>;
    }
  /** It was dialled, and the handshake is done. */
  | {
      readonly role: 'server';
      readonly executorId: string;
      /** Told the executor's id when that closes with 4001: it does not want to be dialled so. */
      readonly refusals: Ref<string>;
    };

export interface ConnectionStart {
  /** Where its frames go; undefined: the upgrade is only accepted to be closed with `reject`. */
  readonly executor: Ref<ExecutorMessage<string>> | undefined;
  readonly reject?: { readonly code: number; readonly reason: string };
  /** Where its bytes go. */
  readonly socket: Ref<SocketMessage>;
  readonly peer: Peer;
  /** Milliseconds between two pings. Default: 20,000, the contract's */
  readonly pingInterval?: number;
}

/** Bytes off the socket, or what the product has to say; and that it is time for a ping. */
export type ConnectionInput =
  | Uint8Array
  | ConnectionMessage
  | { readonly type: 'socket-ended' | 'socket-closed' | 'ping' };

interface Connection {
  /** What ws reads from and writes to. */
  readonly stream: SocketStream;
  /** Reads what comes before ws does; undefined where nothing that comes counts. */
  readonly frames: FrameReader | undefined;
  readonly executor: Ref<ExecutorMessage<string>> | undefined;
  /** Once the handshake is done. */
  ws: WebSocket | undefined;
  readonly pingInterval: number;
  /** Pings since the last pong. */
  unanswered: number;
  /** Something can be sent: neither side has closed. */
  isOpen: boolean;
  /** It was closed from here, whatever the peer then says. */
  isClosed: boolean;
}

const options = { perMessageDeflate: false, maxPayload: MAX_FRAME };
const protocol = new WebSocketServer({ noServer: true, clientTracking: false, ...options });

/** The far end of a socket. */
class SocketStream extends Duplex {
  readonly #send: (message: SocketMessage) => boolean;

  /** @param send @returns whether it was taken */
  constructor(send: (message: SocketMessage) => boolean) {
    super();
    this.#send = send;
  }

  override _read(): void {
    // Bytes are pushed when they come.
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error) => void): void {
    // What has a gap is worth nothing.
    if (this.#send(chunk)) done();
    else done(new Error('the calling thread is too far behind'));
  }

  override _final(done: () => void): void {
    this.#send({ type: 'end' });
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#send({ type: 'destroy' });
    done(error);
  }
}

/** Answers the upgrade request that a client has sent. */
function answer(headers: Readonly<Record<string, string>>, stream: Duplex, then: (ws: WebSocket) => void): void {
  const request = new IncomingMessage(new Socket());
  request.method = 'GET';
  Object.assign(request.headers, headers);
  protocol.handleUpgrade(request, stream, Buffer.alloc(0), then);
}

/**
 * A WebSocket to a server. The dialler has shaken hands, so ws is told what it waits for, and asks for nothing: its
 * request is never sent, and has a socket that is never connected.
 */
function join(stream: Duplex): WebSocket {
  const finishRequest = (request: ClientRequest): void => {
    const response = new IncomingMessage(new Socket());
    const key = String(request.getHeader('sec-websocket-key'));
    Object.assign(response.headers, { upgrade: 'websocket', 'sec-websocket-accept': acceptOf(key) });
    request.emit('upgrade', response, stream, Buffer.alloc(0));
    request.destroy();
  };
  const closing = { closeTimeout: CLOSE_PATIENCE };
  return new WebSocket('ws://executor', {
    ...options,
    ...closing,
    createConnection: () => new Socket(),
    finishRequest,
  });
}

const connection: Behaviour<ConnectionInput, Connection, ConnectionStart> = {
  name: 'connection',
  mailbox: { limit: 100_000, overflow: 'refuse' },
  start({ executor, reject, socket, peer, pingInterval = PING_INTERVAL }, context) {
    const stream = new SocketStream((message) => context.tell(socket, message));
    // ws reports protocol errors on the WebSocket; those of a stream that is gone concern nobody.
    stream.on('error', () => undefined);
    stream.on('close', () => context.stop(context.self));
    if (executor !== undefined) context.watch(executor);
    const onText = (text: string): void => {
      if (executor !== undefined) context.tell(executor, { type: 'frame', text });
    };
    const onBytes = (bytes: Buffer): boolean => {
      stream.push(bytes);
      return readsAtOnce(state);
    };
    const frames = executor && new FrameReader(peer.role, MAX_FRAME, { onText, onBytes });
    const state: Connection = {
      stream,
      frames,
      executor,
      ws: undefined,
      isOpen: true,
      isClosed: false,
      pingInterval,
      unanswered: 0,
    };
    const onOpen = (ws: WebSocket): void => {
      state.ws = ws;
      ws.on('error', () => undefined);
      ws.on('pong', () => {
        state.unanswered = 0;
      });
      if (reject) ws.close(reject.code, reject.reason);
      else if (executor !== undefined)
        ws.on('message', (data, isBinary) => {
          if (isBinary || !Buffer.isBuffer(data))
            context.tell(executor, { type: 'noise', reason: 'binary_frame', detail: '' });
          else onText(data.toString());
        });
    };
    if (peer.role === 'client') answer(peer.headers, stream, onOpen);
    else {
      const ws = join(stream);
      ws.on('close', (code) => {
        // A peer echoes the code that it is closed with.
        if (code === BAD_TOKEN && !state.isClosed) context.tell(peer.refusals, peer.executorId);
      });
      onOpen(ws);
    }
    context.after(pingInterval, { type: 'ping' });
    return state;
  },
  receive(state, message, context) {
    if (message instanceof Uint8Array) {
      const bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
      if (state.frames) state.frames.read(bytes, readsAtOnce(state));
      else state.stream.push(bytes);
    } else if (message.type === 'push') state.ws?.send(message.text);
    else if (message.type === 'close') close(state, message.code, message.reason);
    else if (message.type === 'ping') ping(state, context);
    else if (message.type === 'socket-ended') state.stream.push(null);
    else state.stream.destroy();
    noteClosing(state, context);
    return state;
  },
  /** The executor's actor was given up on. Its successor is not known here: the executor is to dial again. */
  ended(state) {
    close(state, SERVICE_RESTART, 'dial again');
    return state;
  },
  stopped(state) {
    state.stream.destroy();
  },
};

/** Whether ws has read all it was given, so that frames may be read past it and stay in order; and wants any more. */
const readsAtOnce = ({ stream, ws }: Connection): boolean =>
  ws !== undefined && ws.readyState === ws.OPEN && stream.readableLength === 0;

/** Pings the peer, or ends a connection that is only half there. */
function ping(state: Connection, context: Context<ConnectionInput>): void {
  const { ws } = state;
  if (ws?.readyState !== WebSocket.OPEN) return;
  if (state.unanswered === MAX_UNANSWERED) ws.terminate();
  else {
    state.unanswered++;
    ws.ping();
    context.after(state.pingInterval, { type: 'ping' });
  }
}

/** What is pushed from now on would not arrive. The socket itself may stay half open for a while. */
function noteClosing(state: Connection, context: Context<ConnectionInput>): void {
  const { executor, ws } = state;
  if (!state.isOpen || ws === undefined || ws.readyState === ws.OPEN) return;
  state.isOpen = false;
  if (executor !== undefined) context.tell(executor, { type: 'disconnected', connection: context.self });
}

/** Nothing counts that comes after the close; but at a shutdown, what the executor sent before it heard of that does. */
function close(state: Connection, code: number, reason: string): void {
  const { ws } = state;
  state.isClosed = true;
  if (code !== GOING_AWAY) ws?.removeAllListeners('message');
  ws?.close(code, reason);
}

export default connection;
