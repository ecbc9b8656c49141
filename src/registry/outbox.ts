/**
 * The outbox: what executors' actors are told and must not miss. What a thread that is far behind does not take waits
 * here; what would be lost should a thread die is kept here, to be told again.
 */
import type { ExecutorMessage } from '../../actors/executor.js';
import type { System } from '../actor/index.js';
import { isTerminal, type MissionState } from '../contract/index.js';
import type { Directory } from './directory.js';
import type { ExecutorActors } from './executor-actors.js';

export class Outbox<Kept> {
  readonly #system: System;
  readonly #directory: Directory;
  readonly #actors: ExecutorActors<Kept>;
  /** By thread that is far behind: what it did not take, in order, for when it has caught up. */
  readonly #refused = new Map<number, { executorId: string; message: ExecutorMessage<Kept> }[]>();
  /** By mission: what was decided about it here and no report has confirmed. */
  readonly #decided = new Map<string, { executorId: string; message: ExecutorMessage<Kept> }>();
  /** By executor that left with live missions: what tells its actor. */
  readonly #departed = new Map<string, ExecutorMessage<Kept>>();

  constructor(system: System, directory: Directory, actors: ExecutorActors<Kept>) {
    this.#system = system;
    this.#directory = directory;
    this.#actors = actors;
    system.onDrain((thread) => {
      const refused = this.#refused.get(thread) ?? [];
      this.#refused.delete(thread);
      for (const { executorId, message } of refused) this.send(executorId, message);
    });
  }

  /** Tells an executor's actor, now or as soon as its thread takes it; nobody, where nothing is known of the executor. */
  send(executorId: string, message: ExecutorMessage<Kept>): void {
    if (!this.#directory.knows(executorId)) return;
    const ref = this.#actors.ref(executorId);
    const thread = this.#system.threadOf(ref) ?? 0;
    const refused = this.#refused.get(thread);
    if (refused !== undefined) refused.push({ executorId, message });
    else if (!this.#system.tell(ref, message)) this.#refused.set(thread, [{ executorId, message }]);
  }

  /** As `send`, for what a report will confirm. */
  decide(missionId: string, executorId: string, message: ExecutorMessage<Kept>): void {
    this.#decided.set(missionId, { executorId, message });
    this.send(executorId, message);
  }

  /** A report tells of a mission's state: what was decided before has come to pass, or is overtaken. */
  confirm(missionId: string, state: MissionState): void {
    const decided = this.#decided.get(missionId);
    if (decided !== undefined && (isTerminal(state) || decided.message.type === 'assigned'))
      this.#decided.delete(missionId);
  }

  /** As `send`, for an executor that leaves live missions behind: it holds until the executor is back. */
  depart(executorId: string, message: ExecutorMessage<Kept>): void {
    this.#departed.set(executorId, message);
    this.send(executorId, message);
  }

  /** An executor is back: what its departure meant for its missions no longer holds. */
  returned(executorId: string): void {
    this.#departed.delete(executorId);
  }

  /** An executor has left, or a mission was forgotten: if that was the last that is known of it, its actor ends. */
  release(executorId: string): void {
    if (this.#directory.knows(executorId)) return;
    this.#departed.delete(executorId);
    for (const [thread, refused] of this.#refused)
      this.#refused.set(
        thread,
        refused.filter((one) => one.executorId !== executorId),
      );
    this.#actors.stop(executorId);
  }

  /** An executor's actor has started again, its thread having died: tells it what may have been lost. */
  sendAgain(executorId: string): void {
    for (const decided of this.#decided.values())
      if (decided.executorId === executorId) this.send(executorId, decided.message);
    const departed = this.#departed.get(executorId);
    if (departed !== undefined) this.send(executorId, departed);
  }
}
