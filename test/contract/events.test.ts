import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type ContractEvent, type EventEnvelope, parseEvent } from '#src/contract/index.js';
import { fitting, nearly } from './arbitraries.js';
import { ajvSays, eventNames, published, type Shape } from './published.js';

const executor = '3f2b6c1e-8a4d-4f6b-9c2e-1d5a7b8c9d0e';
const about = { executor_id: executor, ts: '2026-01-31T12:00:00Z' };
const ofMission = (event: string, data?: unknown) => ({
  event,
  ...about,
  mission_id: 'm1',
  ...(data === undefined ? {} : { data }),
});
const envelopeShape: Shape = published.event_envelope ?? {};

function issuesOf(input: unknown, lenient = false): unknown {
  const parsed = parseEvent(input, lenient);
  return parsed.ok ? 'valid' : parsed.issues;
}

test('parseEvent takes the events that ajv takes, each with the data of its own name', () => {
  fc.assert(
    fc.property(nearly(envelopeShape), (value) => {
      assert.equal(parseEvent(value).ok, ajvSays('event_envelope', value));
    }),
    { numRuns: 1000 },
  );
});

test('what parseEvent takes, the published envelope takes, its defect aside', () => {
  fc.assert(
    fc.property(fitting(envelopeShape), (value) => {
      assert.equal(parseEvent(value).ok, true);
      assert.equal(ajvSays('mended_envelope', value), true);
    }),
    { numRuns: 200 },
  );
});

test('mission.started with state running is valid, though the published oneOf refuses it', () => {
  const event = ofMission('mission.started', { state: 'running' });
  assert.equal(ajvSays('published_envelope', event), false);
  assert.equal(parseEvent(event).ok, true);
});

test('mission.started with state done is invalid, though the published oneOf lets it through', () => {
  const event = ofMission('mission.started', { state: 'done' });
  assert.equal(ajvSays('published_envelope', event), true);
  assert.deepEqual(issuesOf(event), [
    { path: 'data.state', message: 'Invalid type: Expected "running" but received "done"' },
  ]);
});

test('data of every shape is refused under every name but those whose shape it fits', () => {
  fc.assert(
    fc.property(fc.constantFrom(...eventNames), fc.constantFrom(...eventNames), fc.gen(), (event, other, gen) => {
      const data = gen(() => fitting(published[`data_${other.replace('.', '_')}`] ?? {}));
      const mission = event.startsWith('mission.') ? { mission_id: 'm' } : {};
      const fits = ajvSays(`data_${event.replace('.', '_')}`, data);
      assert.equal(parseEvent({ event, ...about, ...mission, data }).ok, fits);
    }),
    { numRuns: 600 },
  );
});

test('data may be absent from mission.progress alone', () => {
  for (const event of eventNames) {
    const mission = event.startsWith('mission.') ? { mission_id: 'm' } : {};
    assert.equal(parseEvent({ event, ...about, ...mission }).ok, event === 'mission.progress', event);
  }
});

test('mission_id is required on mission events and refused on executor events, leniently too', () => {
  const { mission_id, ...without } = ofMission('mission.paused', { state: 'paused' });
  assert.deepEqual(issuesOf(without), [{ path: 'mission_id', message: 'is required' }]);
  assert.deepEqual(issuesOf(without, true), [{ path: 'mission_id', message: 'is required' }]);
  const resync = { event: 'executor.resync', ...about, data: { owned_mission_ids: [] } };
  assert.equal(issuesOf(resync), 'valid');
  const refused = [{ path: 'mission_id', message: 'must not be given: the event is about the executor' }];
  assert.deepEqual(issuesOf({ ...resync, mission_id }), refused);
  assert.deepEqual(issuesOf({ ...resync, mission_id }, true), refused);
});

test('a valid event comes back as the very object that went in', () => {
  const event = ofMission('mission.progress', { iteration: 3 });
  for (const lenient of [false, true]) {
    const parsed = parseEvent(event, lenient);
    assert.ok(parsed.ok);
    assert.equal(parsed.event, event);
  }
});

test('unknown fields are an error at 1.0.0, and leave the event at every depth when lenient', () => {
  const artifact = { path: 'a', size: 1 };
  const event = {
    ...ofMission('mission.completed', { state: 'done', mood: 'good', artifacts: [artifact, { path: 'b' }] }),
    trace: 'x',
  };
  assert.deepEqual(issuesOf(event), [
    { path: 'data.artifacts.0.size', message: 'is not a known field' },
    { path: 'data.mood', message: 'is not a known field' },
    { path: 'trace', message: 'is not a known field' },
  ]);
  const parsed = parseEvent(event, true);
  assert.ok(parsed.ok);
  assert.deepEqual(
    parsed.event,
    ofMission('mission.completed', { state: 'done', artifacts: [{ path: 'a' }, { path: 'b' }] }),
  );
  assert.equal(artifact.size, 1, 'the input is left as it was');
});

test('lenient forgives unknown fields and nothing else', () => {
  fc.assert(
    fc.property(nearly(envelopeShape), (value) => {
      const parsed = parseEvent(value, true);
      if (parseEvent(value).ok) assert.ok(parsed.ok);
      if (parsed.ok) assert.equal(ajvSays('event_envelope', parsed.event), true);
    }),
    { numRuns: 500 },
  );
  assert.equal(parseEvent(ofMission('mission.started', { state: 'done', extra: 1 }), true).ok, false);
});

test('fields that are undefined count as absent and do not come back', () => {
  const parsed = parseEvent({ ...ofMission('mission.progress'), data: undefined });
  assert.ok(parsed.ok);
  assert.equal('data' in parsed.event, false);
  const registered = { event: 'executor.registered', ...about, data: { name: 'x', capabilities: [] } };
  assert.equal(parseEvent({ ...registered, mission_id: undefined }).ok, true);
});

test('an unknown, missing or inherited event name is said to be so', () => {
  assert.deepEqual(issuesOf({ ...ofMission('mission.exploded'), data: {} }), [
    { path: 'event', message: 'must be the name of an event' },
  ]);
  assert.deepEqual(issuesOf(ofMission('toString')), [{ path: 'event', message: 'must be the name of an event' }]);
  assert.deepEqual(issuesOf({ ...about, event: 1 }), [{ path: 'event', message: 'must be the name of an event' }]);
  assert.deepEqual(issuesOf(about), [{ path: 'event', message: 'is required' }]);
  const heir = Object.create({ event: 'mission.progress' });
  assert.deepEqual(issuesOf(Object.assign(heir, about, { mission_id: 'm' })), [
    { path: 'event', message: 'is required' },
  ]);
});

test('parseEvent never throws, whatever it is given', () => {
  const explode = () => {
    throw new Error('boom');
  };
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const loop: Record<string, unknown> = ofMission('mission.started', {});
  loop.data = loop;
  const nested: unknown = JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`);
  const hostile: unknown[] = [
    ...[undefined, null, true, 0, Number.NaN, '', 'x', 1n, Symbol('s'), explode, [], {}, new Map(), new Date()],
    proxy,
    new Proxy({}, { get: explode }),
    new Proxy(ofMission('mission.progress', {}), { ownKeys: explode }),
    new Proxy(ofMission('mission.progress', {}), { getOwnPropertyDescriptor: explode }),
    Object.defineProperty({ ...about }, 'event', { get: explode, enumerable: true }),
    Object.defineProperty(ofMission('mission.progress'), 'data', { get: explode, enumerable: true }),
    ofMission('mission.progress', proxy),
    ofMission('mission.progress', new Proxy({}, { ownKeys: explode })),
    loop,
    ofMission('mission.completed', { state: 'done', artifacts: nested }),
    ofMission('mission.started', { state: Object.create(null) }),
    ofMission('mission.started', { state: { toString: explode, constructor: proxy } }),
  ];
  for (const input of hostile) {
    for (const lenient of [false, true]) {
      const parsed = parseEvent(input, lenient);
      assert.ok(!parsed.ok);
      assert.ok(parsed.issues.length > 0);
    }
  }
  fc.assert(
    fc.property(
      fc.anything({ withNullPrototype: true, withMap: true, withBigInt: true, withDate: true }),
      (input) => typeof parseEvent(input).ok === 'boolean',
    ),
  );
});

test('a parsed event is typed by its name, and is an EventEnvelope', () => {
  const parsed = parseEvent(ofMission('mission.completed', { state: 'done', exit_code: 0 }));
  assert.ok(parsed.ok);
  const event: ContractEvent = parsed.event;
  assert.equal(event.event === 'mission.completed' ? event.data.exit_code : undefined, 0);
  const envelope: EventEnvelope = event;
  assert.equal(envelope.mission_id, 'm1');
});
