/** Questions that have their time: which time that is where they are asked again, and how it is found that it is over. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualClock } from '#src/actor/clock.js';
import { type Scope, until } from '../server/helpers.js';
import { inReverse, start } from './helpers.js';
import { type Heard, scripted } from './scripted.js';

/** Milliseconds for the answer. */
const SPAN = 10_000;

/** A mission that asks a question which has its time. */
async function asking(t: Scope) {
  const callboard = await scripted(t);
  const clock = new VirtualClock(Date.parse('2030-01-01T00:00:00Z'));
  let outcome: unknown;
  const executor = await start(t, callboard, {
    clock,
    random: () => 0.001,
    onDispatch: (assigned) => {
      const running = assigned.started();
      running.askHuman('Well?', { expiresAt: new Date(clock.now() + SPAN) }).then(
        (answer) => {
          outcome = answer;
        },
        (error) => {
          outcome = error.message;
        },
      );
    },
  });
  // Its time has to move on for it to leave: its last words are never confirmed.
  t.after(() => {
    const moving = setInterval(() => clock.advance(1_000), 1);
    void executor.close().finally(() => clearInterval(moving));
  });
  const id = await callboard.dispatch();
  const asked = await callboard.said('mission.hitl_required');
  return { callboard, clock, executor, id, asked, outcome: () => outcome };
}

const spanOf = ({ ts, data }: Heard): number => Date.parse(String(data.expires_at)) - Date.parse(ts);

test('a question whose answer was lost is asked again with as much time as at first', async (test) => {
  const t = inReverse(test);
  const { callboard, clock, executor, id, asked, outcome } = await asking(t);
  assert.equal(spanOf(asked), SPAN);
  // It lists no open question: this one was answered.
  callboard.sockets[0]?.terminate();
  await until(() => !executor.connected);
  clock.advance(SPAN + 1);
  await until(() => {
    clock.advance(1);
    return callboard.sockets.length === 2;
  });
  const again = await callboard.said('mission.hitl_required', 2);
  assert.deepEqual([again.data.hitl_id, spanOf(again)], [asked.data.hitl_id, SPAN]);
  callboard.push('mission.hitl_responded', id, { hitl_id: asked.data.hitl_id, response: 'very well' });
  await until(() => outcome() === 'very well');
});

test('once the time is over, Callboard is asked again and again, until the mission is over there', async (test) => {
  const t = inReverse(test);
  const { callboard, clock, id, outcome } = await asking(t);
  const looks = () => callboard.requests.filter((request) => request === `GET /api/v1/missions/${id}`).length;
  // Time goes on by waits that are about to end only: so that nothing else comes of it.
  const look = async (count: number): Promise<void> => {
    await until(() => {
      clock.advance(1);
      return looks() === count;
    });
  };
  clock.advance(SPAN + 1_000);
  // Its clock is behind.
  await look(1);
  callboard.answer = () => ({ status: 503 });
  await look(2);
  callboard.answer = () => undefined;
  callboard.states.set(id, 'failed');
  await look(3);
  await until(() => outcome() === `mission ${id} is over: it is failed`);
  // Nothing waits any more but the next ping.
  await until(() => {
    clock.advance(1);
    return clock.pending === 1;
  });
});

for (const filters of [true, false])
  test(`its own open questions are read back from a Callboard that ${filters ? 'has them listed' : "lists everybody's only"}`, async (test) => {
    const t = inReverse(test);
    const { callboard, clock, executor, id, asked, outcome } = await asking(t);
    const own = `executor_id=${executor.id}`;
    callboard.answer = (request) => {
      if (!request.startsWith('GET /api/v1/hitl')) return undefined;
      if (!filters && request.includes(own)) return { status: 400 };
      if (!request.includes('cursor'))
        return { status: 200, body: { questions: [{ hitl_id: 'x' }], next_cursor: '1-1' } };
      return { status: 200, body: { questions: [{ hitl_id: asked.data.hitl_id }] } };
    };
    callboard.sockets[0]?.terminate();
    const pages = () => callboard.requests.flatMap((request) => /hitl\?limit=50(.*)/.exec(request)?.[1] ?? []);
    const expected = filters ? [`&${own}`, `&${own}&cursor=1-1`] : [`&${own}`, '', '&cursor=1-1'];
    await until(() => {
      clock.advance(1);
      return pages().length === expected.length;
    });
    assert.deepEqual(pages(), expected);
    callboard.push('mission.hitl_responded', id, { hitl_id: asked.data.hitl_id, response: 'very well' });
    await until(() => outcome() === 'very well');
    await callboard.said('mission.hitl_responded');
    const names = callboard.heard.map(({ event }) => event);
    assert.equal(names.filter((name) => name === 'mission.hitl_required').length, 1);
  });
