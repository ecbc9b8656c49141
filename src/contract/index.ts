/**
 * The wire contract `executor.aiwg.io/v1`: what comes in, what goes out, and what each event does to a mission.
 */
export * from './bodies.js';
export * from './errors.js';
export {
  type ContractEvent,
  type EventName,
  eventEnvelopeSchema,
  MAX_FRAME,
  type MissionEventName,
  type ParsedEvent,
  parseEvent,
} from './events.js';
export { specVersion } from './fields.js';
export { type JsonSchemaDocument, jsonSchema } from './json-schema.js';
export * from './queries.js';
export type { Issue } from './shape.js';
export * from './transitions.js';
export * from './types.js';
export * from './validate.js';
