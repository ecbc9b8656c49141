/** What a program hands in may be anything: it is answered or dropped, and nothing is thrown. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { createRegistry, ExecutorRegistry } from '#src/index.js';
import {
  completed,
  executorEvent,
  idOf,
  listen,
  missionEvent,
  payloadOf,
  progress,
  Socket,
  useIdentityFile,
} from './peers.js';

useIdentityFile();

const throwing = () => {
  throw new Error('not to be read');
};

/** A proxy that lets itself be read so many times, and then throws. */
function readable(target: object, times: number): unknown {
  let left = times;
  const count = () => {
    if (left-- <= 0) throwing();
  };
  return new Proxy(target, {
    get(object, key) {
      count();
      return Reflect.get(object, key);
    },
    has(object, key) {
      count();
      return Reflect.has(object, key);
    },
    ownKeys(object) {
      count();
      return Reflect.ownKeys(object);
    },
    getOwnPropertyDescriptor(object, key) {
      count();
      return Reflect.getOwnPropertyDescriptor(object, key);
    },
  });
}

const revoked = Proxy.revocable({}, {});
revoked.revoke();

const cyclic: Record<string, unknown> = { ...progress(1, 'm', 1) };
cyclic.data = { cyclic };

/** Things of which none is a valid payload or event, and reading some throws. */
const things: readonly (readonly [name: string, thing: unknown])[] = [
  ['null', null],
  ['undefined', undefined],
  ['a number', 7],
  ['a BigInt', 7n],
  ['a symbol', Symbol('event')],
  ['a function', () => undefined],
  ['text', 'event'],
  ['an array', [progress(1, 'm', 1)]],
  ['an object without a prototype', Object.create(null)],
  ['an object that inherits an event', Object.create(progress(1, 'm', 1))],
  ['a cyclic event', cyclic],
  ['a BigInt in its data', { ...progress(1, 'm', 1), data: { iteration: 1n } }],
  ['a number as id', { ...progress(1, 'm', 1), executor_id: 1 }],
  ['a getter that throws', Object.defineProperty({ ...progress(1, 'm', 1) }, 'executor_id', { get: throwing })],
  ['data that throws', Object.defineProperty({ ...progress(1, 'm', 1) }, 'data', { get: throwing, enumerable: true })],
  ['a toJSON that throws', { ...progress(1, 'm', 1), toJSON: throwing }],
  ['a revoked proxy', revoked.proxy],
  ['10 MB of text in a field', { ...progress(1, 'm', 1), event: 'x'.repeat(10_000_000) }],
  ['the payload with a getter that throws', Object.defineProperty({ ...payloadOf(1) }, 'name', { get: throwing })],
];

/** Hands something of any type to a function that has a type for it. */
function hand<Result>(to: (thing: never) => Result, thing: unknown): Result {
  return Reflect.apply(to, undefined, [thing]);
}

function newRegistry(t: TestContext): ExecutorRegistry {
  const registry = new ExecutorRegistry();
  t.after(() => registry.shutdown());
  registry.register(payloadOf(1));
  registry.assignMission('m', idOf(1));
  return registry;
}

for (const [name, thing] of things) {
  test(`${name} is no registration, no event and no token`, (t) => {
    const registry = newRegistry(t);
    const answer = hand((payload) => registry.register(payload), thing);
    assert.ok('error' in answer);
    assert.deepEqual([answer.status, Array.isArray(JSON.parse(answer.error))], [400, true]);
    hand((event) => registry.handleEvent(event), thing);
    assert.equal(
      hand((token) => registry.authenticate(idOf(1), token), thing),
      false,
    );
    assert.deepEqual([registry.size, registry.getMission('m')?.recentEvents], [1, []]);
    registry.handleEvent(completed(1, 'm'));
    assert.equal(registry.getMission('m')?.state, 'done');
  });
}

test('the asynchronous registry rejects none of it', { timeout: 20_000 }, async () => {
  await using registry = await createRegistry({ threads: 1 });
  await registry.register(payloadOf(1));
  await registry.assignMission('m', idOf(1));
  for (const [name, thing] of things) {
    assert.ok('error' in (await hand((payload) => registry.register(payload), thing)), name);
    await hand((event) => registry.handleEvent(event), thing);
    assert.equal(await hand((token) => registry.authenticate(idOf(1), token), thing), false);
  }
  assert.deepEqual((await registry.getMission('m'))?.recentEvents, []);
});

test('a payload or an event that throws at any reading is answered or dropped', (t) => {
  const registry = newRegistry(t);
  const accepted = { registrations: 0 };
  for (let times = 0; times < 100; times++) {
    const answer = hand((payload) => registry.register(payload), readable(payloadOf(2), times));
    if ('token' in answer) accepted.registrations++;
    else assert.equal(answer.status, 400);
  }
  assert.ok(accepted.registrations > 0, 'one that can be read once is good');
  assert.equal(registry.size, 2);
  for (let times = 0; times < 100; times++)
    hand((event) => registry.handleEvent(event), readable(progress(1, 'm', 1), times));
  registry.handleEvent(completed(1, 'm'));
  assert.equal(registry.getMission('m')?.state, 'done');
});

test('whatever handleEvent is given, it does not throw, and the registry goes on', (t) => {
  const registry = newRegistry(t);
  const anything = fc.oneof(
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSparseArray: true }),
    fc.record(
      {
        event: fc.constantFrom('mission.progress', 'mission.failed', 'executor.resync', 'executor.registered'),
        executor_id: fc.constantFrom(idOf(1), idOf(2)),
        mission_id: fc.constantFrom('m', '__proto__', 'constructor', ''),
        ts: fc.anything(),
        data: fc.anything(),
      },
      { requiredKeys: [] },
    ),
  );
  fc.assert(
    fc.property(anything, (thing) => hand((event) => registry.handleEvent(event), thing) === undefined),
    { numRuns: 500 },
  );
  registry.handleEvent(progress(1, 'm', 5));
  assert.equal(registry.getMission('m')?.recentEvents.length, 1);
});

test('an executor whose actor was given up on starts again from what is known of it', (t) => {
  const registry = newRegistry(t);
  const socket = new Socket();
  registry.setConnected(idOf(1), true, socket);
  registry.handleEvent(missionEvent(1, 'm', 'mission.suspended', { state: 'suspended', checkpoint_id: 'c' }));
  assert.equal(registry.getMission('m')?.recentEvents.length, 1);
  for (let passes = 0; passes < 4; passes++)
    for (let times = 0; times < 60; times++)
      hand((event) => registry.handleEvent(event), readable(progress(1, 'm', 1), times));
  assert.equal(registry.getMission('m')?.state, 'suspended');
  registry.handleEvent(executorEvent(1, 'executor.resync', { owned_mission_ids: ['m'] }));
  assert.deepEqual(
    socket.sent.map(({ event }) => event),
    ['mission.resumed'],
  );
});

test('a mission whose actor was given up on has failed, and listeners are told', (t) => {
  const registry = newRegistry(t);
  const told = listen(registry);
  // The live record, to which every event is added.
  Object.freeze(registry.getMission('m')?.recentEvents);
  for (let iteration = 0; iteration <= 10; iteration++) registry.handleEvent(progress(1, 'm', iteration));
  const change = { missionId: 'm', executorId: idOf(1), state: 'failed', prevState: 'assigned' };
  assert.deepEqual(told, [['mission:state_change', change]]);
  assert.equal(registry.getMission('m')?.state, 'failed');
  assert.equal(registry.get(idOf(1))?.active_mission_count, 0);
});
