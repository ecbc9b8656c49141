/**
 * A process of its own that outlives the executor by a moment: however the executor ends, be it by SIGKILL, its end of
 * this process's standard input closes, and then every process group that is still listed is killed.
 *
 * Its input are lines: `+1234` lists the group 1234, `-1234` takes it off the list.
 */
import { createInterface } from 'node:readline';

// It is not to end before the executor has.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

const groups = new Set<number>();
for await (const line of createInterface({ input: process.stdin })) {
  const [, sign, digits] = /^([+-])(\d+)$/.exec(line) ?? [];
  const id = Number(digits);
  if (sign === '-') groups.delete(id);
  // 0 and 1 would be the groups of others, or all processes.
  else if (id > 1) groups.add(id);
}
for (const id of groups) {
  try {
    process.kill(-id, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
