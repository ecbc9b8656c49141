/** What the programs of the contenders of `lane` share: the messages, the timing of questions, and what they print. */
import * as v from 'valibot';
import { measurement } from './actor-program.js';
import { Latencies, type Latency, latencySchema } from './latencies.js';

export const laneMeasurement = v.object({
  // One way; the outcome is how many were taken.
  texts: measurement,
  bytes: measurement,
  objects: measurement,
  // There and back.
  ask: latencySchema,
  /** Undefined where there is no such question. */
  askNow: v.optional(latencySchema),
});

const someBytes = Buffer.from('mission.progress');

/** Small messages of each kind. */
export const smallMessages = {
  text: (): string => 'mission.progress',
  bytes: (): Uint8Array => someBytes,
  object: (count: number) => ({ type: 'mission.progress', count }),
};

/** Asks one question after another, and resolves with how long the answers took. A fifth more come first, not counted. */
export async function timeQuestions(count: number, ask: () => unknown): Promise<Latency> {
  const latencies = new Latencies();
  for (let asked = -count / 5; asked < count; asked++) {
    const start = performance.now();
    await ask();
    if (asked >= 0) latencies.record(performance.now() - start);
  }
  return latencies.summary();
}
