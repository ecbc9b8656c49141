/** `callboard serve` as a process: where it listens, how it stops, what it cannot do. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePort } from '#bench/free-port.js';
import { main } from '../built.js';
import { callboard, Running, served } from './callboard.js';

for (const signals of [['SIGTERM'], ['SIGINT', 'SIGINT']] as const) {
  // A Ctrl-C arrives twice under npm.
  test(`it answers where it says it listens, and on ${signals.join(' and ')} stops with exit code 0`, async () => {
    const { server, url } = await served();
    assert.equal((await fetch(`${url}/healthz`)).status, 200);
    for (const signal of signals) server.kill(signal);
    const { code, stdout, stderr } = await server.ended;
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.match(stdout, /"msg":"stopped"}\n$/);
    await assert.rejects(fetch(`${url}/healthz`));
  });
}

test('it says where it listens however little else is logged', async () => {
  const server = callboard(['serve', '--port', '0', '--threads', '1', '--ephemeral', '--log-level', 'fatal']);
  const [line] = await server.stdoutMatch(/^.*listening on (http:.*)"}\n/m);
  server.kill('SIGTERM');
  const { code, stdout } = await server.ended;
  assert.deepEqual({ code, stdout }, { code: 0, stdout: line });
});

test('a process that is still there ten seconds after it was told to stop ends with exit code 1, and says so', async () => {
  // From the signal on, its ten seconds are a hundred milliseconds, and something keeps it alive for longer than those.
  const preload = `
    const { isMainThread } = await import('node:worker_threads');
    if (isMainThread) process.once('SIGTERM', () => {
      const { setTimeout } = globalThis;
      globalThis.setTimeout = (then, ms, ...args) => setTimeout(then, ms === 10_000 ? 100 : ms, ...args);
      setTimeout(() => console.log('nobody ended it'), 5_000);
    });`;
  const imported = ['--import', `data:text/javascript,${encodeURIComponent(preload)}`];
  const server = new Running([...imported, main, 'serve', '--port', '0', '--threads', '1', '--ephemeral']);
  await server.stdoutMatch(/listening on/);
  const asked = performance.now();
  server.kill('SIGTERM');
  const { code, stdout } = await server.ended;
  assert.equal(code, 1);
  assert.match(stdout, /"msg":"not stopped after 10000 ms, giving up"}\n$/);
  assert.ok(performance.now() - asked >= 100, 'it did not wait');
});

test('a taken port is one clear line and exit code 1', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = other.address();
  assert.ok(address !== null && typeof address === 'object');
  const { code, stderr } = await callboard(['serve', '--threads', '1', '--ephemeral'], {
    CALLBOARD_PORT: String(address.port),
  }).ended;
  other.close();
  const said = `callboard serve: port ${address.port} on 127.0.0.1 is taken: stop what listens there, or choose another with --port.\n`;
  assert.deepEqual({ code, stderr }, { code: 1, stderr: said });
});

test('an address of another machine is one clear line and exit code 1', async () => {
  // 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
  const { code, stderr } = await callboard([
    'serve',
    '--threads',
    '1',
    '--ephemeral',
    '--port',
    '0',
    '--host',
    '192.0.2.1',
  ]).ended;
  assert.equal(stderr, 'callboard serve: 192.0.2.1 is not an address of this machine: choose another with --host.\n');
  assert.equal(code, 1);
});

test('at log level silent it says nothing at all', async () => {
  const port = await freePort();
  const server = callboard(['serve', '--threads', '1', '--ephemeral', '--port', String(port), '--log-level', 'silent']);
  for (let up = false; !up; await new Promise((resolve) => setTimeout(resolve, 20))) {
    up = await fetch(`http://127.0.0.1:${port}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    );
  }
  server.kill('SIGTERM');
  const { code, stdout, stderr } = await server.ended;
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '', stderr: '' });
});
