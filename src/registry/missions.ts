/** Missions, as programs and operators see them: what is decided about them here, and what is asked of their actors. */
import type { ExecutorMessage } from '../../actors/executor.js';
import type { MissionView, OperatorTarget, Outcome, Refusal } from '../../actors/mission.js';
import type { Ref } from '../actor/index.js';
import { isTerminal, type MissionRecord, type OperatorAction } from '../contract/index.js';
import type { Directory, MissionEntry } from './directory.js';
import type { RegistryEvent } from './events.js';
import type { ExecutorActors, Inquiry } from './executor-actors.js';
import type { Outbox } from './outbox.js';
import type { Stage } from './stage.js';
import { recordOf, statusText } from './views.js';

export interface MissionsOptions<Kept> {
  readonly directory: Directory;
  readonly actors: ExecutorActors<Kept>;
  readonly outbox: Outbox<Kept>;
  readonly emit: (event: RegistryEvent) => void;
  /** Now, as ISO 8601. */
  readonly timestamp: () => string;
}

export class Missions<Kept> {
  readonly #stage: Stage<Kept>;
  readonly #directory: Directory;
  readonly #actors: ExecutorActors<Kept>;
  readonly #outbox: Outbox<Kept>;
  readonly #emit: (event: RegistryEvent) => void;
  readonly #timestamp: () => string;

  constructor(stage: Stage<Kept>, { directory, actors, outbox, emit, timestamp }: MissionsOptions<Kept>) {
    this.#stage = stage;
    this.#directory = directory;
    this.#actors = actors;
    this.#outbox = outbox;
    this.#emit = emit;
    this.#timestamp = timestamp;
  }

  /** Creates a mission, unless there is one of that id. @returns false if there is */
  create(missionId: string, executorId: string, state: 'queued' | 'assigned'): boolean {
    const at = this.#timestamp();
    const mission = { missionId, executorId, state, createdAt: at, updatedAt: at };
    if (!this.#directory.addMission(mission)) return false;
    this.#outbox.send(executorId, { type: 'create', mission });
    return true;
  }

  /** An executor took a mission: creates it if it is not there yet. One that is another's stays so. */
  assign(missionId: string, executorId: string): void {
    if (!this.create(missionId, executorId, 'assigned')) {
      const mission = this.#directory.missions.get(missionId);
      if (mission?.executorId !== executorId) return;
      // In any other state it has shown by itself that the executor has it.
      if (mission.state === 'queued') this.#outbox.decide(missionId, executorId, { type: 'assigned', missionId });
    }
    this.#emit(['mission:assigned', { missionId, executorId }]);
  }

  fail(missionId: string, error: string): void {
    const entry = this.#directory.missions.get(missionId);
    if (entry && !isTerminal(entry.state))
      this.#outbox.decide(missionId, entry.executorId, { type: 'fail', missionId, error });
  }

  /** A mission as programs see it, or undefined if there is none such. */
  look(missionId: string): Inquiry<MissionRecord> | undefined {
    return this.#look(missionId, (view, entry) => (view ? this.#stage.record(view) : recordOf(entry)));
  }

  /** A mission as the JSON text of a `mission_status_response`: the texts of its events need not be parsed for that. */
  status(missionId: string): Inquiry<string> | undefined {
    return this.#look(missionId, (view, entry) =>
      view ? statusText(view, this.#stage.texts(view)) : statusText(recordOf(entry), []),
    );
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
    return this.#request(missionId, 'hitl_not_pending', (replyTo) => ({
      type: 'respond',
      missionId,
      hitlId,
      response,
      replyTo,
    }));
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

  /** @param over the refusal where the mission was over when its actor was lost, so that none was started again */
  #request(
    missionId: string,
    over: Refusal,
    message: (replyTo: Ref<Outcome>) => ExecutorMessage<Kept>,
  ): Inquiry<Outcome> {
    const refused = { ok: false, error: 'mission_not_found' } as const;
    const entry = this.#directory.missions.get(missionId);
    if (entry === undefined) return { now: () => refused, later: () => Promise.resolve(refused) };
    return this.#actors.inquire(entry.executorId, message, (outcome: Outcome) =>
      !outcome.ok && outcome.error === 'mission_not_found' ? { ok: false, error: over } : outcome,
    );
  }
}
