/** Smoke runs of scenarios, as a user runs them. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { measurementsSchema } from '#bench/measurement.js';
import type { Report } from '#bench/report.js';
import { callboard } from '../cli/callboard.js';

/**
 * Runs these scenarios one after another, as one command.
 *
 * @param url a server that runs already, to be measured instead of those that the scenarios start
 * @returns what gives the report of each
 */
export async function smoke(scenarios: readonly string[], url?: URL): Promise<(scenario: string) => Report> {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-smoke-'));
  try {
    const file = join(folder, 'results.json');
    const args = ['bench', ...scenarios, '--smoke', '--json', file, ...(url === undefined ? [] : ['--url', url.href])];
    const { code, stderr } = await callboard(args).ended;
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    const measurements = v.parse(measurementsSchema, JSON.parse(readFileSync(file, 'utf8')));
    assert.deepEqual(
      measurements.map(({ scenario }) => scenario),
      scenarios,
    );
    return (scenario) => {
      const { report } = measurements.find((measurement) => measurement.scenario === scenario) ?? {};
      assert.ok(report !== undefined, `${scenario} was not run`);
      return report;
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
