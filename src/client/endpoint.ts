/** The HTTP side of an executor: where Callboard hands it missions and, where it asks to be dialled, its WebSocket. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type WebSocket, WebSocketServer } from 'ws';
import type { DispatchPayload } from '../contract/index.js';
import { isDispatch, MAX_SIZE, parseJson } from './checks.js';
import { socketOptions } from './socket.js';

const ROUTE = /^\/(?:api\/v1\/sessions\/[^/?]+\/)?dispatch(?:\?|$)/;
const SOCKET = /^\/ws\/executors\/([^/?]+)\?(.*)$/;

/** Whether a URL is one of this machine, by its own name for itself. */
export const isLoopback = (url: string): boolean => /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(new URL(url).hostname);

export interface EndpointOptions {
  readonly executorId: string;
  readonly host: string;
  readonly port: number;
  /** The token that Callboard gave; undefined: none yet. */
  readonly token: () => string | undefined;
  /** Takes a mission. @returns false where there is no room now */
  readonly onDispatch: (dispatch: DispatchPayload) => boolean;
  /** Takes a WebSocket that Callboard dialled; undefined: it is not to dial. */
  readonly onSocket: ((socket: WebSocket) => void) | undefined;
}

export class Endpoint {
  readonly #options: EndpointOptions;
  readonly #http: Server;
  readonly #sockets = new WebSocketServer({ ...socketOptions, noServer: true });

  constructor(options: EndpointOptions) {
    this.#options = options;
    this.#http = createServer((request, response) => void this.#serve(request, response));
    if (options.onSocket !== undefined)
      this.#http.on('upgrade', (request, socket, head) => {
        socket.on('error', () => socket.destroy());
        this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#connect(request, ws));
      });
  }

  /** @returns the URL @throws the system's error: `EADDRINUSE`, `EACCES`, … */
  async listen(): Promise<string> {
    const { host, port } = this.#options;
    this.#http.listen(port, host);
    await once(this.#http, 'listening');
    const address = this.#http.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
    // Where it listens on every address, nobody can be told all: whoever is on this machine needs but one.
    const name = { '0.0.0.0': '127.0.0.1', '::': '::1' }[address.address] ?? host;
    return `http://${name.includes(':') ? `[${name}]` : name}:${address.port}`;
  }

  close(): void {
    this.#http.close();
    this.#http.closeAllConnections();
  }

  #connect({ url = '' }: IncomingMessage, ws: WebSocket): void {
    ws.on('error', () => undefined);
    const [, id, query] = SOCKET.exec(url) ?? [];
    const token = new URLSearchParams(query).get('token') ?? '';
    if (id !== this.#options.executorId || !this.#isToken(token)) ws.close(4001, 'token_invalid');
    else this.#options.onSocket?.(ws);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (!ROUTE.test(request.url ?? ''))
      return answer(404, { error: 'not_found', detail: 'an executor takes dispatches' });
    if (request.method !== 'POST') return answer(405, { error: 'method_not_allowed', detail: 'dispatches are POSTed' });
    const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
    if (!this.#isToken(bearer)) return answer(401, { error: 'token_invalid', detail: 'the bearer is not the token' });
    const text = await textOf(request).catch(() => undefined);
    if (text === undefined) return answer(413, { error: 'payload_too_large', detail: `at most ${MAX_SIZE} bytes` });
    const dispatch = parseJson(text);
    if (!isDispatch(dispatch)) return answer(400, { error: 'invalid_payload', detail: 'the body is not a dispatch' });
    if (!this.#options.onDispatch(dispatch)) return answer(503, { error: 'unavailable', detail: 'try another' });
    answer(202, { mission_id: dispatch.mission_id, executor_id: this.#options.executorId, status: 'assigned' });
  }

  /** In constant time. */
  #isToken(token: string): boolean {
    const known = this.#options.token();
    return known !== undefined && timingSafeEqual(hash(token), hash(known));
  }
}

const hash = (text: string): Buffer => createHash('sha256').update(text).digest();

/** The whole body of a request. @throws RangeError where it is larger than a body may be */
async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > MAX_SIZE) throw new RangeError('too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
