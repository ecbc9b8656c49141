/**
 * The published class: a registry of executors and their missions, synchronous, a drop-in for the one that programs of
 * the contract use today. Its actors live in the calling thread or, with `threads`, on worker threads.
 */
import { EventEmitter } from 'node:events';
import type {
  EventEnvelope,
  ExecutorFilter,
  ExecutorPickResult,
  ExecutorRegisterRequest,
  ExecutorRegisterResponse,
  ExecutorRegistration,
  ExecutorSummary,
  MissionRecord,
  WebSocketConn,
} from '../contract/index.js';
import type { EndedMissionLimits } from './ended-missions.js';
import type { RegistryEvents } from './events.js';
import { IdentityStore } from './identity-store.js';
import { localStage, threadStage } from './stage.js';
import { type DeregistrationReason, Supervisor, type SupervisorOptions } from './supervisor.js';

type AnySupervisor = Supervisor<string> | Supervisor<EventEnvelope>;

/** Unless limits are given, every ended mission is kept. */
export interface ExecutorRegistryOptions extends Partial<EndedMissionLimits> {
  /** Worker threads for the actors. Default: 0, they live in the calling thread. */
  readonly threads?: number;
}

/**
 * Registered executors, their missions and their state.
 *
 * Events: `executor:registered` `{ executorId, name }`, `executor:deregistered` `{ executorId, reason }`,
 * `mission:assigned` `{ missionId, executorId }`, `mission:state_change` `{ missionId, executorId, state, prevState }`,
 * `mission:forgotten` `{ missionId, executorId }`.
 * A listener that throws makes an uncaught exception; it does not disturb the registry.
 *
 * Making one starts no thread and touches no file: that waits until it has something to keep. With `threads`, events
 * are handed over without waiting, and every other call first lets the threads catch up, so that every answer is exact.
 * Such a call throws an `AskError` if a thread does not answer within five seconds. `shutdown` ends the threads, and
 * until then they keep the process alive.
 *
 * @example
 * const registry = new ExecutorRegistry();
 * registry.on('mission:state_change', ({ missionId, state }) => console.log(missionId, state));
 * const registered = registry.register(payload);
 */
export class ExecutorRegistry extends EventEmitter<RegistryEvents> {
  readonly #threads: number;
  readonly #endedMissions: EndedMissionLimits;
  #identities = new IdentityStore();
  #opened: AnySupervisor | undefined;
  /** What is to be done outside the actors, and how much of it has been begun. */
  readonly #outside: (() => void)[] = [];
  #begun = 0;

  constructor({
    threads = 0,
    maxEndedMissions = Number.POSITIVE_INFINITY,
    maxEndedMissionAgeMs = Number.POSITIVE_INFINITY,
  }: ExecutorRegistryOptions = {}) {
    super();
    if (!Number.isInteger(threads) || threads < 0 || threads > 255)
      throw new RangeError(`threads must be a whole number from 0 to 255, not ${threads}`);
    this.#threads = threads;
    this.#endedMissions = { maxEndedMissions, maxEndedMissionAgeMs };
  }

  /**
   * Registers an executor, or updates what a known one says of itself: it keeps its token and `registered_at`.
   * @returns what was wrong with the payload, where it is invalid, whatever that is
   */
  register(req: ExecutorRegisterRequest): ExecutorRegisterResponse | { error: string; status: 400 } {
    const registered = this.#act(this.#open(), (supervisor) => supervisor.register(req));
    if (registered.ok) return registered.response;
    return { error: JSON.stringify(registered.issues), status: 400 };
  }

  /** Removes an executor: missions of one that can resume are suspended, others fail. @returns false if unknown */
  deregister(executorId: string, reason: DeregistrationReason = 'graceful_shutdown'): boolean {
    return this.#actIfOpen((supervisor) => supervisor.deregister(executorId, reason)) ?? false;
  }

  /** Whether this is the executor's token; also that of an executor known from an earlier run. */
  authenticate(executorId: string, token: string): boolean {
    return this.#identities.matches(executorId, token);
  }

  /** Notes that an executor's event stream is connected, by `wsConn` if given, or is not. */
  setConnected(executorId: string, connected: boolean, wsConn?: WebSocketConn): void {
    this.#actIfOpen((supervisor) => supervisor.setConnected(executorId, connected, wsConn));
  }

  /** Sends an event to an executor. @returns whether an open connection took it */
  pushToExecutor(executorId: string, event: EventEnvelope): boolean {
    return this.#actIfOpen((supervisor) => supervisor.pushHandedIn(executorId, event)) ?? false;
  }

  /** Takes in an event of an executor. One that is invalid, or for a mission not its own, is dropped. Never throws. */
  handleEvent(envelope: EventEnvelope): void {
    const supervisor = this.#opened;
    if (supervisor === undefined) return;
    const thread = supervisor.handleEvent(envelope);
    if (thread !== undefined) supervisor.system.drainNow(thread);
    this.#finish(supervisor);
  }

  /** Creates the record of a mission that an executor has taken, or marks it so. */
  assignMission(missionId: string, executorId: string): MissionRecord {
    return this.#act(this.#open(), (supervisor) => {
      supervisor.missions.assign(missionId, executorId);
      const mission = supervisor.missions.look(missionId);
      if (mission === undefined) throw new Error(`mission ${missionId} could not be created`);
      return mission.now();
    });
  }

  /** Marks a live mission as failed. */
  failMission(missionId: string, error: string): void {
    this.#actIfOpen((supervisor) => supervisor.missions.fail(missionId, error));
  }

  /** A mission: the live record, or with `threads` a snapshot. */
  getMission(missionId: string): MissionRecord | undefined {
    return this.#actIfOpen((supervisor) => supervisor.missions.look(missionId)?.now());
  }

  /** Sets a live mission's state. @returns false if it is over, or there is none such */
  transitionMission(missionId: string, targetState: 'paused' | 'running' | 'aborted'): boolean {
    return this.#actIfOpen((supervisor) => supervisor.missions.transition(missionId, targetState).now().ok) ?? false;
  }

  list(): ExecutorSummary[] {
    const summaries = this.#actIfOpen((supervisor) =>
      [...supervisor.directory.executors.keys()].flatMap((executorId) => supervisor.summary(executorId)?.now() ?? []),
    );
    return summaries ?? [];
  }

  get(executorId: string): ExecutorSummary | undefined {
    return this.#actIfOpen((supervisor) => supervisor.summary(executorId)?.now());
  }

  /** The executor's record: the live one, not a copy. With `threads` its `lastEventTs` is as of the last call. */
  getRegistration(executorId: string): ExecutorRegistration | undefined {
    return this.#actIfOpen((supervisor) => {
      supervisor.summary(executorId)?.now();
      return supervisor.directory.executors.get(executorId);
    });
  }

  /**
   * Picks a connected executor that fits: sandboxes (`isolation:vm`, `isolation:container`) first, and among equals the
   * one with the fewest live missions.
   * @param longRunning only one that is `resumable`. Default: false
   */
  pickByFilter(filter: ExecutorFilter, longRunning = false): ExecutorPickResult | null {
    const picked = this.#actIfOpen((supervisor) => {
      const pick = supervisor.directory.pick(filter, longRunning);
      if (pick !== null) supervisor.summary(pick.executor.executorId)?.now();
      return pick;
    });
    return picked ?? null;
  }

  /** How many executors are registered. */
  get size(): number {
    return this.#actIfOpen((supervisor) => supervisor.directory.executors.size) ?? 0;
  }

  /** Closes open connections (1000) and clears everything but the identities' file. The registry can be used anew. */
  shutdown(): void {
    const supervisor = this.#opened;
    try {
      this.#actIfOpen((open) => open.closeConnections());
    } finally {
      this.#opened = undefined;
      this.#identities.close();
      this.#identities = new IdentityStore();
      void supervisor?.system.close();
    }
  }

  #open(): AnySupervisor {
    if (this.#opened !== undefined) return this.#opened;
    const options: SupervisorOptions = {
      identities: this.#identities,
      emit: ([name, ...payload]) => this.emit(name, ...payload),
      outside: (act) => {
        // Outside a call (a timer, a thread's report) nobody else does it.
        if (this.#outside.push(act) === 1) queueMicrotask(() => this.#doOutside());
      },
      notice: () => undefined,
      now: Date.now,
      endedMissions: this.#endedMissions,
    };
    this.#opened =
      this.#threads === 0
        ? new Supervisor(localStage(), options)
        : new Supervisor(threadStage({ threads: this.#threads }), options);
    return this.#opened;
  }

  /** As `#act`. A registry that keeps nothing need not be opened to say so: it answers undefined. */
  #actIfOpen<Result>(act: (supervisor: AnySupervisor) => Result): Result | undefined {
    return this.#opened && this.#act(this.#opened, act);
  }

  #act<Result>(supervisor: AnySupervisor, act: (supervisor: AnySupervisor) => Result): Result {
    supervisor.system.settleNow();
    const result = act(supervisor);
    this.#finish(supervisor);
    return result;
  }

  /** Lets the actors of this thread run, and only then what is to happen outside them: listeners may call back. */
  #finish(supervisor: AnySupervisor): void {
    supervisor.system.run();
    this.#doOutside();
  }

  /** In order, also where a listener calls back: that call does what was waiting before it returns. */
  #doOutside(): void {
    for (let act = this.#outside[this.#begun]; act !== undefined; act = this.#outside[this.#begun]) {
      this.#begun++;
      try {
        act();
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    this.#outside.length = 0;
    this.#begun = 0;
  }
}

/** The registry that a process shares. */
export const executorRegistry = new ExecutorRegistry();
