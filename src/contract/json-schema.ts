/**
 * The contract as one JSON Schema document, made from the schemas that Callboard itself validates with.
 */
import { type JsonSchema, toJsonSchemaDefs } from '@valibot/to-json-schema';
import * as bodies from './bodies.js';
import { errorBodySchema } from './errors.js';
import { dataSchemas, eventEnvelopeSchema, eventTypeSchema } from './events.js';
import * as fields from './fields.js';

const definitions = {
  executor_id: fields.executorIdSchema,
  mission_id: fields.missionIdSchema,
  hitl_id: fields.hitlIdSchema,
  ts: fields.tsSchema,
  spec_version: fields.specVersionSchema,
  capability: fields.capabilitySchema,
  mission_state: fields.missionStateSchema,
  transport_endpoints: fields.transportEndpointsSchema,
  event_type: eventTypeSchema,
  register_payload: bodies.registerPayloadSchema,
  register_response: bodies.registerResponseSchema,
  executor_status: bodies.executorStatusSchema,
  executors_list_response: bodies.executorsListResponseSchema,
  executor_filter: bodies.executorFilterSchema,
  dispatch_payload: bodies.dispatchPayloadSchema,
  dispatch_response: bodies.dispatchResponseSchema,
  mission_status_response: bodies.missionStatusResponseSchema,
  hitl_response_payload: bodies.hitlResponsePayloadSchema,
  event_envelope: eventEnvelopeSchema,
  error_body: errorBodySchema,
  ...Object.fromEntries(
    Object.entries(dataSchemas).map(([event, schema]) => [`data_${event.replace('.', '_')}`, schema]),
  ),
};

/** A JSON Schema document (draft 2020-12): every shape of the contract is under `$defs`. */
export type JsonSchemaDocument = { $schema: string; $id: string; $defs: Record<string, JsonSchema> };

let document: JsonSchemaDocument | undefined;

/**
 * The document, made at the first call. `$defs` has the names of the published schema; `event_envelope` is a `oneOf` in
 * which `event` alone chooses the shape of `data`.
 */
export function jsonSchema(): JsonSchemaDocument {
  document ??= {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'executor.aiwg.io/v1',
    $defs: toJsonSchemaDefs(definitions, {
      target: 'draft-2020-12',
      errorMode: 'throw',
      // Said in JSON Schema's own words by the metadata beside each.
      ignoreActions: ['check', 'max_code_points'],
    }),
  };
  return document;
}
