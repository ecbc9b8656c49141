/** A server that loses an event is found out. */
import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { runClient } from '#bench/client-process.js';
import { missionsResult } from '#bench/client-report.js';
import { type Flood, measureFlood } from '#bench/flood.js';
import type { ServerProcess } from '#bench/server-process.js';
import { baseline, floor } from '#bench/servers.js';
import { type DroppingProxy, startDroppingProxy } from './dropping-proxy.js';

const flood: Flood = { connections: 2, missions: 2, events: 400, duration: 0, warmup: 0, send: 'chunks' };

// Each load generator has executors and missions of its own, so that they can share servers.
const rival = await baseline.start(1, '');
after(rival.stop);
const counting = await floor.start(1, '');
after(counting.stop);

/** A proxy in front of a server, for one test. It loses one `mission.progress`. */
async function proxyOf(t: TestContext, { url }: ServerProcess, victim: number): Promise<DroppingProxy> {
  const proxy = await startDroppingProxy(url, victim);
  t.after(() => proxy.close());
  return proxy;
}

/** A flood through such a proxy. */
async function floodLosing(t: TestContext, server: ServerProcess, victim: number, more: Partial<Flood> = {}) {
  const proxy = await proxyOf(t, server, victim);
  const { check } = server === counting ? floor : baseline;
  const result = measureFlood(
    'flood',
    { url: proxy.url, check, pid: 0 },
    { ...flood, ...more },
    { progress: () => {} },
  );
  return { result, proxy };
}

test('nothing is found where nothing is lost', async (t) => {
  for (const server of [rival, counting]) {
    const { result, proxy } = await floodLosing(t, server, 0);
    // 400 events and the ends of four missions.
    assert.equal((await result).events, 404);
    assert.equal(proxy.lost, 0);
  }
});

for (const send of ['chunks', 'packets'] as const) {
  test(`one of the newest events, sent in ${send}, is missed in its mission`, async (t) => {
    const { result, proxy } = await floodLosing(t, rival, 400 - 10, { send, missions: send === 'packets' ? 1 : 2 });
    await assert.rejects(result, /one was lost or moved|progress events up to \d+ are kept/);
    assert.equal(proxy.lost, 1);
  });
}

test('any event is missed at the floor, which counts frames', async (t) => {
  const { result, proxy } = await floodLosing(t, counting, 100);
  await assert.rejects(result, /\d+ frames have arrived; \d+ were sent/);
  assert.equal(proxy.lost, 1);
});

for (const [victim, what] of [
  [2 * 5 + 1, 'any event'],
  [0, 'nothing'],
] as const)
  test(`${what} is missed in whole missions where it is lost`, async (t) => {
    const proxy = await proxyOf(t, rival, victim);
    const flags = { url: proxy.url.href, executors: 2, missions: 10, concurrency: 1, progress: 2 };
    const result = runClient('./missions-client', flags, missionsResult, () => {});
    if (victim === 0) assert.equal((await result).events, 40);
    else await assert.rejects(result, /it shows 3 events from mission\.started on; 4 were sent/);
    assert.equal(proxy.lost, victim === 0 ? 0 : 1);
  });
