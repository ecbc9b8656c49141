import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as v from 'valibot';
import { check } from '#src/contract/shape.js';
import { edges, fitting, nearCapabilities, nearly } from './arbitraries.js';
import { ajvSays, published } from './published.js';
import { schemas } from './shapes.js';

test('every published shape has a schema, and no other has', () => {
  assert.deepEqual(Object.keys(schemas).sort(), Object.keys(published).sort());
});

for (const [name, shape] of Object.entries(published)) {
  const schema = schemas[name];
  if (!schema) continue;

  test(`${name} takes what ajv takes on the published shape, and refuses what it refuses`, () => {
    fc.assert(
      fc.property(fitting(shape), (value) => {
        assert.equal(ajvSays(name, value), true, 'the generator keeps to the shape');
        assert.equal(v.is(schema, value), true);
      }),
      { numRuns: 60 },
    );
    const verdicts = { true: 0, false: 0 };
    fc.assert(
      fc.property(nearly(shape), (value) => {
        const expected = ajvSays(name, value);
        verdicts[`${expected}`]++;
        assert.equal(v.is(schema, value), expected);
        assert.equal(v.safeParse(schema, value).success, expected, 'with all issues');
        assert.equal(check(schema, value).ok, expected, 'through check');
      }),
      { numRuns: 250 },
    );
    assert.ok(verdicts.true >= 10 && verdicts.false >= 10, `both verdicts come up: ${JSON.stringify(verdicts)}`);
  });

  const keys = Object.keys(shape.properties ?? {});
  if (keys.length === 0) continue;

  test(`${name} takes what ajv takes in each field, edge by edge`, () => {
    for (const fits of fc.sample(fitting(shape), { numRuns: 2, seed: 7 })) {
      for (const key of keys) {
        for (const edge of edges) {
          const value = Object.assign({}, fits, { [key]: edge });
          assert.equal(v.is(schema, value), ajvSays(name, value), `${key}: ${JSON.stringify(edge)}`);
        }
      }
    }
  });

  test(`${name} takes a field that is undefined for one that is absent, as ajv does`, () => {
    fc.assert(
      fc.property(fitting(shape), fc.constantFrom(...keys), (fits, key) => {
        const value = Object.assign({}, fits, { [key]: undefined });
        const checked = check(schema, value);
        assert.equal(checked.ok, ajvSays(name, value));
        if (checked.ok) assert.equal(v.is(schema, checked.value), true, 'what comes back has no such field');
      }),
      { numRuns: 30 },
    );
  });

  test(`${name} does not take inherited fields for its own`, () => {
    fc.assert(
      fc.property(fitting(shape), (fits) => {
        const heir = Object.create(Object.assign({}, fits));
        const checked = check(schema, heir);
        assert.equal(checked.ok, ajvSays(name, {}), 'as good as an empty object');
      }),
      { numRuns: 10 },
    );
  });
}

test('an own __proto__, toString or constructor is a field like any other, and refused', () => {
  for (const key of ['__proto__', 'toString', 'constructor', 'hasOwnProperty']) {
    const value: unknown = JSON.parse(`{"rest":"http://a/","ws":"ws://a/","${key}":{}}`);
    assert.deepEqual(check(schemas.transport_endpoints ?? v.never(), value), {
      ok: false,
      issues: [{ path: key, message: 'is not a known field' }],
    });
  }
});

test('an array is not taken for an object, even where no field is required', () => {
  for (const name of ['data_mission_progress', 'executor_filter']) {
    assert.deepEqual(check(schemas[name] ?? v.any(), []), {
      ok: false,
      issues: [{ path: '', message: 'must be an object' }],
    });
  }
});

test('a capability is what one of the seven patterns says, and nothing near it', () => {
  const taken = nearCapabilities.filter((text) => v.is(schemas.capability ?? v.never(), text));
  assert.deepEqual(
    taken,
    nearCapabilities.filter((text) => ajvSays('capability', text)),
  );
  assert.ok(taken.length > 20);
});

test('of a hundred thousand unknown fields one is read, and one is reported', () => {
  const fields = Object.fromEntries(Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i]));
  let reads = 0;
  const counting = new Proxy(fields, {
    get(target, key) {
      reads++;
      return typeof key === 'string' ? target[key] : undefined;
    },
  });
  for (const lenient of [false, true]) {
    const checked = check(schemas.hitl_response_payload ?? v.any(), counting, lenient);
    assert.ok(!checked.ok);
    assert.ok(checked.issues.length <= 3, 'the two that are required, and one that is unknown');
  }
  assert.ok(reads < 20, `${reads} reads`);
});

test('issues stay few and short, however much is wrong', () => {
  const wrong = { owned_mission_ids: new Array(10_000).fill(1), protocol_version: 5, ['k'.repeat(5000)]: 1, other: 1 };
  const checked = check(schemas.data_executor_resync ?? v.any(), wrong);
  assert.ok(!checked.ok);
  assert.deepEqual(
    checked.issues.map(({ path }) => path.slice(0, 30)),
    ['owned_mission_ids.0', 'protocol_version', 'k'.repeat(30)],
  );
  assert.ok(JSON.stringify(checked.issues).length < 1000);
});
