/**
 * The supervisor: the calling thread's half of a registry. It keeps the directory and the identities, places executors,
 * and turns the actors' reports into the registry's events.
 *
 * Nothing here waits. What only an actor can answer is returned as an {@link Inquiry}; whoever asked puts it, blocking
 * or not: that is the whole difference between the synchronous registry and the asynchronous one.
 */
import type { Description, ExecutorMessage, ExecutorStart, ExecutorView } from '../../actors/executor.js';
import type { ConnectionMessage, Report } from '../../actors/messages.js';
import type { MissionView, OperatorTarget, Outcome, Refusal } from '../../actors/mission.js';
import { type AnyRef, AskError, type AskOptions, type Behaviour, type Ref, type System } from '../actor/index.js';
import {
  type EventEnvelope,
  type ExecutorRegisterResponse,
  type ExecutorRegistration,
  type ExecutorSummary,
  isTerminal,
  type MissionRecord,
  type MissionState,
  type OperatorAction,
  parseRegisterPayload,
  specVersion,
  type WebSocketConn,
} from '../contract/index.js';
import { Directory, type MissionEntry } from './directory.js';
import { type EndedMissionLimits, type EndedMissionsMessage, endedMissions } from './ended-missions.js';
import { close, handedInConnection, send } from './handed-in.js';
import type { IdentityStore } from './identity-store.js';
import type { Stage } from './stage.js';
import { recordOf, statusText, summaryOf } from './views.js';

/** A question to an actor, not yet put. Both ways of putting it fail with an `AskError` if there is no answer. */
export interface Inquiry<Answer> {
  /** Puts it and blocks until it is answered. */
  now(): Answer;
  later(): Promise<Answer>;
}

/** Milliseconds that an executor's actor has to say when it last heard an event. */
const SUMMARY_TIMEOUT = 1_000;

export type DeregistrationReason = 'graceful_shutdown' | 'operator_deleted' | 'timeout';

/** The registry's events: name and payload. */
export interface RegistryEvents {
  'executor:registered': [{ executorId: string; name: string }];
  'executor:deregistered': [{ executorId: string; reason: string }];
  'mission:assigned': [{ missionId: string; executorId: string }];
  'mission:state_change': [{ missionId: string; executorId: string; state: MissionState; prevState: MissionState }];
  'mission:forgotten': [{ missionId: string; executorId: string }];
}

export type RegistryEvent = {
  [Name in keyof RegistryEvents]: readonly [name: Name, payload: RegistryEvents[Name][0]];
}[keyof RegistryEvents];

/** What people may want to know and no program waits for: for the log. */
export type Notice = Extract<Report, { type: 'late' | 'warning' | 'dropped' | 'lost' }>;

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
}

/** What registering gives: the response, and a warning for the executor where it speaks a later version. */
export type Registered =
  | { readonly ok: true; readonly response: ExecutorRegisterResponse; readonly warning?: string }
  | { readonly ok: false; readonly error: 'invalid_payload' | 'unsupported_spec_version'; readonly issues: Issues };

type Issues = Extract<ReturnType<typeof parseRegisterPayload>, { ok: false }>['issues'];

type SupervisorMessage = Report | { readonly type: 'watch'; readonly ref: AnyRef };

export class Supervisor<Kept> {
  readonly directory = new Directory();
  readonly identities: IdentityStore;
  readonly system: System;
  readonly #stage: Stage<Kept>;
  readonly #options: SupervisorOptions;
  readonly #refs = new Map<string, Ref<ExecutorMessage<Kept>>>();
  readonly #executorOf = new Map<number, string>();
  readonly #reports: Ref<SupervisorMessage>;
  /** Sees to it that ended missions are forgotten. */
  readonly #ended: Ref<EndedMissionsMessage>;
  /** By executor: the actor that stands for the connection its program handed in. */
  readonly #handedIn = new Map<string, Ref<ConnectionMessage>>();
  /** By mission: what was decided about it here and no report has confirmed. Told again should the thread die. */
  readonly #unconfirmed = new Map<string, { executorId: string; message: ExecutorMessage<Kept> }>();
  /** Executors that left, with live missions: whether these are suspended, or fail. Told again should the thread die. */
  readonly #departed = new Map<string, { resumable: boolean }>();
  /** What a thread that is far behind did not take: in order, for when it has caught up. */
  readonly #refused: { executorId: string; message: ExecutorMessage<Kept> }[] = [];

  constructor(stage: Stage<Kept>, options: SupervisorOptions) {
    this.#stage = stage;
    this.system = stage.system;
    this.#options = options;
    this.identities = options.identities;
    this.#reports = this.system.spawn(this.#reporting(), undefined);
    const forgetting = endedMissions(options.endedMissions, (missionId) => this.#forget(missionId));
    this.#ended = this.system.spawn(forgetting, undefined);
    this.system.onDrain(() => {
      for (const { executorId, message } of this.#refused.splice(0)) this.#command(executorId, message);
    });
  }

  // Executors.

  register(request: unknown): Registered {
    const parsed = parseRegisterPayload(plain(request));
    if (!parsed.ok) return parsed;
    const { payload, warning } = parsed;
    const { executor_id: executorId, name } = payload;
    const token = this.identities.issue(executorId);
    const registration = this.directory.upsert(payload, token, this.#timestamp());
    this.#departed.delete(executorId);
    this.#command(executorId, { type: 'described', description: describe(registration) });
    this.#emit(['executor:registered', { executorId, name }]);
    const response = { executor_id: executorId, token, registered_at: registration.registeredAt };
    return { ok: true, response, ...(warning !== undefined && { warning }) };
  }

  deregister(executorId: string, reason: DeregistrationReason): boolean {
    const registration = this.directory.remove(executorId);
    if (registration === undefined) return false;
    const resumable = registration.capabilities.includes('resumable');
    if (registration.currentMissions.size > 0) this.#departed.set(executorId, { resumable });
    this.#command(executorId, { type: 'left', resumable });
    const connection = this.#handedIn.get(executorId);
    if (connection !== undefined) {
      this.system.tell(connection, { type: 'close', code: 1000, reason });
      this.system.stop(connection);
      this.#handedIn.delete(executorId);
    }
    this.#emit(['executor:deregistered', { executorId, reason }]);
    return true;
  }

  /** A program says that an executor is connected, by `wsConn` if it gives one, or no longer is. */
  setConnected(executorId: string, connected: boolean, wsConn?: WebSocketConn): void {
    const current = this.directory.executors.get(executorId)?.wsConn;
    // The late farewell of a connection that was replaced.
    if (!connected && wsConn !== undefined && current !== undefined && current !== wsConn) return;
    if (!this.directory.setConnected(executorId, connected, this.#timestamp(), wsConn)) return;
    this.identities.seen(executorId, this.#options.now());
    const next = this.directory.executors.get(executorId)?.wsConn;
    if (next === current) return;
    const former = this.#handedIn.get(executorId);
    if (former !== undefined) {
      this.#handedIn.delete(executorId);
      this.#command(executorId, { type: 'disconnected', connection: former });
      this.system.stop(former);
    }
    if (next !== undefined) {
      const connection = this.system.spawn(handedInConnection, { wsConn: next, outside: this.#options.outside });
      this.#handedIn.set(executorId, connection);
      this.#command(executorId, { type: 'connected', connection });
    }
  }

  /** An actor that holds the executor's connection takes over, or ends. */
  attach(executorId: string, connection: Ref<ConnectionMessage>): void {
    this.directory.setConnected(executorId, true, this.#timestamp());
    this.identities.seen(executorId, this.#options.now());
    this.#command(executorId, { type: 'connected', connection });
  }

  detach(executorId: string, connection: Ref<ConnectionMessage>): void {
    this.directory.setConnected(executorId, false, this.#timestamp());
    this.#command(executorId, { type: 'disconnected', connection });
  }

  /** Where an executor's events are to be sent. */
  executor(executorId: string): Ref<ExecutorMessage<Kept>> {
    return this.#ref(executorId);
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
    return this.#inquire(
      this.#ref(executorId),
      (replyTo: Ref<boolean>) => ({ type: 'push', text, replyTo }),
      (pushed) => pushed,
    );
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
    this.system.tell(this.#ref(executorId), message);
    const thread = this.threadOf(executorId);
    return this.system.saturated(thread) ? thread : undefined;
  }

  /** The thread an executor lives on, from 0; also 0 where there are no threads. */
  threadOf(executorId: string): number {
    return this.system.threadOf(this.#ref(executorId)) ?? 0;
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
    const { now, later } = this.#inquire(
      this.#ref(executorId),
      (replyTo: Ref<ExecutorView>) => ({ type: 'view', replyTo }),
      ({ lastEventTs }) => {
        if (lastEventTs !== undefined) this.#saw(executorId, lastEventTs);
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

  // Missions.

  /** Creates a mission, unless there is one of that id. @returns false if there is */
  create(missionId: string, executorId: string, state: 'queued' | 'assigned'): boolean {
    const at = this.#timestamp();
    const mission = { missionId, executorId, state, createdAt: at, updatedAt: at };
    if (!this.directory.addMission(mission)) return false;
    this.#command(executorId, { type: 'create', mission });
    return true;
  }

  /** An executor took a mission: creates it if it is not there yet. One that is another's stays so. */
  assign(missionId: string, executorId: string): void {
    if (!this.create(missionId, executorId, 'assigned')) {
      const mission = this.directory.missions.get(missionId);
      if (mission?.executorId !== executorId) return;
      // In any other state it has shown by itself that the executor has it.
      if (mission.state === 'queued') this.#decide(missionId, executorId, { type: 'assigned', missionId });
    }
    this.#emit(['mission:assigned', { missionId, executorId }]);
  }

  fail(missionId: string, error: string): void {
    const entry = this.directory.missions.get(missionId);
    if (entry && !isTerminal(entry.state))
      this.#decide(missionId, entry.executorId, { type: 'fail', missionId, error });
  }

  /** A mission as programs see it, or undefined if there is none such. */
  look(missionId: string): Inquiry<MissionRecord> | undefined {
    return this.#look(missionId, (view, entry) => (view ? this.#stage.record(view) : recordOf(entry)));
  }

  /** A mission as the JSON text of a `mission_status_response`: the texts of its events need not be parsed for that. */
  missionStatus(missionId: string): Inquiry<string> | undefined {
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
    const entry = this.directory.missions.get(missionId);
    return (
      entry &&
      this.#inquire(
        this.#ref(entry.executorId),
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
    const entry = this.directory.missions.get(missionId);
    if (entry === undefined) return { now: () => refused, later: () => Promise.resolve(refused) };
    return this.#inquire(this.#ref(entry.executorId), message, (outcome: Outcome) =>
      !outcome.ok && outcome.error === 'mission_not_found' ? { ok: false, error: over } : outcome,
    );
  }

  #inquire<Raw, Answer>(
    to: Ref<ExecutorMessage<Kept>>,
    message: (replyTo: Ref<Raw>) => ExecutorMessage<Kept>,
    map: (raw: Raw) => Answer,
    options: AskOptions = {},
  ): Inquiry<Answer> {
    return {
      now: () => map(this.system.askNow(to, message, options.timeout)),
      later: async () => map(await this.system.ask(to, message, options)),
    };
  }

  /** Tells an executor's actor something that must not be lost, now or as soon as its thread takes it. */
  #command(executorId: string, message: ExecutorMessage<Kept>): void {
    if (this.#refused.length > 0 || !this.system.tell(this.#ref(executorId), message))
      this.#refused.push({ executorId, message });
  }

  /** As `#command`, for what a report will confirm. */
  #decide(missionId: string, executorId: string, message: ExecutorMessage<Kept>): void {
    this.#unconfirmed.set(missionId, { executorId, message });
    this.#command(executorId, message);
  }

  /** A report tells of a mission's state: what was decided before has come to pass, or is overtaken. */
  #confirm(missionId: string, state: MissionState): void {
    const decided = this.#unconfirmed.get(missionId);
    if (decided !== undefined && (isTerminal(state) || decided.message.type === 'assigned'))
      this.#unconfirmed.delete(missionId);
  }

  /** The connections that programs handed in are closed with 1000. */
  closeConnections(): void {
    for (const { wsConn } of this.directory.executors.values()) if (wsConn) close(wsConn, 1000, 'shutdown');
  }

  // Actors.

  /** The executor's actor, which is started when it is first needed. */
  #ref(executorId: string): Ref<ExecutorMessage<Kept>> {
    const known = this.#refs.get(executorId);
    if (known !== undefined) return known;
    const ref = this.#stage.spawn(
      () => this.#start(executorId),
      (lastEventTs) => this.#saw(executorId, lastEventTs),
    );
    this.#refs.set(executorId, ref);
    this.#executorOf.set(ref, executorId);
    this.system.tell(this.#reports, { type: 'watch', ref });
    this.#tellConnection(executorId, ref);
    return ref;
  }

  /** What an executor's actor starts from: all that the directory knows. */
  #start(executorId: string): ExecutorStart {
    const registration = this.directory.executors.get(executorId);
    const missions = this.directory.liveMissions(executorId);
    const description = registration ? describe(registration) : { lenient: false };
    return { executorId, description, reports: this.#reports, missions };
  }

  #saw(executorId: string, lastEventTs: string): void {
    const registration = this.directory.executors.get(executorId);
    if (registration !== undefined) registration.lastEventTs = lastEventTs;
  }

  /** Tells an actor that was started again of the connection that its executor has. */
  #tellConnection(executorId: string, ref: Ref<ExecutorMessage<Kept>>): void {
    const connection = this.#handedIn.get(executorId);
    if (connection !== undefined) this.system.tell(ref, { type: 'connected', connection });
  }

  /** The actor to which executors and missions report. */
  #reporting(): Behaviour<SupervisorMessage, undefined> {
    return {
      name: 'supervisor',
      mailbox: { limit: Number.POSITIVE_INFINITY, overflow: 'refuse' },
      start: () => undefined,
      receive: (_, message, context) => {
        if (message.type === 'watch') context.watch(message.ref);
        else this.#onReport(message);
        return undefined;
      },
      ended: (_, { ref, reason }, context) => {
        // A lost thread's actors start again under the same ref; one that was given up on is started when next needed.
        const executorId = this.#executorOf.get(ref);
        if (executorId === undefined) return undefined;
        if (reason === 'thread-lost') {
          context.watch(ref);
          this.#tellConnection(executorId, this.#ref(executorId));
          for (const decided of this.#unconfirmed.values())
            if (decided.executorId === executorId) this.#command(executorId, decided.message);
          const departed = this.#departed.get(executorId);
          if (departed !== undefined) this.#command(executorId, { type: 'left', ...departed });
        } else {
          this.#executorOf.delete(ref);
          this.#refs.delete(executorId);
          this.#stage.ended(ref);
        }
        return undefined;
      },
    };
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
        const prevState = this.#noteState(missionId, 'failed', at);
        if (prevState !== undefined)
          this.#emit(['mission:state_change', { missionId, executorId, state: 'failed', prevState }]);
        this.#options.notice(report);
        break;
      }
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
    this.#confirm(missionId, state);
    if (before !== undefined && isTerminal(state)) this.system.tell(this.#ended, { type: 'ended', missionId });
    return before;
  }

  #forget(missionId: string): void {
    const executorId = this.directory.forgetMission(missionId)?.executorId;
    if (executorId === undefined) return;
    // An actor that was given up on has forgotten it already.
    if (this.#refs.has(executorId)) this.#command(executorId, { type: 'forget', missionId });
    this.#emit(['mission:forgotten', { missionId, executorId }]);
  }

  #emit(event: RegistryEvent): void {
    this.#options.outside(() => this.#options.emit(event));
  }

  #timestamp(): string {
    return new Date(this.#options.now()).toISOString();
  }
}

const describe = (registration: ExecutorRegistration): Description => ({
  lenient: registration.specVersion !== specVersion,
});

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
