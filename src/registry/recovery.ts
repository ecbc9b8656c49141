/**
 * Recovery: what the store holds of executors and missions is taken up again, all of it after a restart, and an
 * executor's missions after its thread has died.
 */
import type { Report } from '../../actors/messages.js';
import type { MissionStart } from '../../actors/mission.js';
import { isTerminal } from '../contract/index.js';
import type { Store } from '../store/store.js';
import type { Standing } from '../store/writer.js';
import type { Directory, MissionEntry } from './directory.js';
import type { ExecutorActors } from './executor-actors.js';
import type { IdentityStore } from './identity-store.js';
import type { Outbox } from './outbox.js';
import type { Questions } from './questions.js';

export interface RecoveryOptions<Kept> {
  readonly store: Store;
  readonly directory: Directory;
  readonly identities: IdentityStore;
  readonly actors: ExecutorActors<Kept>;
  readonly outbox: Outbox<Kept>;
  readonly questions: Questions;
  /** Told of executors that are back, and not connected. */
  readonly onAbsent: (executorId: string) => void;
  /** Told what actors had no time to report. */
  readonly onReport: (report: Report) => void;
}

export class Recovery<Kept> {
  readonly #options: RecoveryOptions<Kept>;
  /** Executors whose missions are being found in the store, and the latest such search. */
  readonly #recovering = new Map<string, object>();

  constructor(options: RecoveryOptions<Kept>) {
    this.#options = options;
  }

  /**
   * Takes up what the store holds: executors, and the missions that are not over, which wait in their last state.
   * @param progress told how many missions are back, of how many
   */
  async restore(progress: (done: number, of: number) => void): Promise<void> {
    const { store, directory, identities, actors, outbox, onAbsent } = this.#options;
    const { executors, live } = store;
    for (const kept of executors) {
      const token = identities.restore(kept.executorId, kept.token);
      if (kept.left !== undefined) continue;
      directory.restore({ ...kept, token });
      onAbsent(kept.executorId);
    }
    let done = 0;
    for await (const page of store.standing(live)) {
      for (const standing of page) {
        const { executorId } = standing;
        // Its actor starts without missions: these follow.
        actors.ref(executorId);
        directory.addMission(entryOf(standing));
        this.#noteQuestion(standing);
        outbox.send(executorId, { type: 'create', mission: startOf(standing) });
      }
      done += page.length;
      progress(done, live.length);
    }
    // What the crash left undone.
    for (const { executorId, left } of executors)
      if (left !== undefined && directory.liveMissions(executorId).some(({ state }) => state !== 'suspended'))
        outbox.depart(executorId, { type: 'left', resumable: left === 'suspended' });
  }

  /** Gives an executor's actor, which has started again, the missions it had, as the store has them. */
  async recover(executorId: string, entries: readonly Readonly<MissionEntry>[]): Promise<void> {
    const { store, directory, outbox, onReport } = this.#options;
    const missions: MissionStart[] = [];
    // Should its thread die again meanwhile, this is no longer its business.
    const turn = {};
    this.#recovering.set(executorId, turn);
    try {
      const numbers = entries.map(({ number }) => number);
      for await (const page of store.standing(numbers))
        for (const standing of page) {
          missions.push(startOf(standing));
          if (!isTerminal(standing.state.state)) this.#noteQuestion(standing);
        }
    } catch {
      // The store is lost: what is known here has to do.
      for (const entry of entries) missions.push(entry);
    }
    if (this.#recovering.get(executorId) !== turn) return;
    this.#recovering.delete(executorId);
    const live = missions.filter(({ state }) => !isTerminal(state));
    outbox.send(executorId, { type: 'recovered', missions: live });
    // What its actor had no time to report.
    for (const { missionId, state, updatedAt } of missions) {
      const prevState = directory.missions.get(missionId)?.state;
      if (prevState !== undefined && prevState !== state)
        onReport({ type: 'state', missionId, executorId, state, prevState, at: updatedAt });
    }
  }

  #noteQuestion({ missionId, number, state: { question, updatedAt } }: Standing): void {
    const { questions } = this.#options;
    if (question === undefined) questions.close(missionId);
    else questions.open(missionId, number, question.askedAt ?? updatedAt);
  }
}

const entryOf = ({ missionId, executorId, createdAt, number, state }: Standing): MissionEntry => ({
  missionId,
  executorId,
  state: state.state,
  createdAt,
  updatedAt: state.updatedAt,
  number,
});

const startOf = (standing: Standing): MissionStart => ({
  ...entryOf(standing),
  kept: { state: standing.state, head: standing.head },
});
