/** What the load generator prints: one JSON object a line, any number of `progress`, then one `result`. */
import * as v from 'valibot';

const percentiles = v.object({ p50: v.number(), p99: v.number() });

/** Latency of GETs that were due every 10 ms on one connection, each sent when the one before was answered. */
const getLatency = v.object({
  count: v.number(),
  /** From when the GET was due: what somebody waits who asks at that rate (corrected for coordinated omission). */
  sinceDue: percentiles,
  /** From when it was sent, for those sent during the flood: what the server took for one. */
  sinceSent: percentiles,
});

/** What one flood came to. Times in milliseconds unless their name says otherwise. */
export const floodResult = v.object({
  /** Events sent, all of which were seen processed. */
  events: v.number(),
  /** Missions brought to `done`. */
  missions: v.number(),
  /** First byte sent to the last mission seen done. */
  seconds: v.number(),
  eventsPerSecond: v.number(),
  /** GETs from the first byte sent to the first mission seen done. */
  get: getLatency,
  /** The server's CPU time over the events, in microseconds for each; null where it could not be read. */
  cpu: v.nullable(v.object({ mainThread: v.number(), allThreads: v.number() })),
  /** How many cores the load generator itself used while it sent. Near 1, it may be the bottleneck. */
  clientCores: v.number(),
});

export const clientReport = v.variant('kind', [
  v.object({ kind: v.literal('progress'), phase: v.string(), sent: v.number() }),
  v.object({ kind: v.literal('result'), result: floodResult }),
]);

export type GetLatency = v.InferOutput<typeof getLatency>;
export type FloodResult = v.InferOutput<typeof floodResult>;
export type ClientReport = v.InferOutput<typeof clientReport>;
