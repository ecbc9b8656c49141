/** The first registration of a known executor from another machine: its token is rotated. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { pino } from 'pino';
import * as v from 'valibot';
import { createServer } from '#src/server/index.js';
import { newFolder } from '../folder.js';
import { Socket } from '../registry/peers.js';
import { type Answer, assertError, dial, post, registration, type Served, send, serve, until } from './helpers.js';

const trustProxy = ['127.0.0.1'];
const elsewhere = { 'x-forwarded-for': '192.0.2.1' };
const rotatedWarning = /^this is the first registration from another machine: the token is new, /;

const ask = (server: Served, executorId: string, headers: Record<string, string> = {}): Promise<Answer> =>
  post(`${server.url}/api/v1/executors/register`, registration(executorId), headers);

/** @returns the token, and what the executor was warned of */
async function register(server: Served, executorId: string, headers: Record<string, string> = {}) {
  const { status, body, headers: answered } = await ask(server, executorId, headers);
  assert.equal(status, 201);
  const { token } = v.parse(v.object({ token: v.string() }), body);
  return { token, warning: answered.get('x-aiwg-warning') };
}

const list = (server: Served, token: string): Promise<Answer> =>
  send(`${server.url}/api/v1/executors`, { headers: { authorization: `Bearer ${token}` } });

/** A server that can be stopped and started again, on one identities' file. */
function startable(t: TestContext, file: (folder: string) => string = (folder) => join(folder, 'identities.json')) {
  const folder = newFolder();
  const path = file(folder);
  const start = async (dataDir?: string) => {
    process.env.AIWG_EXECUTOR_IDENTITY_STORE = path;
    const server = await createServer({ port: 0, threads: 1, trustProxy, dataDir: dataDir && join(folder, dataDir) });
    t.after(() => server.close());
    await server.listen();
    return server;
  };
  return { path, start };
}

/** What it writes to its log. */
const lines: Record<string, unknown>[] = [];
const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
const shared = await serve({ after }, { trustProxy, log });

test('it gets a new token with a warning, once; the old one is worth nothing, and its connection is closed', {
  timeout: 30_000,
}, async (t) => {
  const executorId = randomUUID();
  const first = await register(shared, executorId);
  assert.deepEqual(await register(shared, executorId), first);
  assert.equal(first.warning, null);
  const connected = await dial(t, shared, executorId, first.token);

  const second = await register(shared, executorId, elsewhere);
  assert.notEqual(second.token, first.token);
  assert.match(second.warning ?? '', rotatedWarning);
  assert.deepEqual(await connected.closed, { code: 4001, reason: 'token_invalid' });
  assertError(await list(shared, first.token), 'token_invalid');
  assert.equal((await list(shared, second.token)).status, 200);
  const late = await dial(t, shared, executorId, first.token);
  assert.equal((await late.closed).code, 4001);
  const warned = lines.filter(({ msg }) => msg === 'an executor registered with a warning');
  assert.deepEqual(
    warned.map(({ level, warning }) => [level, warning]),
    [[40, second.warning]],
  );
  assert.equal(warned[0]?.executorId, executorId);
  assert.ok(!JSON.stringify(lines).includes(first.token) && !JSON.stringify(lines).includes(second.token));

  const back = await dial(t, shared, executorId, second.token);
  const unchanged = { token: second.token, warning: null };
  for (const headers of [elsewhere, {}, elsewhere])
    assert.deepEqual(await register(shared, executorId, headers), unchanged);
  back.ws.ping();
  await new Promise((resolve) => back.ws.once('pong', resolve));
});

test('one that was never here before gets its token without a rotation, and none later', async () => {
  const executorId = randomUUID();
  const first = await register(shared, executorId, elsewhere);
  assert.equal(first.warning, null);
  assert.deepEqual(await register(shared, executorId, elsewhere), first);
  assert.deepEqual(await register(shared, executorId), first);
});

test('who has registered from elsewhere is known after a restart, too; a token of an older file is rotated', async (t) => {
  const { path, start } = startable(t);
  const [here, away, older] = [randomUUID(), randomUUID(), randomUUID()];
  writeFileSync(path, JSON.stringify([{ executorId: older, token: 'old', lastSeenAt: '2026-01-01T00:00:00.000Z' }]));
  const first = await start();
  const before = await register(first, here);
  await register(first, away);
  const { token } = await register(first, away, elsewhere);
  assert.equal((await list(first, 'old')).status, 200);
  await first.close();

  const second = await start();
  assert.deepEqual(await register(second, away, elsewhere), { token, warning: null });
  assert.deepEqual(await register(second, here), before);
  for (const executorId of [here, older])
    assert.match((await register(second, executorId, elsewhere)).warning ?? '', rotatedWarning);
  assertError(await list(second, 'old'), 'token_invalid');
  assertError(await list(second, before.token), 'token_invalid');
});

test("where the store has another token than the identities' file, as after a crash in between, the file's is used", async (t) => {
  const { path, start } = startable(t);
  const executorId = randomUUID();
  const first = await start('data');
  await register(first, executorId);
  await first.close();
  writeFileSync(path, JSON.stringify([{ executorId, token: 'old', lastSeenAt: '2026-01-01T00:00:00.000Z' }]));

  const second = await start('data');
  assert.equal((await second.registry.getRegistration(executorId))?.token, 'old');
});

test('nobody is believed by default', async (t) => {
  const server = await serve(t);
  const executorId = randomUUID();
  const first = await register(server, executorId);
  assert.deepEqual(await register(server, executorId, elsewhere), first);
});

test('the new token is in the file before it is told; where it cannot be, storage_unavailable, and the warning comes with it later', async (t) => {
  const { path, start } = startable(t);
  const server = await start('data');
  const executorId = randomUUID();
  await register(server, executorId);
  const { token } = await register(server, executorId, elsewhere);
  assert.ok(readFileSync(path, 'utf8').includes(token));
  const another = randomUUID();
  const { token: anothers } = await register(server, another, elsewhere);
  const kept = JSON.parse(readFileSync(path, 'utf8')).find((entry: { token: string }) => entry.token === anothers);
  assert.equal(kept.registeredRemotely, true);

  t.mock.method(process, 'emitWarning', () => undefined);
  const { path: failingPath, start: startElsewhere } = startable(t, (folder) => {
    writeFileSync(join(folder, 'a file'), '');
    return join(folder, 'a file', 'identities.json');
  });
  const failing = await startElsewhere();
  await register(failing, executorId);
  assertError(await ask(failing, executorId, elsewhere), 'storage_unavailable');
  assertError(await ask(failing, executorId, elsewhere), 'storage_unavailable');

  // Whoever gets the new token at last is warned, be it kept by then, and no more after that.
  rmSync(dirname(failingPath));
  await failing.registry.supervisor.identities.flush();
  const told = await register(failing, executorId, elsewhere);
  assert.match(told.warning ?? '', rotatedWarning);
  assert.deepEqual(await register(failing, executorId, elsewhere), { token: told.token, warning: null });
});

test('a connection that a program handed in is closed with 4001', async () => {
  const executorId = randomUUID();
  await register(shared, executorId);
  const socket = new Socket();
  await shared.registry.setConnected(executorId, true, socket);
  await register(shared, executorId, elsewhere);
  await until(() => socket.closed.length > 0);
  assert.deepEqual(socket.closed, [[4001, 'token_invalid']]);
  assert.equal((await shared.registry.get(executorId))?.connected, false);
});

test('an executor may be warned of two things', async () => {
  const executorId = randomUUID();
  await register(shared, executorId);
  const later = registration(executorId, { spec_version: '1.1.0' });
  const { headers } = await post(`${shared.url}/api/v1/executors/register`, later, elsewhere);
  assert.match(headers.get('x-aiwg-warning') ?? '', /^spec_version 1\.1\.0 .*; this is the first registration from/);
});

test('a bad address of a proxy is refused', async () => {
  await assert.rejects(
    createServer({ trustProxy: ['localhost'] }),
    new RangeError('"localhost" is not an IP address or CIDR range'),
  );
});
