/**
 * The part of the published contract schema (`executor.aiwg.io/v1`) that the baseline needs: what comes in.
 * It is kept as published, for a fair rival, its known defect included: `data` is checked with `oneOf` over all
 * 15 shapes, so `mission.started {"state":"running"}` is refused because `mission.resumed` looks the same.
 */

const text = { type: 'string' };
const nonEmpty = { type: 'string', minLength: 1 };
const count = { type: 'integer', minimum: 0 };
const ref = (name: string) => ({ $ref: `#/$defs/${name}` });
const unique = (items: object) => ({ type: 'array', items, uniqueItems: true });
const orNull = (schema: object) => ({ oneOf: [schema, { type: 'null' }] });
const state = (value: string) => ({ type: 'string', const: value });

/** An object that allows `properties` and nothing else. */
const shape = (required: string[], properties: Record<string, object>) => ({
  type: 'object',
  required,
  additionalProperties: false,
  properties,
});

/** `data` of each event, in the order of the published `oneOf`. */
const data = {
  data_executor_registered: shape(['name', 'capabilities'], {
    name: text,
    capabilities: unique(ref('capability')),
    transport_endpoints: ref('transport_endpoints'),
  }),
  data_executor_deregistered: shape(['reason'], {
    reason: { type: 'string', enum: ['graceful_shutdown', 'operator_deleted', 'timeout'] },
  }),
  data_executor_resync: shape(['owned_mission_ids'], {
    owned_mission_ids: unique(ref('mission_id')),
    protocol_version: text,
  }),
  data_mission_assigned: shape(['state'], { state: state('assigned'), estimated_start: ref('ts') }),
  data_mission_started: shape(['state'], { state: state('running'), agent_runtime: text, pty_session_id: text }),
  data_mission_progress: shape([], {
    phase: text,
    iteration: count,
    tokens_used: count,
    summary: text,
    pct_complete: { type: 'number', minimum: 0, maximum: 100 },
  }),
  data_mission_hitl_required: shape(['hitl_id', 'prompt'], {
    hitl_id: ref('hitl_id'),
    prompt: nonEmpty,
    context: text,
    expires_at: ref('ts'),
  }),
  data_mission_hitl_responded: shape(['hitl_id', 'response'], {
    hitl_id: ref('hitl_id'),
    response: nonEmpty,
    responded_at: ref('ts'),
  }),
  data_mission_paused: shape(['state'], { state: state('paused'), reason: text }),
  data_mission_resumed: shape(['state'], {
    state: state('running'),
    resumed_from: { type: 'string', enum: ['paused', 'suspended'] },
  }),
  data_mission_suspended: shape(['state', 'checkpoint_id'], {
    state: state('suspended'),
    checkpoint_id: nonEmpty,
    reason: text,
  }),
  data_mission_reconnected: shape(['checkpoint_id'], { checkpoint_id: text }),
  data_mission_completed: shape(['state'], {
    state: state('done'),
    exit_code: { type: 'integer' },
    tokens_total: count,
    summary: text,
    artifacts: { type: 'array', items: shape(['path'], { path: text, description: text }) },
  }),
  data_mission_failed: shape(['state', 'reason'], {
    state: state('failed'),
    reason: nonEmpty,
    error: text,
    exit_code: { type: 'integer' },
    tokens_total: count,
  }),
  data_mission_aborted: shape(['state'], {
    state: state('aborted'),
    aborted_by: { type: 'string', enum: ['operator', 'system'] },
    reason: text,
  }),
};

/** The schema document; its `$defs` `event_envelope`, `register_payload` and `dispatch_payload` are the entry points. */
export const publishedSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'executor.aiwg.io/v1',
  $defs: {
    executor_id: { type: 'string', format: 'uuid' },
    mission_id: nonEmpty,
    hitl_id: nonEmpty,
    ts: { type: 'string', format: 'date-time' },
    spec_version: { type: 'string', const: '1.0.0' },
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
    transport_endpoints: shape(['rest', 'ws'], {
      rest: { type: 'string', format: 'uri' },
      ws: { type: 'string', format: 'uri' },
      grpc: { type: 'string', format: 'uri' },
    }),
    event_type: {
      type: 'string',
      enum: Object.keys(data).map((name) => name.replace('data_', '').replace('_', '.')),
    },
    register_payload: shape(['executor_id', 'name', 'version', 'spec_version', 'transport_endpoints', 'capabilities'], {
      executor_id: ref('executor_id'),
      a2a_instance_id: nonEmpty,
      name: { type: 'string', minLength: 1, maxLength: 128 },
      version: { type: 'string', minLength: 1, maxLength: 64 },
      spec_version: ref('spec_version'),
      transport_endpoints: ref('transport_endpoints'),
      capabilities: unique(ref('capability')),
    }),
    executor_filter: shape([], {
      executor_id: orNull(ref('executor_id')),
      a2a_instance_id: orNull(nonEmpty),
      instance_id: orNull(nonEmpty),
      capabilities: unique(ref('capability')),
    }),
    dispatch_payload: shape(['mission_id', 'objective', 'completion'], {
      mission_id: ref('mission_id'),
      objective: nonEmpty,
      completion: nonEmpty,
      long_running: { type: 'boolean', default: false },
      executor_filter: ref('executor_filter'),
      a2a_instance_id: nonEmpty,
      metadata: { type: 'object', additionalProperties: true },
    }),
    event_envelope: shape(['event', 'executor_id', 'ts'], {
      event: ref('event_type'),
      executor_id: ref('executor_id'),
      mission_id: ref('mission_id'),
      ts: ref('ts'),
      data: { oneOf: Object.keys(data).map(ref) },
    }),
    ...data,
  },
};
