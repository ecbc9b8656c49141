/** `callboard simulate` against a real `callboard serve`: what it shows, and that it notices what is wrong. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import * as v from 'valibot';
import {
  executorsListResponseSchema,
  type MissionStatusResponse,
  missionStatusResponseSchema,
} from '../../src/contract/index.js';
import { callboard, type Running, served } from './callboard.js';

const summarySchema = v.object({
  ok: v.boolean(),
  executors: v.number(),
  missions: v.number(),
  done: v.number(),
  not_as_they_should: v.number(),
  events: v.number(),
  problems: v.array(v.string()),
});

let server: Running;
let url: string;
before(async () => {
  ({ server, url } = await served());
});
after(async () => {
  server.kill('SIGTERM');
  await server.ended;
});

/** Runs it to its end and reads its summary. */
async function simulated(running: Running) {
  const { code, stdout, stderr } = await running.ended;
  assert.equal(stderr, '');
  return { code, summary: v.parse(summarySchema, JSON.parse(stdout)) };
}

test('two executors and twenty missions run to their ends, and each is shown as done with its events', async () => {
  await using gateway = await Gateway.before(url);
  const args = ['simulate', '--url', gateway.url, '--executors', '2', '--missions', '20', '--rate', '200'];
  const { code, summary } = await simulated(callboard(args));
  assert.deepEqual(summary.problems, []);
  const { ok, executors, missions, done, not_as_they_should } = summary;
  assert.deepEqual(
    { code, ok, executors, missions, done, not_as_they_should },
    { code: 0, ok: true, executors: 2, missions: 20, done: 20, not_as_they_should: 0 },
  );

  assert.equal(gateway.missionIds.size, 20);
  const seen = new Set<string>();
  for (const id of gateway.missionIds) {
    const { state, exit_code, recent_events = [] } = await mission(id);
    assert.deepEqual({ state, exit_code }, { state: 'done', exit_code: 0 });
    assert.equal(recent_events.at(-1)?.event, 'mission.completed');
    for (const { event, executor_id } of recent_events) seen.add(event).add(executor_id);
  }
  for (const event of ['assigned', 'started', 'progress', 'hitl_required', 'paused', 'suspended', 'reconnected']) {
    assert.ok(seen.has(`mission.${event}`), `no mission.${event} was seen`);
  }
  assert.deepEqual(await executorIds(), [], 'the executors have left');
});

test('with --duration it keeps dispatching at the rate for that long', async () => {
  const args = ['simulate', '--url', url, '--duration', '0.3', '--rate', '50', '--missions', '1'];
  const { code, summary } = await simulated(callboard(args));
  assert.deepEqual({ code, missions: summary.missions, done: summary.done }, { code: 0, missions: 15, done: 15 });
});

const falsehoods: Readonly<Record<string, { told: (true_: MissionStatusResponse) => object; problem: RegExp }>> = {
  'an event is missing': {
    told: (status) => ({ ...status, recent_events: status.recent_events?.toSpliced(1, 1) }),
    problem: /recent_events are/,
  },
  'the oldest event is missing': {
    told: (status) => ({ ...status, recent_events: status.recent_events?.slice(1) }),
    problem: /recent_events are/,
  },
  'an event is there twice': {
    told: (status) => ({ ...status, recent_events: status.recent_events?.flatMap((event) => [event, event]) }),
    problem: /recent_events are/,
  },
  'the events are in the wrong order': {
    told: (status) => ({ ...status, recent_events: status.recent_events?.toReversed() }),
    problem: /recent_events are/,
  },
  'the exit code is wrong': { told: (status) => ({ ...status, exit_code: 1 }), problem: /exit_code is 1, not 0/ },
  'a field is told that the contract does not have': {
    told: (status) => ({ ...status, colour: 'blue' }),
    problem: /its answer is wrong at "colour"/,
  },
};

for (const [what, { told, problem }] of Object.entries(falsehoods)) {
  test(`it ends with exit code 1 where ${what} in what Callboard tells of a finished mission`, async () => {
    await using gateway = await Gateway.before(url, (status) => (status.state === 'done' ? told(status) : status));
    const args = ['simulate', '--url', gateway.url, '--missions', '1', '--executors', '1'];
    const { code, summary } = await simulated(callboard(args));
    assert.match(summary.problems.join('\n'), problem);
    const { ok, done, not_as_they_should } = summary;
    assert.deepEqual({ code, ok, done, not_as_they_should }, { code: 1, ok: false, done: 0, not_as_they_should: 1 });
  });
}

test('Ctrl-C stops it early with a summary and exit code 1, and its executors leave', async () => {
  await using gateway = await Gateway.before(url);
  const running = callboard(['simulate', '--url', gateway.url, '--duration', '600']);
  await gateway.dispatches(3);
  running.kill('SIGINT');
  const { code, summary } = await simulated(running);
  assert.deepEqual(
    { code, ok: summary.ok, problems: summary.problems },
    { code: 1, ok: false, problems: ['stopped by SIGINT'] },
  );
  assert.deepEqual(await executorIds(), []);
});

test('it ends with exit code 1 where Callboard goes away under it', async () => {
  const doomed = await served();
  await using gateway = await Gateway.before(doomed.url);
  const running = callboard(['simulate', '--url', gateway.url, '--duration', '600']);
  await gateway.dispatches(3);
  doomed.server.kill('SIGKILL');
  await doomed.server.ended;
  const { code, summary } = await simulated(running);
  assert.equal(code, 1);
  assert.match(summary.problems.join('\n'), /lost its connection|nothing answers/);
});

test('where nothing answers it says so in one line that tells what to do, with exit code 1', async () => {
  const gone = createServer().listen(0, '127.0.0.1');
  await once(gone, 'listening');
  const nowhere = urlOf(gone);
  gone.close();
  const { code, stdout, stderr } = await callboard(['simulate', '--url', nowhere]).ended;
  const said = `callboard simulate: nothing answers at ${nowhere}/ (ECONNREFUSED). Start it with callboard serve, or name another with --url.\n`;
  assert.deepEqual({ code, stdout, stderr }, { code: 1, stdout: '', stderr: said });
});

test('where something else than Callboard answers it says so, with exit code 1', async () => {
  const other = createServer((_, response) => response.writeHead(404).end('no')).listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { code, stderr } = await callboard(['simulate', '--url', urlOf(other)]).ended;
  other.close();
  assert.match(
    stderr,
    /^callboard simulate: POST \/api\/v1\/executors\/register: 404, not an answer of Callboard: is --url right\?\n$/,
  );
  assert.equal(code, 1);
});

async function mission(id: string): Promise<MissionStatusResponse> {
  const response = await fetch(`${url}/api/v1/missions/${id}`);
  return v.parse(missionStatusResponseSchema, await response.json());
}

async function executorIds(): Promise<string[]> {
  const response = await fetch(`${url}/api/v1/executors`);
  return v.parse(executorsListResponseSchema, await response.json()).executors.map(({ executor_id }) => executor_id);
}

function urlOf(http: Server): string {
  const address = http.address();
  assert.ok(address !== null && typeof address === 'object');
  return `http://127.0.0.1:${address.port}`;
}

/** Stands before a Callboard, notes which missions are dispatched, and can change what is told of a mission. */
class Gateway {
  readonly url: string;
  readonly missionIds: Set<string>;
  readonly #http: Server;
  readonly #sockets: Set<Socket>;
  readonly #news: EventEmitter;

  private constructor(http: Server, missionIds: Set<string>, sockets: Set<Socket>, news: EventEmitter) {
    this.url = urlOf(http);
    this.missionIds = missionIds;
    this.#http = http;
    this.#sockets = sockets;
    this.#news = news;
  }

  static async before(target: string, told: (status: MissionStatusResponse) => object = (status) => status) {
    const missionIds = new Set<string>();
    const sockets = new Set<Socket>();
    const news = new EventEmitter();
    const http = createServer((incoming, answer) => {
      const route = incoming.url ?? '';
      const { method, headers } = incoming;
      const outgoing = request(new URL(route, target), { method, headers }, async (response) => {
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        const [, dispatched] = /^\/api\/v1\/missions\/([^/]+)$/.exec(route) ?? [];
        if (dispatched !== undefined && response.statusCode === 200) {
          text = JSON.stringify(told(v.parse(missionStatusResponseSchema, JSON.parse(text))));
          missionIds.add(dispatched);
          news.emit('dispatched');
        }
        answer.writeHead(response.statusCode ?? 500, { 'content-type': 'application/json' }).end(text);
      });
      outgoing.on('error', () => incoming.socket.destroy());
      incoming.pipe(outgoing);
    });
    http.on('upgrade', (incoming, socket: Socket, head) => {
      const { hostname, port } = new URL(target);
      const onward = connect(Number(port), hostname);
      const lines = [`${incoming.method} ${incoming.url} HTTP/1.1`];
      for (const [name, value] of Object.entries(incoming.headers)) lines.push(`${name}: ${value}`);
      onward.write(`${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      socket.pipe(onward).pipe(socket);
      for (const [one, other] of [
        [socket, onward],
        [onward, socket],
      ] as const) {
        sockets.add(one);
        one
          .on('error', () => {})
          .on('close', () => {
            sockets.delete(one);
            other.destroy();
          });
      }
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    return new Gateway(http, missionIds, sockets, news);
  }

  /** Resolves when at least so many missions were dispatched and looked at. */
  async dispatches(count: number): Promise<void> {
    while (this.missionIds.size < count) await once(this.#news, 'dispatched');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#http.close();
    this.#http.closeAllConnections();
    await once(this.#http, 'close');
  }
}
