/** What is kept of executors and missions: the shapes of what the store writes and reads back. */
import * as v from 'valibot';
import { missionStateSchema, transportEndpointsSchema } from '../contract/fields.js';

/** Of an executor. */
export const keptExecutorSchema = v.object({
  executorId: v.string(),
  a2aInstanceId: v.exactOptional(v.string()),
  name: v.string(),
  version: v.string(),
  specVersion: v.string(),
  transportEndpoints: transportEndpointsSchema,
  capabilities: v.array(v.string()),
  token: v.string(),
  registeredAt: v.string(),
  lastEventTs: v.exactOptional(v.string()),
  /** It was deregistered, and this is what became of its missions; it is forgotten when they are over. */
  left: v.exactOptional(v.picklist(['suspended', 'failed'])),
});

/** Of a mission, what does not change: what was decided when it was dispatched. */
export const keptMissionSchema = v.object({
  missionId: v.string(),
  executorId: v.string(),
  createdAt: v.string(),
  /** Where it was dispatched over REST: the session, the payload, and what the operator was told. */
  sessionId: v.exactOptional(v.string()),
  payload: v.exactOptional(v.record(v.string(), v.unknown())),
  answer: v.exactOptional(v.record(v.string(), v.unknown())),
});

/** How a mission stands: all that its actor knows, but for its events. */
export const keptStateSchema = v.object({
  state: missionStateSchema,
  updatedAt: v.string(),
  completedAt: v.exactOptional(v.string()),
  ptySessionRef: v.exactOptional(v.string()),
  exitCode: v.exactOptional(v.number()),
  error: v.exactOptional(v.string()),
  /** The open human question. */
  question: v.exactOptional(
    v.object({
      hitlId: v.string(),
      expiresAt: v.exactOptional(v.string()),
      // Earlier stores lack these two.
      askedAt: v.exactOptional(v.string()),
      prompt: v.exactOptional(v.string()),
      context: v.exactOptional(v.string()),
    }),
  ),
  /** The question whose time ran out. */
  expired: v.exactOptional(v.string()),
  checkpointId: v.exactOptional(v.string()),
  /** Its executor has said something of it that takes having it, or it was past `assigned` when that left. */
  heard: v.exactOptional(v.boolean()),
  /** How many events it had by then: later ones have changed nothing of this but `updatedAt`. */
  events: v.number(),
});

/** Where a mission's latest event lies, and how many it has. */
export const headSchema = v.object({
  position: v.object({ stream: v.number(), offset: v.number() }),
  count: v.number(),
});

/** By stream, where it stood. */
const checkpointSchema = v.record(v.string(), v.number());

export type Head = v.InferOutput<typeof headSchema>;
export type KeptExecutor = v.InferOutput<typeof keptExecutorSchema>;
export type KeptMission = v.InferOutput<typeof keptMissionSchema>;
export type KeptState = v.InferOutput<typeof keptStateSchema>;

/** Reads a checkpoint: by stream, where it stood; nothing if there is none. */
export function readCheckpoint(kept: Uint8Array | undefined): Map<number, number> {
  const stood = kept === undefined ? {} : readKept(checkpointSchema, kept);
  return new Map(Object.entries(stood).map(([stream, offset]) => [Number(stream), offset]));
}

/** Reads back what was written. @throws Error if it was not written by a store */
export function readKept<Schema extends v.GenericSchema>(schema: Schema, bytes: Uint8Array): v.InferOutput<Schema> {
  return v.parse(schema, JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()));
}
