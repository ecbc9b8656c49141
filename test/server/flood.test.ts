/** A peer that sends as fast as it can: nothing is lost, memory stays bounded, and REST is answered. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import type blockingActor from '#test/blocking-actor.js';
import { blockingModule } from '#test/blocking-actor.js';
import { built } from '../built.js';
import { executorOn, inState, register, send, serve, socketUrl, until } from './helpers.js';

test('a flood at a thread that is stuck: its sender is held back, others are served, and then every event counts', async (t) => {
  const counts = new Set<unknown>();
  const write = (line: string) => void counts.add(JSON.parse(line).count);
  const server = await serve(t, { threads: 2, log: pino({}, { write }) });
  const { registry } = server;
  const { system } = registry.supervisor;
  const executorId = randomUUID();
  const token = await register(server, executorId);
  const thread = registry.supervisor.threadOf(executorId);
  await registry.assignMission('m', executorId);
  // Events for a mission that is over are counted, and reported whenever their count has doubled.
  await registry.failMission('m', 'over');
  const other = await executorOn(t, server, 1 - thread);
  await registry.assignMission('other', other.executorId);

  const wake = new Int32Array(new SharedArrayBuffer(4));
  const blocking = system.spawnOnThread<typeof blockingActor>(blockingModule, wake, { thread });
  await system.settle();
  const frames = 2 ** 18;
  const before = process.memoryUsage().rss;
  const args = [socketUrl(server, executorId, token), executorId, 'm', String(frames)];
  const program = join(built, 'test', 'server', 'flooding-process.js');
  const child = fork(program, args, { execArgv: ['--conditions=built'] });
  t.after(() => child.kill());
  await once(child, 'message');
  system.tell(blocking, 'block');
  child.send('go');
  const [sent] = await once(child, 'message');
  const grown = process.memoryUsage().rss - before;
  other.event('mission.started', 'other', { state: 'running' });
  await inState(server, 'other', 'running');
  assert.equal((await send(`${server.url}/api/v1/executors/${other.executorId}`)).status, 200);
  Atomics.store(wake, 0, 1);
  Atomics.notify(wake, 0);
  await until(() => counts.has(frames), 30_000);
  child.kill();
  await once(child, 'exit');

  // Of 55 MB: what the sockets and the lane hold, and what was taken in before the thread was stuck.
  assert.ok(sent < 30 * 2 ** 20, `${sent} bytes were taken from it while nobody could process them`);
  assert.ok(grown < 128 * 2 ** 20, `memory grew by ${grown} bytes`);
  assert.ok(!counts.has(frames * 2));
});
