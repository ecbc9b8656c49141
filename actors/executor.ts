/**
 * The executor actor: takes in what one executor sends, and hands it to the actors of its missions, which are its
 * children and live on its thread.
 */
import type { Behaviour, Context, Ref } from '../src/actor/index.js';
import { POLICY_VIOLATION } from '../src/contract/close-codes.js';
import {
  type ContractEvent,
  type EventEnvelope,
  liveStates,
  MAX_FRAME,
  parseEvent,
  specVersion,
} from '../src/contract/index.js';
import { JournalWriter, type SharedJournal } from '../src/store/journal.js';
import { type History, JournalHistory, ListHistory, TextHistory } from './history.js';
import { type ConnectionMessage, type DropReason, isSampled, type Report } from './messages.js';
import {
  type MissionEvent,
  type MissionMessage,
  type MissionRequest,
  type MissionStart,
  missionActor,
} from './mission.js';
import { Slab } from './slab.js';

/** The module of this behaviour, for spawning it on a thread. */
export const executorModule = new URL(import.meta.url);

/** What the actor has to know of a registration. */
export interface Description {
  /** Registered with a later 1.x version of the contract: unknown fields are ignored. */
  readonly lenient: boolean;
}

export interface ExecutorStart {
  readonly executorId: string;
  readonly description: Description;
  readonly reports: Ref<Report>;
  /** Missions it has already; undefined: they come by `recovered`, and what comes before that waits. */
  readonly missions: readonly MissionStart[] | undefined;
  /** Where the thread writes what is to outlive it; undefined: nowhere. */
  readonly journal: SharedJournal | undefined;
}

export interface ExecutorView {
  /** The `ts` of its last event. */
  readonly lastEventTs: string | undefined;
}

export type ExecutorMessage<Kept> =
  /** A text frame, as it came. */
  | { readonly type: 'frame'; readonly text: string }
  /** An event as a program handed it in. */
  | { readonly type: 'event'; readonly envelope: unknown }
  /** Something came that can't be a frame of the contract. */
  | { readonly type: 'noise'; readonly reason: DropReason; readonly detail: string }
  | { readonly type: 'described'; readonly description: Description }
  | { readonly type: 'connected'; readonly connection: Ref<ConnectionMessage> }
  | { readonly type: 'disconnected'; readonly connection: Ref<ConnectionMessage> }
  /** Sends a text frame to the executor; answers whether an open connection took it. */
  | { readonly type: 'push'; readonly text: string; readonly replyTo: Ref<boolean> }
  | { readonly type: 'view'; readonly replyTo: Ref<ExecutorView> }
  | { readonly type: 'create'; readonly mission: MissionStart }
  /** The missions it had when its thread died. */
  | { readonly type: 'recovered'; readonly missions: readonly MissionStart[] }
  /** Ends the actor of a mission that is over; there is none such from here on. */
  | { readonly type: 'forget'; readonly missionId: string }
  | MissionRequest<Kept>
  /** It was deregistered; `resumable` says whether its missions are suspended, or fail. */
  | { readonly type: 'left'; readonly resumable: boolean };

interface Executor<Kept> {
  readonly executorId: string;
  readonly reports: Ref<Report>;
  readonly missions: Map<string, Ref<MissionMessage<Kept>>>;
  readonly journal: SharedJournal | undefined;
  /** What has come while its missions are not known yet; undefined: they are. */
  waiting: ExecutorMessage<Kept>[] | undefined;
  description: Description;
  connection: Ref<ConnectionMessage> | undefined;
  lastEventTs: string | undefined;
  /** Since it connected: events, and frames that are none. */
  accepted: number;
  dropped: number;
  /** In all, by reason. */
  readonly drops: Map<DropReason, number>;
  /** Resyncs that named a version of the protocol that is not spoken here. */
  strangeProtocols: number;
}

type ExecutorContext<Kept> = Context<ExecutorMessage<Kept>>;

/** A connection is closed when it has sent this many frames that had to be dropped, and few others. */
const DROPS_BORNE = 100;
const DROPS_PER_ACCEPTED = 10;

/** What is shown of a version; it may be as long as a frame. */
const LONGEST_VERSION = 64;

/**
 * Messages that may wait. More than any batch can bring: the smallest event has 140 bytes, and a lane lets in no more
 * than 64 KiB before the actors have run.
 */
const MAILBOX = { limit: 100_000, overflow: 'refuse' } as const;

/**
 * @param keep what is kept of an event
 * @param keep.text the frame it came in, if it came in one and nothing was left out of it
 * @param newHistory where a mission keeps its events
 */
export function executorActor<Kept>(
  keep: (event: ContractEvent, text: string | undefined) => Kept,
  newHistory: (start: MissionStart, journal: SharedJournal | undefined) => History<Kept>,
): Behaviour<ExecutorMessage<Kept>, Executor<Kept>, ExecutorStart> {
  const mission = { ...missionActor<Kept>(newHistory), mailbox: MAILBOX };

  function create(executor: Executor<Kept>, given: MissionStart, context: ExecutorContext<Kept>): void {
    const { missionId, createdAt, number, kept } = given;
    if (executor.missions.has(missionId)) return;
    const { executorId, reports, journal } = executor;
    // What came across threads has a copy of every text: of a million missions, each keeps one of its own id.
    const updatedAt = given.updatedAt === createdAt ? createdAt : given.updatedAt;
    const state = liveStates.find((known) => known === given.state) ?? given.state;
    const start = { missionId, executorId, state, createdAt, updatedAt, number, ...(kept && { kept }) };
    executor.missions.set(missionId, context.spawn(mission, { start, reports, journal }));
  }

  function onFrame(executor: Executor<Kept>, text: string, context: ExecutorContext<Kept>): void {
    // One off a WebSocket has no more; one that a program hands in might.
    if (text.length > MAX_FRAME) {
      drop(executor, 'invalid_envelope', `an event may have ${MAX_FRAME} characters`, context);
      return;
    }
    let envelope: unknown;
    try {
      envelope = JSON.parse(text);
    } catch (error) {
      drop(executor, 'invalid_json', error instanceof Error ? error.message : '', context);
      return;
    }
    onEnvelope(executor, envelope, text, context);
  }

  function onEnvelope(
    executor: Executor<Kept>,
    envelope: unknown,
    text: string | undefined,
    context: ExecutorContext<Kept>,
  ): void {
    const { lenient } = executor.description;
    const parsed = parseEvent(envelope, lenient);
    if (!parsed.ok) {
      const issue = parsed.issues[0];
      drop(executor, 'invalid_envelope', issue ? `${issue.path}: ${issue.message}` : '', context);
      return;
    }
    const { event } = parsed;
    if (event.executor_id !== executor.executorId) drop(executor, 'foreign_executor', event.executor_id, context);
    else if (isAboutMission(event)) {
      const ref = executor.missions.get(event.mission_id);
      if (ref === undefined) {
        drop(executor, 'unknown_mission', event.mission_id, context);
        return;
      }
      accept(executor, event);
      // Where fields may have been left out, the text has more than the event.
      context.tell(ref, { type: 'event', event, kept: keep(event, event === envelope ? text : undefined) });
    } else {
      accept(executor, event);
      onExecutorEvent(executor, event, context);
    }
  }

  function take(executor: Executor<Kept>, message: ExecutorMessage<Kept>, context: ExecutorContext<Kept>): void {
    switch (message.type) {
      case 'frame':
        onFrame(executor, message.text, context);
        break;
      case 'event':
        onEnvelope(executor, message.envelope, undefined, context);
        break;
      case 'noise':
        drop(executor, message.reason, message.detail, context);
        break;
      case 'described':
        executor.description = message.description;
        break;
      case 'connected':
        executor.connection = message.connection;
        executor.accepted = 0;
        executor.dropped = 0;
        break;
      case 'disconnected':
        if (executor.connection === message.connection) executor.connection = undefined;
        break;
      case 'push':
        context.tell(message.replyTo, push(executor, message.text, context));
        break;
      case 'view':
        context.tell(message.replyTo, { lastEventTs: executor.lastEventTs });
        break;
      case 'create':
        create(executor, message.mission, context);
        break;
      case 'recovered': {
        for (const start of message.missions) create(executor, start, context);
        const { waiting = [] } = executor;
        executor.waiting = undefined;
        for (const one of waiting) take(executor, one, context);
        break;
      }
      case 'forget':
        forget(executor, message.missionId, context);
        break;
      case 'left':
        for (const ref of executor.missions.values())
          context.tell(ref, { type: 'executor-left', resumable: message.resumable });
        executor.connection = undefined;
        // A registration of an executor that has left is a new one.
        executor.lastEventTs = undefined;
        break;
      default:
        onRequest(executor, message, context);
    }
  }

  return {
    name: 'executor',
    mailbox: MAILBOX,
    // A behaviour that throws over one message is not to lose what it knows.
    childSupervision: { decide: 'resume', intensity: 10 },
    start({ executorId, description, reports, missions, journal }, context) {
      const executor: Executor<Kept> = {
        executorId,
        reports,
        missions: new Map(),
        journal,
        waiting: missions === undefined ? [] : undefined,
        description,
        connection: undefined,
        lastEventTs: undefined,
        accepted: 0,
        dropped: 0,
        drops: new Map(),
        strangeProtocols: 0,
      };
      for (const start of missions ?? []) create(executor, start, context);
      return executor;
    },
    receive(executor, message, context) {
      if (executor.waiting === undefined || message.type === 'recovered') take(executor, message, context);
      // As many as a mailbox holds; its connection has to be made anew first, so that hardly any come.
      else if (executor.waiting.length < MAILBOX.limit) executor.waiting.push(message);
      return executor;
    },
    /** A mission that was given up on is gone: what is asked of it from now on gets `mission_not_found`. */
    ended(executor, { ref, reason }, context) {
      if (reason === 'stopped') return executor; // It was forgotten.
      for (const [missionId, mission] of executor.missions) {
        if (mission !== ref) continue;
        executor.missions.delete(missionId);
        const { executorId } = executor;
        context.tell(executor.reports, {
          type: 'lost',
          missionId,
          executorId,
          at: new Date(context.now()).toISOString(),
        });
      }
      return executor;
    },
  };
}

/** On threads, events are kept as their text: in the store's journal, or in a slab that all missions of a thread share. */
const slab = new Slab();
/** The thread's: what it has written last is known to it alone, so that there must be only one. */
let writer: JournalWriter | undefined;
export default executorActor<string>(
  (event, text) => text ?? JSON.stringify(event),
  (start, journal) => {
    if (journal === undefined) return new TextHistory(slab, start);
    writer ??= new JournalWriter(journal);
    return new JournalHistory(writer, start.number, start.kept?.head);
  },
);

/** In the calling thread, events are kept as they were handed in. */
export const localExecutor = executorActor<EventEnvelope>(
  (event) => event,
  () => new ListHistory(),
);

function forget<Kept>(executor: Executor<Kept>, missionId: string, context: ExecutorContext<Kept>): void {
  const ref = executor.missions.get(missionId);
  if (ref === undefined) return;
  executor.missions.delete(missionId);
  context.stop(ref);
}

const isAboutMission = (event: ContractEvent): event is MissionEvent => event.mission_id !== undefined;

function accept<Kept>(executor: Executor<Kept>, event: ContractEvent): void {
  executor.accepted++;
  executor.lastEventTs = event.ts;
}

function onExecutorEvent<Kept>(
  executor: Executor<Kept>,
  event: Exclude<ContractEvent, MissionEvent>,
  context: ExecutorContext<Kept>,
): void {
  const { connection, executorId, missions, reports } = executor;
  if (event.event === 'executor.resync') {
    const listed = new Set(event.data.owned_mission_ids);
    const missionIds: string[] = [];
    for (const missionId of listed) {
      const ref = missions.get(missionId);
      if (ref !== undefined) context.tell(ref, { type: 'listed', ts: event.ts, connection });
      else {
        drop(executor, 'unknown_mission', missionId, context);
        missionIds.push(missionId);
      }
    }
    if (missionIds.length > 0) context.tell(reports, { type: 'unknown-listed', executorId, missionIds });
    for (const [missionId, ref] of missions) if (!listed.has(missionId)) context.tell(ref, { type: 'unlisted' });
    checkProtocol(executor, event.data.protocol_version, context);
  } else if (event.event === 'executor.deregistered')
    context.tell(reports, { type: 'leaving', executorId, reason: event.data.reason });
}

/** A resync is taken in whatever version it names: it may well say the same. */
function checkProtocol<Kept>(
  executor: Executor<Kept>,
  version: string | undefined,
  context: ExecutorContext<Kept>,
): void {
  if (version === undefined || /^1(\.0(\.\d+)?)?$/.test(version)) return;
  const count = ++executor.strangeProtocols;
  if (!isSampled(count)) return;
  const { executorId } = executor;
  const detail = `protocol_version ${version.slice(0, LONGEST_VERSION)} is not known here: ${specVersion} is spoken`;
  context.tell(executor.reports, { type: 'protocol', executorId, detail, count });
}

function onRequest<Kept>(
  executor: Executor<Kept>,
  request: MissionRequest<Kept>,
  context: ExecutorContext<Kept>,
): void {
  const ref = executor.missions.get(request.missionId);
  if (ref !== undefined) context.tell(ref, { type: 'request', request, connection: executor.connection });
  else if (request.type === 'look' || request.type === 'question') context.tell(request.replyTo, undefined);
  else if ('replyTo' in request) context.tell(request.replyTo, { ok: false, error: 'mission_not_found' });
}

const push = <Kept>({ connection }: Executor<Kept>, text: string, context: ExecutorContext<Kept>): boolean =>
  connection !== undefined && context.tell(connection, { type: 'push', text });

function drop<Kept>(
  executor: Executor<Kept>,
  reason: DropReason,
  detail: string,
  context: ExecutorContext<Kept>,
): void {
  const count = (executor.drops.get(reason) ?? 0) + 1;
  executor.drops.set(reason, count);
  if (isSampled(count))
    context.tell(executor.reports, { type: 'dropped', executorId: executor.executorId, reason, count, detail });
  if (reason === 'foreign_executor' || reason === 'unknown_mission') return;
  executor.dropped++;
  const { connection, accepted, dropped } = executor;
  if (connection !== undefined && dropped >= DROPS_BORNE && dropped > DROPS_PER_ACCEPTED * accepted) {
    context.tell(connection, { type: 'close', code: POLICY_VIOLATION, reason: 'little but invalid frames' });
    executor.connection = undefined;
  }
}
