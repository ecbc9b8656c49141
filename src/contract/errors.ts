/**
 * The error codes of the REST interface, the HTTP status of each, and the body that every error has.
 */
import * as v from 'valibot';
import { closedObject, list } from './shape.js';

/** HTTP status by error code. */
export const errorStatus = {
  invalid_json: 400,
  invalid_payload: 400,
  unsupported_spec_version: 400,
  token_invalid: 401,
  not_found: 404,
  executor_not_found: 404,
  mission_not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  mission_exists: 409,
  hitl_not_pending: 409,
  mission_terminal: 409,
  invalid_transition: 409,
  hitl_expired: 410,
  payload_too_large: 413,
  unsupported_media_type: 415,
  internal_error: 500,
  executor_unreachable: 502,
  executor_rejected: 502,
  no_executor_available: 503,
  no_resumable_executor_available: 503,
  executor_not_connected: 503,
  unavailable: 503,
  storage_unavailable: 503,
  executor_timeout: 504,
} as const;

export type ErrorCode = keyof typeof errorStatus;

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorStatus, code);
}

/** The body of every error: a code for programs, a sentence for people, and for a bad payload what is wrong where. */
export const errorBodySchema = closedObject({
  error: v.picklist(Object.keys(errorStatus).filter(isErrorCode)),
  detail: v.string(),
  issues: v.exactOptional(list(closedObject({ path: v.string(), message: v.string() }))),
});

export type ErrorBody = v.InferOutput<typeof errorBodySchema>;
