/**
 * A thousand executors lose their connections at the same moment: all are back soon, each in a time of its own, and their
 * missions go on. The executors are one process, the server is another, and what lies between them is here.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { report } from 'node:process';
import { test } from 'node:test';
import * as v from 'valibot';
import { built } from '../built.js';
import { served } from '../cli/callboard.js';
import { type Served, send, until } from '../server/helpers.js';
import { cuttingProxy } from './cutting-proxy.js';
import { dispatch } from './helpers.js';

const EXECUTORS = 1_000;
/** Of every fifth executor, one. */
const MISSIONS = 200;
/** Milliseconds until all are back. */
const LIMIT = 10_000;
/** Milliseconds, and how many at most may plan to come back within them: the jitter's first span is ten of these. */
const WINDOW = 50;
const MOST_IN_WINDOW = EXECUTORS / 5;
/** Files that a process may have to open: two for each executor, and those of REST. */
const FILES = 2 * EXECUTORS + 1_000;

const limitsSchema = v.object({
  userLimits: v.object({ open_files: v.object({ soft: v.union([v.number(), v.literal('unlimited')]) }) }),
});
const executorsSchema = v.object({ executors: v.array(v.object({ connected: v.boolean() })) });
const missionsSchema = v.object({ missions: v.array(v.unknown()) });

/** How many executors an operator sees connected. */
async function connected({ url }: Served): Promise<number> {
  const { body } = await send(`${url}/api/v1/executors`);
  return v.parse(executorsSchema, body).executors.filter((executor) => executor.connected).length;
}

/** How many missions an operator sees in a state. */
async function missionsIn({ url }: Served, state: string): Promise<number> {
  const { body } = await send(`${url}/api/v1/missions?state=${state}&limit=1000`);
  return v.parse(missionsSchema, body).missions.length;
}

/** The most of these times that lie in one window, wherever that begins. */
const busiest = (times: readonly number[]): number =>
  Math.max(...times.map((from) => times.filter((time) => time >= from && time < from + WINDOW).length));

/** How many of these times lie in each window, from 0 on. */
const histogram = (times: readonly number[]): string =>
  Array.from(
    { length: Math.floor(Math.max(...times) / WINDOW) + 1 },
    (_, index) => times.filter((time) => Math.floor(time / WINDOW) === index).length,
  ).join(' ');

test('a thousand executors that are cut off at once are back within ten seconds, spread by jitter', async (t) => {
  const { soft } = v.parse(limitsSchema, report?.getReport()).userLimits.open_files;
  if (soft !== 'unlimited' && soft < FILES) return t.skip(`it takes ${FILES} open files, and the limit is ${soft}`);
  const { server: running, url } = await served(['--ephemeral']);
  t.after(async () => {
    running.kill('SIGKILL');
    await running.ended;
  });
  const server = { url };
  let arrivals: number[] = [];
  const proxy = await cuttingProxy(t, server, { onDial: () => arrivals.push(performance.now()) });
  const executors = fork(join(built, 'test/client/executors-process.js'), [proxy.url, `${EXECUTORS}`], {
    execArgv: ['--conditions=built'],
  });
  t.after(() => executors.kill());
  const answer = async (patience: number): Promise<unknown> =>
    (await once(executors, 'message', { signal: AbortSignal.timeout(patience) }))[0];

  const ids = v.parse(v.array(v.string()), await answer(120_000));
  const idle = ids.slice(0, MISSIONS).values();
  const dispatchAll = async (): Promise<void> => {
    for (const executor_id of idle) await dispatch(server, { executor_filter: { executor_id } });
  };
  await Promise.all(Array.from({ length: 20 }, dispatchAll));
  await until(async () => (await missionsIn(server, 'running')) === MISSIONS);
  assert.equal(await connected(server), EXECUTORS);

  arrivals = [];
  const cut = performance.now();
  proxy.cut();
  executors.send('cut');
  const planned = v.parse(v.array(v.number()), await answer(2 * LIMIT));
  assert.equal(await connected(server), EXECUTORS);
  const back = performance.now() - cut;
  t.diagnostic(`all are back ${Math.round(back)} ms after the cut`);
  t.diagnostic(`have come, in each ${WINDOW} ms: ${histogram(arrivals.map((time) => time - cut))}`);
  t.diagnostic(`planned to wait, in each ${WINDOW} ms: ${histogram(planned)}`);
  assert.ok(back < LIMIT, `the last is back after ${back} ms`);
  assert.equal(arrivals.length, EXECUTORS, 'each dials once');
  // When they come is the machine's doing, too; what they plan is not.
  assert.ok(busiest(planned) <= MOST_IN_WINDOW, `${busiest(planned)} within ${WINDOW} ms`);

  assert.equal(await missionsIn(server, 'running'), MISSIONS);
  executors.send('complete');
  await until(async () => (await missionsIn(server, 'done')) === MISSIONS);
});
