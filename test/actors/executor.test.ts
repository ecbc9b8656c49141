/** What the executor's actor lets through to its missions, what it drops, and how an executor leaves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import executorOnThread, { type ExecutorView, executorActor } from '#actors/executor.js';
import type { Report } from '#actors/messages.js';
import type { MissionView } from '#actors/mission.js';
import { createSystem, type Ref, VirtualClock } from '#src/actor/index.js';
import type { EventEnvelope } from '#src/contract/index.js';
import { collector } from './collector.js';
import { at, executorId, pushed, Rig, strangerId } from './rig.js';

const text = (envelope: unknown) => ({ type: 'frame', text: JSON.stringify(envelope) }) as const;
const progress = { event: 'mission.progress', executor_id: executorId, mission_id: 'm', ts: at(1) };

test('a text frame is an event', () => {
  const rig = new Rig();
  rig.create('m');
  rig.tell(text({ ...progress, event: 'mission.started', data: { state: 'running' } }));
  assert.equal(rig.state('m'), 'running');
});

for (const [what, envelope, reason, detail] of [
  ["another executor's envelope", { ...progress, executor_id: strangerId }, 'foreign_executor', strangerId],
  ['an event for a mission that it does not have', { ...progress, mission_id: 'x' }, 'unknown_mission', 'x'],
  ['an unknown event', { ...progress, event: 'mission.finished' }, 'invalid_envelope', /^event: /],
  ['an unknown field', { ...progress, colour: 'red' }, 'invalid_envelope', /^colour: /],
  [
    'data of the wrong shape',
    { ...progress, data: { pct_complete: 101 } },
    'invalid_envelope',
    /^data\.pct_complete: /,
  ],
  [
    'mission.started that says done',
    { ...progress, event: 'mission.started', data: { state: 'done' } },
    'invalid_envelope',
    /^data\.state: /,
  ],
  [
    'an executor event about a mission',
    { ...progress, event: 'executor.resync', data: { owned_mission_ids: [] } },
    'invalid_envelope',
    /^mission_id: /,
  ],
] as const)
  test(`${what} is dropped and counted, and changes nothing`, () => {
    const rig = new Rig();
    rig.create('m');
    const view = structuredClone(rig.look('m'));
    for (let n = 0; n < 5; n++) rig.tell(text(envelope));
    assert.deepEqual(rig.look('m'), view);
    const drops = rig.reported('dropped');
    assert.deepEqual(
      drops.map((drop) => [drop.executorId, drop.reason, drop.count]),
      [1, 2, 4].map((count) => [executorId, reason, count]),
    );
    if (typeof detail === 'string') assert.equal(drops[0]?.detail, detail);
    else assert.match(drops[0]?.detail ?? '', detail);
    assert.deepEqual(rig.trouble, []);
  });

test('what is not JSON is dropped and counted', () => {
  const rig = new Rig();
  rig.tell({ type: 'frame', text: '{"event":' });
  assert.equal(rig.reported('dropped')[0]?.reason, 'invalid_json');
});

test('an executor of a later version may send unknown fields: they are ignored, and not kept', () => {
  const rig = new Rig({ lenient: true });
  rig.create('m');
  const known = { ...progress, data: { phase: 'build' } };
  rig.tell(text({ ...known, colour: 'red', data: { ...known.data, mood: 'good' } }));
  assert.deepEqual(rig.look('m')?.recentEvents, [known]);
  rig.tell({ type: 'described', description: { lenient: false } });
  rig.tell(text({ ...known, colour: 'red' }));
  assert.equal(rig.look('m')?.recentEvents.length, 1);
  assert.equal(rig.reported('dropped').length, 1);
});

test('the ts of the last event that was accepted is shown, whatever it was about', () => {
  const rig = new Rig();
  rig.create('m');
  const lastEventTs = () => rig.question<ExecutorView>((replyTo) => ({ type: 'view', replyTo }));
  assert.deepEqual(lastEventTs(), { lastEventTs: undefined });
  rig.tell(text({ ...progress, ts: '2020-01-01T00:00:00+01:00' }));
  assert.deepEqual(lastEventTs(), { lastEventTs: '2020-01-01T00:00:00+01:00' });
  rig.event('executor.resync', undefined, { owned_mission_ids: [] }, at(5));
  rig.tell(text({ ...progress, mission_id: 'x', ts: at(6) }));
  rig.tell(text({ ...progress, executor_id: strangerId, ts: at(7) }));
  assert.deepEqual(lastEventTs(), { lastEventTs: at(5) });
});

test('a mission is created once: the same id again leaves it as it is', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  rig.create('m');
  assert.equal(rig.state('m'), 'running');
});

// Noise.

const noise = [
  { type: 'frame', text: 'x' },
  { type: 'noise', reason: 'binary_frame', detail: '' },
  { type: 'frame', text: '{}' },
] as const;

for (const message of noise)
  test(`a connection that sends nothing but ${message.type} ${'text' in message ? message.text : ''} is closed with 1008, once`, () => {
    const rig = new Rig();
    const sent = rig.connect();
    for (let n = 0; n < 99; n++) rig.tell(message);
    assert.equal(sent.length, 0);
    for (let n = 0; n < 50; n++) rig.tell(message);
    assert.deepEqual(
      sent.map((each) => each.type === 'close' && each.code),
      [1008],
    );
  });

test('one good event among ten bad frames keeps a connection open; the next connection starts anew', () => {
  const rig = new Rig();
  rig.create('m');
  const sent = rig.connect();
  for (let n = 0; n < 2000; n++) rig.tell(n % 11 === 0 ? text(progress) : { type: 'frame', text: 'x' });
  assert.deepEqual(sent, []);
  for (let n = 0; n < 30; n++) rig.tell({ type: 'frame', text: 'x' });
  assert.equal(sent.length, 1);
  const next = rig.connect();
  for (let n = 0; n < 99; n++) rig.tell({ type: 'frame', text: 'x' });
  assert.deepEqual(next, []);
});

test('events for the wrong executor or mission are no noise: they never close a connection', () => {
  const rig = new Rig();
  const sent = rig.connect();
  for (let n = 0; n < 500; n++) {
    rig.tell(text(progress));
    rig.tell(text({ ...progress, executor_id: strangerId }));
  }
  assert.deepEqual(sent, []);
});

// Connections.

const push = (rig: Rig, frame: string): boolean => rig.question((replyTo) => ({ type: 'push', text: frame, replyTo }));

test('a push answers whether an open connection took it', () => {
  const rig = new Rig();
  assert.equal(push(rig, 'before'), false);
  const first: unknown[] = rig.connect();
  assert.equal(push(rig, 'one'), true);
  const second = rig.connect();
  assert.equal(push(rig, 'two'), true);
  rig.system.run();
  assert.deepEqual(first, [{ type: 'push', text: 'one' }]);
  assert.deepEqual(second, [{ type: 'push', text: 'two' }]);
});

test('the farewell of a connection that was replaced changes nothing; that of the current one does', () => {
  const rig = new Rig();
  const makeConnection = () =>
    rig.system.spawn({ name: 'connection', start: () => undefined, receive: () => undefined }, undefined);
  const [first, second] = [makeConnection(), makeConnection()];
  rig.tell({ type: 'connected', connection: first });
  rig.tell({ type: 'connected', connection: second });
  rig.tell({ type: 'disconnected', connection: first });
  assert.equal(push(rig, 'x'), true);
  rig.tell({ type: 'disconnected', connection: second });
  assert.equal(push(rig, 'x'), false);
});

test('a mission that is given up on is reported lost, and there is none such from then on; it can be created anew', () => {
  const reports: Report[] = [];
  const system = createSystem({ clock: new VirtualClock(0), schedule: 'manual', observe: () => undefined });
  const broken = executorActor<EventEnvelope>(
    (event) => event,
    () => ({
      add() {
        throw new Error('on purpose');
      },
      show: () => ({ events: [] }),
      free: () => undefined,
    }),
  );
  const description = { lenient: false };
  const start = {
    executorId,
    description,
    reports: system.spawn(collector<Report>(), reports),
    missions: [],
    journal: undefined,
  };
  const ref = system.spawn(broken, start);
  const create = () => {
    const mission = {
      missionId: 'm',
      executorId,
      state: 'queued',
      createdAt: at(0),
      updatedAt: at(0),
      number: 1,
    } as const;
    system.tell(ref, { type: 'create', mission });
  };
  const look = () =>
    system.askNow(ref, (replyTo: Ref<MissionView<EventEnvelope> | undefined>) => ({
      type: 'look' as const,
      missionId: 'm',
      replyTo,
    }));
  create();
  for (let i = 0; i < 11; i++) system.tell(ref, { type: 'event', envelope: progress });
  system.run();
  assert.deepEqual(
    reports.map(({ type }) => type),
    ['lost'],
  );
  assert.equal(look(), undefined);
  create();
  assert.equal(look()?.state, 'queued');
});

test('on threads too, what an executor of a later version sends beyond what is known is not kept', () => {
  const system = createSystem({ schedule: 'manual' });
  const reports = system.spawn({ name: 'reports', start: () => undefined, receive: () => undefined }, undefined);
  const start = { executorId, description: { lenient: true }, reports, missions: [], journal: undefined };
  const ref = system.spawn(executorOnThread, start);
  const mission = {
    missionId: 'm',
    executorId,
    state: 'queued',
    createdAt: at(0),
    updatedAt: at(0),
    number: 1,
  } as const;
  system.tell(ref, { type: 'create', mission });
  const spaced = JSON.stringify(progress, null, 1);
  for (const frame of [spaced, JSON.stringify({ ...progress, mood: 'good' })])
    system.tell(ref, { type: 'frame', text: frame });
  const view = system.askNow(ref, (replyTo: Ref<MissionView<string> | undefined>) => ({
    type: 'look' as const,
    missionId: 'm',
    replyTo,
  }));
  assert.deepEqual(view?.recentEvents, [spaced, JSON.stringify(progress)]);
});

test('a mere disconnect changes no mission', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  const connection = rig.system.spawn({ name: 'c', start: () => undefined, receive: () => undefined }, undefined);
  rig.tell({ type: 'connected', connection });
  rig.tell({ type: 'disconnected', connection });
  rig.advance(3600);
  assert.equal(rig.state('m'), 'running');
});

// Leaving.

const states = ['queued', 'assigned', 'running', 'paused', 'hitl-required', 'suspended', 'done', 'aborted'] as const;

test('when a resumable executor leaves, its live missions are suspended', () => {
  const rig = new Rig();
  for (const state of states) rig.create(state, state);
  rig.advance(5);
  rig.tell({ type: 'left', resumable: true });
  for (const state of states.slice(0, 6)) {
    assert.equal(rig.state(state), 'suspended');
    assert.equal(rig.look(state)?.updatedAt, at(5));
  }
  assert.equal(rig.state('done'), 'done');
  assert.equal(rig.state('aborted'), 'aborted');
});

test('when any other executor leaves, its live missions fail with executor_deregistered', () => {
  const rig = new Rig();
  for (const state of states) rig.create(state, state);
  rig.advance(5);
  rig.tell({ type: 'left', resumable: false });
  for (const state of states.slice(0, 6)) {
    const view = rig.look(state);
    assert.deepEqual([view?.state, view?.error, view?.completedAt], ['failed', 'executor_deregistered', at(5)]);
  }
  assert.equal(rig.look('done')?.error, undefined);
});

test('who has left can be told nothing more', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  const sent = rig.connect();
  rig.tell({ type: 'left', resumable: true });
  assert.deepEqual(rig.operate('m', 'resume'), { ok: false, error: 'executor_not_connected' });
  assert.deepEqual(pushed(sent), []);
});

for (const reason of ['graceful_shutdown', 'operator_deleted', 'timeout'] as const)
  test(`an executor that says it leaves (${reason}) is reported to leave`, () => {
    const rig = new Rig();
    rig.event('executor.deregistered', undefined, { reason });
    assert.deepEqual(rig.reports, [{ type: 'leaving', executorId, reason }]);
  });
