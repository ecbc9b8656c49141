/** What the tests of the SDK share: executors that end with the test, an operator, and a proxy that cuts. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import * as v from 'valibot';
import { createExecutor, type Executor, type ExecutorOptions } from '../../src/client/index.js';
import { eventEnvelopeSchema } from '../../src/contract/index.js';
import { post, type Scope, type Served, send } from '../server/helpers.js';

/** A test of which the last to begin is the first to end: executors leave before their server stops. */
export function inReverse(t: Scope): Scope {
  const cleanings: (() => unknown)[] = [];
  t.after(async () => {
    for (const clean of cleanings.reverse()) await clean();
  });
  return { after: (clean) => void cleanings.push(clean) };
}

export type Options = Partial<Omit<ExecutorOptions, 'identityFile'>> & Pick<ExecutorOptions, 'onDispatch'>;

/** An executor that is closed with the test. */
export async function start(t: Scope, { url }: Served, options: Options): Promise<Executor> {
  const executor = await createExecutor({ url, executorId: randomUUID(), name: 'sdk', ...options });
  t.after(() => executor.close());
  return executor;
}

/** Dispatches a mission. @returns its id */
export async function dispatch(server: Served, more: Record<string, unknown> = {}): Promise<string> {
  const mission_id = randomUUID();
  const body = { mission_id, objective: 'do it', completion: 'done', ...more };
  const answer = await post(`${server.url}/api/v1/sessions/s/dispatch`, body);
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  return mission_id;
}

/** What an operator asks of a mission. @returns the status of the answer */
export const operate = async (server: Served, id: string, action: string, body?: object): Promise<number> =>
  (await post(`${server.url}/api/v1/missions/${id}/${action}`, body)).status;

const page = v.object({ events: v.array(eventEnvelopeSchema), next_after: v.optional(v.number()) });

/** The whole history of a mission: the names of its events, those of progress with their summary. */
export async function history(server: Served, id: string): Promise<string[]> {
  const names: string[] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const { body } = await send(`${server.url}/api/v1/missions/${id}/events?limit=1000&after=${after}`);
    const { events, next_after } = v.parse(page, body);
    for (const event of events)
      names.push(event.event === 'mission.progress' ? `${event.data?.summary}` : event.event.replace('mission.', ''));
    after = next_after;
  }
  return names;
}

export interface CuttingProxy {
  readonly url: string;
  /** WebSockets that came. */
  readonly dialled: number;
  /** Cuts every WebSocket, at once. */
  cut(): void;
  /** Passes nothing on any more of the WebSockets that stand, and says nothing. */
  freeze(): void;
  /** Cuts each WebSocket when this many more bytes have come from executors; what came before may or may not be lost. */
  cutAfter(bytes: number): void;
}

/** A proxy before a server; REST passes through it unharmed. @param onDial told of each WebSocket that comes */
export async function cuttingProxy(t: Scope, { url }: Served, onDial = (): void => undefined): Promise<CuttingProxy> {
  const target = new URL(url);
  const all = new Set<Socket>();
  const webSockets = new Set<Socket>();
  let dialled = 0;
  let left = Number.POSITIVE_INFINITY;
  const cut = (): void => {
    left = Number.POSITIVE_INFINITY;
    for (const socket of webSockets) socket.destroy();
  };
  const proxy = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const socket of [client, upstream]) {
      all.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        for (const set of [all, webSockets]) set.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    upstream.pipe(client);
    client.once('data', (head: Buffer) => {
      upstream.write(head);
      if (!head.toString('latin1').startsWith('GET /ws/')) return void client.pipe(upstream);
      dialled++;
      onDial();
      webSockets.add(client).add(upstream);
      client.on('data', (bytes: Buffer) => {
        upstream.write(bytes.subarray(0, left));
        left -= bytes.length;
        if (left <= 0) cut();
      });
    });
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    proxy.close();
    for (const socket of all) socket.destroy();
  });
  const address = proxy.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    url: `http://127.0.0.1:${address.port}`,
    get dialled() {
      return dialled;
    },
    cut,
    freeze() {
      for (const socket of webSockets) socket.unpipe().removeAllListeners('data').resume();
    },
    cutAfter(bytes) {
      left = bytes;
    },
  };
}
