/** The scenarios about the registry, tiny: all is registered, picked and kept, and the report is whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { missions } from '../../bench/mission-memory.js';
import { pick } from '../../bench/pick.js';
import { recovery } from '../../bench/recovery.js';
import { register } from '../../bench/register.js';
import { type Report, reportSchema } from '../../bench/report.js';
import type { Scenario } from '../../bench/scenario.js';

/** Runs a scenario with the values of a smoke run, and checks that every contender has every figure. */
async function smoke(scenario: Scenario, names: readonly string[]): Promise<Report> {
  const values = Object.entries(scenario.parameters).map(([name, parameter]) => [name, parameter.smoke]);
  const surroundings = { smoke: true, url: undefined, progress: () => undefined };
  const report = v.parse(reportSchema, await scenario.run(Object.fromEntries(values), surroundings));
  assert.deepEqual(report.contenders, names);
  if (process.platform === 'linux')
    for (const { title, samples } of report.figures) assert.deepEqual(Object.keys(samples), names, title);
  return report;
}

test('register: every executor is registered, over REST and in the registry', async () => {
  const { curves } = await smoke(register, ['callboard', 'baseline', 'registry alone']);
  for (const points of Object.values(curves[0]?.points ?? {})) assert.equal(points.length, 10);
});

test('pick: the index and the scan pick the same executors', async () => {
  const { curves } = await smoke(pick, ['callboard', 'linear scan', 'floor: in turn']);
  const sizes = curves[0]?.points.callboard?.map(([size]) => size);
  assert.deepEqual(sizes, [100, 1000]);
});

test('missions: every mission is kept with its events', async (t) => {
  if (process.platform !== 'linux') return t.skip('resident memory is read from /proc');
  await smoke(missions, ['callboard', 'ephemeral', 'plain objects']);
});

test('recovery: every mission is back', async () => {
  await smoke(recovery, ['callboard']);
});
