import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jsonSchema } from '#src/contract/index.js';
import { fitting, nearly } from './arbitraries.js';
import { ajvSays, newAjv, published } from './published.js';

const ajv = newAjv();
ajv.addSchema(JSON.parse(JSON.stringify(jsonSchema())));

function documentSays(name: string, value: unknown): boolean {
  const validate = ajv.getSchema(`executor.aiwg.io/v1#/$defs/${name}`);
  assert.ok(validate, `the document has ${name}`);
  return validate(value) === true;
}

test('the document names itself, and is made once', () => {
  assert.equal(jsonSchema().$schema, 'https://json-schema.org/draft/2020-12/schema');
  assert.equal(jsonSchema().$id, 'executor.aiwg.io/v1');
  assert.equal(jsonSchema(), jsonSchema());
});

test('the document has every published shape under its published name, and the error body', () => {
  assert.deepEqual(Object.keys(jsonSchema().$defs).sort(), [...Object.keys(published), 'error_body'].sort());
});

test('shapes refer to one another by name instead of repeating themselves', () => {
  const { register_payload } = jsonSchema().$defs;
  assert.deepEqual(register_payload?.properties?.transport_endpoints, { $ref: '#/$defs/transport_endpoints' });
  assert.deepEqual(register_payload?.properties?.executor_id, { $ref: '#/$defs/executor_id' });
});

test('ajv says the same of every shape by the document as by the published one', () => {
  for (const [name, shape] of Object.entries(published)) {
    fc.assert(
      fc.property(fc.oneof(fitting(shape), nearly(shape)), (value) => {
        assert.equal(documentSays(name, value), ajvSays(name, value));
      }),
      { numRuns: 100 },
    );
  }
});

test('by the document too, the name of an event alone decides the shape of its data', () => {
  const started = (state: string) => ({
    event: 'mission.started',
    executor_id: '3f2b6c1e-8a4d-4f6b-9c2e-1d5a7b8c9d0e',
    mission_id: 'm',
    ts: '2026-01-31T12:00:00Z',
    data: { state },
  });
  assert.equal(documentSays('event_envelope', started('running')), true);
  assert.equal(documentSays('event_envelope', started('done')), false);
});
