/** What a server has promised about missions, whatever happens to it; and what is found after it was killed. */
import assert from 'node:assert/strict';
import * as v from 'valibot';
import { isTerminal, type MissionState, missionStatusResponseSchema } from '#src/contract/index.js';
import { assertError, post, type Served, send } from './helpers.js';

const eventSchema = v.looseObject({ event: v.string(), ts: v.string(), data: v.record(v.string(), v.unknown()) });
const pageSchema = v.object({ events: v.array(eventSchema), next_after: v.optional(v.number()) });
export type SentEvent = v.InferOutput<typeof eventSchema>;

/** One thing that was done about a mission, in the order in which it was. */
interface Step {
  /** The state that it leads to. */
  readonly state: MissionState;
  /** The event, where it is one of the mission's executor. */
  readonly event?: SentEvent;
  /** It is known that the server has it: since when (`performance.now`)… */
  seenAt?: number;
  /** …or for good, by an answer in the 200s. */
  answered?: boolean;
}

/** A mission, and what the server may and must say of it. Whoever drives it does one thing about it at a time. */
export class PromisedMission {
  readonly missionId: string;
  readonly executorId: string;
  readonly payload: Record<string, unknown>;
  /** To its dispatch, if that was answered in the 200s. */
  answer: unknown;
  /** Questions of which an operator's answer was accepted. */
  readonly closed: string[] = [];
  /** Events that were there after the last restart: they stay. */
  #history: readonly SentEvent[] = [];
  /** Since then; the first is how it stood. Empty: it is not even known whether it exists. */
  #steps: Step[] = [];
  /** Something happened since it was last looked at. */
  touched = true;

  constructor(missionId: string, executorId: string) {
    this.missionId = missionId;
    this.executorId = executorId;
    this.payload = {
      mission_id: missionId,
      objective: `o of ${missionId}`,
      completion: 'c',
      executor_filter: { executor_id: executorId },
    };
  }

  get exists(): boolean {
    return this.#steps.length > 0;
  }

  /** The state that it has unless something is under way. */
  get state(): MissionState {
    return this.#steps.at(-1)?.state ?? 'queued';
  }

  get eventCount(): number {
    return this.#history.length + this.#steps.filter(({ event }) => event !== undefined).length;
  }

  /** How many of its events a GET shows that shows one of this time as the latest. */
  shownUpTo(ts: string): number {
    const since = this.#steps.filter(({ event }) => event !== undefined && event.ts <= ts).length;
    return Math.min(50, this.#history.length + since);
  }

  /** The question that was asked last. */
  get question(): string {
    const events = [...this.#history, ...this.#steps.flatMap(({ event }) => event ?? [])];
    return String(events.findLast(({ event }) => event === 'mission.hitl_required')?.data.hitl_id);
  }

  /** Something is done that may take effect from now on. @returns says that an answer in the 200s has come */
  begin(state: MissionState): () => void {
    const step: Step = { state };
    this.#steps.push(step);
    this.touched = true;
    return () => {
      step.answered = true;
    };
  }

  /** Its dispatch was answered with 202. */
  dispatched(answer: unknown): void {
    this.answer = answer;
    this.#steps = [{ state: 'assigned', answered: true }];
    this.touched = true;
  }

  sent(event: SentEvent, state = this.state): void {
    this.#steps.push({ state, event });
    this.touched = true;
  }

  /** The server has shown that it has what its executor sent up to this time. */
  seen(ts: string): void {
    for (const step of this.#steps)
      if (step.event !== undefined && step.event.ts <= ts) step.seenAt ??= performance.now();
  }

  /**
   * Holds the server, which has started again, against what it promised; from here on, what it says stands.
   * @param durableUntil events that it had by then must be there (`performance.now`)
   * @returns how many of the events since the last restart had to be there, and how many were
   */
  async check(server: Served, durableUntil: number, pageSize: number): Promise<{ owed: number; found: number }> {
    const where = `mission ${this.missionId}`;
    const url = `${server.url}/api/v1/missions/${this.missionId}`;
    const { status, body } = await send(url);
    if (!this.exists && status === 404) return { owed: 0, found: 0 };
    assert.equal(status, 200, where);
    const mission = v.parse(missionStatusResponseSchema, body);
    assert.equal(mission.executor_id, this.executorId, where);
    if (!this.exists) {
      // Its dispatch was not answered: it may have come as far as this, and is whole.
      assert.ok(['queued', 'assigned', 'failed'].includes(mission.state), `${where} is ${mission.state}`);
      this.#steps = [{ state: mission.state, answered: true }];
    }

    const events = await this.#events(url, pageSize);
    const since = this.#steps.flatMap(({ event }) => event ?? []);
    const found = events.length - this.#history.length;
    assert.deepEqual(events, [...this.#history, ...since].slice(0, events.length), `${where}: its events`);
    assert.deepEqual(mission.recent_events ?? [], events.slice(-50), `${where}: its recent events`);
    const isOwed = (step: Step): boolean =>
      step.answered === true || (step.seenAt !== undefined && step.seenAt <= durableUntil);
    const owed = this.#steps.filter((step) => step.event !== undefined && isOwed(step)).length;
    assert.ok(found >= owed, `${where}: of ${since.length} events ${owed} had to be there, and ${found} are`);

    const latest = found === 0 ? 0 : this.#steps.findIndex(({ event }) => event === since[found - 1]);
    const certain = this.#steps.findLastIndex(isOwed);
    // The last thing that took effect is none before these, and no event that changed its state is missing up to it.
    const possible = new Set<string>();
    for (let at = latest; at < this.#steps.length; at++) {
      const step = this.#steps[at];
      if (at > latest && step?.event !== undefined && step.state !== this.#steps[at - 1]?.state) break;
      if (at >= certain && step !== undefined) possible.add(step.state);
    }
    const told = this.#steps.map((step) => `${step.event?.event ?? 'wish'}→${step.state}${isOwed(step) ? '!' : ''}`);
    assert.ok(
      possible.has(mission.state),
      `${where} is ${mission.state}, not ${[...possible]}: ${told}; ${found} found`,
    );
    assert.equal(mission.completed_at !== undefined, isTerminal(mission.state), where);
    const done = events.find(({ event }) => event === 'mission.completed');
    if (mission.state === 'done') assert.equal(mission.exit_code, done?.data.exit_code, where);
    const started = events.findLast(({ event }) => event === 'mission.started');
    assert.equal(mission.pty_session_ref, started?.data.pty_session_id, where);

    this.#history = events;
    this.#steps = [{ state: mission.state, answered: true }];
    this.touched = false;
    await this.#checkAnswers(server, url);
    return { owed, found };
  }

  /** What was answered in the 200s holds. */
  async #checkAnswers(server: Served, url: string): Promise<void> {
    const dispatch = `${server.url}/api/v1/sessions/s/dispatch`;
    if (this.answer !== undefined) {
      const again = await post(dispatch, this.payload);
      assert.deepEqual([again.status, again.body], [202, this.answer], this.missionId);
    }
    assertError(await post(dispatch, { ...this.payload, objective: 'another' }), 'mission_exists');
    const hitl_id = this.closed.at(-1);
    if (hitl_id !== undefined)
      assertError(await post(`${url}/hitl_response`, { hitl_id, response: 'once more' }), 'hitl_not_pending');
  }

  async #events(url: string, limit: number): Promise<SentEvent[]> {
    const events: SentEvent[] = [];
    for (let after: number | undefined = 0; after !== undefined; ) {
      const { status, body } = await send(`${url}/events?after=${after}&limit=${limit}`);
      assert.equal(status, 200);
      const page: v.InferOutput<typeof pageSchema> = v.parse(pageSchema, body);
      assert.ok(page.events.length <= limit);
      assert.equal(page.next_after ?? after + page.events.length, after + page.events.length);
      events.push(...page.events);
      after = page.next_after;
    }
    return events;
  }
}
