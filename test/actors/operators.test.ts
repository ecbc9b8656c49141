/** What operators ask of missions: pause, resume, abort, an answer; and how a dispatch ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_FRAME } from '#src/contract/index.js';
import { at, executorId, pushed, Rig } from './rig.js';

const live = ['queued', 'assigned', 'running', 'paused', 'hitl-required', 'suspended'] as const;
const over = ['done', 'failed', 'aborted'] as const;
const told = { executor_id: executorId, mission_id: 'm', ts: at(3) };

for (const state of live) {
  test(`a mission that is ${state} can be paused: the executor is told, and it is paused at once`, () => {
    const rig = new Rig();
    rig.create('m', state);
    const sent = rig.connect();
    rig.advance(3);
    assert.deepEqual(rig.operate('m', 'pause'), { ok: true, state: 'paused' });
    assert.equal(rig.state('m'), 'paused');
    assert.equal(rig.look('m')?.updatedAt, at(3));
    assert.deepEqual(pushed(sent), [{ ...told, event: 'mission.paused', data: { state: 'paused' } }]);
  });
  test(`a mission that is ${state} can be aborted: the executor is told, and it is over at once`, () => {
    const rig = new Rig();
    rig.create('m', state);
    const sent = rig.connect();
    rig.advance(3);
    assert.deepEqual(rig.operate('m', 'abort'), { ok: true, state: 'aborted' });
    assert.equal(rig.look('m')?.completedAt, at(3));
    const data = { state: 'aborted', aborted_by: 'operator' };
    assert.deepEqual(pushed(sent), [{ ...told, event: 'mission.aborted', data }]);
  });
}

for (const [state, resumedFrom] of [
  ['paused', { resumed_from: 'paused' }],
  ['suspended', { resumed_from: 'suspended' }],
  ['hitl-required', {}],
] as const)
  test(`a mission that is ${state} can be resumed`, () => {
    const rig = new Rig();
    rig.create('m', state);
    const sent = rig.connect();
    rig.advance(3);
    assert.deepEqual(rig.operate('m', 'resume'), { ok: true, state: 'running' });
    assert.equal(rig.state('m'), 'running');
    assert.deepEqual(pushed(sent), [{ ...told, event: 'mission.resumed', data: { state: 'running', ...resumedFrom } }]);
  });

for (const state of ['queued', 'assigned', 'running'] as const)
  test(`a mission that is ${state} can't be resumed: invalid_transition, and nothing is told`, () => {
    const rig = new Rig();
    rig.create('m', state);
    const sent = rig.connect();
    assert.deepEqual(rig.operate('m', 'resume'), { ok: false, error: 'invalid_transition' });
    assert.equal(rig.state('m'), state);
    assert.deepEqual(pushed(sent), []);
  });

for (const state of over)
  for (const action of ['pause', 'resume', 'abort'] as const)
    test(`${action} of a mission that is ${state}: mission_terminal, and nothing is told`, () => {
      const rig = new Rig();
      rig.create('m', state);
      const sent = rig.connect();
      assert.deepEqual(rig.operate('m', action), { ok: false, error: 'mission_terminal' });
      assert.equal(rig.state('m'), state);
      assert.deepEqual(pushed(sent), []);
    });

test('pause and resume of a mission whose executor is away: executor_not_connected, and nothing changes', () => {
  const rig = new Rig();
  rig.create('running', 'running');
  rig.create('paused', 'paused');
  assert.deepEqual(rig.operate('running', 'pause'), { ok: false, error: 'executor_not_connected' });
  assert.deepEqual(rig.operate('paused', 'resume'), { ok: false, error: 'executor_not_connected' });
  assert.equal(rig.state('running'), 'running');
  assert.equal(rig.state('paused'), 'paused');
});

test('an abort takes effect while the executor is away, and is told to it at its next resync', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  assert.deepEqual(rig.operate('m', 'abort'), { ok: true, state: 'aborted' });
  assert.equal(rig.state('m'), 'aborted');
  const sent = rig.connect();
  rig.event('executor.resync', undefined, { owned_mission_ids: ['m'] });
  assert.deepEqual(
    pushed(sent).map(({ event, mission_id }) => [event, mission_id]),
    [['mission.aborted', 'm']],
  );
});

test('the event by which the executor confirms a pause finds it done', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  rig.connect();
  rig.operate('m', 'pause');
  rig.event('mission.paused', 'm', { state: 'paused' }, at(9));
  assert.equal(rig.look('m')?.updatedAt, at(9));
  assert.equal(rig.reported('state').length, 1);
});

test('what nobody has: mission_not_found', () => {
  const rig = new Rig();
  const notFound = { ok: false, error: 'mission_not_found' };
  assert.deepEqual(rig.operate('x', 'abort'), notFound);
  assert.deepEqual(rig.respond('x', 'h'), notFound);
  assert.deepEqual(
    rig.ask((replyTo) => ({ type: 'transition', missionId: 'x', target: 'paused', replyTo })),
    notFound,
  );
  assert.equal(rig.look('x'), undefined);
});

for (const target of ['paused', 'running', 'aborted'] as const)
  test(`a transition to ${target} is made from any live state and from no other, and the executor is told nothing`, () => {
    const rig = new Rig();
    const sent = rig.connect();
    const transition = (missionId: string) =>
      rig.ask((replyTo) => ({ type: 'transition', missionId, target, replyTo }));
    for (const state of live) {
      rig.create(state, state);
      assert.deepEqual(transition(state), { ok: true, state: target });
      assert.equal(rig.state(state), target);
    }
    for (const state of over) {
      rig.create(state, state);
      assert.deepEqual(transition(state), { ok: false, error: 'mission_terminal' });
      assert.equal(rig.state(state), state);
    }
    assert.deepEqual(sent, []);
  });

// Answers.

test('an answer that was pushed closes the question, and the mission runs', () => {
  const rig = new Rig();
  rig.create('m', 'hitl-required');
  const sent = rig.connect();
  rig.advance(3);
  assert.deepEqual(rig.respond('m', 'q', 'go on'), { ok: true, state: 'running' });
  assert.equal(rig.state('m'), 'running');
  const data = { hitl_id: 'q', response: 'go on', responded_at: at(3) };
  assert.deepEqual(pushed(sent), [{ ...told, event: 'mission.hitl_responded', data }]);
  assert.deepEqual(rig.respond('m', 'q'), { ok: false, error: 'hitl_not_pending' });
  assert.equal(pushed(sent).length, 1);
});

test('an answer that cannot be pushed leaves the question open: executor_not_connected', () => {
  const rig = new Rig();
  rig.create('m', 'hitl-required');
  assert.deepEqual(rig.respond('m', 'q'), { ok: false, error: 'executor_not_connected' });
  assert.equal(rig.state('m'), 'hitl-required');
  rig.connect();
  assert.deepEqual(rig.respond('m', 'q'), { ok: true, state: 'running' });
});

test('an answer that no frame can hold: payload_too_large, nothing is sent, and the question stays open', () => {
  const rig = new Rig();
  rig.create('m', 'hitl-required');
  const sent = rig.connect();
  const answerOf = (length: number) => rig.respond('m', 'q', 'é'.repeat(length / 2));
  assert.deepEqual(answerOf(MAX_FRAME - 20), { ok: false, error: 'payload_too_large' });
  assert.deepEqual(pushed(sent), []);
  assert.equal(rig.state('m'), 'hitl-required');
  assert.deepEqual(answerOf(MAX_FRAME - 1_000), { ok: true, state: 'running' });
  assert.equal(pushed(sent).length, 1);
});

test('an answer to a question that is not open: hitl_not_pending', () => {
  const rig = new Rig();
  rig.create('m', 'hitl-required');
  rig.create('none', 'running');
  const sent = rig.connect();
  assert.deepEqual(rig.respond('m', 'another'), { ok: false, error: 'hitl_not_pending' });
  assert.deepEqual(rig.respond('none', 'q'), { ok: false, error: 'hitl_not_pending' });
  assert.equal(rig.state('m'), 'hitl-required');
  assert.deepEqual(pushed(sent), []);
});

test('an answer that comes when the time is over: hitl_expired', () => {
  const rig = new Rig();
  rig.create('m', 'running');
  const sent = rig.connect();
  rig.event('mission.hitl_required', 'm', { hitl_id: 'h', prompt: 'p', expires_at: at(10) });
  rig.advance(10);
  assert.deepEqual(rig.respond('m', 'h'), { ok: false, error: 'hitl_expired' });
  assert.deepEqual(rig.respond('m', 'another'), { ok: false, error: 'hitl_not_pending' });
  assert.deepEqual(pushed(sent), []);
});

// Dispatch.

test('a dispatch that was taken assigns the mission, unless it is further already', () => {
  const rig = new Rig();
  rig.create('new');
  rig.create('early', 'running');
  for (const missionId of ['new', 'early', 'nobody']) rig.tell({ type: 'assigned', missionId });
  assert.equal(rig.state('new'), 'assigned');
  assert.equal(rig.state('early'), 'running');
});

test('a dispatch that failed fails the mission, unless it is over already', () => {
  const rig = new Rig();
  rig.create('new');
  rig.create('over', 'done');
  for (const missionId of ['new', 'over', 'nobody'])
    rig.tell({ type: 'fail', missionId, error: 'refused', unlessBegun: false });
  assert.deepEqual([rig.state('new'), rig.look('new')?.error], ['failed', 'refused']);
  assert.deepEqual([rig.state('over'), rig.look('over')?.error], ['done', undefined]);
});
