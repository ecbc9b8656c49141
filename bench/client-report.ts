/** What the load generators print: one JSON object a line, any number of `progress`, then one `result`. */
import * as v from 'valibot';
import { latencySchema } from './latencies.js';

export const clientLine = v.variant('kind', [
  v.object({ kind: v.literal('progress'), text: v.string() }),
  v.object({ kind: v.literal('result'), result: v.unknown() }),
]);

/** The server's CPU time in microseconds, for each event or mission; null where it could not be read. */
const cpu = v.nullable(v.object({ mainThread: v.number(), allThreads: v.number() }));

/** What one flood came to (flood-client.ts). */
export const floodResult = v.object({
  /** Events sent, all of which were seen processed. */
  events: v.number(),
  missions: v.number(),
  /** First byte sent to the moment when everything was seen processed. */
  seconds: v.number(),
  eventsPerSecond: v.number(),
  /** GETs that were due every 10 ms on one connection while the flood ran, each sent when the one before was answered. */
  get: v.object({
    /** From when the GET was due: what somebody waits who asks at that rate (corrected for coordinated omission). */
    sinceDue: latencySchema,
    /** From when it was sent, for those sent during the flood: what the server took for one. */
    sinceSent: latencySchema,
  }),
  cpu,
  /** How many cores the load generator itself used while it sent. Near 1, it may be the bottleneck. */
  clientCores: v.number(),
});

/** What events at a fixed rate came to (latency-client.ts). */
export const latencyResult = v.object({
  /** State changes that the subscriber heard of, each once and in order. */
  events: v.number(),
  eventsPerSecond: v.number(),
  /** From when each event was due to be sent to when the subscriber heard of the change. */
  heard: latencySchema,
  /** From when each was due to when it was sent: the part of `heard` that is the load generator's own. */
  sent: latencySchema,
});

/** What whole missions came to (missions-client.ts). */
export const missionsResult = v.object({
  /** Missions dispatched, all of which were seen `done` with all of their events. */
  missions: v.number(),
  events: v.number(),
  seconds: v.number(),
  missionsPerSecond: v.number(),
  /** From when a dispatch was due to its answer, and to the mission seen `done`. */
  dispatched: latencySchema,
  done: latencySchema,
  /** For each mission. */
  cpu,
  /** Executors that left and were replaced. */
  replaced: v.number(),
  /** Once a second: seconds since the start, and the server's resident memory in bytes; empty where it can't be read. */
  memory: v.array(v.tuple([v.number(), v.number()])),
  clientCores: v.number(),
});

export type FloodResult = v.InferOutput<typeof floodResult>;
export type LatencyResult = v.InferOutput<typeof latencyResult>;
export type MissionsResult = v.InferOutput<typeof missionsResult>;
