/**
 * The bodies of the REST interface, requests and responses, and how the requests are read.
 */
import * as v from 'valibot';
import { eventEnvelopeSchema } from './events.js';
import {
  capabilitiesSchema,
  executorIdSchema,
  hitlIdSchema,
  missionIdSchema,
  missionStateSchema,
  nonEmptyStringSchema,
  specVersion,
  specVersionSchema,
  transportEndpointsSchema,
  tsSchema,
} from './fields.js';
import { anyObject, check, closedObject, type Issue, list } from './shape.js';

const limitedString = (maxLength: number) =>
  v.pipe(
    v.string(),
    v.minLength(1, 'must not be empty'),
    v.maxCodePoints(maxLength, `must not be longer than ${maxLength} characters`),
    v.metadata({ maxLength }),
  );

/** `POST /api/v1/executors/register`, exactly as published: at version 1.0.0. */
export const registerPayloadSchema = closedObject({
  executor_id: executorIdSchema,
  a2a_instance_id: v.exactOptional(nonEmptyStringSchema),
  name: limitedString(128),
  version: limitedString(64),
  spec_version: specVersionSchema,
  transport_endpoints: transportEndpointsSchema,
  capabilities: capabilitiesSchema,
});

/** The same from an executor that speaks a later 1.x version. */
const laterRegisterPayloadSchema = closedObject({ ...registerPayloadSchema.entries, spec_version: v.string() });

export const registerResponseSchema = closedObject({
  executor_id: executorIdSchema,
  token: nonEmptyStringSchema,
  registered_at: tsSchema,
});

export const executorStatusSchema = closedObject({
  executor_id: executorIdSchema,
  a2a_instance_id: v.exactOptional(nonEmptyStringSchema),
  name: v.string(),
  version: v.string(),
  spec_version: specVersionSchema,
  transport_endpoints: transportEndpointsSchema,
  capabilities: capabilitiesSchema,
  connected: v.boolean(),
  last_event_ts: v.exactOptional(tsSchema),
  active_mission_count: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  registered_at: tsSchema,
  disconnected_at: v.exactOptional(tsSchema),
});

export const executorsListResponseSchema = closedObject({ executors: list(executorStatusSchema) });

/** Which executor a dispatch will do with. `null` is any, as is a field left out. */
export const executorFilterSchema = closedObject({
  executor_id: v.exactOptional(v.nullable(executorIdSchema)),
  a2a_instance_id: v.exactOptional(v.nullable(nonEmptyStringSchema)),
  instance_id: v.exactOptional(v.nullable(nonEmptyStringSchema)),
  capabilities: v.exactOptional(capabilitiesSchema),
});

export const dispatchPayloadSchema = closedObject({
  mission_id: missionIdSchema,
  objective: nonEmptyStringSchema,
  completion: nonEmptyStringSchema,
  long_running: v.exactOptional(v.pipe(v.boolean(), v.metadata({ default: false }))),
  executor_filter: v.exactOptional(executorFilterSchema),
  a2a_instance_id: v.exactOptional(nonEmptyStringSchema),
  metadata: v.exactOptional(anyObject()),
});

export const dispatchResponseSchema = closedObject({
  mission_id: missionIdSchema,
  executor_id: executorIdSchema,
  a2a_instance_id: v.exactOptional(nonEmptyStringSchema),
  status: v.literal('assigned'),
  estimated_start: v.exactOptional(tsSchema),
});

export const missionStatusResponseSchema = closedObject({
  mission_id: missionIdSchema,
  executor_id: executorIdSchema,
  state: missionStateSchema,
  created_at: tsSchema,
  updated_at: tsSchema,
  completed_at: v.exactOptional(tsSchema),
  recent_events: v.exactOptional(list(eventEnvelopeSchema)),
  pty_session_ref: v.exactOptional(v.string()),
  exit_code: v.exactOptional(v.pipe(v.number(), v.integer())),
  error: v.exactOptional(v.string()),
});

export const hitlResponsePayloadSchema = closedObject({
  hitl_id: hitlIdSchema,
  response: nonEmptyStringSchema,
});

/** A registration that Callboard accepts: `spec_version` is 1.0.0 or a later 1.x version. */
export type RegisterPayload = v.InferOutput<typeof laterRegisterPayloadSchema>;
export type RegisterResponse = v.InferOutput<typeof registerResponseSchema>;
export type ExecutorStatus = v.InferOutput<typeof executorStatusSchema>;
export type ExecutorsListResponse = v.InferOutput<typeof executorsListResponseSchema>;
export type DispatchPayload = v.InferOutput<typeof dispatchPayloadSchema>;
export type DispatchResponse = v.InferOutput<typeof dispatchResponseSchema>;
export type MissionStatusResponse = v.InferOutput<typeof missionStatusResponseSchema>;
export type HitlResponsePayload = v.InferOutput<typeof hitlResponsePayloadSchema>;

/** What the parsers of request bodies answer: the payload, or what is wrong with it. */
export type ParsedPayload<T> = { ok: true; payload: T } | { ok: false; issues: Issue[] };

/** What `parseRegisterPayload` answers. */
export type ParsedRegisterPayload =
  | { ok: true; payload: RegisterPayload; warning?: string }
  | { ok: false; error: 'invalid_payload' | 'unsupported_spec_version'; issues: Issue[] };

/** Three numbers without leading zeros, as semver.org has them; nine digits each are plenty. */
const versionPattern = /^(0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8})$/;

/**
 * Reads a registration. At version 1.0.0 unknown fields are an error; a later 1.x version may carry some, which are
 * left out of the payload, and gets a `warning`; any other major version is not supported.
 * Never throws, whatever it is given.
 */
export function parseRegisterPayload(input: unknown): ParsedRegisterPayload {
  try {
    const asked =
      typeof input === 'object' && input !== null && 'spec_version' in input ? input.spec_version : undefined;
    const major = typeof asked === 'string' ? versionPattern.exec(asked)?.[1] : undefined;
    if (major === undefined || asked === specVersion) {
      const checked = check(registerPayloadSchema, input);
      if (checked.ok) return { ok: true, payload: checked.value };
      return { ok: false, error: 'invalid_payload', issues: checked.issues };
    }
    if (major !== '1') {
      const message = `is ${asked}: Callboard speaks ${specVersion} and later 1.x versions`;
      return { ok: false, error: 'unsupported_spec_version', issues: [{ path: 'spec_version', message }] };
    }
    const checked = check(laterRegisterPayloadSchema, input, true);
    if (!checked.ok) return { ok: false, error: 'invalid_payload', issues: checked.issues };
    const warning = `spec_version ${asked} is newer than ${specVersion}: fields unknown to ${specVersion} are ignored`;
    return { ok: true, payload: checked.value, warning };
  } catch {
    return { ok: false, error: 'invalid_payload', issues: [{ path: '', message: 'could not be read' }] };
  }
}

/** Reads the body of a dispatch. Never throws, whatever it is given. */
export function parseDispatchPayload(input: unknown): ParsedPayload<DispatchPayload> {
  const checked = check(dispatchPayloadSchema, input);
  return checked.ok ? { ok: true, payload: checked.value } : checked;
}

/** Reads an operator's answer to a question. Never throws, whatever it is given. */
export function parseHitlResponse(input: unknown): ParsedPayload<HitlResponsePayload> {
  const checked = check(hitlResponsePayloadSchema, input);
  return checked.ok ? { ok: true, payload: checked.value } : checked;
}
