/** The resident memory of another process, as Linux accounts for it, and whether it grows. */
import { readFileSync } from 'node:fs';

/**
 * Bytes that no file stands behind: what is mapped of a file, the system takes back when it needs the room.
 * @returns undefined where there is no /proc, or no such process
 */
export const readAnonymousMemory = (pid: number): number | undefined => readStatus(pid, 'RssAnon');

function readStatus(pid: number, field: string): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

/** The slope of the line that fits the points best (least squares); undefined for fewer than two. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number | undefined {
  if (points.length < 2) return undefined;
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const covariance = mean(points.map(([x, y]) => (x - meanX) * (y - meanY)));
  return covariance / mean(points.map(([x]) => (x - meanX) ** 2));
}
