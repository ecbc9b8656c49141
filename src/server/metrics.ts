/** What `GET /metrics` tells: the figures that the main thread has at hand, so that a scrape disturbs no actor. */
import { memoryUsage, resourceUsage } from 'node:process';
import type { Supervisor } from '../registry/supervisor.js';

/** Of the text below: version 0.0.4 of the Prometheus text format. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** @param isReady as `/readyz` says it */
export function metricsText({ directory, store }: Supervisor<string>, isReady: boolean): string {
  let connected = 0;
  for (const executor of directory.executors.values()) if (executor.connected) connected++;
  const { userCPUTime, systemCPUTime } = resourceUsage();
  const disconnected = directory.executors.size - connected;
  return [
    ...metric('callboard_executors', 'gauge', 'Registered executors, by whether a connection stands.', [
      ['{connected="true"}', connected],
      ['{connected="false"}', disconnected],
    ]),
    ...metric('callboard_missions', 'gauge', 'Missions in memory: all that live, and those that ended lately.', [
      ['', directory.missions.size],
    ]),
    ...metric('callboard_ready', 'gauge', '1 while /readyz answers 200.', [
      ['', isReady && store?.trouble === undefined ? 1 : 0],
    ]),
    ...metric('process_cpu_seconds_total', 'counter', 'CPU time of all threads, in seconds.', [
      ['', (userCPUTime + systemCPUTime) / 1e6],
    ]),
    ...metric('process_resident_memory_bytes', 'gauge', 'Resident memory, in bytes.', [['', memoryUsage.rss()]]),
    '',
  ].join('\n');
}

const metric = (
  name: string,
  type: 'gauge' | 'counter',
  help: string,
  samples: readonly (readonly [labels: string, value: number])[],
): string[] => [
  `# HELP ${name} ${help}`,
  `# TYPE ${name} ${type}`,
  ...samples.map(([labels, value]) => `${name}${labels} ${value}`),
];
