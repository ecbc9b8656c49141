/** What the tests of the SDK share: executors that end with the test, and an operator. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import * as v from 'valibot';
import { createExecutor, type Executor, type ExecutorOptions } from '#src/client/index.js';
import { eventEnvelopeSchema } from '#src/contract/index.js';
import type { CallboardServer } from '#src/server/index.js';
import { newFolder } from '../folder.js';
import { post, type Scope, type Served, send, serve } from '../server/helpers.js';

/** A test of which the last to begin is the first to end: executors leave before their server stops. */
export function inReverse(t: Scope): Scope {
  const cleanings: (() => unknown)[] = [];
  t.after(async () => {
    for (const clean of cleanings.reverse()) await clean();
  });
  return { after: (clean) => void cleanings.push(clean) };
}

/** A server that keeps what it is told. */
export function serveKept(t: Scope): Promise<CallboardServer> {
  return serve(t, { dataDir: newFolder(), flushInterval: 1 });
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

/** The whole history of a mission, page by page. */
export async function eventsOf(server: Served, id: string): Promise<v.InferOutput<typeof page>['events']> {
  const all: v.InferOutput<typeof page>['events'] = [];
  for (let after: number | undefined = 0; after !== undefined; ) {
    const { body } = await send(`${server.url}/api/v1/missions/${id}/events?limit=1000&after=${after}`);
    const { events, next_after } = v.parse(page, body);
    all.push(...events);
    after = next_after;
  }
  return all;
}

/** The whole history of a mission: the names of its events, those of progress with their summary. */
export const history = async (server: Served, id: string): Promise<string[]> =>
  (await eventsOf(server, id)).map(({ event, data }) =>
    event === 'mission.progress' ? `${data?.summary}` : event.replace('mission.', ''),
  );
