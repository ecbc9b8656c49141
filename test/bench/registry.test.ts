/** The scenarios about the registry, tiny: all is registered and kept, and the report is whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '#bench/report.js';
import { smoke } from './smoke.js';

const reports = smoke(['register', 'missions', 'recovery']);

/** The report of a smoke run in which every contender has every figure. */
async function whole(scenario: string, names: readonly string[]): Promise<Report> {
  const report = (await reports)(scenario);
  assert.deepEqual(report.contenders, names);
  if (process.platform === 'linux')
    for (const { title, samples } of report.figures) assert.deepEqual(Object.keys(samples), names, title);
  return report;
}

test('register: every executor is registered, over REST and in the registry', async () => {
  const { curves } = await whole('register', ['callboard', 'baseline', 'registry alone']);
  for (const points of Object.values(curves[0]?.points ?? {})) assert.equal(points.length, 10);
});

test('missions: every mission is kept with its events', async (t) => {
  if (process.platform !== 'linux') return t.skip('resident memory is read from /proc');
  await whole('missions', ['callboard', 'ephemeral', 'plain objects']);
});

test('recovery: every mission is back', async () => {
  await whole('recovery', ['callboard']);
});
