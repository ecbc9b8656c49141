/** A server that loses an event is found out. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { runClient } from '#bench/client-process.js';
import { missionsResult } from '#bench/client-report.js';
import { type Flood, measureFlood } from '#bench/flood.js';
import { baseline, floor, type Server } from '#bench/servers.js';
import { startDroppingProxy } from './dropping-proxy.js';

const flood: Flood = { connections: 2, missions: 2, events: 400, duration: 0, warmup: 0, send: 'chunks' };

/** A flood through a proxy that loses one frame. */
async function floodLosing(t: TestContext, { start, check }: Server, victim: number, more: Partial<Flood> = {}) {
  const { url, stop } = await start(1, '');
  t.after(stop);
  const proxy = await startDroppingProxy(url, victim);
  t.after(() => proxy.close());
  const result = measureFlood(
    'flood',
    { url: proxy.url, check, pid: 0 },
    { ...flood, ...more },
    { progress: () => {} },
  );
  return { result, proxy };
}

test('nothing is found where nothing is lost', async (t) => {
  for (const server of [baseline, floor]) {
    const { result, proxy } = await floodLosing(t, server, 0);
    // 400 events and the ends of four missions.
    assert.equal((await result).events, 404);
    assert.equal(proxy.lost, 0);
  }
});

// The first four frames start the missions, and the last four end them.
for (const send of ['chunks', 'packets'] as const) {
  test(`one of the newest events, sent in ${send}, is missed in its mission`, async (t) => {
    const { result, proxy } = await floodLosing(t, baseline, 404 - 10, { send, missions: send === 'packets' ? 1 : 2 });
    await assert.rejects(result, /one was lost or moved|progress events up to \d+ are kept/);
    assert.equal(proxy.lost, 1);
  });
}

test('any event is missed at the floor, which counts frames', async (t) => {
  const { result, proxy } = await floodLosing(t, floor, 100);
  await assert.rejects(result, /\d+ frames have arrived; \d+ were sent/);
  assert.equal(proxy.lost, 1);
});

// The first frame of each of the two executors is its resync; then come four of each mission.
for (const [victim, what] of [
  [2 + 4 * 5 + 1, 'any event'],
  [0, 'nothing'],
] as const)
  test(`${what} is missed in whole missions where it is lost`, async (t) => {
    const { url, stop } = await baseline.start(1, '');
    t.after(stop);
    const proxy = await startDroppingProxy(url, victim);
    t.after(() => proxy.close());
    const flags = { url: proxy.url.href, executors: 2, missions: 10, concurrency: 1, progress: 2 };
    const result = runClient('./missions-client', flags, missionsResult, () => {});
    if (victim === 0) assert.equal((await result).events, 40);
    else await assert.rejects(result, /it shows 3 events from mission\.progress on; 4 were sent/);
    assert.equal(proxy.lost, victim === 0 ? 0 : 1);
  });
