/** One scenario measured, as the JSON file holds it: the report, and what one must know to compare it with another. */
import { arch, availableParallelism, cpus, release, totalmem } from 'node:os';
import * as v from 'valibot';
import { reportSchema } from './report.js';
import type { Scenario, Surroundings } from './scenario.js';

const machineSchema = v.object({
  /** The model of the processor, as the operating system names it. */
  cpu: v.string(),
  /** How many the process may use at once. */
  cores: v.number(),
  /** In bytes. */
  memory: v.number(),
  /** Operating system, its release, and the architecture: `linux 6.1.0 x64`. */
  platform: v.string(),
});

export const measurementSchema = v.object({
  scenario: v.string(),
  /** What it shows, in a sentence. */
  shows: v.string(),
  /** When it began: ISO 8601, UTC. */
  at: v.pipe(v.string(), v.isoTimestamp()),
  machine: machineSchema,
  /** The version of Node: `v20.20.2`. */
  node: v.string(),
  parameters: v.record(v.string(), v.number()),
  report: reportSchema,
});

/** The file that `--json` writes: one measurement for each scenario, in the order in which they ran. */
export const measurementsSchema = v.array(measurementSchema);

export type Measurement = v.InferOutput<typeof measurementSchema>;

/** Runs a scenario. @throws what it throws: an outcome that is not as it must be */
export async function measureScenario(
  scenario: Scenario,
  parameters: Record<string, number>,
  surroundings: Surroundings,
): Promise<Measurement> {
  const at = new Date().toISOString();
  const report = await scenario.run(parameters, surroundings);
  return {
    scenario: scenario.name,
    shows: scenario.shows,
    at,
    machine: {
      cpu: cpus()[0]?.model.trim() || 'unknown',
      cores: availableParallelism(),
      memory: totalmem(),
      platform: `${process.platform} ${release()} ${arch()}`,
    },
    node: process.version,
    parameters,
    report,
  };
}
