/** Callboard's schemas by their published names. */
import type * as v from 'valibot';
import * as bodies from '#src/contract/bodies.js';
import { dataSchemas, eventEnvelopeSchema, eventTypeSchema } from '#src/contract/events.js';
import * as fields from '#src/contract/fields.js';

export const schemas: Record<string, v.GenericSchema> = {
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
  data_executor_registered: dataSchemas['executor.registered'],
  data_executor_deregistered: dataSchemas['executor.deregistered'],
  data_executor_resync: dataSchemas['executor.resync'],
  data_mission_assigned: dataSchemas['mission.assigned'],
  data_mission_started: dataSchemas['mission.started'],
  data_mission_progress: dataSchemas['mission.progress'],
  data_mission_hitl_required: dataSchemas['mission.hitl_required'],
  data_mission_hitl_responded: dataSchemas['mission.hitl_responded'],
  data_mission_paused: dataSchemas['mission.paused'],
  data_mission_resumed: dataSchemas['mission.resumed'],
  data_mission_suspended: dataSchemas['mission.suspended'],
  data_mission_reconnected: dataSchemas['mission.reconnected'],
  data_mission_completed: dataSchemas['mission.completed'],
  data_mission_failed: dataSchemas['mission.failed'],
  data_mission_aborted: dataSchemas['mission.aborted'],
};
