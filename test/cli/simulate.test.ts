/** `callboard simulate` against a real `callboard serve`: what it shows, and that it notices what is wrong. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as v from 'valibot';
import {
  executorsListResponseSchema,
  type MissionStatusResponse,
  missionStatusResponseSchema,
} from '#src/contract/index.js';
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
/** A simulation whose Callboard the first test kills: it takes half a minute to end, in which the other tests run. */
let abandoned: Running;
before(async () => {
  ({ server, url } = await served(['--ephemeral']));
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

test('it rides over a Callboard that is killed and started again: every mission ends as it should', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'callboard-simulate-'));
  t.after(() => rmSync(dataDir, { recursive: true, force: true }));
  const first = await served(['--data-dir', dataDir]);
  await using nowhere = await Gateway.before(first.url);
  abandoned = callboard(['simulate', '--url', nowhere.url, '--executors', '1', '--duration', '600', '--rate', '0.5']);
  await nowhere.dispatches(1);
  await using gateway = await Gateway.before(first.url);
  const running = callboard(['simulate', '--url', gateway.url, '--missions', '20', '--rate', '40']);
  await gateway.dispatches(10);
  first.server.kill('SIGKILL');
  await first.server.ended;
  const second = await served(['--data-dir', dataDir]);
  gateway.target = second.url;
  const { code, summary } = await simulated(running);
  second.server.kill('SIGTERM');
  await second.server.ended;
  assert.deepEqual(summary.problems, []);
  assert.deepEqual({ code, ok: summary.ok, done: summary.done }, { code: 0, ok: true, done: 20 });
});

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
  for (const event of ['started', 'progress', 'hitl_required', 'hitl_responded', 'paused', 'resumed', 'suspended']) {
    assert.ok(seen.has(`mission.${event}`), `no mission.${event} was seen`);
  }
  assert.deepEqual(await executorIds(), [], 'the executors have left');
});

test('with --duration it keeps dispatching at the rate for that long', async () => {
  const args = ['simulate', '--url', url, '--duration', '0.3', '--rate', '50', '--missions', '1'];
  const { code, summary } = await simulated(callboard(args));
  assert.deepEqual({ code, missions: summary.missions, done: summary.done }, { code: 0, missions: 15, done: 15 });
});

/** An event of each of these names comes twice. */
const twice =
  (name: RegExp) =>
  ({ recent_events: events = [] }: MissionStatusResponse): object => ({
    recent_events: events.flatMap((event) => (name.test(event.event) ? [event, event] : event)),
  });

/** What Callboard tells of finished missions, and what is then said to be wrong. The n-th is told of the n-th mission. */
const falsehoods: readonly { what: string; told: (true_: MissionStatusResponse) => object; problem: RegExp }[] = [
  {
    what: 'an event is missing',
    told: ({ recent_events }) => ({ recent_events: recent_events?.toSpliced(1, 1) }),
    problem: /\(plain\).*recent_events are/,
  },
  { what: 'a question is there twice', told: twice(/hitl_required/), problem: /\(question\).*recent_events are/ },
  { what: 'a pause is there twice', told: twice(/paused/), problem: /\(pause\).*recent_events are/ },
  { what: 'a suspension is there twice', told: twice(/suspended/), problem: /\(checkpoint\).*recent_events are/ },
  {
    what: 'one of the newest fifty events is missing',
    told: ({ recent_events }) => ({ recent_events: recent_events?.toSpliced(7, 1) }),
    problem: /\(chatter\).*recent_events are/,
  },
  {
    what: 'the oldest event is missing',
    told: ({ recent_events }) => ({ recent_events: recent_events?.slice(1) }),
    problem: /recent_events are/,
  },
  {
    what: 'an event says something else',
    told: ({ recent_events }) => ({
      recent_events: recent_events?.map((event) =>
        event.event === 'mission.hitl_responded' ? { ...event, data: { ...event.data, response: 'No.' } } : event,
      ),
    }),
    problem: /recent_events are/,
  },
  { what: 'the exit code is wrong', told: () => ({ exit_code: 1 }), problem: /exit_code is 1, not 0/ },
  {
    what: 'a field is told that the contract does not have',
    told: () => ({ colour: 'blue' }),
    problem: /its answer is wrong at "colour"/,
  },
  {
    what: 'the events are in the wrong order',
    told: ({ recent_events = [] }) => ({
      recent_events: [...recent_events.slice(-2, -1), ...recent_events.slice(0, -2), ...recent_events.slice(-1)],
    }),
    problem: /recent_events are/,
  },
];

test('what Callboard tells of a finished mission and is not true is noticed, and it ends with exit code 1', async (t) => {
  const numberOf = (missionId: string) => Number(/\d+$/.exec(missionId)?.[0]);
  await using gateway = await Gateway.before(url, {
    told: (status) =>
      status.state === 'done' ? { ...status, ...falsehoods[numberOf(status.mission_id)]?.told(status) } : status,
  });
  const missions = falsehoods.length;
  const { code, summary } = await simulated(callboard(['simulate', '--url', gateway.url, '--missions', `${missions}`]));
  const { ok, done, not_as_they_should } = summary;
  assert.deepEqual(
    { code, ok, done, not_as_they_should },
    { code: 1, ok: false, done: 0, not_as_they_should: missions },
  );
  for (const [number, { what, problem }] of falsehoods.entries())
    await t.test(what, () => {
      const told = summary.problems.find((text) => numberOf(/^mission \S+/.exec(text)?.[0] ?? '') === number);
      assert.match(told ?? 'nothing', problem);
    });
});

test('it ends with exit code 1 where another answer than its own comes to an executor', async () => {
  await using gateway = await Gateway.before(url, { asked: (text) => text.replace('Yes, go on.', 'No, go home') });
  const { code, summary } = await simulated(callboard(['simulate', '--url', gateway.url, '--missions', '2']));
  assert.match(summary.problems.join('\n'), /\(question\): state is failed.*error is it was answered "No, go home"/);
  assert.deepEqual({ code, done: summary.done }, { code: 1, done: 1 });
});

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
  for (const id of gateway.missionIds) assert.match((await mission(id)).state, /^(done|failed)$/);
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
    /^callboard simulate: GET \/api\/v1\/executors: 404, not an answer of Callboard: is --url right\?\n$/,
  );
  assert.equal(code, 1);
});

test('it ends with exit code 1 where Callboard stays away', async () => {
  const { code, summary } = await simulated(abandoned);
  assert.match(summary.problems.join('\n'), /has had no connection for 30 s: /);
  assert.deepEqual({ code, ok: summary.ok }, { code: 1, ok: false });
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

interface Changes {
  /** Changes what is told of a mission. */
  readonly told?: (status: MissionStatusResponse) => object;
  /** Changes what is asked; what comes of it has the same length. */
  readonly asked?: (text: string) => string;
}

/** Stands before a Callboard, notes which missions are dispatched, and can change what is told and asked. */
class Gateway {
  readonly url: string;
  /** The URL of the Callboard. */
  target: string;
  readonly missionIds: Set<string>;
  readonly #http: Server;
  readonly #sockets: Set<Socket>;
  readonly #news: EventEmitter;

  private constructor(http: Server, target: string, missionIds: Set<string>, sockets: Set<Socket>, news: EventEmitter) {
    this.url = urlOf(http);
    this.target = target;
    this.missionIds = missionIds;
    this.#http = http;
    this.#sockets = sockets;
    this.#news = news;
  }

  static async before(
    target: string,
    { told = (status) => status, asked = (text) => text }: Changes = {},
  ): Promise<Gateway> {
    const missionIds = new Set<string>();
    const sockets = new Set<Socket>();
    const news = new EventEmitter();
    const http = createServer((incoming, answer) => {
      const route = incoming.url ?? '';
      const { method, headers } = incoming;
      const outgoing = request(new URL(route, gateway.target), { method, headers }, async (response) => {
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
      incoming.setEncoding('utf8');
      incoming.on('data', (text: string) => outgoing.write(asked(text)));
      incoming.on('end', () => outgoing.end());
    });
    http.on('upgrade', (incoming, socket: Socket, head) => {
      const { hostname, port } = new URL(gateway.target);
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
    const gateway = new Gateway(http, target, missionIds, sockets, news);
    return gateway;
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
