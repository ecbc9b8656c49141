/** `callboard bench`: measures scenarios, shows what came of it, and writes it to files. */
import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { htmlPage } from '../../bench/html.js';
import { type Measurement, measureScenario } from '../../bench/measurement.js';
import { tableLines } from '../../bench/table.js';
import type { BenchSettings } from './bench-options.js';
import { CommandError, FAILED, messageOf } from './errors.js';

/**
 * Measures one scenario after the other, and prints a table for each. The first that does not end as it should ends it
 * all; the files then hold what was measured before.
 *
 * @returns The exit code, 0.
 * @throws CommandError where an outcome is not as it must be, or a file cannot be written.
 */
export async function bench(settings: BenchSettings): Promise<number> {
  const { smoke, url, tasks } = settings;
  // Through process.exit, so that the processes that were started end too.
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.once(name, () => {
      showProgress('');
      process.exit(128 + constants.signals[name]);
    });
  }
  const measurements: Measurement[] = [];
  writeFiles(settings, measurements); // If that fails, better now than after an hour.
  for (const { scenario, parameters } of tasks) {
    const progress = (line: string) => showProgress(`${scenario.name}: ${line}`);
    try {
      const measurement = await measureScenario(scenario, parameters, { smoke, url, progress });
      measurements.push(measurement);
      showProgress('');
      process.stdout.write(`${(smoke ? smokeLines : lines)(measurement).join('\n')}\n`);
    } catch (error) {
      showProgress('');
      throw new CommandError(FAILED, `${scenario.name}: ${messageOf(error)}`, { cause: error });
    }
    writeFiles(settings, measurements);
  }
  return 0;
}

function lines({ scenario, shows, report }: Measurement): string[] {
  return [`${scenario}: ${shows}`, '', ...tableLines(report), ''];
}

/** What a smoke run says: who took part, and did all that it had to; the notes say who was skipped. */
function smokeLines({ scenario, report: { contenders, notes } }: Measurement): string[] {
  return [`${scenario}: as it should be: ${contenders.join(', ')}`, ...notes.map((note) => `  ${note}`)];
}

function writeFiles({ json, html }: BenchSettings, measurements: readonly Measurement[]): void {
  try {
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(measurements, null, 2)}\n`);
    if (html !== undefined) writeFileSync(html, htmlPage(measurements));
  } catch (error) {
    throw new CommandError(FAILED, `cannot write the results: ${messageOf(error)}.`, { cause: error });
  }
}

/** A line on a terminal that the next one replaces; nothing elsewhere. */
function showProgress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line.slice(0, (process.stderr.columns || 80) - 1)}`);
}
