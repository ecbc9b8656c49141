/**
 * The three validators of the published surface. They answer for the published shapes, so at version 1.0.0; what
 * Callboard accepts beyond them is `parseRegisterPayload`'s and `parseEvent`'s to say.
 */
import { dispatchPayloadSchema, registerPayloadSchema } from './bodies.js';
import { parseEvent } from './events.js';
import { check, type Issue } from './shape.js';

/** Whether a value is valid; `errors` is empty when it is, else JSON text: `[{ "path": …, "message": … }]`. */
export type Validation = { valid: boolean; errors: string };

/** Whether `data` is a `register_payload`. */
export function validateRegisterPayload(data: unknown): Validation {
  return toValidation(check(registerPayloadSchema, data));
}

/** Whether `data` is an `event_envelope`. */
export function validateEventEnvelope(data: unknown): Validation {
  return toValidation(parseEvent(data));
}

/** Whether `data` is a `dispatch_payload`. */
export function validateDispatchPayload(data: unknown): Validation {
  return toValidation(check(dispatchPayloadSchema, data));
}

function toValidation(answer: { ok: true } | { ok: false; issues: Issue[] }): Validation {
  return answer.ok ? { valid: true, errors: '' } : { valid: false, errors: JSON.stringify(answer.issues) };
}
