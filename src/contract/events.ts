/**
 * The event vocabulary: fifteen names, the shape of `data` for each, and `parseEvent`, through which every frame passes.
 *
 * The published schema allows any of the fifteen shapes under any name, as long as exactly one fits; so it refuses
 * `mission.started {"state":"running"}`, which `mission.resumed` fits too, and lets `mission.started {"state":"done"}`
 * through. Here the name alone decides the shape, which is right, and quicker.
 */
import * as v from 'valibot';
import {
  capabilitiesSchema,
  executorIdSchema,
  hitlIdSchema,
  missionIdSchema,
  nonEmptyStringSchema,
  transportEndpointsSchema,
  tsSchema,
} from './fields.js';
import { check, closedObject, type Issue, list, uniqueList } from './shape.js';

/** Bytes that a frame may have, either way. */
export const MAX_FRAME = 1024 * 1024;

const countSchema = v.pipe(v.number(), v.integer(), v.minValue(0));
const exitCodeSchema = v.pipe(v.number(), v.integer());
const text = v.exactOptional(v.string());

/** The shape of `data`, by the event it belongs to. */
export const dataSchemas = {
  'executor.registered': closedObject({
    name: v.string(),
    capabilities: capabilitiesSchema,
    transport_endpoints: v.exactOptional(transportEndpointsSchema),
  }),
  'executor.deregistered': closedObject({
    reason: v.picklist(['graceful_shutdown', 'operator_deleted', 'timeout']),
  }),
  'executor.resync': closedObject({
    owned_mission_ids: uniqueList(missionIdSchema),
    protocol_version: text,
  }),
  'mission.assigned': closedObject({
    state: v.literal('assigned'),
    estimated_start: v.exactOptional(tsSchema),
  }),
  'mission.started': closedObject({
    state: v.literal('running'),
    agent_runtime: text,
    pty_session_id: text,
  }),
  'mission.progress': closedObject({
    phase: text,
    iteration: v.exactOptional(countSchema),
    tokens_used: v.exactOptional(countSchema),
    summary: text,
    pct_complete: v.exactOptional(v.pipe(v.number(), v.minValue(0), v.maxValue(100))),
  }),
  'mission.hitl_required': closedObject({
    hitl_id: hitlIdSchema,
    prompt: nonEmptyStringSchema,
    context: text,
    expires_at: v.exactOptional(tsSchema),
  }),
  'mission.hitl_responded': closedObject({
    hitl_id: hitlIdSchema,
    response: nonEmptyStringSchema,
    responded_at: v.exactOptional(tsSchema),
  }),
  'mission.paused': closedObject({
    state: v.literal('paused'),
    reason: text,
  }),
  'mission.resumed': closedObject({
    state: v.literal('running'),
    resumed_from: v.exactOptional(v.picklist(['paused', 'suspended'])),
  }),
  'mission.suspended': closedObject({
    state: v.literal('suspended'),
    checkpoint_id: nonEmptyStringSchema,
    reason: text,
  }),
  'mission.reconnected': closedObject({
    checkpoint_id: v.string(),
  }),
  'mission.completed': closedObject({
    state: v.literal('done'),
    exit_code: v.exactOptional(exitCodeSchema),
    tokens_total: v.exactOptional(countSchema),
    summary: text,
    artifacts: v.exactOptional(list(closedObject({ path: v.string(), description: text }))),
  }),
  'mission.failed': closedObject({
    state: v.literal('failed'),
    reason: nonEmptyStringSchema,
    error: text,
    exit_code: v.exactOptional(exitCodeSchema),
    tokens_total: v.exactOptional(countSchema),
  }),
  'mission.aborted': closedObject({
    state: v.literal('aborted'),
    aborted_by: v.exactOptional(v.picklist(['operator', 'system'])),
    reason: text,
  }),
};

type ExecutorEventName = Extract<keyof typeof dataSchemas, `executor.${string}`>;

/** The names of the events that are about a mission. */
export type MissionEventName = Extract<keyof typeof dataSchemas, `mission.${string}`>;

/** An event about the executor itself: it names no mission. */
function executorEvent<const N extends ExecutorEventName>(event: N) {
  return closedObject({
    event: v.literal(event),
    executor_id: executorIdSchema,
    mission_id: v.exactOptional(v.never('must not be given: the event is about the executor')),
    ts: tsSchema,
    data: dataSchemas[event],
  });
}

/** An event about one of the executor's missions. `data` may be absent only where it requires nothing. */
function missionEvent<const N extends MissionEventName, const D extends v.ObjectEntries[string]>(event: N, data: D) {
  return closedObject({
    event: v.literal(event),
    executor_id: executorIdSchema,
    mission_id: missionIdSchema,
    ts: tsSchema,
    data,
  });
}

const envelopeSchemas = [
  executorEvent('executor.registered'),
  executorEvent('executor.deregistered'),
  executorEvent('executor.resync'),
  missionEvent('mission.assigned', dataSchemas['mission.assigned']),
  missionEvent('mission.started', dataSchemas['mission.started']),
  missionEvent('mission.progress', v.exactOptional(dataSchemas['mission.progress'])),
  missionEvent('mission.hitl_required', dataSchemas['mission.hitl_required']),
  missionEvent('mission.hitl_responded', dataSchemas['mission.hitl_responded']),
  missionEvent('mission.paused', dataSchemas['mission.paused']),
  missionEvent('mission.resumed', dataSchemas['mission.resumed']),
  missionEvent('mission.suspended', dataSchemas['mission.suspended']),
  missionEvent('mission.reconnected', dataSchemas['mission.reconnected']),
  missionEvent('mission.completed', dataSchemas['mission.completed']),
  missionEvent('mission.failed', dataSchemas['mission.failed']),
  missionEvent('mission.aborted', dataSchemas['mission.aborted']),
] as const;

/** An event envelope. For one envelope after another use `parseEvent`, which does not try the shapes in turn. */
export const eventEnvelopeSchema = v.variant('event', envelopeSchemas);

/** A valid event: `event` tells which shape `data` has. */
export type ContractEvent = v.InferOutput<(typeof envelopeSchemas)[number]>;

/** The names of all events. */
export type EventName = ContractEvent['event'];

export const eventTypeSchema = v.picklist(envelopeSchemas.map((schema) => schema.entries.event.literal));

const envelopeByEvent = new Map<string, (typeof envelopeSchemas)[number]>(
  envelopeSchemas.map((schema) => [schema.entries.event.literal, schema]),
);

/** What `parseEvent` answers. */
export type ParsedEvent = { ok: true; event: ContractEvent } | { ok: false; issues: Issue[] };

/**
 * Holds an event envelope, as `JSON.parse` made it, against the one schema that its `event` names.
 * Never throws, whatever it is given.
 *
 * @param lenient for an executor that registered with a later 1.x version of the contract: unknown fields are left out
 *   of the returned event. By default they are an error.
 * @returns the event (`input` itself where it fits as it is), or what is wrong with it
 * @example
 * const parsed = parseEvent(JSON.parse(frame));
 * if (parsed.ok && parsed.event.event === 'mission.completed') console.log(parsed.event.data.exit_code);
 */
export function parseEvent(input: unknown, lenient = false): ParsedEvent {
  try {
    if (typeof input !== 'object' || input === null || !('event' in input)) {
      return { ok: false, issues: [{ path: 'event', message: 'is required' }] };
    }
    const schema = typeof input.event === 'string' ? envelopeByEvent.get(input.event) : undefined;
    if (!schema) return { ok: false, issues: [{ path: 'event', message: 'must be the name of an event' }] };
    const checked = check(schema, input, lenient);
    return checked.ok ? { ok: true, event: checked.value } : checked;
  } catch {
    return { ok: false, issues: [{ path: '', message: 'could not be read' }] };
  }
}
