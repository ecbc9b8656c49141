/**
 * The published shapes of the contract, written down once more for the tests and compiled with ajv, the validator that
 * peers use. Nothing here is taken from `src/contract`, which is held against it.
 */
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

/** The part of JSON Schema that the contract uses. */
export type Shape = {
  $ref?: string;
  type?: string;
  format?: string;
  pattern?: string;
  const?: string;
  enum?: string[];
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  uniqueItems?: boolean;
  items?: Shape;
  oneOf?: Shape[];
  anyOf?: Shape[];
  required?: string[];
  properties?: Record<string, Shape>;
  additionalProperties?: boolean;
};

const ref = (name: string): Shape => ({ $ref: `#/$defs/${name}` });
const text: Shape = { type: 'string' };
const someText: Shape = { type: 'string', minLength: 1 };
const bool: Shape = { type: 'boolean' };
const integer: Shape = { type: 'integer' };
const count: Shape = { type: 'integer', minimum: 0 };
const uri: Shape = { type: 'string', format: 'uri' };
const is = (value: string): Shape => ({ type: 'string', const: value });
const oneOf = (...values: string[]): Shape => ({ type: 'string', enum: values });
const listOf = (items: Shape): Shape => ({ type: 'array', items });
const setOf = (items: Shape): Shape => ({ type: 'array', items, uniqueItems: true });
const orNull = (shape: Shape): Shape => ({ oneOf: [shape, { type: 'null' }] });

/** A closed object; a `?` at the end of a field's name says that it may be absent. */
function closed(fields: Record<string, Shape>): Shape {
  const entries = Object.entries(fields).map(([key, shape]) => ({ key: key.replace('?', ''), given: key, shape }));
  return {
    type: 'object',
    required: entries.filter(({ given }) => !given.endsWith('?')).map(({ key }) => key),
    additionalProperties: false,
    properties: Object.fromEntries(entries.map(({ key, shape }) => [key, shape])),
  };
}

const dataShapes: Record<string, Shape> = {
  data_executor_registered: closed({
    name: text,
    capabilities: setOf(ref('capability')),
    'transport_endpoints?': ref('transport_endpoints'),
  }),
  data_executor_deregistered: closed({ reason: oneOf('graceful_shutdown', 'operator_deleted', 'timeout') }),
  data_executor_resync: closed({ owned_mission_ids: setOf(ref('mission_id')), 'protocol_version?': text }),
  data_mission_assigned: closed({ state: is('assigned'), 'estimated_start?': ref('ts') }),
  data_mission_started: closed({ state: is('running'), 'agent_runtime?': text, 'pty_session_id?': text }),
  data_mission_progress: closed({
    'phase?': text,
    'iteration?': count,
    'tokens_used?': count,
    'summary?': text,
    'pct_complete?': { type: 'number', minimum: 0, maximum: 100 },
  }),
  data_mission_hitl_required: closed({
    hitl_id: ref('hitl_id'),
    prompt: someText,
    'context?': text,
    'expires_at?': ref('ts'),
  }),
  data_mission_hitl_responded: closed({
    hitl_id: ref('hitl_id'),
    response: someText,
    'responded_at?': ref('ts'),
  }),
  data_mission_paused: closed({ state: is('paused'), 'reason?': text }),
  data_mission_resumed: closed({ state: is('running'), 'resumed_from?': oneOf('paused', 'suspended') }),
  data_mission_suspended: closed({ state: is('suspended'), checkpoint_id: someText, 'reason?': text }),
  data_mission_reconnected: closed({ checkpoint_id: text }),
  data_mission_completed: closed({
    state: is('done'),
    'exit_code?': integer,
    'tokens_total?': count,
    'summary?': text,
    'artifacts?': listOf(closed({ path: text, 'description?': text })),
  }),
  data_mission_failed: closed({
    state: is('failed'),
    reason: someText,
    'error?': text,
    'exit_code?': integer,
    'tokens_total?': count,
  }),
  data_mission_aborted: closed({ state: is('aborted'), 'aborted_by?': oneOf('operator', 'system'), 'reason?': text }),
};

/** The fifteen event names, in the order of the contract. */
export const eventNames = Object.keys(dataShapes).map((name) => name.replace('data_', '').replace('_', '.'));

/** The data shape of an event: dots as underscores. */
const dataOf = (event: string) => ref(`data_${event.replace('.', '_')}`);

/** The envelope of one event, as the contract means it. */
function envelope(event: string): Shape {
  return closed({
    event: is(event),
    executor_id: ref('executor_id'),
    ...(event.startsWith('mission.') ? { mission_id: ref('mission_id') } : {}),
    ts: ref('ts'),
    [event === 'mission.progress' ? 'data?' : 'data']: dataOf(event),
  });
}

/** The envelope as the published file has it: any event with any of the shapes, chosen by `oneOf` or, mended, `anyOf`. */
const looseEnvelope = (data: Shape) =>
  closed({
    event: ref('event_type'),
    executor_id: ref('executor_id'),
    'mission_id?': ref('mission_id'),
    ts: ref('ts'),
    'data?': data,
  });

/** Every published shape by its published name, and `event_envelope` as the contract means it. */
export const published: Record<string, Shape> = {
  executor_id: { type: 'string', format: 'uuid' },
  mission_id: someText,
  hitl_id: someText,
  ts: { type: 'string', format: 'date-time' },
  spec_version: is('1.0.0'),
  capability: {
    type: 'string',
    oneOf: [
      { pattern: '^isolation:(vm|container|host|microvm|none|[a-z][a-z0-9_-]*)$' },
      { pattern: '^runtime:(claude-code|codex|cursor|aider|custom:[a-z][a-z0-9_-]*)$' },
      { pattern: '^platform:[a-z][a-z0-9_-]*/[a-z][a-z0-9_-]+$' },
      { const: 'resumable' },
      { const: 'hitl' },
      { const: 'multi-tenant' },
      { pattern: '^x-[a-z][a-z0-9_:-]*$' },
    ],
  },
  mission_state: oneOf(
    ...['queued', 'assigned', 'running', 'paused', 'hitl-required', 'suspended', 'done', 'failed', 'aborted'],
  ),
  transport_endpoints: closed({ rest: uri, ws: uri, 'grpc?': uri }),
  event_type: oneOf(...eventNames),
  register_payload: closed({
    executor_id: ref('executor_id'),
    'a2a_instance_id?': someText,
    name: { type: 'string', minLength: 1, maxLength: 128 },
    version: { type: 'string', minLength: 1, maxLength: 64 },
    spec_version: ref('spec_version'),
    transport_endpoints: ref('transport_endpoints'),
    capabilities: setOf(ref('capability')),
  }),
  register_response: closed({ executor_id: ref('executor_id'), token: someText, registered_at: ref('ts') }),
  executor_status: closed({
    executor_id: ref('executor_id'),
    'a2a_instance_id?': someText,
    name: text,
    version: text,
    spec_version: ref('spec_version'),
    transport_endpoints: ref('transport_endpoints'),
    capabilities: setOf(ref('capability')),
    connected: bool,
    'last_event_ts?': ref('ts'),
    'active_mission_count?': count,
    registered_at: ref('ts'),
    'disconnected_at?': ref('ts'),
  }),
  executors_list_response: closed({ executors: listOf(ref('executor_status')) }),
  executor_filter: closed({
    'executor_id?': orNull(ref('executor_id')),
    'a2a_instance_id?': orNull(someText),
    'instance_id?': orNull(someText),
    'capabilities?': setOf(ref('capability')),
  }),
  dispatch_payload: closed({
    mission_id: ref('mission_id'),
    objective: someText,
    completion: someText,
    'long_running?': bool,
    'executor_filter?': ref('executor_filter'),
    'a2a_instance_id?': someText,
    'metadata?': { type: 'object', additionalProperties: true },
  }),
  dispatch_response: closed({
    mission_id: ref('mission_id'),
    executor_id: ref('executor_id'),
    'a2a_instance_id?': someText,
    status: is('assigned'),
    'estimated_start?': ref('ts'),
  }),
  mission_status_response: closed({
    mission_id: ref('mission_id'),
    executor_id: ref('executor_id'),
    state: ref('mission_state'),
    created_at: ref('ts'),
    updated_at: ref('ts'),
    'completed_at?': ref('ts'),
    'recent_events?': listOf(ref('event_envelope')),
    'pty_session_ref?': text,
    'exit_code?': integer,
    'error?': text,
  }),
  hitl_response_payload: closed({ hitl_id: ref('hitl_id'), response: someText }),
  event_envelope: { oneOf: eventNames.map(envelope) },
  ...dataShapes,
};

/** The envelope as published, with its defect, and with `anyOf` in the defect's place. */
const looseEnvelopes: Record<string, Shape> = {
  published_envelope: looseEnvelope({ oneOf: eventNames.map(dataOf) }),
  mended_envelope: looseEnvelope({ anyOf: eventNames.map(dataOf) }),
};

/** ajv as peers set it up, formats in full mode. */
export function newAjv(): Ajv2020 {
  const ajv = new Ajv2020({ strict: true, strictTypes: false });
  addFormats.default(ajv);
  return ajv;
}

const ajv = newAjv();
ajv.addSchema({ $id: 'published', $defs: { ...published, ...looseEnvelopes } });

/** ajv's verdict on a value, by the name of a published shape. */
export function ajvSays(name: string, value: unknown): boolean {
  const validate = ajv.getSchema(`published#/$defs/${name}`);
  if (!validate) throw new Error(`no published shape ${name}`);
  return validate(value) === true;
}
