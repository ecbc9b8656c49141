/** A Callboard of which a test says every word, for what a real one does by bad luck only; over real sockets all the same. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import { post, type Scope, until } from '../server/helpers.js';

/** What comes from an executor. */
export interface Heard {
  readonly event: string;
  readonly ts: string;
  readonly mission_id?: string;
  readonly data: Record<string, unknown>;
}

type Response = { readonly status: number; readonly body?: object } | undefined;

export class Scripted {
  url = '';
  /** Changes with each registration. */
  token = '';
  /** Where the executor that registered last takes dispatches. */
  endpoint = '';
  /** `METHOD /path?query`, of the requests that came. */
  readonly requests: string[] = [];
  /** WebSockets that were dialled here, the newest last. */
  readonly sockets: WebSocket[] = [];
  readonly heard: Heard[] = [];
  /** The state of each mission that it knows. */
  readonly states = new Map<string, string>();
  /** What is answered instead. */
  answer: (request: string, body: string) => Response | Promise<Response> = () => undefined;
  /** What becomes of a WebSocket that is asked for: a status of HTTP. */
  onUpgrade: (url: string) => 101 | 401 | 404 | 503 | Promise<101> = () => 101;

  /** @returns a mission's id, once the executor has taken it */
  async dispatch(mission_id: string = randomUUID()): Promise<string> {
    this.states.set(mission_id, 'running');
    const body = { mission_id, objective: 'do it', completion: 'done' };
    const { status } = await post(`${this.endpoint}/dispatch`, body, { authorization: `Bearer ${this.token}` });
    assert.equal(status, 202);
    return mission_id;
  }

  /** Dials an executor that listens. */
  dial(t: Scope, executorId: string): WebSocket {
    const url = `${this.endpoint.replace('http', 'ws')}/ws/executors/${executorId}?token=${this.token}`;
    const ws = new WebSocket(url);
    t.after(() => ws.terminate());
    this.listen(ws);
    return ws;
  }

  /** Pushes an event to the executor. */
  push(event: string, mission_id: string, data: object): void {
    this.sockets.at(-1)?.send(JSON.stringify({ event, mission_id, ts: new Date().toISOString(), data }));
  }

  /** Waits until so many events of this name have come. @returns the last */
  said(event: string, count = 1): Promise<Heard> {
    return until(() => this.heard.filter((one) => one.event === event)[count - 1]);
  }

  listen(ws: WebSocket): void {
    this.sockets.push(ws);
    ws.on('error', () => undefined);
    ws.on('message', (data) => this.heard.push(JSON.parse(String(data))));
  }

  response(request: string, body: string): { readonly status: number; readonly body?: object } {
    const [, method, path = ''] = /^(\w+) ([^?]*)/.exec(request) ?? [];
    if (method === 'POST') {
      this.endpoint = JSON.parse(body).transport_endpoints.rest;
      this.token = randomUUID();
      return { status: 201, body: { token: this.token } };
    }
    if (method === 'DELETE') return { status: 204 };
    if (path === '/api/v1/hitl') return { status: 200, body: { questions: [] } };
    const id = path.split('/').at(-1) ?? '';
    const state = this.states.get(id);
    if (state === undefined) return { status: 404, body: { error: 'mission_not_found' } };
    return { status: 200, body: { state, recent_events: this.heard.filter((one) => one.mission_id === id) } };
  }
}

export async function scripted(t: Scope): Promise<Scripted> {
  const callboard = new Scripted();
  const sockets = new WebSocketServer({ noServer: true });
  const open = new Set<Duplex>();
  const http = createServer(async (request, response) => {
    let sent = '';
    for await (const chunk of request) sent += chunk;
    const asked = `${request.method} ${request.url}`;
    callboard.requests.push(asked);
    const { status, body } = (await callboard.answer(asked, sent)) ?? callboard.response(asked, sent);
    response.writeHead(status).end(body && JSON.stringify(body));
  });
  http.on('upgrade', async (request: IncomingMessage, socket, head) => {
    open.add(socket);
    socket.on('error', () => undefined);
    const status = await callboard.onUpgrade(request.url ?? '');
    if (status === 101) sockets.handleUpgrade(request, socket, head, (ws) => callboard.listen(ws));
    else socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  t.after(() => {
    for (const socket of open) socket.destroy();
    http.closeAllConnections();
    http.close();
  });
  const address = http.address();
  assert.ok(address !== null && typeof address === 'object');
  callboard.url = `http://127.0.0.1:${address.port}`;
  return callboard;
}
