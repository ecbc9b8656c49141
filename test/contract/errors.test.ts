import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { type ErrorBody, errorBodySchema, errorStatus } from '#src/contract/index.js';

test('every error code has the HTTP status of the contract', () => {
  const byStatus = new Map<number, string[]>();
  for (const [code, status] of Object.entries(errorStatus))
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  for (const codes of byStatus.values()) codes.sort();
  assert.deepEqual(Object.fromEntries(byStatus), {
    400: ['invalid_json', 'invalid_payload', 'unsupported_spec_version'],
    401: ['token_invalid'],
    404: ['executor_not_found', 'mission_not_found', 'not_found'],
    405: ['method_not_allowed'],
    408: ['request_timeout'],
    409: ['hitl_not_pending', 'invalid_transition', 'mission_exists', 'mission_terminal'],
    410: ['hitl_expired'],
    413: ['payload_too_large'],
    415: ['unsupported_media_type'],
    500: ['internal_error'],
    502: ['executor_rejected', 'executor_unreachable'],
    503: [
      'executor_not_connected',
      'no_executor_available',
      'no_resumable_executor_available',
      'storage_unavailable',
      'unavailable',
    ],
    504: ['executor_timeout'],
  });
});

test('an error body has a known code and a sentence, perhaps issues, and nothing else', () => {
  const body: ErrorBody = { error: 'mission_exists', detail: 'Mission m1 exists with another payload.' };
  assert.equal(v.is(errorBodySchema, body), true);
  assert.equal(v.is(errorBodySchema, { ...body, issues: [{ path: 'a', message: 'b' }] }), true);
  assert.equal(v.is(errorBodySchema, { ...body, error: 'oops' }), false);
  assert.equal(v.is(errorBodySchema, { ...body, issues: [{ path: 'a' }] }), false);
  assert.equal(v.is(errorBodySchema, { ...body, stack: 'x' }), false);
  assert.equal(v.is(errorBodySchema, { error: 'mission_exists' }), false);
});
