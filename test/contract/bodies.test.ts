import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  parseDispatchPayload,
  parseHitlResponse,
  parseRegisterPayload,
  validateDispatchPayload,
  validateEventEnvelope,
  validateRegisterPayload,
} from '#src/contract/index.js';
import { nearly } from './arbitraries.js';
import { ajvSays, published } from './published.js';

const registration = {
  executor_id: '3f2b6c1e-8a4d-4f6b-9c2e-1d5a7b8c9d0e',
  name: 'left wing',
  version: '2.3.4',
  spec_version: '1.0.0',
  transport_endpoints: { rest: 'http://127.0.0.1:9000', ws: 'ws://127.0.0.1:9000' },
  capabilities: ['isolation:vm', 'resumable'],
};
const dispatch = { mission_id: 'm1', objective: 'build it', completion: 'it is built' };
const hostile = [undefined, null, 7, 'x', [], new Proxy({}, { get: fail, ownKeys: fail, has: fail })];

function fail(): never {
  throw new Error('boom');
}

test('a registration at 1.0.0 is taken as it is, without a warning', () => {
  const parsed = parseRegisterPayload(registration);
  assert.deepEqual(parsed, { ok: true, payload: registration });
  assert.ok(parsed.ok);
  assert.equal(parsed.payload, registration);
});

test('a registration at 1.0.0 is held to the published shape', () => {
  fc.assert(
    fc.property(nearly(published.register_payload ?? {}), (value) => {
      const parsed = parseRegisterPayload(value);
      const isOther = !parsed.ok && parsed.error === 'unsupported_spec_version';
      if (parsed.ok && parsed.warning) return;
      assert.equal(parsed.ok, ajvSays('register_payload', value));
      if (isOther) assert.equal(ajvSays('register_payload', value), false);
    }),
    { numRuns: 500 },
  );
  const unknown = { ...registration, mood: 'good' };
  assert.deepEqual(parseRegisterPayload(unknown), {
    ok: false,
    error: 'invalid_payload',
    issues: [{ path: 'mood', message: 'is not a known field' }],
  });
});

test('a later 1.x version is taken with a warning, and its unknown fields are left out', () => {
  for (const spec_version of ['1.0.1', '1.1.0', '1.12.345']) {
    const transport_endpoints = { ...registration.transport_endpoints, quic: 'x' };
    const parsed = parseRegisterPayload({ ...registration, spec_version, transport_endpoints, mood: 'good' });
    assert.ok(parsed.ok);
    assert.deepEqual(parsed.payload, { ...registration, spec_version });
    assert.match(parsed.warning ?? '', new RegExp(`${spec_version} is newer than 1.0.0`));
  }
});

test('a later 1.x version must still have all that 1.0.0 asks for', () => {
  const { name, ...nameless } = registration;
  assert.deepEqual(parseRegisterPayload({ ...nameless, spec_version: '1.1.0' }), {
    ok: false,
    error: 'invalid_payload',
    issues: [{ path: 'name', message: 'is required' }],
  });
  assert.equal(parseRegisterPayload({ ...registration, name: name.repeat(30), spec_version: '1.1.0' }).ok, false);
});

test('another major version is not supported, whatever else the payload holds', () => {
  for (const spec_version of ['0.9.0', '2.0.0', '10.0.0']) {
    for (const payload of [{ ...registration, spec_version }, { spec_version }]) {
      const parsed = parseRegisterPayload(payload);
      assert.ok(!parsed.ok);
      assert.equal(parsed.error, 'unsupported_spec_version');
      assert.deepEqual(
        parsed.issues.map(({ path }) => path),
        ['spec_version'],
      );
    }
  }
});

test('a spec_version that is no version is an invalid payload', () => {
  const versions = [
    '',
    '1',
    '1.0',
    'v1.0.0',
    '1.0.0-beta',
    '1.0.0\n',
    '01.0.0',
    '1.00.0',
    `1.0.${'9'.repeat(50)}`,
    1,
    null,
  ];
  for (const spec_version of versions) {
    const parsed = parseRegisterPayload({ ...registration, spec_version });
    assert.ok(!parsed.ok, `${spec_version}`);
    assert.equal(parsed.error, 'invalid_payload');
    assert.deepEqual(
      parsed.issues.map(({ path }) => path),
      ['spec_version'],
    );
  }
});

test('names and versions are measured in characters, not in UTF-16 units', () => {
  assert.equal(parseRegisterPayload({ ...registration, name: '💥'.repeat(128) }).ok, true);
  assert.equal(parseRegisterPayload({ ...registration, name: '💥'.repeat(129) }).ok, false);
  assert.equal(parseRegisterPayload({ ...registration, version: '💥'.repeat(64) }).ok, true);
  assert.equal(parseRegisterPayload({ ...registration, version: 'x'.repeat(65) }).ok, false);
});

test('a dispatch and an answer come back as they are, or with what is wrong and where', () => {
  const parsed = parseDispatchPayload(dispatch);
  assert.ok(parsed.ok);
  assert.equal(parsed.payload, dispatch);
  assert.deepEqual(parseDispatchPayload({ ...dispatch, executor_filter: { capabilities: ['fast'] }, objective: '' }), {
    ok: false,
    issues: [
      { path: 'objective', message: 'must not be empty' },
      { path: 'executor_filter.capabilities.0', message: 'must be a capability of the contract, or begin with x-' },
    ],
  });
  assert.deepEqual(parseHitlResponse({ hitl_id: 'h', response: 'yes' }), {
    ok: true,
    payload: { hitl_id: 'h', response: 'yes' },
  });
  assert.deepEqual(parseHitlResponse({ hitl_id: 'h' }), {
    ok: false,
    issues: [{ path: 'response', message: 'is required' }],
  });
});

test('metadata is any object, and keeps every field', () => {
  const metadata: unknown = JSON.parse('{"constructor":1,"__proto__":{"a":[]},"a":null}');
  const payload = { ...dispatch, long_running: undefined, metadata };
  const parsed = parseDispatchPayload(payload);
  assert.ok(parsed.ok);
  assert.deepEqual(Object.keys(parsed.payload.metadata ?? {}), ['constructor', '__proto__', 'a']);
  assert.equal(parseDispatchPayload({ ...dispatch, metadata: [] }).ok, false);
});

test('the parsers never throw, whatever they are given', () => {
  for (const input of hostile) {
    for (const parse of [parseRegisterPayload, parseDispatchPayload, parseHitlResponse]) {
      const parsed = parse(input);
      assert.ok(!parsed.ok);
      assert.ok(parsed.issues.length > 0);
    }
  }
});

test('the published validators answer for the published shapes: no errors when valid, else JSON text', () => {
  const event = {
    event: 'mission.progress',
    executor_id: registration.executor_id,
    mission_id: 'm',
    ts: '2026-01-31T12:00:00Z',
  };
  const cases = [
    { validate: validateRegisterPayload, good: registration, bad: { ...registration, spec_version: '1.1.0' } },
    { validate: validateEventEnvelope, good: event, bad: { ...event, extra: 1 } },
    { validate: validateDispatchPayload, good: dispatch, bad: { ...dispatch, mission_id: '' } },
  ];
  for (const { validate, good, bad } of cases) {
    assert.deepEqual(validate(good), { valid: true, errors: '' });
    for (const input of [bad, ...hostile]) {
      const { valid, errors } = validate(input);
      assert.equal(valid, false);
      const issues: unknown = JSON.parse(errors);
      assert.ok(Array.isArray(issues) && issues.length > 0);
      assert.deepEqual(Object.keys(issues[0]), ['path', 'message']);
    }
  }
  assert.match(validateDispatchPayload({ ...dispatch, mission_id: '' }).errors, /"path":"mission_id"/);
});
