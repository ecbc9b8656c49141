/**
 * The CPU time of another process's threads, as Linux accounts for it. Event-loop utilisation would count time in which the
 * thread was runnable but another had the core; on a busy machine that is a different figure.
 */
import { readdirSync, readFileSync } from 'node:fs';

/** CPU time used so far, in microseconds: by the thread that runs the main loop, and by all threads alive now. */
export interface CpuTime {
  mainThread: number;
  allThreads: number;
}

/** `getconf CLK_TCK` is 100 on every Linux that Node runs on. */
const microsecondsPerTick = 10_000;

/** Reads the CPU time of a process; undefined where there is no /proc, or no such process. */
export function readCpuTime(pid: number): CpuTime | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`).map((tid) => threadTime(`/proc/${pid}/task/${tid}`));
    return { mainThread: threadTime(`/proc/${pid}/task/${pid}`), allThreads: threads.reduce((a, b) => a + b, 0) };
  } catch {
    return undefined;
  }
}

/** Nanoseconds from schedstat where the kernel keeps it, else clock ticks (10 ms each) from stat. See proc(5). */
function threadTime(folder: string): number {
  try {
    return Number(readFileSync(`${folder}/schedstat`, 'utf8').split(' ')[0]) / 1000;
  } catch {
    const stat = readFileSync(`${folder}/stat`, 'utf8');
    // The name, in brackets, may hold spaces: count fields after it. User and system time are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * microsecondsPerTick;
  }
}

/** What a process has used since `before`, for each of `count` events or missions; null where it can't be read. */
export function cpuTimeEach(before: CpuTime | undefined, pid: number, count: number): CpuTime | null {
  const after = readCpuTime(pid);
  if (before === undefined || after === undefined) return null;
  return {
    mainThread: (after.mainThread - before.mainThread) / count,
    allThreads: (after.allThreads - before.allThreads) / count,
  };
}
