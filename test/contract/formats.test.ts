import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isDateTime, isUri, isUuid } from '#src/contract/formats.js';
import { dateTimes, uris } from './arbitraries.js';
import { ajvSays } from './published.js';

const endpoints = (rest: string) => ({ rest, ws: 'ws://a/' });

test('a date-time is judged as ajv-formats does in full mode', () => {
  const verdicts = { true: 0, false: 0 };
  fc.assert(
    fc.property(dateTimes, (text) => {
      verdicts[`${isDateTime(text)}`]++;
      assert.equal(isDateTime(text), ajvSays('ts', text));
    }),
    { numRuns: 3000 },
  );
  assert.ok(verdicts.true > 100 && verdicts.false > 100, JSON.stringify(verdicts));
});

test('a uri is judged as ajv-formats does in full mode', () => {
  const verdicts = { true: 0, false: 0 };
  const anyText = fc.string({ unit: fc.constantFrom(...'h:/?#[]@!$&\'()*+,;=%2fgF0.-_~" \n\\^`{}|üſKv') });
  fc.assert(
    fc.property(
      fc.oneof(
        uris,
        anyText,
        anyText.map((text) => `h://${text}`),
      ),
      (text) => {
        verdicts[`${isUri(text)}`]++;
        assert.equal(isUri(text), ajvSays('transport_endpoints', endpoints(text)));
      },
    ),
    { numRuns: 3000 },
  );
  assert.ok(verdicts.true > 100 && verdicts.false > 100, JSON.stringify(verdicts));
});

test('an IPv6 address in a uri is judged as ajv-formats does, in all its short forms', () => {
  const groups = fc.array(fc.constantFrom('1', ':', '::', 'ffff', '1.2.3.4', '12345'), { maxLength: 16 });
  fc.assert(
    fc.property(groups, (parts) => {
      const text = `h://[${parts.join('')}]/`;
      assert.equal(isUri(text), ajvSays('transport_endpoints', endpoints(text)));
    }),
    { numRuns: 3000 },
  );
});

test('leap days, leap seconds and offsets are right by themselves', () => {
  for (const good of [
    '2026-01-31T12:00:00Z',
    '2024-02-29T00:00:00Z',
    '2000-02-29T00:00:00Z',
    '2026-07-27T10:11:12.123456+05:30',
    '1990-12-31T23:59:60Z',
    '1990-12-31T15:59:60-08:00',
  ]) {
    assert.equal(isDateTime(good), true, good);
  }
  for (const bad of [
    '2026-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-01-31T12:00:00',
    '2026-01-31',
    '2026-01-31T24:00:00Z',
    '1990-12-31T22:59:60Z',
    '2026-01-31T12:00:00Z\n',
  ]) {
    assert.equal(isDateTime(bad), false, bad);
  }
});

test('uuids and uris of everyday use pass, and what looks like them does not', () => {
  assert.equal(isUuid('3f2b6c1e-8a4d-4f6b-9c2e-1d5a7b8c9d0e'), true);
  assert.equal(isUuid('3f2b6c1e-8a4d-4f6b-9c2e-1d5a7b8c9d0'), false);
  assert.equal(isUri('http://127.0.0.1:7337'), true);
  assert.equal(isUri('wss://[::1]:8443/ws?x=1'), true);
  assert.equal(isUri('127.0.0.1:7337'), false);
  assert.equal(isUri('/ws/executors'), false);
  assert.equal(isUri('http://a b/'), false);
});

test('a megabyte of anything is judged at once', () => {
  const started = performance.now();
  for (const text of [
    'a:'.repeat(5e5),
    `http://${'a'.repeat(1e6)} `,
    `http://${'%41'.repeat(3e5)}%`,
    `h:${'/'.repeat(1e6)} `,
  ]) {
    isUri(text);
    isDateTime(text);
    isUuid(text);
  }
  isDateTime(`2026-01-31T12:00:00.${'9'.repeat(1e6)}`);
  assert.ok(performance.now() - started < 2000);
});
