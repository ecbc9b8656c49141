/** Dispatch, with executors that answer over HTTP. */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { after, test } from 'node:test';
import { pino } from 'pino';
import * as v from 'valibot';
import { dispatchResponseSchema, parseDispatchPayload } from '#src/contract/index.js';
import { Dispatcher } from '#src/server/dispatch.js';
import {
  type Answer,
  assertError,
  type Executor,
  endpoint,
  executor,
  inState,
  mission,
  post,
  register,
  type Scope,
  send,
  serve,
  until,
} from './helpers.js';

const server = await serve({ after });

interface Request {
  readonly path: string | undefined;
  readonly authorization: string | undefined;
  readonly type: string | undefined;
  readonly body: unknown;
}

/** A connected executor whose HTTP side notes what it is asked, and answers as told. */
async function worker(
  t: Scope,
  answer: (response: ServerResponse, request: IncomingMessage) => void,
  more: Record<string, unknown> = {},
): Promise<{ peer: Executor; requests: Request[] }> {
  const requests: Request[] = [];
  const rest = await endpoint(t, (request, response, body) => {
    const { authorization, 'content-type': type } = request.headers;
    requests.push({ path: `${request.method} ${request.url}`, authorization, type, body: JSON.parse(body) });
    answer(response, request);
  });
  const peer = await executor(t, server, { transport_endpoints: { rest, ws: 'ws://127.0.0.1:9' }, ...more });
  return { peer, requests };
}

const accept = (response: ServerResponse): void => {
  response.writeHead(202, { 'content-type': 'application/json' }).end('{"status":"assigned"}');
};
const answerWith =
  (status: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse) => {
    response.writeHead(status, headers).end('{}');
  };

let missions = 0;
/** A payload for this executor and no other. */
const payloadFor = (executorId: string, more: Record<string, unknown> = {}) => ({
  mission_id: `mission ${++missions}`,
  objective: 'o',
  completion: 'c',
  executor_filter: { executor_id: executorId },
  ...more,
});

const dispatch = (payload: unknown, session = 's'): Promise<Answer> =>
  post(`${server.url}/api/v1/sessions/${encodeURIComponent(session)}/dispatch`, payload);

test('a dispatch is forwarded as it came, with the bearer, and answered 202 with the estimated start', async (t) => {
  const estimated_start = '2030-01-01T00:00:00Z';
  const { peer, requests } = await worker(t, (response) =>
    response.writeHead(200).end(JSON.stringify({ estimated_start, other: 1 })),
  );
  const payload = payloadFor(peer.executorId, { a2a_instance_id: 'a2a', metadata: { nested: { ü: [1, null] } } });
  const { status, body } = await dispatch(payload, 'a/b ü');
  assert.equal(status, 202);
  assert.deepEqual(v.parse(dispatchResponseSchema, body), {
    mission_id: payload.mission_id,
    executor_id: peer.executorId,
    a2a_instance_id: 'a2a',
    status: 'assigned',
    estimated_start,
  });
  assert.deepEqual(requests, [
    {
      path: 'POST /api/v1/sessions/a%2Fb%20%C3%BC/dispatch',
      authorization: `Bearer ${peer.token}`,
      type: 'application/json',
      body: payload,
    },
  ]);
  assert.equal((await mission(server, payload.mission_id)).state, 'assigned');
});

test('where the executor does not know the path, /dispatch is tried', async (t) => {
  const { peer, requests } = await worker(t, (response, { url }) =>
    url === '/dispatch' ? accept(response) : answerWith(404)(response),
  );
  const payload = payloadFor(peer.executorId);
  assert.equal((await dispatch(payload)).status, 202);
  assert.deepEqual(
    requests.map(({ path, body, authorization }) => [path, body, authorization]),
    ['POST /api/v1/sessions/s/dispatch', 'POST /dispatch'].map((path) => [path, payload, `Bearer ${peer.token}`]),
  );
});

for (const [what, answer, tried] of [
  ['400', answerWith(400), 1],
  ['404 twice', answerWith(404), 2],
  ['500', answerWith(500), 1],
  ['a redirect, which is not followed', answerWith(307, { location: '/dispatch' }), 1],
] as const)
  test(`an executor that answers ${what}: executor_rejected, and the mission has failed`, async (t) => {
    const { peer, requests } = await worker(t, answer);
    const payload = payloadFor(peer.executorId);
    assertError(await dispatch(payload), 'executor_rejected');
    assert.equal(requests.length, tried);
    const { state, error } = await mission(server, payload.mission_id);
    assert.equal(state, 'failed');
    assert.match(error ?? '', /^executor_rejected: it answered [345]0/);
  });

for (const rest of ['http://127.0.0.1:1', 'ftp://127.0.0.1/', 'http://host.invalid/'])
  test(`an executor that can't be reached at ${rest}: executor_unreachable, and the mission has failed`, async (t) => {
    const peer = await executor(t, server, { transport_endpoints: { rest, ws: 'ws://127.0.0.1:9' } });
    const payload = payloadFor(peer.executorId);
    assertError(await dispatch(payload), 'executor_unreachable');
    assert.equal((await mission(server, payload.mission_id)).state, 'failed');
  });

test('an executor that hangs up is asked once more; where it hangs up again: executor_unreachable', async (t) => {
  const { peer, requests } = await worker(t, (response) => response.destroy());
  const payload = payloadFor(peer.executorId);
  assertError(await dispatch(payload), 'executor_unreachable');
  assert.equal((await mission(server, payload.mission_id)).state, 'failed');
  assert.deepEqual(requests[1], requests[0]);
  assert.equal(requests.length, 2);
});

for (const status of [202, 409])
  test(`an executor that hangs up and then answers ${status} has the mission`, async (t) => {
    let asked = 0;
    const { peer } = await worker(t, (response) => (asked++ === 0 ? response.destroy() : answerWith(status)(response)));
    const payload = payloadFor(peer.executorId);
    assert.equal((await dispatch(payload)).status, 202);
    assert.equal((await mission(server, payload.mission_id)).state, 'assigned');
  });

/** Dispatches to an executor that has 50 ms to answer. */
async function dispatchInHaste({ peer }: { peer: Executor }, limit = 50) {
  const dispatcher = new Dispatcher(server.registry.supervisor, pino({ level: 'silent' }), limit);
  const parsed = parseDispatchPayload(payloadFor(peer.executorId));
  assert.ok(parsed.ok);
  const { status, body } = await dispatcher.dispatch('s', parsed.payload);
  const { state, error } = await mission(server, parsed.payload.mission_id);
  return { status, code: 'error' in body && body.error, state, error };
}

test('an executor that answers nothing in time: executor_timeout, and the mission has failed', async (t) => {
  const { status, code, error } = await dispatchInHaste(await worker(t, () => undefined));
  assert.deepEqual([status, code], [504, 'executor_timeout']);
  assert.match(error ?? '', /^executor_timeout/);
});

for (const [what, times] of [
  ['that does not answer', 1],
  ['that hangs up, and does not answer when it is asked once more', 2],
] as const)
  test(`an executor ${what} is given ten seconds in all`, async (t) => {
    const limit = new AbortController();
    let asked = 0;
    const { peer } = await worker(t, (response) => {
      if (++asked < times) response.destroy();
      // The limit that is asked for is what counts here; waiting for it is cut short.
      else limit.abort(new DOMException('it took too long', 'TimeoutError'));
    });
    const limits: number[] = [];
    t.mock.method(AbortSignal, 'timeout', (ms: number) => {
      limits.push(ms);
      return limit.signal;
    });
    assertError(await dispatch(payloadFor(peer.executorId)), 'executor_timeout');
    assert.deepEqual(limits, [10_000]);
    assert.equal(asked, times);
  });

for (const [what, leave] of [
  ['leaves it at that', () => undefined],
  ['hangs up', (response: ServerResponse) => response.destroy()],
] as const)
  test(`an executor that answers 200 and ${what} has the mission all the same`, async (t) => {
    const answer = (response: ServerResponse) => response.writeHead(200).write('{', () => leave(response));
    // Long enough for the head of the answer to arrive on a busy machine.
    const { status, state } = await dispatchInHaste(await worker(t, answer), 2_000);
    assert.deepEqual([status, state], [202, 'assigned']);
  });

test('a mission that is aborted while its executor is asked to take it: the executor is told once it has it', async (t) => {
  const assigned: string[] = [];
  server.registry.on('mission:assigned', ({ missionId }) => assigned.push(missionId));
  const held: ServerResponse[] = [];
  const { peer } = await worker(t, (response) => void held.push(response));
  const payload = payloadFor(peer.executorId);
  const answer = dispatch(payload);
  const [response] = await until(() => held.length > 0 && held);
  assert.equal(
    (await post(`${server.url}/api/v1/missions/${encodeURIComponent(payload.mission_id)}/abort`)).status,
    202,
  );
  await until(() => peer.received.length === 1);
  assert.ok(response);
  accept(response);
  await answer;
  await until(() => peer.received.length === 2);
  assert.deepEqual(
    peer.received.map(({ event, mission_id }) => [event, mission_id]),
    Array(2).fill(['mission.aborted', payload.mission_id]),
  );
  assert.ok(!assigned.includes(payload.mission_id));
});

for (const [what, answer] of [
  ['nothing', ''],
  ['no JSON', 'ok'],
  ['JSON that is no object', 'null'],
  ['an estimated start that is none', '{"estimated_start":"soon"}'],
  ['thirty megabytes', `{"estimated_start":"2030-01-01T00:00:00Z","x":"${'x'.repeat(30 * 1024 * 1024)}"}`],
] as const)
  test(`an executor may answer ${what}: 202 all the same, without an estimated start`, async (t) => {
    const { peer } = await worker(t, (response) =>
      response
        .on('error', () => undefined)
        .writeHead(201)
        .end(answer),
    );
    const { status, body } = await dispatch(payloadFor(peer.executorId));
    assert.equal(status, 202);
    assert.equal(v.parse(dispatchResponseSchema, body).estimated_start, undefined);
  });

// The same mission again.

test('the same dispatch again, also at once and with its keys in another order: one request, the same answer', async (t) => {
  const held: ServerResponse[] = [];
  const { peer, requests } = await worker(t, (response) => void held.push(response));
  const payload = payloadFor(peer.executorId, { metadata: { a: 1, b: { c: 2, d: 3 } } });
  const turned = {
    metadata: { b: { d: 3, c: 2 }, a: 1 },
    ...Object.fromEntries(Object.entries(payload).reverse().slice(1)),
  };
  const both = [dispatch(payload), dispatch(turned)];
  for (const response of await until(() => held.length > 0 && held)) accept(response);
  const [first, second] = await Promise.all(both);
  const third = await dispatch(turned);
  assert.equal(first?.status, 202);
  assert.deepEqual([second?.status, second?.body, third.status, third.body], [202, first.body, 202, first.body]);
  assert.equal(requests.length, 1);
});

test('a dispatch that failed is answered as before, too', async (t) => {
  const { peer, requests } = await worker(t, answerWith(500));
  const payload = payloadFor(peer.executorId);
  const first = await dispatch(payload);
  assert.deepEqual((await dispatch(payload)).body, first.body);
  assert.equal(requests.length, 1);
});

test('a known mission with another payload, or that was not dispatched here: mission_exists', async (t) => {
  const { peer, requests } = await worker(t, accept);
  const payload = payloadFor(peer.executorId);
  assert.equal((await dispatch(payload)).status, 202);
  const { detail } = assertError(await dispatch({ ...payload, objective: 'another' }), 'mission_exists');
  assert.match(detail ?? '', /exists, with another payload$/);
  assertError(await dispatch({ ...payload, metadata: {} }), 'mission_exists');
  await server.registry.assignMission('handed in', peer.executorId);
  const handedIn = assertError(await dispatch({ ...payload, mission_id: 'handed in' }), 'mission_exists');
  assert.match(handedIn.detail ?? '', /exists$/);
  assert.equal(requests.length, 1);
});

// Whom.

test('nobody fits: no_executor_available, and there is no mission; later the same dispatch may be taken', async (t) => {
  const { peer } = await worker(t, accept, { capabilities: ['x-rare'] });
  const wanting = (capability: string) =>
    payloadFor(peer.executorId, { executor_filter: { capabilities: [capability] } });
  const payload = wanting('x-rarer');
  assertError(await dispatch(payload), 'no_executor_available');
  assertError(
    await send(`${server.url}/api/v1/missions/${encodeURIComponent(payload.mission_id)}`),
    'mission_not_found',
  );
  assert.equal((await dispatch(wanting('x-rare'))).status, 202);
  await worker(t, accept, { capabilities: ['x-rarer'] });
  assert.equal((await dispatch(payload)).status, 202);
});

test('an executor that is registered and not connected is not picked', async () => {
  const executorId = '3f2b6c1e-8a4d-4f6b-9c2e-1d5a7b8c9d0e';
  await register(server, executorId);
  assertError(await dispatch(payloadFor(executorId)), 'no_executor_available');
});

test('a long-running mission needs an executor that can resume: no_resumable_executor_available', async (t) => {
  const filter = { executor_filter: { capabilities: ['x-long'] }, long_running: true };
  const { peer } = await worker(t, accept, { capabilities: ['x-long'] });
  const payload = payloadFor(peer.executorId, filter);
  assertError(await dispatch(payload), 'no_resumable_executor_available');
  const { peer: able } = await worker(t, accept, { capabilities: ['x-long', 'resumable'] });
  const { body } = await dispatch(payload);
  assert.equal(v.parse(dispatchResponseSchema, body).executor_id, able.executorId);
});

test('nulls in the filter are any', async (t) => {
  await worker(t, accept, { capabilities: ['x-any'] });
  const executor_filter = { executor_id: null, a2a_instance_id: null, instance_id: null, capabilities: ['x-any'] };
  assert.equal((await dispatch(payloadFor('', { executor_filter }))).status, 202);
});

test('of several executors with one A2A instance id, one that is connected is picked', async (t) => {
  const a2a_instance_id = 'of two';
  await register(server, '5b1f0e9a-2f5e-4c53-9a36-6d8f2f6d1c11', { a2a_instance_id });
  const { peer } = await worker(t, accept, { a2a_instance_id });
  const { body } = await dispatch(payloadFor('', { executor_filter: { a2a_instance_id } }));
  assert.equal(v.parse(dispatchResponseSchema, body).executor_id, peer.executorId);
});

for (const field of ['a2a_instance_id', 'instance_id'])
  test(`${field} in the filter picks the executor that registered with it, unless executor_id names another`, async (t) => {
    const a2aId = `by ${field}`;
    const { peer: other } = await worker(t, accept);
    const { peer } = await worker(t, accept, { a2a_instance_id: a2aId });
    const picked = async (payload: Record<string, unknown>) => {
      const answered = v.parse(dispatchResponseSchema, (await dispatch(payloadFor('', payload))).body);
      return [answered.executor_id, answered.a2a_instance_id];
    };
    // What the answer names is what the dispatch named; of the filter, where that is the executor's.
    assert.deepEqual(await picked({ executor_filter: { [field]: a2aId } }), [peer.executorId, a2aId]);
    assert.deepEqual(await picked({ executor_filter: { [field]: a2aId }, a2a_instance_id: 'x' }), [
      peer.executorId,
      'x',
    ]);
    assert.deepEqual(await picked({ executor_filter: { executor_id: peer.executorId } }), [peer.executorId, undefined]);
    const both = { [field]: a2aId, executor_id: other.executorId };
    assert.deepEqual(await picked({ executor_filter: both }), [other.executorId, undefined]);
    const unfit = payloadFor('', { executor_filter: { [field]: a2aId, capabilities: ['x-none'] } });
    assertError(await dispatch(unfit), 'no_executor_available');
    const unknown = assertError(
      await dispatch(payloadFor('', { executor_filter: { [field]: 'of nobody' } })),
      'no_executor_available',
    );
    assert.match(unknown.detail ?? '', /A2A instance id of nobody$/);
  });

test('among equals the executor with the fewest live missions is picked', async (t) => {
  const workers = [
    await worker(t, accept, { capabilities: ['x-even'] }),
    await worker(t, accept, { capabilities: ['x-even'] }),
  ];
  for (let n = 0; n < 6; n++)
    assert.equal((await dispatch(payloadFor('', { executor_filter: { capabilities: ['x-even'] } }))).status, 202);
  assert.deepEqual(
    workers.map(({ requests }) => requests.length),
    [3, 3],
  );
});

// Early and late.

test('what an executor sends before it answers the dispatch is not lost', async (t) => {
  const held: ServerResponse[] = [];
  const { peer } = await worker(t, (response) => void held.push(response));
  const payload = payloadFor(peer.executorId);
  const answer = dispatch(payload);
  const [response] = await until(() => held.length > 0 && held);
  peer.event('mission.started', payload.mission_id, { state: 'running', pty_session_id: 'pty' });
  await inState(server, payload.mission_id, 'running');
  assert.ok(response);
  accept(response);
  assert.equal((await answer).status, 202);
  const shown = await mission(server, payload.mission_id);
  assert.deepEqual([shown.state, shown.pty_session_ref, shown.recent_events?.length], ['running', 'pty', 1]);
});

test('a mission is queued while its executor has not answered', async (t) => {
  const held: ServerResponse[] = [];
  const { peer } = await worker(t, (response) => void held.push(response));
  const payload = payloadFor(peer.executorId);
  const answer = dispatch(payload);
  const [response] = await until(() => held.length > 0 && held);
  assert.equal((await mission(server, payload.mission_id)).state, 'queued');
  assert.ok(response);
  accept(response);
  await answer;
  assert.equal((await mission(server, payload.mission_id)).state, 'assigned');
});

test('a bad payload: invalid_payload, with each issue listed', async () => {
  const { issues } = assertError(
    await dispatch({ mission_id: '', objective: 'o', long_running: 1 }),
    'invalid_payload',
  );
  assert.deepEqual(issues?.map(({ path }) => path).sort(), ['completion', 'long_running', 'mission_id']);
});

test('a forgotten mission is not found, and its dispatch is a new one', async (t) => {
  const forgetful = await serve(t, { maxEndedMissions: 1 });
  const requests: string[] = [];
  const rest = await endpoint(t, (_, response, body) => {
    requests.push(body);
    accept(response);
  });
  const peer = await executor(t, forgetful, { transport_endpoints: { rest, ws: 'ws://127.0.0.1:9' } });
  const url = `${forgetful.url}/api/v1/sessions/s/dispatch`;
  const [first, second] = [payloadFor(peer.executorId), payloadFor(peer.executorId)];
  for (const payload of [first, second]) {
    assert.equal((await post(url, payload)).status, 202);
    peer.event('mission.completed', payload.mission_id, { state: 'done', exit_code: 0 });
    await inState(forgetful, payload.mission_id, 'done');
  }
  const missionUrl = `${forgetful.url}/api/v1/missions/${encodeURIComponent(first.mission_id)}`;
  await until(async () => (await send(missionUrl)).status === 404);
  assertError(await send(missionUrl), 'mission_not_found');
  assertError(await post(`${missionUrl}/abort`), 'mission_not_found');

  assert.equal((await post(url, second)).status, 202);
  assert.equal(requests.length, 2, 'the repetition of a dispatch that is known is not forwarded');
  assert.equal((await post(url, { ...first, objective: 'another' })).status, 202);
  assert.equal(requests.length, 3);
  assert.equal((await mission(forgetful, first.mission_id)).state, 'assigned');
});

test('a mission that was aborted and forgotten before its executor took it does not come back', async (t) => {
  const forgetful = await serve(t, { maxEndedMissions: 0 });
  const held: ServerResponse[] = [];
  const rest = await endpoint(t, (_, response) => void held.push(response));
  const peer = await executor(t, forgetful, { transport_endpoints: { rest, ws: 'ws://127.0.0.1:9' } });
  const payload = payloadFor(peer.executorId);
  const answer = post(`${forgetful.url}/api/v1/sessions/s/dispatch`, payload);
  const [response] = await until(() => held.length > 0 && held);
  const missionUrl = `${forgetful.url}/api/v1/missions/${encodeURIComponent(payload.mission_id)}`;
  assert.equal((await post(`${missionUrl}/abort`)).status, 202);
  await until(async () => (await send(missionUrl)).status === 404);
  assert.ok(response);
  accept(response);
  await answer;
  assertError(await send(missionUrl), 'mission_not_found');
  await until(() => peer.received.some(({ event }) => event === 'mission.aborted'));
});
