/** What the programs of the actor scenarios' contenders share: values in, a stopwatch, one line of JSON out. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as v from 'valibot';

/** What most of them measure. */
export const measurement = v.object({
  seconds: v.number(),
  /** CPU time of all threads of the process. */
  cpuSeconds: v.number(),
  /** What came of it: messages taken, a sum. The scenario knows what it must be. */
  outcome: v.number(),
});

export type Measurement = v.InferOutput<typeof measurement>;

/** What the contenders of `actor-spawn` measure; the outcomes are how many actors live then. */
export const spawnMeasurement = v.object({
  started: measurement,
  /** Bytes that the started actors keep, all together. */
  bytes: v.number(),
  stopped: measurement,
});

/** The values that the program was started with. @throws where one is missing */
export function programValues<Name extends string>(...names: Name[]): Record<Name, number> {
  return v.parse(v.object(v.entriesFromList(names, v.number())), JSON.parse(process.argv[2] ?? '{}'));
}

/** Does something and measures it. */
export async function measure(work: () => Promise<number>): Promise<Measurement> {
  const before = process.cpuUsage();
  const start = performance.now();
  const outcome = await work();
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(before);
  return { seconds, cpuSeconds: (user + system) / 1e6, outcome };
}

export const print = (result: object): void => console.log(JSON.stringify(result));

/** Collects all garbage: what `--expose-gc` would offer, for a program that is started without. */
setFlagsFromString('--expose-gc');
const collect = v.parse(v.function(), runInNewContext('gc'));

/** Bytes of this thread's heap that are in use once all garbage is collected. */
export function heapUsed(): number {
  collect();
  return process.memoryUsage().heapUsed;
}
