/** Which missions an executor has, in its own eyes and in those of a Callboard of which the test says every word. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '#src/actor/clock.js';
import { MAX_SIZE } from '#src/client/checks.js';
import type { AssignedMission, Executor, RunningMission } from '#src/client/index.js';
import { post, type Scope, until } from '../server/helpers.js';
import { inReverse, start } from './helpers.js';
import { scripted } from './scripted.js';

/** Time has to move on for an executor to leave: its last words are never confirmed. */
function leaveInTime(t: Scope, clock: VirtualClock, executor: Executor): void {
  t.after(() => {
    const moving = setInterval(() => clock.advance(1_000), 1);
    void executor.close().finally(() => clearInterval(moving));
  });
}

test('missions that ended while Callboard was away are listed, and read back several at once', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  const clock = new VirtualClock(Date.now());
  const running: RunningMission[] = [];
  const executor = await start(t, callboard, {
    clock,
    random: () => 0,
    onDispatch: (assigned) => void running.push(assigned.started()),
  });
  leaveInTime(t, clock, executor);
  const ids: string[] = [];
  for (let count = 0; count < 20; count++) ids.push(await callboard.dispatch());
  await callboard.said('mission.started', 20);
  let answer: (() => void) | undefined;
  const answering = new Promise<undefined>((resolve) => {
    answer = () => resolve(undefined);
  });
  let asked = 0;
  callboard.answer = (request) => {
    if (!request.startsWith('GET /api/v1/missions/')) return undefined;
    asked++;
    return answering;
  };
  callboard.sockets[0]?.terminate();
  await until(() => !executor.connected);
  for (const mission of running.slice(5)) mission.complete();
  await until(() => {
    clock.advance(1);
    return asked >= 16;
  });
  const resync = await callboard.said('executor.resync', 2);
  assert.deepEqual(new Set(Object(resync.data.owned_mission_ids)), new Set(ids));
  assert.equal(asked, 16);
  answer?.();
  await callboard.said('mission.completed', 15);
  assert.equal(callboard.heard.filter(({ event }) => event === 'mission.completed').length, 15);
});

test('a dispatch of an ended id is a late repetition, or, where Callboard has forgotten that one, a new mission', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  const clock = new VirtualClock(Date.now());
  let begun = 0;
  const executor = await start(t, callboard, {
    clock,
    random: () => 0,
    onDispatch: (assigned) => {
      begun++;
      assigned.started().complete();
    },
  });
  leaveInTime(t, clock, executor);
  const id = await callboard.dispatch();
  let asked = 0;
  let answer: { status: number; body?: object } = { status: 200, body: { state: 'assigned' } };
  callboard.answer = (request) => {
    if (!request.endsWith(`/missions/${id}`)) return undefined;
    asked++;
    return answer;
  };
  await callboard.said('mission.completed');
  // Its end may still be on its way.
  await callboard.dispatch(id);
  assert.deepEqual([begun, asked], [1, 0]);
  answer = { status: 200, body: { state: 'done' } };
  await until(async () => {
    clock.advance(100);
    await callboard.dispatch(id);
    return asked > 0;
  });
  answer = { status: 503 };
  const before = asked;
  await callboard.dispatch(id);
  await until(() => asked > before);
  assert.equal(begun, 1);
  answer = { status: 200, body: { state: 'assigned' } };
  await until(() => {
    clock.advance(1);
    return begun === 2;
  });
  await callboard.said('mission.completed', 2);
});

test("only Callboard's own word that it does not know a mission ends it, not any 404 on the way", async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  const ends: string[] = [];
  await start(t, callboard, {
    random: () => 0,
    onDispatch: (assigned) => {
      assigned.started();
      assigned.signal.addEventListener('abort', () => ends.push(String(assigned.signal.reason)));
    },
  });
  const id = await callboard.dispatch();
  await callboard.said('mission.started');
  let answers = 0;
  callboard.answer = (request) =>
    request.endsWith(`/missions/${id}`) && answers++ === 0 ? { status: 404, body: { error: 'not_found' } } : undefined;
  callboard.sockets[0]?.terminate();
  await until(() => answers === 2);
  await until(() => callboard.sockets.length === 3);
  callboard.states.delete(id);
  callboard.sockets[2]?.terminate();
  await until(() => ends.length === 1);
  assert.match(ends[0] ?? '', /Callboard does not know it any more/);
  assert.equal(answers, 3);
});

test('no more missions are taken than a resync, which is one frame, can list', async (test) => {
  const t = inReverse(test);
  const callboard = await scripted(t);
  const clock = new VirtualClock(Date.now());
  const missions: AssignedMission[] = [];
  const executor = await start(t, callboard, {
    clock,
    random: () => 0,
    onDispatch: (assigned) => void missions.push(assigned),
  });
  leaveInTime(t, clock, executor);
  const taken = async (mission_id: string): Promise<boolean> => {
    callboard.states.set(mission_id, 'running');
    const body = { mission_id, objective: 'do it', completion: 'done' };
    const answer = await post(`${executor.url}/dispatch`, body, { authorization: `Bearer ${callboard.token}` });
    return answer.status === 202;
  };
  // As JSON, a quote has two bytes.
  const id = (count: number): string => `${count}${'"'.repeat(3_000)}`;
  let count = 0;
  while (count < 200 && (await taken(id(count)))) count++;
  assert.equal(count, 174);
  assert.equal(await taken('small'), true);
  let frame = 0;
  callboard.onUpgrade = () => {
    setImmediate(() => callboard.sockets.at(-1)?.once('message', (data) => (frame = String(data).length)));
    return 101;
  };
  callboard.sockets[0]?.terminate();
  await until(() => {
    clock.advance(1);
    return frame > 0 && executor.connected;
  });
  assert.ok(frame > 1_000_000 && frame <= MAX_SIZE, `${frame} bytes`);
  // One that is over makes room, once Callboard has been told.
  missions[0]?.fail('no');
  await until(() => {
    clock.advance(100);
    return taken(id(count));
  });
});
