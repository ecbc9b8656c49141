/** What a resync leaves out, what it finds asked, and which protocol it names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { executorActor } from '#actors/executor.js';
import type { Report } from '#actors/messages.js';
import type { EventEnvelope } from '#src/contract/index.js';
import type { KeptState } from '#src/store/kept.js';
import { collector } from './collector.js';
import { at, executorId, pushed, Rig } from './rig.js';

const begun = ['running', 'paused', 'hitl-required', 'suspended'] as const;
const resync = (rig: Rig, listed: string[], more: object = {}) =>
  rig.event('executor.resync', undefined, { owned_mission_ids: listed, ...more });

for (const state of ['queued', 'assigned'] as const)
  test(`a mission that is ${state} and left out never arrived: that is reported, and time changes nothing`, () => {
    const rig = new Rig();
    rig.create('m', state);
    resync(rig, []);
    assert.deepEqual(rig.reports, [{ type: 'undelivered', missionId: 'm', executorId }]);
    rig.advance(3600);
    assert.equal(rig.state('m'), state);
  });

for (const state of begun)
  test(`a mission that is ${state} and left out fails after 30 s, with lost_by_executor`, () => {
    const rig = new Rig();
    rig.create('m', state);
    rig.advance(5);
    resync(rig, []);
    rig.advance(20);
    // Its time does not begin anew.
    resync(rig, []);
    rig.advance(9.999);
    assert.equal(rig.state('m'), state);
    rig.advance(0.001);
    const view = rig.look('m');
    assert.deepEqual([view?.state, view?.error, view?.completedAt], ['failed', 'lost_by_executor', at(35)]);
    assert.equal(rig.clock.pending, 0);
  });

for (const state of ['queued', 'assigned'] as const)
  test(`a mission that was ${state} when its executor left never arrived either; its dispatch taken, it is assigned`, () => {
    const rig = new Rig();
    rig.create('m', state);
    rig.tell({ type: 'left', resumable: true });
    assert.equal(rig.state('m'), 'suspended');
    resync(rig, []);
    assert.deepEqual(rig.reported('undelivered'), [{ type: 'undelivered', missionId: 'm', executorId }]);
    rig.advance(3600);
    rig.tell({ type: 'assigned', missionId: 'm' });
    assert.equal(rig.state('m'), 'assigned');
  });

test('a mission that had begun when its executor left is not assigned anew, and fails if it is left out', () => {
  const rig = new Rig();
  for (const [missionId, begin] of [
    ['ran', () => void rig.event('mission.started', 'ran', { state: 'running' })],
    ['was listed', () => void resync(rig, ['was listed'])],
    ['was heard of', () => void rig.event('mission.progress', 'was heard of')],
    ['is heard of', () => undefined],
  ] as const) {
    rig.create(missionId, 'assigned');
    begin();
  }
  rig.tell({ type: 'left', resumable: true });
  rig.event('mission.progress', 'is heard of');
  rig.reports.length = 0;
  resync(rig, []);
  const missionIds = ['ran', 'was listed', 'was heard of', 'is heard of'];
  for (const missionId of missionIds) {
    rig.tell({ type: 'assigned', missionId });
    // Nor has a dispatch failed that finds it there.
    rig.tell({ type: 'fail', missionId, error: 'refused', unlessBegun: true });
    assert.equal(rig.state(missionId), 'suspended');
  }
  assert.deepEqual(rig.reports, []);
  rig.advance(30);
  for (const missionId of missionIds) assert.equal(rig.look(missionId)?.error, 'lost_by_executor');
});

test('a mission of which anything but its assignment was heard has arrived, whatever its state', () => {
  const rig = new Rig();
  rig.create('m', 'assigned');
  rig.event('mission.progress', 'm');
  resync(rig, []);
  assert.deepEqual(rig.reported('undelivered'), []);
  rig.advance(30);
  assert.equal(rig.look('m')?.error, 'lost_by_executor');
});

test('a mission whose dispatch nobody can replay has 30 s, too', () => {
  const rig = new Rig();
  rig.create('m', 'assigned');
  rig.tell({ type: 'doubt', missionId: 'm' });
  rig.advance(30);
  assert.equal(rig.look('m')?.error, 'lost_by_executor');
});

for (const [what, act, state] of [
  ['an event', (rig: Rig) => void rig.event('mission.progress', 'm'), 'running'],
  ['a later resync that lists it', (rig: Rig) => void resync(rig, ['m']), 'running'],
  ['its end', (rig: Rig) => void rig.operate('m', 'abort'), 'aborted'],
  ['its suspension, its executor having left,', (rig: Rig) => rig.tell({ type: 'left', resumable: true }), 'suspended'],
] as const)
  test(`${what} ends the grace of a mission that was left out`, () => {
    const rig = new Rig();
    rig.create('m', 'running');
    resync(rig, []);
    rig.advance(29.999);
    act(rig);
    assert.equal(rig.clock.pending, 0);
    rig.advance(3600);
    assert.equal(rig.state('m'), state);
  });

test('the grace runs out while an event waits to be heard: it no longer counts', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  resync(rig, []);
  const timekeeper = rig.system.spawn<number, void, undefined>(
    { name: 'timekeeper', start: () => undefined, receive: (_, ms) => rig.clock.advance(ms) },
    undefined,
  );
  const envelope = { event: 'mission.progress', executor_id: executorId, mission_id: 'm', ts: at(9) };
  rig.system.tell(rig.ref, { type: 'event', envelope });
  rig.system.tell(timekeeper, 30_000);
  rig.system.run();
  assert.equal(rig.state('m'), 'running');
});

test('what is over and left out stays as it is, and nothing waits for it', () => {
  const rig = new Rig();
  rig.create('m', 'done');
  resync(rig, []);
  assert.deepEqual([rig.reports, rig.clock.pending], [[], 0]);
});

// Questions.

const asked = (expires: number) => ({ hitl_id: 'h', prompt: 'p', context: 'c', expires_at: at(expires) });

test('a mission that is listed runs, and its question stays open: an answer is taken, told, and closes it', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  const sent = rig.connect();
  rig.event('mission.hitl_required', 'm', asked(30), at(2));
  rig.reports.length = 0;
  resync(rig, ['m']);
  assert.equal(rig.state('m'), 'running');
  assert.deepEqual(rig.reported('answered'), []);
  assert.deepEqual(rig.respond('m', 'h', 'go on'), { ok: true, state: 'running' });
  assert.deepEqual(
    pushed(sent).map(({ event, data }) => [event, data?.response]),
    [['mission.hitl_responded', 'go on']],
  );
  assert.deepEqual(rig.reported('answered'), [{ type: 'answered', missionId: 'm', executorId }]);
  assert.equal(rig.clock.pending, 0);
});

test('the time of a question that a resync has left open still counts', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  rig.event('mission.hitl_required', 'm', asked(30));
  resync(rig, ['m']);
  rig.advance(30);
  assert.equal(rig.look('m')?.error, 'hitl_expired');
});

for (const event of ['mission.started', 'mission.resumed', 'mission.hitl_responded'])
  test(`${event} closes a question that a resync has left open; progress does not`, () => {
    const rig = new Rig();
    rig.create('m', 'running');
    rig.event('mission.hitl_required', 'm', asked(30));
    resync(rig, ['m']);
    rig.event('mission.progress', 'm');
    assert.equal(rig.clock.pending, 1);
    const data = event === 'mission.hitl_responded' ? { hitl_id: 'h', response: 'r' } : { state: 'running' };
    rig.event(event, 'm', data);
    assert.equal(rig.clock.pending, 0);
    assert.deepEqual(rig.respond('m', 'h'), { ok: false, error: 'hitl_not_pending' });
  });

test('a question that is asked again with more time has that time, even if the old one runs out just then', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  rig.event('mission.hitl_required', 'm', asked(10));
  const timekeeper = rig.system.spawn<number, void, undefined>(
    { name: 'timekeeper', start: () => undefined, receive: (_, ms) => rig.clock.advance(ms) },
    undefined,
  );
  const again = {
    event: 'mission.hitl_required',
    executor_id: executorId,
    mission_id: 'm',
    ts: at(9),
    data: asked(60),
  };
  rig.system.tell(rig.ref, { type: 'event', envelope: again });
  rig.system.tell(timekeeper, 10_000);
  rig.system.run();
  assert.equal(rig.state('m'), 'hitl-required');
  rig.advance(50);
  assert.equal(rig.look('m')?.error, 'hitl_expired');
});

test('of many answers that arrive at once, one is forwarded', () => {
  const rig = new Rig();
  rig.create('m', 'hitl-required');
  const sent = rig.connect();
  const outcomes: unknown[] = [];
  const replyTo = rig.system.spawn(
    {
      name: 'operators',
      start: () => undefined,
      receive: (_: undefined, outcome: unknown) => void outcomes.push(outcome),
    },
    undefined,
  );
  for (let n = 0; n < 100; n++)
    rig.system.tell(rig.ref, { type: 'respond', missionId: 'm', hitlId: 'q', response: `${n}`, replyTo });
  rig.system.run();
  assert.deepEqual(
    pushed(sent).map(({ data }) => data?.response),
    ['0'],
  );
  assert.deepEqual(outcomes, [
    { ok: true, state: 'running' },
    ...Array(99).fill({ ok: false, error: 'hitl_not_pending' }),
  ]);
});

// The protocol.

for (const version of ['1', '1.0', '1.0.0', '1.0.7', undefined])
  test(`a resync that names protocol ${version ?? 'none'} is no cause for a warning`, () => {
    const rig = new Rig();
    resync(rig, [], version === undefined ? {} : { protocol_version: version });
    assert.deepEqual(rig.reports, []);
  });

for (const version of ['2.0.0', '1.1.0', '0.9', 'one', ''])
  test(`a resync that names protocol "${version}" is taken in with a warning, which is sampled`, () => {
    const rig = new Rig();
    rig.create('m', 'suspended');
    for (let n = 0; n < 5; n++) resync(rig, ['m'], { protocol_version: version });
    assert.equal(rig.state('m'), 'running');
    assert.deepEqual(
      rig.reported('protocol').map(({ count }) => count),
      [1, 2, 4],
    );
  });

test('of a version as long as a frame, a warning shows the beginning', () => {
  const rig = new Rig();
  resync(rig, [], { protocol_version: '9'.repeat(100_000) });
  assert.ok((rig.reported('protocol')[0]?.detail.length ?? 1000) < 200);
});

test('missions that are listed and not known here are reported together, to be looked for', () => {
  const rig = new Rig();
  resync(rig, ['a', 'b']);
  assert.deepEqual(rig.reported('unknown-listed'), [{ type: 'unknown-listed', executorId, missionIds: ['a', 'b'] }]);
});

test('what a store has kept of a mission says whether it was heard of, and what was asked', () => {
  const kept: (Omit<KeptState, 'events'> | undefined)[] = [];
  const behaviour = executorActor<EventEnvelope>(
    (event) => event,
    () => ({
      add: () => undefined,
      show: () => ({ events: [] }),
      keep: (state) => void kept.push(state),
      free: () => undefined,
    }),
  );
  /** An executor's actor with one mission, as a store may have kept it. */
  const startWith = (state: KeptState) => {
    const rig = new Rig();
    const mission = { missionId: 'm', executorId, state: state.state, createdAt: at(0), updatedAt: at(0), number: 1 };
    const start = { executorId, description: { lenient: false }, journal: undefined };
    const reports: Report[] = [];
    const ref = rig.system.spawn(behaviour, {
      ...start,
      reports: rig.system.spawn(collector<Report>(), reports),
      missions: [{ ...mission, kept: { state, head: undefined } }],
    });
    const tell = (event: string, mission_id: string | undefined, data: object): void => {
      const envelope = { event, executor_id: executorId, ...(mission_id && { mission_id }), ts: at(1), data };
      rig.system.tell(ref, { type: 'event', envelope });
      rig.system.run();
    };
    return { tell, reports };
  };
  const before = startWith({ state: 'assigned', updatedAt: at(0), events: 0 });
  before.tell('mission.progress', 'm', {});
  assert.equal(kept.at(-1)?.heard, true);
  const after = startWith({ state: 'assigned', updatedAt: at(0), heard: true, events: 1 });
  after.tell('executor.resync', undefined, { owned_mission_ids: [] });
  assert.deepEqual(after.reports, []);

  before.tell('mission.hitl_required', 'm', asked(30));
  const question = { hitlId: 'h', expiresAt: at(30), askedAt: at(1), prompt: 'p', context: 'c' };
  assert.deepEqual(kept.at(-1)?.question, question);
  // As an earlier version kept it.
  const old = startWith({ state: 'hitl-required', updatedAt: at(0), question: { hitlId: 'h' }, events: 1 });
  assert.deepEqual(old.reports, []);
  old.tell('executor.resync', undefined, { owned_mission_ids: ['m'] });
  assert.deepEqual(
    old.reports.map(({ type }) => type),
    ['asked', 'state'],
  );
});
