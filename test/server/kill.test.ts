/**
 * What a server has promised holds when its process is killed at any moment: SIGKILL under load, again and again, on the
 * same folder. The executors and operators are this process, over real sockets.
 */
import assert from 'node:assert/strict';
import { randomInt, randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import * as v from 'valibot';
import type { MissionState } from '#src/contract/index.js';
import { dial, type Executor, endpoint, post, registration, type Scope, send } from './helpers.js';
import { PromisedMission, type SentEvent } from './promised.js';
import { ServerProcess } from './server-process.js';

/** Servers that are killed side by side, so that no core waits; and how often each is. */
const WORLDS = 2;
const KILLS = 25;
const FLUSH_INTERVAL = 20;
/** Executors with missions, and missions under way, of one server. */
const EXECUTORS = 2;
const AT_ONCE = 4;
/** Missions that are over and are looked at again after a restart; all are at the end. */
const SAMPLE = 2;

type Random = () => number;

/** A small source of random numbers (mulberry32), the same for the same seed. */
function randomOf(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const upTo = (random: Random, most: number): number => Math.floor(random() * (most + 1));
const oneOf = <Value>(random: Random, ...values: Value[]): Value => {
  const value = values[upTo(random, values.length - 1)];
  assert.ok(value !== undefined);
  return value;
};
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const listSchema = v.object({
  missions: v.array(v.object({ mission_id: v.string(), state: v.string() })),
  next_cursor: v.optional(v.string()),
});
const registeredSchema = v.object({ token: v.string() });
const statusSchema = v.object({ name: v.string(), last_event_ts: v.optional(v.string()) });

/** The server was killed while something was asked of it: nobody knows what came of it. */
class Killed extends Error {}

interface Counts {
  kills: number;
  answered: number;
  owed: number;
  found: number;
}

/** An executor as its operator knows it. */
interface Registered {
  readonly executorId: string;
  name: string;
  token: string;
}

/** One server, and everybody around it. */
class World {
  readonly counts: Counts = { kills: 0, answered: 0, owed: 0, found: 0 };
  readonly #t: Scope;
  readonly #seed: number;
  readonly #random: Random;
  readonly #server: ServerProcess;
  readonly #executors: Registered[] = [];
  readonly #gone: string[] = [];
  readonly #missions: PromisedMission[] = [];
  /** By executor: the dispatches that it was sent. */
  readonly #taken = new Map<string, string[]>();
  #connections: Executor[] = [];
  #rest = '';
  /** The server is being killed: whoever drives a mission stops. */
  #down = false;
  /** Nothing is asked that has the server write at once: events become durable by themselves, or do not. */
  #quiet = false;
  /** What the slowest of the latest answers took, in ms, each of which waits for a commit; or a write to this disk, in turn. */
  #slowest = 0;
  #clock = Date.parse('2026-01-01T00:00:00Z');
  #failure: unknown;

  constructor(t: Scope, seed: number, server: ServerProcess) {
    this.#t = t;
    this.#seed = seed;
    this.#random = randomOf(seed);
    this.#server = server;
  }

  async run(): Promise<void> {
    this.#rest = await endpoint(this.#t, (_, response, body) => {
      const { mission_id, executor_filter } = JSON.parse(body);
      const taken = this.#taken.get(executor_filter.executor_id) ?? [];
      this.#taken.set(executor_filter.executor_id, taken);
      taken.push(mission_id);
      response.end('{"estimated_start":"2026-01-31T12:00:00Z"}');
    });
    await this.#server.start();
    for (let count = 0; count < EXECUTORS; count++) await this.#register(randomUUID());
    while (this.counts.kills < KILLS) await this.#round();
    // A clean stop, and all of it once more.
    await this.#server.stop();
    await this.#server.start();
    for (const mission of this.#missions) mission.touched = true;
    await this.#check(performance.now());
    await this.#server.stop();
  }

  /** From one kill to the next. */
  async #round(): Promise<void> {
    this.#down = false;
    this.#quiet = false;
    this.#failure = undefined;
    this.#slowest *= 0.8;
    const random = this.#random;
    this.#connections = await Promise.all(
      this.#executors
        .slice(0, EXECUTORS)
        .map(({ executorId, token }) => dial(this.#t, this.#server, executorId, token)),
    );
    const work = [
      ...Array.from({ length: AT_ONCE }, (_, index) => this.#drive(index)),
      this.#comeAndGo(),
      ...this.#connections.map((connection) => this.#watch(connection)),
    ].map((one) =>
      one.catch((error: unknown) => {
        if (!(error instanceof Killed)) this.#failure ??= error;
      }),
    );
    await pause(upTo(random, 250));
    if (random() < 0.5) {
      this.#quiet = true;
      work.push(this.#witness());
      await pause(this.#margin + upTo(random, 150));
    }
    this.#down = true;
    const killedAt = performance.now();
    await this.#server.kill();
    this.counts.kills++;
    await Promise.all(work);
    for (const { ws } of this.#connections) ws.terminate();
    if (this.#failure !== undefined) throw this.#failure;
    await this.#server.start();
    await this.#check(killedAt - this.#margin);
  }

  /** While nothing is asked that waits for a commit: how long this disk and this machine have one wait. */
  async #witness(): Promise<void> {
    const file = await open(join(dirname(this.#server.dataDir), 'witness'), 'a');
    while (!this.#down) {
      const due = performance.now() + FLUSH_INTERVAL;
      await pause(FLUSH_INTERVAL);
      await file.appendFile('x');
      await file.datasync();
      this.#slowest = Math.max(this.#slowest, performance.now() - due);
    }
    await file.close();
  }

  /** How long before a kill an event must have been received to be durable, in ms: the interval, and a commit. */
  get #margin(): number {
    return FLUSH_INTERVAL + 100 + 2 * this.#slowest;
  }

  // What is done.

  /** Asks something of the server. @throws Killed if it was killed meanwhile */
  async #ask(path: string, init?: RequestInit): Promise<{ status: number; body: unknown }> {
    if (this.#down) throw new Killed();
    return send(`${this.#server.url}/api/v1/${path}`, init).catch((error: unknown) => {
      throw this.#down ? new Killed() : error;
    });
  }

  /** Has the server do something. @returns its answer, which must be in the 200s */
  async #order(path: string, body?: unknown): Promise<unknown> {
    const asked = performance.now();
    const headers = { 'content-type': 'application/json' };
    const answer = await this.#ask(path, {
      method: 'POST',
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    this.#slowest = Math.max(this.#slowest, performance.now() - asked);
    assert.ok(answer.status >= 200 && answer.status < 300, `${path}: ${JSON.stringify(answer)}`);
    this.counts.answered++;
    return answer.body;
  }

  async #register(executorId: string, name = 'first'): Promise<void> {
    const endpoints = { rest: this.#rest, ws: 'ws://127.0.0.1:9' };
    const body = await this.#order(
      'executors/register',
      registration(executorId, { name, transport_endpoints: endpoints }),
    );
    const { token } = v.parse(registeredSchema, body);
    const known = this.#executors.find((one) => one.executorId === executorId);
    if (known === undefined) this.#executors.push({ executorId, name, token });
    else {
      assert.equal(token, known.token, 'an executor keeps its token');
      known.name = name;
    }
  }

  /** Executors that register, register again, and leave. */
  async #comeAndGo(): Promise<void> {
    const random = this.#random;
    while (!this.#down) {
      await pause(upTo(random, 60));
      if (this.#quiet) continue;
      const other = this.#executors[EXECUTORS + upTo(random, this.#executors.length - EXECUTORS)];
      if (other === undefined) await this.#register(randomUUID());
      else if (random() < 0.5) {
        // What it is called is not known while it is asked.
        const { executorId } = other;
        other.name = '';
        await this.#register(executorId, `named ${upTo(random, 1_000_000)}`);
      } else {
        this.#executors.splice(this.#executors.indexOf(other), 1);
        const headers = { authorization: `Bearer ${other.token}` };
        const { status } = await this.#ask(`executors/${other.executorId}`, { method: 'DELETE', headers });
        assert.equal(status, 204);
        this.#gone.push(other.executorId);
      }
    }
  }

  /** Looks at when the server last heard of an executor: it has whatever was sent by then. */
  async #watch({ executorId }: Executor): Promise<void> {
    while (!this.#down) {
      const { body } = await this.#ask(`executors/${executorId}`);
      const { last_event_ts } = v.parse(statusSchema, body);
      if (last_event_ts !== undefined)
        for (const mission of this.#missions) if (mission.executorId === executorId) mission.seen(last_event_ts);
      await pause(10);
    }
  }

  /** Drives missions, one after the other. */
  async #drive(index: number): Promise<void> {
    const connection = this.#connections[index % EXECUTORS];
    assert.ok(connection);
    for (let count = 0; ; count++) {
      const random = randomOf(this.#seed + this.counts.kills * 1_000 + index * 100 + count);
      const mine = this.#missions.filter(
        ({ executorId, answer, state }) =>
          executorId === connection.executorId &&
          answer !== undefined &&
          !['done', 'failed', 'aborted'].includes(state),
      );
      // Those that were under way at the last kill, shared out among their executor's drivers.
      let mission = mine[count * 2 + Math.floor(index / EXECUTORS)];
      if (mission === undefined) {
        while (this.#quiet) {
          if (this.#down) throw new Killed();
          await pause(5);
        }
        mission = new PromisedMission(randomUUID(), connection.executorId);
        this.#missions.push(mission);
        mission.dispatched(await this.#dispatch(mission));
      }
      const isLong = random() < 0.3;
      for (; !['done', 'failed', 'aborted'].includes(mission.state); await pause(upTo(random, 4)))
        await this.#step(mission, connection, random, isLong);
    }
  }

  async #dispatch(mission: PromisedMission): Promise<unknown> {
    return this.#order('sessions/s/dispatch', mission.payload);
  }

  /** One thing about a mission. */
  async #step(mission: PromisedMission, connection: Executor, random: Random, isLong: boolean): Promise<void> {
    const { state, missionId } = mission;
    const serial = mission.eventCount;
    const operate = async (action: string, to: MissionState): Promise<void> => {
      const answered = mission.begin(to);
      await this.#order(`missions/${missionId}/${action}`);
      answered();
    };
    const tell = (event: string, data: Record<string, unknown>, to?: MissionState): Promise<void> => {
      const sent = this.#send(mission, connection, event, data, to);
      return this.#hears(mission, sent);
    };
    const progress = async (): Promise<void> => {
      let last: SentEvent | undefined;
      for (let count = 1 + upTo(random, isLong ? 40 : 8); count > 0; count--) {
        const summary = 'ä'.repeat(random() < 0.1 ? upTo(random, 3_000) : upTo(random, 20));
        last = this.#send(mission, connection, 'mission.progress', { iteration: mission.eventCount, summary });
      }
      if (last !== undefined && random() < 0.7) await this.#hears(mission, last);
      else await pause(0);
    };
    if (state === 'assigned')
      return tell('mission.started', { state: 'running', pty_session_id: `p${serial}` }, 'running');
    if (random() < 0.5) return progress();
    if (state === 'paused') return this.#quiet ? progress() : operate('resume', 'running');
    if (state === 'suspended') return tell('mission.reconnected', { checkpoint_id: 'c' }, 'running');
    if (state === 'hitl-required') {
      if (this.#quiet) return progress();
      const { question } = mission;
      const answered = mission.begin('running');
      await this.#order(`missions/${missionId}/hitl_response`, { hitl_id: question, response: 'yes' });
      answered();
      mission.closed.push(question);
      return;
    }
    switch (oneOf(random, 'ask', 'pause', 'suspend', isLong ? 'ask' : 'end')) {
      case 'ask':
        return tell('mission.hitl_required', { hitl_id: `h${serial}`, prompt: 'p' }, 'hitl-required');
      case 'pause':
        return this.#quiet ? progress() : operate('pause', 'paused');
      case 'suspend':
        return tell('mission.suspended', { state: 'suspended', checkpoint_id: 'c' }, 'suspended');
      default: {
        if (random() < 0.5) return tell('mission.completed', { state: 'done', exit_code: serial % 256 }, 'done');
        if (random() < 0.5 || this.#quiet) return tell('mission.failed', { state: 'failed', reason: 'r' }, 'failed');
        // What came after the abort would be none of the mission's events.
        await tell('mission.progress', { iteration: serial });
        return operate('abort', 'aborted');
      }
    }
  }

  #send(
    mission: PromisedMission,
    { executorId, ws }: Executor,
    event: string,
    data: Record<string, unknown>,
    to?: MissionState,
  ): SentEvent {
    if (this.#down) throw new Killed();
    const ts = new Date(++this.#clock).toISOString();
    const sent = { event, executor_id: executorId, mission_id: mission.missionId, ts, data };
    ws.send(JSON.stringify(sent));
    mission.sent(sent, to);
    return sent;
  }

  /** Waits until the mission shows an event, or one that came after it. */
  async #hears(mission: PromisedMission, { ts }: SentEvent): Promise<void> {
    const shown = v.object({ recent_events: v.optional(v.array(v.object({ ts: v.string() })), []) });
    // Not as often as can be: the server is to be busy with what is kept.
    for (; ; await pause(4)) {
      const { status, body } = await this.#ask(`missions/${mission.missionId}`);
      assert.equal(status, 200, JSON.stringify(body));
      const events = v.parse(shown, body).recent_events;
      const latest = events.at(-1)?.ts;
      if (latest === undefined) continue;
      // What is on its way to the disk is shown, too.
      assert.equal(events.length, mission.shownUpTo(latest), `${mission.missionId} shows only some of its events`);
      mission.seen(latest);
      if (latest >= ts) return;
    }
  }

  // What is found.

  async #check(durableUntil: number): Promise<void> {
    const random = this.#random;
    const taken = new Map([...this.#taken].map(([executorId, missions]) => [executorId, missions.length]));
    for (const { executorId, token, name } of this.#executors) {
      const headers = { authorization: `Bearer ${token}` };
      const { status, body } = await send(`${this.#server.url}/api/v1/executors/${executorId}`, { headers });
      assert.equal(status, 200, `executor ${executorId}: ${JSON.stringify(body)}`);
      if (name !== '') assert.equal(v.parse(statusSchema, body).name, name);
    }
    for (const executorId of this.#gone)
      assert.equal((await send(`${this.#server.url}/api/v1/executors/${executorId}`)).status, 404);

    const states = await this.#list();
    const ended = this.#missions.filter(({ touched }) => !touched);
    const sample = new Set(Array.from({ length: SAMPLE }, () => ended[upTo(random, ended.length - 1)]));
    for (const mission of this.#missions) {
      if (mission.touched || sample.has(mission)) {
        const { owed, found } = await mission.check(this.#server, durableUntil, 25 + upTo(random, 200));
        this.counts.owed += owed;
        this.counts.found += found;
      }
      assert.equal(states.get(mission.missionId), mission.exists ? mission.state : undefined, mission.missionId);
    }
    // Of those whose dispatch was cut off, the ones that are there may have been answered for good.
    for (const [executorId, count] of taken)
      assert.equal(this.#taken.get(executorId)?.length, count, 'a dispatch that was repeated is not sent again');
    // A mission of which nothing is there may be dispatched anew: as far as anyone knows, it never was.
    for (const mission of this.#missions.filter(({ exists }) => !exists)) {
      assert.equal((await post(`${this.#server.url}/api/v1/sessions/s/dispatch`, mission.payload)).status, 503);
      this.#missions.splice(this.#missions.indexOf(mission), 1);
    }
  }

  /** The states of all missions, by their ids. */
  async #list(): Promise<Map<string, string>> {
    const states = new Map<string, string>();
    for (let cursor: string | undefined = '0'; cursor !== undefined; ) {
      const { status, body } = await send(`${this.#server.url}/api/v1/missions?limit=100&cursor=${cursor}`);
      assert.equal(status, 200);
      const page: v.InferOutput<typeof listSchema> = v.parse(listSchema, body);
      for (const { mission_id, state } of page.missions) {
        assert.ok(!states.has(mission_id), 'a mission is listed once');
        states.set(mission_id, state);
      }
      cursor = page.next_cursor;
    }
    return states;
  }
}

test(`${WORLDS * KILLS} kills at random moments break no promise`, { timeout: 480_000 }, async (t) => {
  const seed = Number(process.env.CALLBOARD_KILL_SEED ?? randomInt(2 ** 31));
  const worlds = await Promise.all(
    Array.from({ length: WORLDS }, async (_, index) => {
      // One server's actors are on one thread, the other's on two.
      const args = ['--flush-interval', String(FLUSH_INTERVAL), '--threads', String(index + 1)];
      return new World(t, seed + index * 1_000_000, await ServerProcess.make(t, { args }));
    }),
  );
  try {
    await Promise.all(worlds.map((world) => world.run()));
  } catch (error) {
    t.diagnostic(`CALLBOARD_KILL_SEED=${seed} draws the same numbers again`);
    throw error;
  }
  for (const { counts } of worlds) {
    t.diagnostic(JSON.stringify(counts));
    assert.ok(counts.kills === KILLS && counts.answered > KILLS && counts.owed > KILLS, JSON.stringify(counts));
  }
});
