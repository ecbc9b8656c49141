/** An executor on the SDK and a real server: what a mission can go through, without cuts. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { WebSocket } from 'ws';
import {
  type AssignedMission,
  createExecutor,
  MissionStateError,
  RegistrationError,
  type RunningMission,
} from '#src/client/index.js';
import { inState, mission, post, send, serve, until } from '../server/helpers.js';
import { dispatch, history, inReverse, operate, start } from './helpers.js';

/** Each test has executors of its own, which leave with it. */
const server = await serve({ after });

test('a whole mission, with a human question', async (test) => {
  const t = inReverse(test);
  await start(t, server, {
    async onDispatch(assigned) {
      const running = assigned.started({ agent_runtime: 'test' });
      assert.equal(running.progress({ summary: 'half', pct_complete: 50 }), true);
      running.complete({ summary: await running.askHuman('Which one?', { context: 'two' }), exit_code: 0 });
    },
  });
  const id = await dispatch(server);
  await inState(server, id, 'hitl-required');
  const question = (await mission(server, id)).recent_events?.at(-1);
  assert.ok(question?.event === 'mission.hitl_required');
  assert.deepEqual([question.data.prompt, question.data.context], ['Which one?', 'two']);
  const answer = { hitl_id: question.data.hitl_id, response: 'the left one' };
  assert.equal(await operate(server, id, 'hitl_response', answer), 202);
  await inState(server, id, 'done');
  assert.deepEqual(await history(server, id), ['started', 'half', 'hitl_required', 'hitl_responded', 'completed']);
  const end = (await mission(server, id)).recent_events?.at(-1);
  assert.ok(end?.event === 'mission.completed' && end.data.summary === 'the left one');
});

test('a question whose time is over fails its mission, and its asker is told', async (test) => {
  const t = inReverse(test);
  let told: Promise<string> | undefined;
  await start(t, server, {
    onDispatch(assigned) {
      told = assigned.started().askHuman('Well?', { expiresAt: new Date(Date.now() + 50) });
    },
  });
  const id = await dispatch(server);
  await inState(server, id, 'failed');
  assert.equal((await mission(server, id)).error, 'hitl_expired');
  await assert.rejects(told ?? assert.fail(), new MissionStateError(`mission ${id} is over: it is failed`));
});

test('pause, resume and abort, as an operator asks', async (test) => {
  const t = inReverse(test);
  const called: string[] = [];
  let aborted: AbortSignal | undefined;
  let running: RunningMission | undefined;
  await start(t, server, {
    onDispatch: (assigned) => {
      running = assigned.started();
      aborted = assigned.signal;
    },
    onPause: () => called.push('pause'),
    onResume: (_, resumed) => called.push(`resume from ${resumed.from}`),
    onAbort: (gone) => called.push(`abort ${gone.signal.aborted}`),
  });
  const id = await dispatch(server);
  await inState(server, id, 'running');
  for (const action of ['pause', 'resume']) {
    assert.equal(await operate(server, id, action), 202);
    await until(async () => (await history(server, id)).at(-1)?.startsWith(action));
  }
  assert.equal(await operate(server, id, 'abort'), 202);
  await until(() => aborted?.aborted);
  assert.deepEqual(called, ['pause', 'resume from paused', 'abort true']);
  assert.throws(() => running?.progress(), new MissionStateError(`mission ${id} is over: an operator aborted it`));
  assert.deepEqual(await history(server, id), ['started', 'paused', 'resumed']);
});

/** Answers the question that a mission has open. */
async function answer(id: string, response: string): Promise<void> {
  await inState(server, id, 'hitl-required');
  const question = (await mission(server, id)).recent_events?.findLast(
    ({ event }) => event === 'mission.hitl_required',
  );
  assert.ok(question?.event === 'mission.hitl_required');
  const { hitl_id } = question.data;
  assert.equal(await operate(server, id, 'hitl_response', { hitl_id, response }), 202);
}

test('a mission that is resumed instead of being answered asks again, after a pause and a suspension, too', async (test) => {
  const t = inReverse(test);
  let running: RunningMission | undefined;
  let told: Promise<string> | undefined;
  await start(t, server, {
    onDispatch(assigned) {
      running = assigned.started();
      told = running.askHuman('Well?');
    },
    onResume: (resumed) => {
      running = resumed;
    },
  });
  const id = await dispatch(server);
  const saw = (...names: string[]) =>
    until(async () => (await history(server, id)).slice(-names.length).join() === names.join());
  await inState(server, id, 'hitl-required');
  assert.equal(await operate(server, id, 'resume'), 202);
  await saw('hitl_required', 'hitl_required');
  assert.equal(await operate(server, id, 'pause'), 202);
  await saw('hitl_required', 'paused');
  assert.equal(await operate(server, id, 'resume'), 202);
  await saw('paused', 'resumed', 'hitl_required');
  running?.suspend('checkpoint');
  await inState(server, id, 'suspended');
  assert.equal(await operate(server, id, 'resume'), 202);
  await saw('suspended', 'resumed', 'hitl_required');
  await answer(id, 'very well');
  assert.equal(await told, 'very well');
  running?.complete();
  await inState(server, id, 'done');
});

test('who asks while the mission is paused does not have it go on, and asks once it is resumed', async (test) => {
  const t = inReverse(test);
  let running: RunningMission | undefined;
  await start(t, server, {
    onDispatch: (assigned) => {
      running = assigned.started();
    },
  });
  const id = await dispatch(server);
  await inState(server, id, 'running');
  assert.equal(await operate(server, id, 'pause'), 202);
  await until(async () => (await history(server, id)).at(-1) === 'paused');
  assert.ok(running);
  assert.throws(() => running?.askHuman(''), TypeError);
  assert.throws(() => running?.askHuman('Well?', { expiresAt: new Date(Number.NaN) }), RangeError);
  const told = running.askHuman('Well?');
  running.progress({ summary: 'nearly' });
  await until(async () => (await history(server, id)).at(-1) === 'nearly');
  assert.equal((await mission(server, id)).state, 'paused');
  assert.equal(await operate(server, id, 'resume'), 202);
  await answer(id, 'very well');
  assert.equal(await told, 'very well');
  running.complete();
  await inState(server, id, 'done');
  assert.deepEqual(await history(server, id), [
    'started',
    'paused',
    'nearly',
    'resumed',
    'hitl_required',
    'hitl_responded',
    'completed',
  ]);
});

test('onPause and onResume may wait for an answer', async (test) => {
  const t = inReverse(test);
  const answers: string[] = [];
  const ask = async (running: RunningMission): Promise<void> => void answers.push(await running.askHuman('Now?'));
  await start(t, server, { onDispatch: (assigned) => void assigned.started(), onPause: ask, onResume: ask });
  const id = await dispatch(server);
  await inState(server, id, 'running');
  assert.equal(await operate(server, id, 'pause'), 202);
  await answer(id, 'pause');
  await until(async () => (await history(server, id)).at(-1) === 'paused');
  assert.equal(await operate(server, id, 'resume'), 202);
  await answer(id, 'go on');
  await until(async () => (await history(server, id)).at(-1) === 'resumed');
  assert.deepEqual(answers, ['pause', 'go on']);
  // Resumed instead of answered: it is asked again, for the pause waits for it, and the resume for the pause.
  assert.equal(await operate(server, id, 'pause'), 202);
  await inState(server, id, 'hitl-required');
  assert.equal(await operate(server, id, 'resume'), 202);
  await until(async () => (await history(server, id)).slice(-2).join() === 'hitl_required,hitl_required');
  await answer(id, 'pause again');
  await until(async () => (await history(server, id)).slice(-2).join() === 'paused,hitl_required');
  await answer(id, 'go on again');
  await until(async () => (await history(server, id)).at(-1) === 'resumed');
  assert.deepEqual(answers.slice(2), ['pause again', 'go on again']);
});

test('an onDispatch that throws fails its mission; one that returns leaves it running', async (test) => {
  const t = inReverse(test);
  await start(t, server, {
    onDispatch(assigned) {
      const running = assigned.started();
      if (running.dispatch.objective === 'fail') throw new Error('no such tool');
    },
  });
  const failing = await dispatch(server, { objective: 'fail' });
  await inState(server, failing, 'failed');
  assert.equal((await mission(server, failing)).error, 'no such tool');
  await inState(server, await dispatch(server), 'running');
});

test('what types cannot refuse, an error says', async (test) => {
  const t = inReverse(test);
  const errors: unknown[] = [];
  const attempt = (act: () => unknown): void => {
    try {
      act();
    } catch (error) {
      errors.push(error instanceof MissionStateError ? error.message.replace(/mission \S+/, 'mission') : error);
    }
  };
  await start(t, server, {
    onDispatch(assigned) {
      const running = assigned.started();
      attempt(() => assigned.started());
      void running.askHuman('Well?').catch((error) => errors.push(error.message.replace(/mission \S+/, 'mission')));
      attempt(() => running.askHuman('Or else?'));
      const suspended = running.suspend('cp');
      attempt(() => running.progress());
      const again = suspended.resumed();
      assert.equal(suspended.resumed(), again);
      again.complete();
      attempt(() => again.fail('late'));
    },
  });
  const id = await dispatch(server);
  await inState(server, id, 'done');
  assert.deepEqual(errors, [
    'mission has been started already',
    'mission waits for an answer already: ask one question after the other',
    'mission was suspended: go on with the handle that resumed() gives',
    'mission is over: it was completed',
    'mission is over: it was completed',
  ]);
  assert.deepEqual(await history(server, id), [
    'started',
    'hitl_required',
    'suspended',
    'resumed',
    'hitl_required',
    'completed',
  ]);
});

test('data that Callboard would drop is refused, so that no mission stays without its end', async (test) => {
  const t = inReverse(test);
  const errors: string[] = [];
  await start(t, server, {
    onDispatch(assigned) {
      const running = assigned.started();
      const attempt = (act: () => unknown): void =>
        assert.throws(act, (error) => error instanceof TypeError && errors.push(error.message) > 0);
      attempt(() => running.complete({ exit_code: 1.5 }));
      attempt(() => running.complete({ artifacts: [JSON.parse('{"name":"x"}')] }));
      attempt(() => running.complete(JSON.parse('{"percent":1}')));
      attempt(() => running.progress({ pct_complete: 101 }));
      attempt(() => running.progress({ iteration: -1 }));
      attempt(() => running.fail(''));
      attempt(() => running.suspend(''));
      running.complete({ exit_code: 0, artifacts: [{ path: 'a', description: 'b' }] });
    },
  });
  const id = await dispatch(server);
  await inState(server, id, 'done');
  assert.deepEqual(errors, [
    'exit_code of mission.completed must be a whole number',
    'artifacts of mission.completed must be a list of { path, description? }',
    'mission.completed has no percent',
    'pct_complete of mission.progress must be a number from 0 to 100',
    'iteration of mission.progress must be a whole number from 0',
    'reason of mission.failed must be a string that is not empty',
    'checkpoint_id of mission.suspended must be a string that is not empty',
  ]);
  assert.deepEqual(await history(server, id), ['started', 'completed']);
});

test('it takes dispatches from the holder of its token only, and each once', async (test) => {
  const t = inReverse(test);
  let begun = 0;
  const executor = await start(t, server, { onDispatch: () => void begun++ });
  const id = await dispatch(server);
  await until(() => begun === 1);
  const body = { mission_id: id, objective: 'do it', completion: 'done' };
  const token = server.registry.supervisor.directory.executors.get(executor.id)?.token;
  const bearer = { authorization: `Bearer ${token}` };
  for (const path of ['dispatch', 'api/v1/sessions/s/dispatch']) {
    const url = `${executor.url}/${path}`;
    const answer = await post(url, body, bearer);
    assert.deepEqual(answer.body, { mission_id: id, executor_id: executor.id, status: 'assigned' });
    assert.equal(answer.status, 202);
    assert.equal((await post(url, body)).status, 401);
    assert.equal((await post(url, { ...body, mission_id: 7 }, bearer)).status, 400);
    assert.equal((await post(url, 'x'.repeat(1024 * 1024 + 1), bearer)).status, 413);
    assert.equal((await send(url)).status, 405);
  }
  assert.equal((await post(`${executor.url}/elsewhere`, body, bearer)).status, 404);
  assert.equal(begun, 1);
});

for (const resumable of [true, false])
  test(`close ${resumable ? 'suspends' : 'lets Callboard fail'} its missions, and deregisters`, async (test) => {
    const t = inReverse(test);
    const executor = await start(t, server, {
      capabilities: resumable ? ['resumable'] : [],
      onDispatch: (assigned) => void assigned.started(),
      onSuspend: () => 'checkpoint-7',
    });
    const id = await dispatch(server);
    await inState(server, id, 'running');
    await executor.close();
    assert.equal(executor.connected, false);
    assert.equal((await send(`${server.url}/api/v1/executors/${executor.id}`)).status, 404);
    await inState(server, id, resumable ? 'suspended' : 'failed');
    const last = (await mission(server, id)).recent_events?.at(-1);
    if (resumable) assert.ok(last?.event === 'mission.suspended' && last.data.checkpoint_id === 'checkpoint-7');
    else assert.equal((await mission(server, id)).error, 'executor_deregistered');
  });

test('a mission that had not begun when a resumable executor closed is dispatched to it again', async (test) => {
  const t = inReverse(test);
  const server = await serve(t);
  let taken = 0;
  const options = { executorId: randomUUID(), capabilities: ['resumable'] };
  const executor = await start(t, server, { ...options, onDispatch: () => void taken++ });
  const id = await dispatch(server);
  await until(() => taken === 1);
  await executor.close();
  await inState(server, id, 'suspended');
  assert.deepEqual(await history(server, id), []);
  await start(t, server, { ...options, onDispatch: (assigned) => assigned.started().complete() });
  await inState(server, id, 'done');
});

test('close waits until its last words have arrived, and deregisters then', async (t) => {
  const executor = await createExecutor({
    url: server.url,
    executorId: randomUUID(),
    name: 'sdk',
    capabilities: ['resumable'],
    connect: 'listen',
    onDispatch: (assigned) => void assigned.started(),
  });
  const { executors } = server.registry.supervisor.directory;
  const token = executors.get(executor.id)?.token;
  const url = `${executor.url.replace('http', 'ws')}/ws/executors/${executor.id}?token=${token}`;
  const socket = new WebSocket(url, { autoPong: false });
  t.after(() => socket.terminate());
  const heard: string[] = [];
  socket.on('message', (data) => heard.push(JSON.parse(String(data)).event));
  let isClosing = false;
  socket.on('ping', (payload: Buffer) => {
    if (isClosing && heard.at(-1) === 'mission.suspended') heard.push(`ping, registered: ${executors.size}`);
    // In another turn than that of the ping, for something else to come before.
    setTimeout(() => socket.pong(payload), isClosing ? 20 : 0);
  });
  await until(() => heard.includes('executor.resync'));
  const body = { mission_id: 'm', objective: 'do it', completion: 'done' };
  assert.equal((await post(`${executor.url}/dispatch`, body, { authorization: `Bearer ${token}` })).status, 202);
  await until(() => heard.includes('mission.started'));
  isClosing = true;
  await executor.close();
  assert.deepEqual(heard, ['executor.resync', 'mission.started', 'mission.suspended', 'ping, registered: 1']);
  assert.equal(executors.size, 0);
});

test('one that listens is dialled, at its own port, by the holder of its token', async (test) => {
  const t = inReverse(test);
  const executor = await start(t, server, {
    connect: 'listen',
    onDispatch: (assigned) => assigned.started().complete(),
  });
  const token = server.registry.supervisor.directory.executors.get(executor.id)?.token;
  const dial = (given: string | undefined): WebSocket =>
    new WebSocket(`${executor.url.replace('http', 'ws')}/ws/executors/${executor.id}?token=${given}`);
  const [code] = await once(dial('wrong'), 'close');
  assert.equal(code, 4001);
  const nowhere = new WebSocket(`${executor.url.replace('http', 'ws')}//?token=${token}`);
  assert.equal((await once(nowhere, 'close'))[0], 4001);
  const socket = dial(token);
  t.after(() => socket.terminate());
  const events: { event: string; mission_id?: string; data: object }[] = [];
  socket.on('message', (data) => events.push(JSON.parse(String(data))));
  await until(() => events.length === 1);
  const [first] = events;
  assert.equal(first?.event, 'executor.resync');
  assert.equal(executor.connected, true);
  // A second connection takes the place of the first.
  const second = dial(token);
  t.after(() => second.terminate());
  const [[closing], [data]] = await Promise.all([once(socket, 'close'), once(second, 'message')]);
  assert.equal(closing, 4002);
  assert.equal(JSON.parse(String(data)).event, 'executor.resync');
});

test('its identity file is made at the first run, for its owner only, and read at the next', async (test) => {
  const t = inReverse(test);
  const folder = mkdtempSync(join(tmpdir(), 'callboard-client-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const identityFile = join(folder, 'executor.json');
  const run = () => createExecutor({ url: server.url, identityFile, name: 'sdk', onDispatch: () => undefined });
  const first = await run();
  await first.close();
  assert.equal(statSync(identityFile).mode & 0o777, 0o600);
  assert.deepEqual(JSON.parse(readFileSync(identityFile, 'utf8')), { executor_id: first.id });
  const second = await run();
  await second.close();
  assert.equal(second.id, first.id);
});

test('a registration that is refused rejects, and says why', async () => {
  const refused = createExecutor({
    url: server.url,
    executorId: randomUUID(),
    name: 'sdk',
    capabilities: ['flying'],
    onDispatch: () => undefined,
  });
  await assert.rejects(refused, (error) => {
    assert.ok(error instanceof RegistrationError);
    assert.equal(error.status, 400);
    assert.match(error.message, /^Callboard refuses the registration: 400 invalid_payload \(capabilities.0 /);
    return true;
  });
});

test('a pause before the start, or during a suspension, holds the mission as soon as it runs', async (test) => {
  const t = inReverse(test);
  const server = await serve(t);
  const called: string[] = [];
  const missions: AssignedMission[] = [];
  await start(t, server, {
    onDispatch: (assigned) => void missions.push(assigned),
    onPause: ({ id }) => called.push(`pause ${id}`),
    onResume: ({ id }, { from }) => called.push(`resume ${id} from ${from}`),
  });
  const held = await dispatch(server);
  const freed = await dispatch(server);
  await until(() => missions.length === 2);
  const asked = async (id: string, action: 'pause' | 'resume'): Promise<void> => {
    assert.equal(await operate(server, id, action), 202);
    await until(async () => (await history(server, id)).at(-1)?.startsWith(action));
  };
  await asked(held, 'pause');
  await asked(freed, 'pause');
  await asked(freed, 'resume');
  const [first, second] = missions.map((assigned) => assigned.started());
  await inState(server, held, 'paused');
  await inState(server, freed, 'running');
  assert.deepEqual(called, [`pause ${held}`]);
  await asked(held, 'resume');
  const suspended = first?.suspend('checkpoint');
  await inState(server, held, 'suspended');
  await asked(held, 'pause');
  suspended?.resumed();
  await until(async () => (await history(server, held)).length === 8);
  assert.deepEqual(called, [`pause ${held}`, `resume ${held} from paused`, `pause ${held}`]);
  assert.deepEqual(await history(server, held), [
    'paused',
    'started',
    'paused',
    'resumed',
    'suspended',
    'paused',
    'resumed',
    'paused',
  ]);
  second?.complete();
  await inState(server, freed, 'done');
  assert.deepEqual(await history(server, freed), ['paused', 'resumed', 'started', 'completed']);
});
