/** A proxy that cuts what passes through it: where, when and how a test says. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Scope, Served } from '../server/helpers.js';

/** Where and when a proxy cuts. */
export interface Cut {
  /** WebSockets, or all other connections. */
  readonly road: 'socket' | 'http';
  /** Up is to the server that the proxy is before. */
  readonly direction: 'up' | 'down';
  /** When this many more bytes have passed; of a WebSocket, those of the handshake do not count. 0: at once. */
  readonly after: number;
  /** Of WebSockets: nothing passes any more, and nobody is told. */
  readonly silent?: boolean;
}

export interface CuttingProxy {
  readonly url: string;
  /** WebSockets that came. */
  readonly dialled: number;
  /** What the latest of them has brought down, as Latin-1. */
  readonly brought: string;
  /** A WebSocket stands and passes nothing on. */
  readonly isSilent: boolean;
  /** Cuts every WebSocket, at once. */
  cut(): void;
  /** Passes nothing on any more of the WebSockets that stand, and says nothing. */
  freeze(): void;
  /** Cuts once, in place of what was to be cut of that road in that direction. */
  cutAfter(cut: Cut): void;
}

/** One connection through a proxy. */
interface Line {
  readonly client: Socket;
  readonly upstream: Socket;
  road: 'socket' | 'http';
  isSilent: boolean;
}

/**
 * A proxy before a server.
 * @param onDial told of a WebSocket that has come, once it is open
 * @param onCut told before something is cut
 */
export async function cuttingProxy(
  t: Scope,
  { url }: Served,
  { onDial = () => undefined, onCut = () => undefined }: { onDial?: () => void; onCut?: (cut: Cut) => void } = {},
): Promise<CuttingProxy> {
  const target = new URL(url);
  const lines = new Set<Line>();
  const due: Record<Cut['road'], Partial<Record<Cut['direction'], { readonly cut: Cut; left: number }>>> = {
    socket: {},
    http: {},
  };
  let dialled = 0;
  let brought = '';
  const webSockets = (): Line[] => [...lines].filter(({ road }) => road === 'socket');
  const freeze = (): void => {
    for (const line of webSockets()) line.isSilent = true;
  };
  const strike = (cut: Cut): void => {
    onCut(cut);
    if (cut.silent) freeze();
    else
      for (const { road, client, upstream } of lines)
        if (road === cut.road) for (const socket of [client, upstream]) socket.destroySoon();
  };
  const pass = (line: Line, direction: Cut['direction'], bytes: Buffer): void => {
    if (line.isSilent) return;
    const to = direction === 'up' ? line.upstream : line.client;
    const next = due[line.road][direction];
    to.write(bytes.subarray(0, next?.left));
    if (next === undefined) return;
    next.left -= bytes.length;
    if (next.left > 0) return;
    delete due[line.road][direction];
    strike(next.cut);
  };
  const proxy = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    const line: Line = { client, upstream, road: 'http', isSilent: false };
    lines.add(line);
    for (const socket of [client, upstream]) {
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        lines.delete(line);
        client.destroy();
        upstream.destroy();
      });
    }
    client.once('data', (head: Buffer) => {
      const isSocket = head.toString('latin1').startsWith('GET /ws/');
      if (isSocket) upstream.write(head);
      else pass(line, 'up', head);
      client.on('data', (bytes: Buffer) => pass(line, 'up', bytes));
      if (!isSocket) return void upstream.on('data', (bytes: Buffer) => pass(line, 'down', bytes));
      upstream.once('data', (answer: Buffer) => {
        client.write(answer);
        line.road = 'socket';
        brought = '';
        upstream.on('data', (bytes: Buffer) => {
          brought += bytes.toString('latin1');
          pass(line, 'down', bytes);
        });
        dialled++;
        onDial();
      });
    });
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    proxy.close();
    for (const { client } of lines) client.destroy();
  });
  const address = proxy.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    url: `http://127.0.0.1:${address.port}`,
    get dialled() {
      return dialled;
    },
    get brought() {
      return brought;
    },
    get isSilent() {
      return webSockets().some(({ isSilent }) => isSilent);
    },
    cut: () => {
      for (const { client } of webSockets()) client.destroy();
    },
    freeze,
    cutAfter(cut) {
      if (cut.after === 0) strike(cut);
      else due[cut.road][cut.direction] = { cut, left: cut.after };
    },
  };
}
