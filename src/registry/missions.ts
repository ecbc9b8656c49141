/** Missions, as programs and operators see them: what is decided about them here, and what is asked of their actors. */
import type { ExecutorMessage } from '../../actors/executor.js';
import { RECENT_EVENTS } from '../../actors/history.js';
import type { MissionView, OperatorTarget, Outcome, Refusal } from '../../actors/mission.js';
import type { Ref } from '../actor/index.js';
import { isTerminal, type MissionRecord, type MissionsQuery, type OperatorAction } from '../contract/index.js';
import type { KeptMission } from '../store/kept.js';
import type { EventPage } from '../store/reader.js';
import type { Store } from '../store/store.js';
import type { Found } from '../store/thread.js';
import type { Directory, MissionEntry } from './directory.js';
import type { RegistryEvent } from './events.js';
import type { ExecutorActors, Inquiry } from './executor-actors.js';
import type { Outbox } from './outbox.js';
import type { Stage } from './stage.js';
import { recordOf, statusText, storedRecordOf } from './views.js';

export interface MissionsOptions<Kept> {
  readonly directory: Directory;
  readonly actors: ExecutorActors<Kept>;
  readonly outbox: Outbox<Kept>;
  readonly emit: (event: RegistryEvent) => void;
  /** Now, as ISO 8601. */
  readonly timestamp: () => string;
  /** Keeps missions and their events. */
  readonly store: Store | undefined;
}

/** What a mission was dispatched with over REST. */
export type Dispatched = Pick<KeptMission, 'sessionId' | 'payload'>;

type Sighting<Kept> =
  | { readonly view: MissionView<Kept>; readonly earlier: readonly string[] }
  | Found
  | Readonly<MissionEntry>;

export class Missions<Kept> {
  readonly #stage: Stage<Kept>;
  readonly #directory: Directory;
  readonly #actors: ExecutorActors<Kept>;
  readonly #outbox: Outbox<Kept>;
  readonly #emit: (event: RegistryEvent) => void;
  readonly #timestamp: () => string;
  readonly #store: Store | undefined;
  #latest = 0;

  constructor(stage: Stage<Kept>, { directory, actors, outbox, emit, timestamp, store }: MissionsOptions<Kept>) {
    this.#stage = stage;
    this.#directory = directory;
    this.#actors = actors;
    this.#outbox = outbox;
    this.#emit = emit;
    this.#timestamp = timestamp;
    this.#store = store;
  }

  /** Creates a mission, unless there is one of that id. @returns its number; undefined if there is */
  create(
    missionId: string,
    executorId: string,
    state: 'queued' | 'assigned',
    dispatched: Dispatched = {},
  ): number | undefined {
    if (this.#directory.missions.has(missionId)) return undefined;
    const at = this.#timestamp();
    const number = this.#store?.nextNumber() ?? ++this.#latest;
    const mission = { missionId, executorId, state, createdAt: at, updatedAt: at, number };
    this.#directory.addMission(mission);
    this.#store?.keep({
      type: 'mission',
      number,
      mission: { missionId, executorId, createdAt: at, ...dispatched },
      state: { state, updatedAt: at, events: 0 },
    });
    this.#outbox.send(executorId, { type: 'create', mission });
    return number;
  }

  /** Takes back a mission that could not be kept: from here on there is none such. */
  withdraw(missionId: string): void {
    this.#directory.setState(missionId, 'failed', this.#timestamp());
    const mission = this.#directory.forgetMission(missionId);
    if (mission === undefined) return;
    this.#outbox.send(mission.executorId, { type: 'forget', missionId });
    this.#outbox.release(mission.executorId);
    this.#store?.keep({ type: 'mission-gone', number: mission.number });
  }

  /** An executor took a mission: creates it if it is not there yet. One that is another's stays so. */
  assign(missionId: string, executorId: string): void {
    if (this.create(missionId, executorId, 'assigned') === undefined) {
      const mission = this.#directory.missions.get(missionId);
      if (mission?.executorId !== executorId) return;
      // In any other state it has shown by itself that the executor has it.
      if (mission.state === 'queued') this.#outbox.decide(missionId, executorId, { type: 'assigned', missionId });
    }
    this.#emit(['mission:assigned', { missionId, executorId }]);
  }

  /** An executor took a mission that was suspended before it had begun, its dispatch having been replayed. */
  reassign(missionId: string, executorId: string): void {
    this.#outbox.decide(missionId, executorId, { type: 'assigned', missionId });
    this.#emit(['mission:assigned', { missionId, executorId }]);
  }

  /** @param unlessBegun not if its executor has it already */
  fail(missionId: string, error: string, unlessBegun = false): void {
    const entry = this.#directory.missions.get(missionId);
    if (entry && !isTerminal(entry.state))
      this.#outbox.decide(missionId, entry.executorId, { type: 'fail', missionId, error, unlessBegun });
  }

  /** The executor's resync has left it out, and its dispatch can't be replayed: unless the executor is heard of it, it is lost. */
  doubt(missionId: string): void {
    const entry = this.#directory.missions.get(missionId);
    if (entry !== undefined) this.#outbox.send(entry.executorId, { type: 'doubt', missionId });
  }

  /** A mission as programs see it, or undefined if there is none such. Where there is a store, `record` knows more. */
  look(missionId: string): Inquiry<MissionRecord> | undefined {
    return this.#look(missionId, (view, entry) => (view ? this.#stage.record(view) : recordOf(entry)));
  }

  /** A mission as programs see it, be it in memory or in the store; undefined if there is none such. */
  async record(missionId: string): Promise<MissionRecord | undefined> {
    const found = await this.#find(missionId);
    if (found === undefined) return undefined;
    if ('view' in found) return this.#stage.record(found.view, found.earlier);
    return 'texts' in found ? storedRecordOf(found) : recordOf(found);
  }

  /** Whether the store has a mission that is not in memory. */
  async isStored(missionId: string): Promise<boolean> {
    return !this.#directory.missions.has(missionId) && (await this.#store?.find(missionId)) !== undefined;
  }

  /** The same as the JSON text of a `mission_status_response`: the texts of its events need not be parsed for that. */
  async status(missionId: string): Promise<string | undefined> {
    const found = await this.#find(missionId);
    if (found === undefined) return undefined;
    if ('view' in found) return statusText(found.view, [...found.earlier, ...this.#stage.texts(found.view)]);
    if ('texts' in found) return statusText(storedRecordOf({ ...found, texts: [] }), found.texts);
    return statusText(recordOf(found), []);
  }

  /**
   * Missions in the order of their creation, each as the JSON text of a `mission_status_response` without its events.
   * @returns undefined where that can't be said: without a store, nobody remembers sessions
   */
  async list(query: MissionsQuery): Promise<{ missions: readonly string[]; next: number | undefined } | undefined> {
    const { state, executor_id: executorId, session_id: sessionId, since, limit, cursor } = query;
    const from = since === undefined ? undefined : Date.parse(since);
    if (this.#store !== undefined) {
      const filter = {
        ...(state !== undefined && { state }),
        ...(executorId !== undefined && { executorId }),
        ...(sessionId !== undefined && { sessionId }),
        ...(from !== undefined && { since: from }),
      };
      const { missions, next } = await this.#store.list(filter, cursor, limit);
      return { missions: missions.map((found) => statusText(storedRecordOf({ ...found, texts: [] }))), next };
    }
    if (sessionId !== undefined) return undefined;
    const missions: string[] = [];
    for (const entry of this.#directory.missions.values()) {
      if (entry.number <= cursor || (state !== undefined && entry.state !== state)) continue;
      if (executorId !== undefined && entry.executorId !== executorId) continue;
      if (from !== undefined && Date.parse(entry.createdAt) < from) continue;
      if (missions.push(statusText(recordOf(entry))) === limit) return { missions, next: entry.number };
    }
    return { missions, next: undefined };
  }

  /** A mission's events, oldest first, from the store where there is one; undefined if there is no such mission. */
  async history(missionId: string, after: number, limit: number): Promise<EventPage | undefined> {
    const entry = this.#directory.missions.get(missionId);
    const view = await this.#look(missionId, (seen) => seen)?.later();
    const store = this.#store;
    if (store === undefined) {
      if (entry === undefined) return undefined;
      const texts = view ? this.#stage.texts(view) : [];
      const next = texts.length > after + limit ? after + limit : undefined;
      return { texts: texts.slice(after, after + limit), next };
    }
    if (view?.stored === undefined) {
      const number = (await store.find(missionId))?.number;
      return number === undefined ? undefined : store.history(number, after, limit, undefined);
    }
    const { number, latest, durable } = view.stored;
    // What is on its way to the store is to be there; where nothing can be written, what is there has to do.
    const head = await store.kept().then(
      () => latest,
      () => durable,
    );
    return store.history(number, after, limit, head);
  }

  transition(missionId: string, target: OperatorTarget): Inquiry<Outcome> {
    return this.#request(missionId, 'mission_terminal', (replyTo) => ({
      type: 'transition',
      missionId,
      target,
      replyTo,
    }));
  }

  operate(missionId: string, action: OperatorAction): Inquiry<Outcome> {
    return this.#request(missionId, 'mission_terminal', (replyTo) => ({ type: 'operate', missionId, action, replyTo }));
  }

  respond(missionId: string, hitlId: string, response: string): Inquiry<Outcome> {
    return this.#request(
      missionId,
      'hitl_not_pending',
      (replyTo) => ({ type: 'respond', missionId, hitlId, response, replyTo }),
      hitlId,
    );
  }

  /** What is known of a mission: by its actor, with its recent events that are in the store; or by the store; or here. */
  async #find(missionId: string): Promise<Sighting<Kept> | undefined> {
    const entry = this.#directory.missions.get(missionId);
    const view = await this.#look(missionId, (seen) => seen)?.later();
    if (view === undefined) return (await this.#store?.find(missionId)) ?? entry;
    const wanted = RECENT_EVENTS - view.recentEvents.length;
    const { number, durable } = view.stored ?? {};
    if (number === undefined || durable === undefined || wanted <= 0) return { view, earlier: [] };
    return { view, earlier: (await this.#store?.recent(number, durable, wanted)) ?? [] };
  }

  #look<Answer>(
    missionId: string,
    map: (view: MissionView<Kept> | undefined, entry: Readonly<MissionEntry>) => Answer,
  ): Inquiry<Answer> | undefined {
    const entry = this.#directory.missions.get(missionId);
    return (
      entry &&
      this.#actors.inquire(
        entry.executorId,
        (replyTo: Ref<MissionView<Kept> | undefined>) => ({ type: 'look', missionId, replyTo }),
        (view) => map(view, entry),
      )
    );
  }

  /**
   * @param over the refusal where the mission is over and has no actor any more: it was lost, or is in the store only
   * @param hitlId the question that is answered, if one is
   */
  #request(
    missionId: string,
    over: Refusal,
    message: (replyTo: Ref<Outcome>) => ExecutorMessage<Kept>,
    hitlId?: string,
  ): Inquiry<Outcome> {
    const entry = this.#directory.missions.get(missionId);
    if (entry === undefined)
      return {
        now: () => ({ ok: false, error: 'mission_not_found' }),
        later: async () => {
          const found = await this.#store?.find(missionId);
          if (found === undefined) return { ok: false, error: 'mission_not_found' };
          const isExpired = hitlId !== undefined && found.state.expired === hitlId;
          return { ok: false, error: isExpired ? 'hitl_expired' : over };
        },
      };
    return this.#actors.inquire(entry.executorId, message, (outcome: Outcome) =>
      !outcome.ok && outcome.error === 'mission_not_found' ? { ok: false, error: over } : outcome,
    );
  }
}
