/** A smoke run of a scenario, as a user runs it. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { measurementsSchema } from '#bench/measurement.js';
import type { Report } from '#bench/report.js';
import { callboard } from '../cli/callboard.js';

/** @param url a server that runs already, to be measured instead of those that the scenario starts */
export async function smoke(scenario: string, url?: URL): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-smoke-'));
  try {
    const file = join(folder, 'results.json');
    const args = ['bench', scenario, '--smoke', '--json', file, ...(url === undefined ? [] : ['--url', url.href])];
    const { code, stderr } = await callboard(args).ended;
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    const [measurement] = v.parse(v.strictTuple([measurementsSchema.item]), JSON.parse(readFileSync(file, 'utf8')));
    assert.equal(measurement.scenario, scenario);
    return measurement.report;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
