/**
 * What the lines of an export hold. It is NDJSON, with fields named as they are kept (kept.ts), in this order:
 *
 * ```
 * {"type":"callboard","version":1}
 * {"type":"executor","executorId":…,"token":…}          by id
 * {"type":"mission","missionId":…,"state":"running",…}  in the order of their creation; after each
 * {"type":"event","missionId":…,"text":"{…}"}           its events, oldest first, exactly as they were received
 * {"type":"end"}                                        without it, the file was cut off
 * ```
 */
import * as v from 'valibot';
import { executorIdSchema, missionIdSchema, tsSchema } from '../contract/fields.js';
import { closedObject } from '../contract/shape.js';
import { keptExecutorSchema, keptMissionSchema, keptStateSchema } from './kept.js';

/** The version of the format that this code reads and writes. */
export const EXPORT_VERSION = 1;

/** How many of each an export holds. */
export interface Counts {
  executors: number;
  missions: number;
  events: number;
}

// A number too large for JSON is read as infinite, and could not be written again.
const whole = v.pipe(v.number(), v.integer('must be a whole number'));

export const headingSchema = closedObject({ type: v.literal('callboard'), version: whole });

/** Every line after the first. */
export const lineSchema = v.variant('type', [
  closedObject({ type: v.literal('executor'), ...keptExecutorSchema.entries, executorId: executorIdSchema }),
  closedObject({
    type: v.literal('mission'),
    ...keptMissionSchema.entries,
    missionId: missionIdSchema,
    executorId: executorIdSchema,
    createdAt: tsSchema,
    ...keptStateSchema.entries,
    exitCode: v.exactOptional(whole),
    events: v.pipe(whole, v.minValue(0, 'must not be negative')),
  }),
  closedObject({
    type: v.literal('event'),
    missionId: missionIdSchema,
    text: v.pipe(v.string(), v.check(isJsonObject, 'must be the text of a JSON object')),
  }),
  closedObject({ type: v.literal('end') }),
]);

export type ExportLine = v.InferOutput<typeof lineSchema>;

function isJsonObject(text: string): boolean {
  // Half a surrogate pair has no UTF-8, in which texts are kept.
  if (/\p{Surrogate}/u.test(text)) return false;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
