/**
 * The supervisor: the calling thread's half of a registry. It keeps the directory and the identities, places executors,
 * and turns the actors' reports into the registry's events.
 *
 * Nothing here waits. What only an actor can answer is returned as an {@link Inquiry}; whoever asked puts it, blocking
 * or not: that is the whole difference between the synchronous registry and the asynchronous one.
 */
import type { ExecutorMessage, ExecutorView } from '../../actors/executor.js';
import type { ConnectionMessage, Report } from '../../actors/messages.js';
import { AskError, type Ref, type System } from '../actor/index.js';
import { BAD_TOKEN, NORMAL } from '../contract/close-codes.js';
import {
  type EventEnvelope,
  type ExecutorRegisterResponse,
  type ExecutorSummary,
  isTerminal,
  type MissionState,
  parseRegisterPayload,
  type WebSocketConn,
} from '../contract/index.js';
import type { Store } from '../store/store.js';
import { type AbsencesMessage, absences } from './absences.js';
import { Directory } from './directory.js';
import { type EndedMissionLimits, type EndedMissionsMessage, endedMissions } from './ended-missions.js';
import type { Notice, RegistryEvent } from './events.js';
import { descriptionOf, ExecutorActors, type Inquiry } from './executor-actors.js';
import { close, handedInConnection, send } from './handed-in.js';
import type { IdentityStore } from './identity-store.js';
import { LateAborts } from './late-aborts.js';
import { Missions } from './missions.js';
import { Outbox } from './outbox.js';
import { QuestionPages } from './question-pages.js';
import { Questions } from './questions.js';
import { Recovery } from './recovery.js';
import type { Stage } from './stage.js';
import { keptExecutorOf, summaryOf } from './views.js';

/** Milliseconds that an executor's actor has to say when it last heard an event. */
const SUMMARY_TIMEOUT = 1_000;

export type DeregistrationReason = 'graceful_shutdown' | 'operator_deleted' | 'timeout';

export interface SupervisorOptions {
  readonly identities: IdentityStore;
  /** Tells the registry's listeners. */
  readonly emit: (event: RegistryEvent) => void;
  /** Does what may run the program's own code (its listeners, its connections): soon, when no actor is running. */
  readonly outside: (act: () => void) => void;
  readonly notice: (notice: Notice) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly endedMissions: EndedMissionLimits;
  /** Milliseconds without a connection after which an executor is deregistered; by default it never is. */
  readonly executorTimeout?: number | undefined;
  /** What outlives the process; by default nothing does. */
  readonly store?: Store | undefined;
}

/**
 * What registering gives: the response, and what the executor is to be warned of: that it speaks a later version, or that
 * its token was rotated, now or when it was not told. Where it was `rotated` now, what it is connected by must be closed.
 */
export type Registered =
  | {
      readonly ok: true;
      readonly response: ExecutorRegisterResponse;
      readonly warnings: readonly string[];
      readonly rotated: boolean;
    }
  | { readonly ok: false; readonly error: 'invalid_payload' | 'unsupported_spec_version'; readonly issues: Issues };

type Issues = Extract<ReturnType<typeof parseRegisterPayload>, { ok: false }>['issues'];

export class Supervisor<Kept> {
  readonly directory = new Directory();
  readonly identities: IdentityStore;
  readonly system: System;
  readonly missions: Missions<Kept>;
  readonly questionPages: QuestionPages<Kept>;
  /** Replays the dispatch of a mission that never arrived, where somebody does; by default it is in doubt. */
  onUndelivered: (missionId: string) => void = (missionId) => this.missions.doubt(missionId);
  readonly #stage: Stage<Kept>;
  readonly #options: SupervisorOptions;
  readonly #actors: ExecutorActors<Kept>;
  readonly #outbox: Outbox<Kept>;
  /** Sees to it that ended missions are forgotten. */
  readonly #ended: Ref<EndedMissionsMessage>;
  /** Sees to it that executors that stay away are deregistered, where they are. */
  readonly #absences: Ref<AbsencesMessage> | undefined;
  /** By executor: the actor that stands for the connection its program handed in. */
  readonly #handedIn = new Map<string, Ref<ConnectionMessage>>();
  /** Executors whose token was rotated, and which have not been told so: a registration that could not be kept is refused. */
  readonly #unwarned = new Set<string>();
  /** The human questions that are open. */
  readonly #questions = new Questions();
  readonly #lateAborts: LateAborts | undefined;
  readonly #recovery: Recovery<Kept> | undefined;
  readonly store: Store | undefined;

  constructor(stage: Stage<Kept>, options: SupervisorOptions) {
    this.#stage = stage;
    this.system = stage.system;
    this.#options = options;
    this.identities = options.identities;
    this.store = options.store;
    this.#actors = new ExecutorActors(stage, {
      directory: this.directory,
      connectionOf: (executorId) => this.#handedIn.get(executorId),
      onReport: (report) => this.#onReport(report),
      onRestart: (executorId) => this.#onRestart(executorId),
      store: options.store,
      onRecovery: (executorId, missions) => void this.#recovery?.recover(executorId, missions),
    });
    this.#outbox = new Outbox(this.system, this.directory, this.#actors);
    this.missions = new Missions(stage, {
      directory: this.directory,
      actors: this.#actors,
      outbox: this.#outbox,
      emit: (event) => this.#emit(event),
      timestamp: () => this.#timestamp(),
      store: options.store,
    });
    this.questionPages = new QuestionPages({
      directory: this.directory,
      actors: this.#actors,
      questions: this.#questions,
      system: this.system,
    });
    if (options.store !== undefined) {
      this.#lateAborts = new LateAborts(options.store, (executorId, missionId) =>
        this.tellAborted(executorId, missionId),
      );
      this.#recovery = new Recovery({
        store: options.store,
        directory: this.directory,
        identities: this.identities,
        actors: this.#actors,
        outbox: this.#outbox,
        questions: this.#questions,
        onAbsent: (executorId) => this.#noteAbsence(executorId),
        onReport: (report) => this.#onReport(report),
      });
    }
    const forgetting = endedMissions(options.endedMissions, (missionId) => this.#forget(missionId));
    this.#ended = this.system.spawn(forgetting, undefined);
    const { executorTimeout } = options;
    if (executorTimeout !== undefined)
      this.#absences = this.system.spawn(
        absences(executorTimeout, (executorId) => this.#giveUpOn(executorId)),
        undefined,
      );
  }

  /** @param isLocal whether the request comes from this machine: the first from another rotates the executor's token */
  register(request: unknown, isLocal = true): Registered {
    const parsed = parseRegisterPayload(plain(request));
    if (!parsed.ok) return parsed;
    const { payload, warning } = parsed;
    const { executor_id: executorId, name } = payload;
    const { token, rotated } = isLocal
      ? { token: this.identities.issue(executorId), rotated: false }
      : this.identities.issueRemotely(executorId);
    const registration = this.directory.upsert(payload, token, this.#timestamp());
    this.#outbox.returned(executorId);
    this.#noteAbsence(executorId);
    this.#keepExecutor(executorId);
    this.#outbox.send(executorId, { type: 'described', description: descriptionOf(registration) });
    this.#emit(['executor:registered', { executorId, name }]);
    const response = { executor_id: executorId, token, registered_at: registration.registeredAt };
    if (rotated) {
      this.#unwarned.add(executorId);
      this.#dropHandedIn(executorId);
    }
    const isUnwarned = this.#unwarned.has(executorId);
    const warnings = [...(warning === undefined ? [] : [warning]), ...(isUnwarned ? [ROTATED] : [])];
    return { ok: true, response, warnings, rotated };
  }

  /** The executor has been told what its registration warned of. */
  warned(executorId: string): void {
    this.#unwarned.delete(executorId);
  }

  deregister(executorId: string, reason: DeregistrationReason): boolean {
    const registration = this.directory.remove(executorId);
    if (registration === undefined) return false;
    this.#noteAbsence(executorId);
    const resumable = registration.capabilities.includes('resumable');
    const left = { type: 'left', resumable } as const;
    if (registration.currentMissions.size > 0) {
      // Until its missions are over, it is remembered what became of them.
      this.store?.keep({
        type: 'executor',
        executor: { ...keptExecutorOf(registration), left: resumable ? 'suspended' : 'failed' },
      });
      this.#outbox.depart(executorId, left);
    } else {
      this.store?.keep({ type: 'executor-gone', executorId });
      this.#outbox.send(executorId, left);
    }
    const connection = this.#handedIn.get(executorId);
    if (connection !== undefined) {
      this.system.tell(connection, { type: 'close', code: NORMAL, reason });
      this.system.stop(connection);
      this.#handedIn.delete(executorId);
    }
    this.#emit(['executor:deregistered', { executorId, reason }]);
    // After whoever holds its connection has closed that: it would close it, too, but as one whose actor has failed.
    this.#options.outside(() => this.#outbox.release(executorId));
    return true;
  }

  /** A program says that an executor is connected, by `wsConn` if it gives one, or no longer is. */
  setConnected(executorId: string, connected: boolean, wsConn?: WebSocketConn): void {
    const current = this.directory.executors.get(executorId)?.wsConn;
    // The late farewell of a connection that was replaced.
    if (!connected && wsConn !== undefined && current !== undefined && current !== wsConn) return;
    if (!this.directory.setConnected(executorId, connected, this.#timestamp(), wsConn)) return;
    this.#noteAbsence(executorId);
    this.identities.seen(executorId, this.#options.now());
    const next = this.directory.executors.get(executorId)?.wsConn;
    if (next === current) return;
    const former = this.#handedIn.get(executorId);
    if (former !== undefined) {
      this.#handedIn.delete(executorId);
      this.#outbox.send(executorId, { type: 'disconnected', connection: former });
      this.system.stop(former);
    }
    if (next !== undefined) {
      const connection = this.system.spawn(handedInConnection, { wsConn: next, outside: this.#options.outside });
      this.#handedIn.set(executorId, connection);
      this.#outbox.send(executorId, { type: 'connected', connection });
    }
  }

  /** An actor that holds the executor's connection takes over, or ends. */
  attach(executorId: string, connection: Ref<ConnectionMessage>): void {
    this.directory.setConnected(executorId, true, this.#timestamp());
    this.#noteAbsence(executorId);
    this.identities.seen(executorId, this.#options.now());
    this.#outbox.send(executorId, { type: 'connected', connection });
  }

  detach(executorId: string, connection: Ref<ConnectionMessage>): void {
    this.directory.setConnected(executorId, false, this.#timestamp());
    this.#noteAbsence(executorId);
    this.#outbox.send(executorId, { type: 'disconnected', connection });
    // Where its actor says when it last sent something, that is kept.
    void this.summary(executorId)
      ?.later()
      .then(() => this.#keepExecutor(executorId), ignore);
  }

  /** Resolves once all that was done so far is durable, where there is a store. @throws StorageError if it cannot be */
  async kept(): Promise<void> {
    await this.store?.kept();
  }

  /**
   * Takes up what the store holds: executors, and the missions that are not over, which wait in their last state.
   * @param progress told how many missions are back, of how many
   */
  async restore(progress: (done: number, of: number) => void): Promise<void> {
    await this.#recovery?.restore(progress);
  }

  /** Where an executor's events are to be sent. */
  executor(executorId: string): Ref<ExecutorMessage<Kept>> {
    return this.#actors.ref(executorId);
  }

  /** Sends an event to an executor by the connection that a program handed in; undefined if there is none such. */
  pushHandedIn(executorId: string, event: EventEnvelope): boolean | undefined {
    const wsConn = this.directory.executors.get(executorId)?.wsConn;
    return wsConn && send(wsConn, () => JSON.stringify(event));
  }

  /** Sends an event to an executor; undefined if it is not registered. */
  push(executorId: string, event: EventEnvelope): Inquiry<boolean> | undefined {
    if (!this.directory.executors.has(executorId)) return undefined;
    const text = JSON.stringify(event);
    return this.#actors.inquire(
      executorId,
      (replyTo: Ref<boolean>) => ({ type: 'push', text, replyTo }),
      (pushed) => pushed,
    );
  }

  /** Tells an executor that a mission was aborted by an operator. Where it does not arrive, its next resync brings it up. */
  tellAborted(executor_id: string, mission_id: string): void {
    const data = { state: 'aborted', aborted_by: 'operator' };
    const event = { event: 'mission.aborted', executor_id, mission_id, ts: this.#timestamp(), data };
    void this.push(executor_id, event)?.later().catch(ignore);
  }

  /**
   * Takes in an event as a program hands it in; whatever it is given, it does not throw.
   * @returns the thread it was sent to, if that is behind now: who hands in more should wait for it
   */
  handleEvent(envelope: unknown): number | undefined {
    const message = this.#stage.incoming(envelope);
    const executorId = executorIdOf(envelope);
    // An event of an executor that nobody registered is nobody's.
    if (message === undefined || executorId === undefined || !this.directory.executors.has(executorId))
      return undefined;
    this.system.tell(this.#actors.ref(executorId), message);
    const thread = this.threadOf(executorId);
    return this.system.saturated(thread) ? thread : undefined;
  }

  /** The thread an executor lives on, from 0; also 0 where there are no threads. */
  threadOf(executorId: string): number {
    return this.system.threadOf(this.#actors.ref(executorId)) ?? 0;
  }

  /**
   * An executor's summary, with the time of its last event; undefined if it is not registered. Where its actor does not
   * answer in time, it is what was known before: one thread that hangs is not to keep the others' executors from being seen.
   */
  summary(executorId: string): Inquiry<ExecutorSummary | undefined> | undefined {
    if (!this.directory.executors.has(executorId)) return undefined;
    const known = (): ExecutorSummary | undefined => {
      // It may have left meanwhile.
      const registration = this.directory.executors.get(executorId);
      return registration && summaryOf(registration);
    };
    const { now, later } = this.#actors.inquire(
      executorId,
      (replyTo: Ref<ExecutorView>) => ({ type: 'view', replyTo }),
      ({ lastEventTs }) => {
        if (lastEventTs !== undefined) this.directory.saw(executorId, lastEventTs);
        return known();
      },
      { timeout: SUMMARY_TIMEOUT },
    );
    return {
      now,
      later: () =>
        later().catch((error: unknown) => {
          if (error instanceof AskError) return known();
          throw error;
        }),
    };
  }

  /** The connections that programs handed in are closed with 1000. */
  closeConnections(): void {
    for (const { wsConn } of this.directory.executors.values()) if (wsConn) close(wsConn, NORMAL, 'shutdown');
  }

  #onReport(report: Report): void {
    switch (report.type) {
      case 'state': {
        const { missionId, executorId, state, prevState, at } = report;
        this.#noteState(missionId, state, at);
        this.#emit(['mission:state_change', { missionId, executorId, state, prevState }]);
        break;
      }
      case 'lost': {
        const { missionId, executorId, at } = report;
        const number = this.directory.missions.get(missionId)?.number;
        const prevState = this.#noteState(missionId, 'failed', at);
        if (number !== undefined)
          this.store?.keep({
            type: 'state',
            number,
            state: { state: 'failed', updatedAt: at, completedAt: at, error: 'mission_lost', events: 0 },
          });
        if (prevState !== undefined)
          this.#emit(['mission:state_change', { missionId, executorId, state: 'failed', prevState }]);
        this.#options.notice(report);
        break;
      }
      case 'asked': {
        const number = this.directory.missions.get(report.missionId)?.number;
        if (number !== undefined) this.#questions.open(report.missionId, number, report.at);
        break;
      }
      case 'answered':
        this.#questions.close(report.missionId);
        break;
      case 'undelivered':
        this.onUndelivered(report.missionId);
        break;
      case 'unknown-listed':
        void this.#lateAborts?.tell(report.executorId, report.missionIds);
        break;
      case 'leaving':
        this.deregister(report.executorId, report.reason);
        break;
      default:
        this.#options.notice(report);
    }
  }

  /** @returns the state before; undefined if the mission was over */
  #noteState(missionId: string, state: MissionState, at: string): MissionState | undefined {
    const before = this.directory.setState(missionId, state, at);
    this.#outbox.confirm(missionId, state);
    if (before === undefined || !isTerminal(state)) return before;
    this.#questions.close(missionId);
    this.system.tell(this.#ended, { type: 'ended', missionId });
    const executorId = this.directory.missions.get(missionId)?.executorId;
    // What it left behind is over.
    if (executorId !== undefined && this.directory.isGone(executorId))
      this.store?.keep({ type: 'executor-gone', executorId });
    return before;
  }

  /** An executor's actor has started again, its thread having died. */
  #onRestart(executorId: string): void {
    // Without a store, its missions have lost their questions.
    if (this.store === undefined)
      for (const { missionId } of this.directory.liveMissions(executorId)) this.#questions.close(missionId);
    this.#outbox.sendAgain(executorId);
  }

  /** Closes the connection that an executor's program handed in: its token is worth nothing any more. */
  #dropHandedIn(executorId: string): void {
    const connection = this.#handedIn.get(executorId);
    if (connection === undefined) return;
    this.system.tell(connection, { type: 'close', code: BAD_TOKEN, reason: 'token_invalid' });
    this.setConnected(executorId, false);
  }

  #noteAbsence(executorId: string): void {
    if (this.#absences === undefined) return;
    const isAbsent = this.directory.executors.get(executorId)?.connected === false;
    this.system.tell(this.#absences, { type: isAbsent ? 'absent' : 'over', executorId });
  }

  #giveUpOn(executorId: string): void {
    // It may have come back, and that not be known where its absence is counted.
    if (this.directory.executors.get(executorId)?.connected === false) this.deregister(executorId, 'timeout');
  }

  #keepExecutor(executorId: string): void {
    const registration = this.directory.executors.get(executorId);
    if (registration !== undefined) this.store?.keep({ type: 'executor', executor: keptExecutorOf(registration) });
  }

  #forget(missionId: string): void {
    const executorId = this.directory.forgetMission(missionId)?.executorId;
    if (executorId === undefined) return;
    // An actor that was given up on has forgotten it already.
    if (this.#actors.has(executorId)) this.#outbox.send(executorId, { type: 'forget', missionId });
    this.#outbox.release(executorId);
    this.#emit(['mission:forgotten', { missionId, executorId }]);
  }

  #emit(event: RegistryEvent): void {
    this.#options.outside(() => this.#options.emit(event));
  }

  #timestamp(): string {
    return new Date(this.#options.now()).toISOString();
  }
}

const ROTATED =
  'this is the first registration from another machine: the token is new, the one from before is not valid any more';

const ignore = (): void => undefined;

function executorIdOf(envelope: unknown): string | undefined {
  try {
    if (typeof envelope !== 'object' || envelope === null || !('executor_id' in envelope)) return undefined;
    return typeof envelope.executor_id === 'string' ? envelope.executor_id : undefined;
  } catch {
    return undefined; // A getter that throws, or a proxy.
  }
}

/** A copy of what would cross the wire: what a program hands in may say something else when it is read again. */
function plain(request: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(request));
  } catch {
    return undefined;
  }
}
