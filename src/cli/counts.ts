import type { Counts } from '../store/export-lines.js';

/** Tells what was exported or imported: a sentence for people, JSON for programs. */
export function tell(what: string, counts: Counts, where: string): void {
  const { executors, missions, events } = counts;
  const sentence = `${what} ${executors} executors, ${missions} missions and ${events} events ${where}`;
  process.stdout.write(`${process.stdout.isTTY ? `${sentence}.` : JSON.stringify(counts)}\n`);
}
