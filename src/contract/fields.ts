/**
 * The fields that the contract's bodies and events are made of: ids, times, capabilities, states, endpoints.
 */
import * as v from 'valibot';
import { isDateTime, isUri, isUuid } from './formats.js';
import { closedObject, uniqueList } from './shape.js';

/** The version of the contract that Callboard speaks. */
export const specVersion = '1.0.0';

/** A string of at least one character. */
export const nonEmptyStringSchema = v.pipe(v.string(), v.minLength(1, 'must not be empty'));

export const executorIdSchema = v.pipe(v.string(), v.check(isUuid, 'must be a UUID'), v.metadata({ format: 'uuid' }));

export const missionIdSchema = v.pipe(v.string(), v.minLength(1, 'must not be empty'));

export const hitlIdSchema = v.pipe(v.string(), v.minLength(1, 'must not be empty'));

/** A moment, as RFC 3339 writes it: `2026-01-31T12:00:00Z`. */
export const tsSchema = v.pipe(
  v.string(),
  v.check(isDateTime, 'must be an RFC 3339 date-time with an offset'),
  v.metadata({ format: 'date-time' }),
);

export const specVersionSchema = v.literal(specVersion);

const name = '[a-z][a-z0-9_-]*';

/** What an executor can do: `isolation:vm`, `runtime:codex`, `platform:linux/x64`, `resumable`, `x-anything`. */
export const capabilitySchema = v.pipe(
  v.string(),
  v.regex(
    // `isolation:` names six kinds, and then allows any other name, which covers them.
    new RegExp(
      `^(?:isolation:${name}|runtime:(?:claude-code|codex|cursor|aider|custom:${name})` +
        `|platform:${name}/[a-z][a-z0-9_-]+|resumable|hitl|multi-tenant|x-[a-z][a-z0-9_:-]*)$`,
    ),
    'must be a capability of the contract, or begin with x-',
  ),
);

export const capabilitiesSchema = uniqueList(capabilitySchema);

export const missionStateSchema = v.picklist([
  'queued',
  'assigned',
  'running',
  'paused',
  'hitl-required',
  'suspended',
  'done',
  'failed',
  'aborted',
]);

const uriSchema = v.pipe(v.string(), v.check(isUri, 'must be a URI with a scheme'), v.metadata({ format: 'uri' }));

export const transportEndpointsSchema = closedObject({
  rest: uriSchema,
  ws: uriSchema,
  grpc: v.exactOptional(uriSchema),
});
