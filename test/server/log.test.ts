/** The log: one line for each thing worth knowing, and no token in any. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { pino } from 'pino';
import { WebSocket } from 'ws';
import { executor, post, registration, send, serve, socketUrl, until } from './helpers.js';

test('what happens to executors and missions is a line each, floods are sampled, and no line has a token', async (t) => {
  const lines: Record<string, unknown>[] = [];
  let text = '';
  const write = (line: string) => {
    text += line;
    lines.push(JSON.parse(line));
  };
  const server = await serve(t, { log: pino({ level: 'trace' }, { write }) });
  const levels = { 30: 'info', 40: 'warn', 50: 'error' } as const;
  const said = (message: string): Record<string, unknown>[] =>
    lines
      .filter(({ msg }) => msg === message)
      .map(({ level, time: _, pid: __, hostname: ___, msg: ____, ...rest }) => ({
        level: level === 30 || level === 40 || level === 50 ? levels[level] : level,
        ...rest,
      }));

  const peer = await executor(t, server);
  const { executorId, token } = peer;
  await server.registry.assignMission('m', executorId);
  const wanting = { objective: 'o', completion: 'c', executor_filter: { executor_id: executorId } };
  const url = `${server.url}/api/v1/sessions/s/dispatch`;
  assert.equal((await post(url, { mission_id: 'refused', ...wanting })).status, 502);
  for (let n = 0; n < 4; n++) {
    const intruder = new WebSocket(socketUrl(server, executorId, 'wrong-token'));
    await once(intruder, 'close');
  }
  await send(`${server.url}/api/v1/executors`, { headers: { authorization: `Bearer ${token}x` } });
  await post(`${server.url}/api/v1/executors/register`, registration(executorId));
  const spec_version = '1.1.0';
  const again = () => post(`${server.url}/api/v1/executors/register`, registration(executorId, { spec_version }));
  const began = performance.now();
  await Promise.all(Array.from({ length: 200 }, again));
  const took = performance.now() - began;
  for (let n = 0; n < 5; n++) peer.ws.send('noise');
  await until(() => said('dropped what an executor sent').length === 3);
  peer.ws.close();
  await until(() => said('an executor disconnected').length === 1);
  const headers = { authorization: `Bearer ${token}` };
  assert.equal((await send(`${server.url}/api/v1/executors/${executorId}`, { method: 'DELETE', headers })).status, 204);

  const at = { executorId };
  const warned = said('an executor registered with a warning');
  const warning = 'spec_version 1.1.0 is newer than 1.0.0: fields unknown to 1.0.0 are ignored';
  assert.deepEqual(warned[0], { level: 'warn', ...at, warning });
  // However long that took: of two hundred in a second, 52 are written, and they may have fallen into two.
  assert.ok(warned.length <= 52 * (Math.ceil(took / 1_000) + 1), `${warned.length} lines in ${took} ms`);
  assert.deepEqual(said('an executor registered').slice(0, 2), Array(2).fill({ level: 'info', ...at, name: 'test' }));
  assert.deepEqual(said('an executor connected'), [{ level: 'info', ...at, replaces: false, dialled: false }]);
  assert.deepEqual(said('an executor disconnected'), [{ level: 'info', ...at }]);
  assert.deepEqual(said('an executor was deregistered'), [{ level: 'info', ...at, reason: 'graceful_shutdown' }]);
  assert.deepEqual(said('a mission was dispatched'), [{ level: 'info', ...at, missionId: 'm' }]);
  const [refused, ...more] = said('a dispatch was refused');
  assert.deepEqual([more, refused?.missionId, refused?.error], [[], 'refused', 'executor_unreachable']);
  assert.deepEqual(
    said('a connection had no valid token').map(({ count }) => count),
    [1, 2, 4],
  );
  assert.deepEqual(
    said('dropped what an executor sent').map(({ count, reason }) => [reason, count]),
    [1, 2, 4].map((count) => ['invalid_json', count]),
  );
  assert.ok(!text.includes(token) && !text.includes('wrong-token'));
});
