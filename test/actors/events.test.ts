/** What each event of an executor does to its mission: the contract's table, row by row, and what events say besides. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MissionState } from '#src/contract/index.js';
import { at, executorId, pushed, Rig, start } from './rig.js';

const live = ['queued', 'assigned', 'running', 'paused', 'hitl-required', 'suspended'] as const;
const over = ['done', 'failed', 'aborted'] as const;

/** The table: event, its smallest data, and where it leads from each live state, in the order of `live`. */
const table: [event: string, data: Record<string, unknown> | undefined, to: string][] = [
  ['mission.assigned', { state: 'assigned' }, 'assigned assigned running paused hitl-required suspended'],
  ['mission.started', { state: 'running' }, 'running running running running running running'],
  ['mission.progress', undefined, 'queued assigned running paused hitl-required suspended'],
  ['mission.hitl_required', { hitl_id: 'h', prompt: 'p' }, Array(6).fill('hitl-required').join(' ')],
  ['mission.hitl_responded', { hitl_id: 'q', response: 'r' }, 'queued assigned running paused running suspended'],
  ['mission.paused', { state: 'paused' }, Array(6).fill('paused').join(' ')],
  ['mission.resumed', { state: 'running' }, 'queued assigned running running running running'],
  ['mission.suspended', { state: 'suspended', checkpoint_id: 'c1' }, Array(6).fill('suspended').join(' ')],
  ['mission.reconnected', { checkpoint_id: 'c1' }, 'queued assigned running paused hitl-required running'],
  ['mission.completed', { state: 'done' }, Array(6).fill('done').join(' ')],
  ['mission.failed', { state: 'failed', reason: 'r' }, Array(6).fill('failed').join(' ')],
  ['mission.aborted', { state: 'aborted' }, Array(6).fill('aborted').join(' ')],
];

for (const [event, data, to] of table) {
  for (const [index, after] of to.split(' ').entries()) {
    const before = live[index] ?? 'queued';
    test(`${event} leads from ${before} to ${after}, is kept, and its ts is the mission's`, () => {
      const rig = new Rig();
      rig.create('m', before);
      rig.clock.advance(60_000);
      const envelope = rig.event(event, 'm', data, at(7));
      const view = rig.look('m');
      assert.equal(view?.state, after);
      assert.equal(view.updatedAt, at(7));
      assert.equal(view.createdAt, at(0));
      assert.equal(view.completedAt, over.some((state) => state === after) ? at(7) : undefined);
      assert.deepEqual(view.recentEvents.at(-1), envelope);
      const report = { type: 'state', missionId: 'm', executorId, state: after, prevState: before, at: at(7) };
      assert.deepEqual(rig.reported('state'), after === before ? [] : [report]);
      assert.deepEqual(rig.trouble, []);
    });
  }
  for (const before of over)
    test(`${event} changes nothing of a mission that is ${before}`, () => {
      const rig = new Rig();
      rig.create('m', before);
      const view = structuredClone(rig.look('m'));
      rig.event(event, 'm', data, at(7));
      assert.deepEqual(rig.look('m'), view);
      assert.deepEqual(rig.reports, [{ type: 'late', missionId: 'm', executorId, event, count: 1 }]);
    });
}

test('late events are all counted, and reported whenever their count has doubled', () => {
  const rig = new Rig();
  rig.create('m', 'done');
  for (let n = 0; n < 100; n++) rig.event('mission.progress', 'm');
  assert.deepEqual(
    rig.reported('late').map(({ count }) => count),
    [1, 2, 4, 8, 16, 32, 64],
  );
});

test('a mission keeps its newest 50 events, oldest first', () => {
  const rig = new Rig();
  rig.create('m');
  for (let iteration = 1; iteration <= 120; iteration++) rig.event('mission.progress', 'm', { iteration });
  const iterations = rig.look('m')?.recentEvents.map(({ data }) => data?.iteration);
  assert.deepEqual(
    iterations,
    Array.from({ length: 50 }, (_, index) => index + 71),
  );
});

test('pty_session_id of mission.started becomes the ptySessionRef, and stays', () => {
  const rig = new Rig();
  rig.create('m');
  assert.equal(rig.look('m')?.ptySessionRef, undefined);
  rig.event('mission.started', 'm', { state: 'running', pty_session_id: 'pty-7' });
  rig.event('mission.paused', 'm', { state: 'paused' });
  rig.event('mission.started', 'm', { state: 'running' });
  assert.equal(rig.look('m')?.ptySessionRef, 'pty-7');
});

test('exit_code is taken from completed and from failed, 0 included', () => {
  const rig = new Rig();
  rig.create('a');
  rig.create('b');
  rig.create('c');
  rig.event('mission.completed', 'a', { state: 'done', exit_code: 0 });
  rig.event('mission.failed', 'b', { state: 'failed', reason: 'r', exit_code: 137 });
  rig.event('mission.completed', 'c', { state: 'done' });
  assert.deepEqual(
    ['a', 'b', 'c'].map((id) => rig.look(id)?.exitCode),
    [0, 137, undefined],
  );
  assert.equal(rig.look('a')?.error, undefined);
});

test('a failed mission shows its error, or else its reason', () => {
  const rig = new Rig();
  rig.create('a');
  rig.create('b');
  rig.event('mission.failed', 'a', { state: 'failed', reason: 'crashed', error: 'segmentation fault' });
  rig.event('mission.failed', 'b', { state: 'failed', reason: 'crashed' });
  assert.equal(rig.look('a')?.error, 'segmentation fault');
  assert.equal(rig.look('b')?.error, 'crashed');
});

test('reconnecting at another checkpoint than it was suspended at is a warning, and the mission runs all the same', () => {
  const rig = new Rig();
  rig.create('same', 'suspended');
  rig.create('other', 'suspended');
  rig.create('never', 'running');
  rig.event('mission.reconnected', 'same', { checkpoint_id: 'c1' });
  rig.event('mission.reconnected', 'never', { checkpoint_id: 'c9' });
  assert.deepEqual(rig.reported('warning'), []);
  rig.event('mission.reconnected', 'other', { checkpoint_id: 'c2' });
  const [warning, ...more] = rig.reported('warning');
  assert.deepEqual(more, []);
  assert.equal(warning?.missionId, 'other');
  assert.match(warning.detail, /c2.*c1/);
  assert.equal(rig.state('other'), 'running');
});

// Questions to a human.

const expiring = (hitlId: string, seconds: number) => ({ hitl_id: hitlId, prompt: 'p', expires_at: at(seconds) });

test('a question fails its mission at the very time it expires, and not before', () => {
  const rig = new Rig();
  rig.create('m');
  rig.event('mission.hitl_required', 'm', expiring('h', 30));
  rig.advance(29.999);
  assert.equal(rig.state('m'), 'hitl-required');
  rig.advance(0.001);
  const view = rig.look('m');
  assert.equal(view?.state, 'failed');
  assert.equal(view.error, 'hitl_expired');
  assert.equal(view.completedAt, at(30));
  assert.deepEqual(rig.reported('state').at(-1)?.state, 'failed');
});

test('a question that has expired when it comes fails its mission at once', () => {
  const rig = new Rig();
  rig.create('m');
  rig.event('mission.hitl_required', 'm', expiring('h', -5));
  rig.advance(0);
  assert.equal(rig.look('m')?.error, 'hitl_expired');
});

test('a question without expires_at waits for ever, as does one that expires at a leap second', () => {
  const rig = new Rig();
  rig.create('m');
  rig.create('leap');
  rig.event('mission.hitl_required', 'm', { hitl_id: 'h', prompt: 'p' });
  rig.event('mission.hitl_required', 'leap', { hitl_id: 'h', prompt: 'p', expires_at: '2016-12-31T23:59:60Z' });
  rig.advance(10 * 365 * 86_400);
  assert.equal(rig.state('m'), 'hitl-required');
  assert.equal(rig.state('leap'), 'hitl-required');
});

for (const [what, event, data] of [
  ['its echo', 'mission.hitl_responded', { hitl_id: 'h', response: 'yes' }],
  ['mission.resumed', 'mission.resumed', { state: 'running' }],
  ['mission.completed', 'mission.completed', { state: 'done' }],
] as const)
  test(`${what} closes the question: its time no longer counts`, () => {
    const rig = new Rig();
    rig.create('m');
    rig.event('mission.hitl_required', 'm', expiring('h', 30));
    rig.event(event, 'm', data);
    assert.equal(rig.clock.pending, 0);
    rig.advance(100);
    assert.equal(rig.look('m')?.error, undefined);
    assert.deepEqual(rig.respond('m', 'h'), { ok: false, error: 'hitl_not_pending' });
  });

test('a newer question takes the place of the older one, and of its time', () => {
  const rig = new Rig();
  rig.create('m');
  rig.event('mission.hitl_required', 'm', expiring('old', 10));
  rig.event('mission.hitl_required', 'm', expiring('new', 30));
  rig.advance(20);
  assert.equal(rig.state('m'), 'hitl-required');
  rig.advance(10);
  assert.equal(rig.look('m')?.error, 'hitl_expired');
});

for (const [what, event, data, state] of [
  ['a newer question', 'mission.hitl_required', expiring('new', 30), 'hitl-required'],
  ['the echo of its answer', 'mission.hitl_responded', { hitl_id: 'old', response: 'yes' }, 'running'],
] as const)
  test(`the time of a question runs out while ${what} waits to be heard: it no longer counts`, () => {
    const rig = new Rig();
    rig.create('m');
    rig.event('mission.hitl_required', 'm', expiring('old', 10));
    const timekeeper = rig.system.spawn<number, void, undefined>(
      { name: 'timekeeper', start: () => undefined, receive: (_, ms) => rig.clock.advance(ms) },
      undefined,
    );
    // It has its turn after the executor and before the mission.
    const envelope = { event, executor_id: executorId, mission_id: 'm', ts: at(9), data };
    rig.system.tell(rig.ref, { type: 'event', envelope });
    rig.system.tell(timekeeper, 10_000);
    rig.system.run();
    assert.equal(rig.clock.now(), start + 10_000);
    assert.equal(rig.state('m'), state);
    assert.equal(rig.look('m')?.error, undefined);
    assert.deepEqual(rig.respond('m', 'old'), { ok: false, error: 'hitl_not_pending' });
  });

test('a question survives a pause, progress, and the answer to another question', () => {
  const rig = new Rig();
  rig.create('m');
  const sent = rig.connect();
  rig.event('mission.hitl_required', 'm', expiring('h', 30));
  rig.event('mission.progress', 'm');
  rig.event('mission.paused', 'm', { state: 'paused' });
  rig.event('mission.hitl_responded', 'm', { hitl_id: 'another', response: 'r' });
  assert.equal(rig.clock.pending, 1);
  assert.deepEqual(rig.respond('m', 'h'), { ok: true, state: 'paused' });
  assert.equal(pushed(sent).length, 1);
});

test('the late echo of another question leaves the open one open, and the mission waiting', () => {
  const rig = new Rig();
  rig.create('m');
  rig.connect();
  rig.event('mission.hitl_required', 'm', expiring('h', 30));
  rig.event('mission.hitl_responded', 'm', { hitl_id: 'another', response: 'r' });
  assert.equal(rig.state('m'), 'hitl-required');
  assert.equal(rig.look('m')?.recentEvents.length, 2);
  assert.deepEqual(rig.respond('m', 'h'), { ok: true, state: 'running' });
});

test('the echo closes a question of a mission that was paused meanwhile', () => {
  const rig = new Rig();
  rig.create('m');
  rig.event('mission.hitl_required', 'm', expiring('h', 30));
  rig.event('mission.paused', 'm', { state: 'paused' });
  rig.event('mission.hitl_responded', 'm', { hitl_id: 'h', response: 'r' });
  rig.advance(100);
  assert.equal(rig.state('m'), 'paused');
});

// Resync.

test('every live mission that is listed runs; what is over, or not listed, stays as it is', () => {
  const rig = new Rig();
  const states: MissionState[] = [...live, ...over];
  for (const state of states) {
    rig.create(state, state);
    rig.create(`unlisted ${state}`, state);
  }
  rig.event('executor.resync', undefined, { owned_mission_ids: states }, at(9));
  for (const state of live) {
    assert.equal(rig.state(state), 'running');
    assert.equal(rig.look(state)?.updatedAt, at(9));
  }
  for (const state of over) assert.equal(rig.state(state), state);
  for (const state of states) assert.equal(rig.state(`unlisted ${state}`), state);
});

test('a resync tells the executor to resume what was suspended and to abort what was aborted, and nothing else', () => {
  const rig = new Rig();
  const states: MissionState[] = [...live, ...over];
  for (const state of states) rig.create(state, state);
  const sent = rig.connect();
  rig.event('executor.resync', undefined, { owned_mission_ids: states }, at(9));
  const told = { executor_id: executorId, ts: at(0) };
  assert.deepEqual(pushed(sent), [
    {
      ...told,
      event: 'mission.resumed',
      mission_id: 'suspended',
      data: { state: 'running', resumed_from: 'suspended' },
    },
    { ...told, event: 'mission.aborted', mission_id: 'aborted', data: { state: 'aborted', aborted_by: 'operator' } },
  ]);
});

test('a mission listed that nobody knows is dropped and counted', () => {
  const rig = new Rig();
  rig.create('m');
  rig.event('executor.resync', undefined, { owned_mission_ids: ['nobody', 'm'] });
  assert.equal(rig.state('m'), 'running');
  assert.deepEqual(rig.reported('dropped'), [
    { type: 'dropped', executorId, reason: 'unknown_mission', count: 1, detail: 'nobody' },
  ]);
});
