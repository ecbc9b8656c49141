/** Scenarios that drive servers, tiny: the report is whole. That each runs is seen by `npm run bench -- --smoke`, in CI. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '#bench/report.js';
import { baseline } from '#bench/servers.js';
import { smoke } from './smoke.js';

/** That every figure is there for each contender, CPU time where the system has it, and each distribution rises. */
function assertWhole({ contenders, figures, distributions }: Report, names: readonly string[]): void {
  assert.deepEqual(contenders, names);
  for (const { title, samples } of figures) {
    if (process.platform !== 'linux' && /thread|memory/.test(title)) continue;
    assert.deepEqual(Object.keys(samples), names, title);
    for (const values of Object.values(samples)) assert.ok(values.every(Number.isFinite), title);
  }
  for (const { title, percentiles } of distributions) {
    assert.deepEqual(Object.keys(percentiles), names, title);
    for (const points of Object.values(percentiles)) {
      assert.deepEqual(
        points,
        points.toSorted(([a, x], [b, y]) => a - b || x - y),
      );
    }
  }
}

const reports = smoke(['latency', 'soak', 'register']);

test('latency: the subscriber hears of every change, in order', async () => {
  const report = (await reports)('latency');
  assertWhole(report, ['callboard', 'baseline']);
  assert.equal(report.distributions.length, 1);
});

test('soak: executors come and go, every mission is done, and memory is a curve', async () => {
  const report = (await reports)('soak');
  assertWhole(report, ['callboard']);
  const replaced = report.figures.find(({ title }) => title === 'executors replaced')?.samples.callboard?.[0] ?? 0;
  assert.ok(replaced > 0, 'no executor was replaced');
  if (process.platform === 'linux') assert.ok((report.curves[0]?.points.callboard?.length ?? 0) > 1);
});

test('register: every executor is registered, over REST and in the registry', async () => {
  const report = (await reports)('register');
  assertWhole(report, ['callboard', 'baseline', 'registry alone']);
  for (const points of Object.values(report.curves[0]?.points ?? {})) assert.equal(points.length, 10);
});

test('a server that runs already is measured by its URL, alone', async () => {
  const { url, stop } = await baseline.start(1, '');
  try {
    const report = (await smoke(['ingest-small'], url))('ingest-small');
    assert.deepEqual(report.contenders, [url.host]);
    assert.deepEqual(report.figures.find(({ title }) => title === 'main thread µs/event')?.samples, {});
  } finally {
    await stop();
  }
});
