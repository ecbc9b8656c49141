/**
 * The executor actor: takes in what one executor sends, and hands it to the actors of its missions, which are its
 * children and live on its thread.
 */
import type { Behaviour, Context, Ref } from '../src/actor/index.js';
import { type ContractEvent, type EventEnvelope, liveStates, parseEvent } from '../src/contract/index.js';
import { type History, ListHistory, type MissionIds, TextHistory } from './history.js';
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
  /** Missions it has already. */
  readonly missions: readonly MissionStart[];
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
  /** Ends the actor of a mission that is over; there is none such from here on. */
  | { readonly type: 'forget'; readonly missionId: string }
  | MissionRequest<Kept>
  /** It was deregistered; `resumable` says whether its missions are suspended, or fail. */
  | { readonly type: 'left'; readonly resumable: boolean };

interface Executor<Kept> {
  readonly executorId: string;
  readonly reports: Ref<Report>;
  readonly missions: Map<string, Ref<MissionMessage<Kept>>>;
  description: Description;
  connection: Ref<ConnectionMessage> | undefined;
  lastEventTs: string | undefined;
  /** Since it connected: events, and frames that are none. */
  accepted: number;
  dropped: number;
  /** In all, by reason. */
  readonly drops: Map<DropReason, number>;
}

type ExecutorContext<Kept> = Context<ExecutorMessage<Kept>>;

/** A connection is closed when it has sent this many frames that had to be dropped, and few others. */
const DROPS_BORNE = 100;
const DROPS_PER_ACCEPTED = 10;

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
  newHistory: (ids: MissionIds) => History<Kept>,
): Behaviour<ExecutorMessage<Kept>, Executor<Kept>, ExecutorStart> {
  const mission = { ...missionActor<Kept>(newHistory), mailbox: MAILBOX };

  function create(executor: Executor<Kept>, given: MissionStart, context: ExecutorContext<Kept>): void {
    const { missionId, createdAt } = given;
    if (executor.missions.has(missionId)) return;
    const { executorId, reports } = executor;
    // What came across threads has a copy of every text: of a million missions, each keeps one of its own id.
    const updatedAt = given.updatedAt === createdAt ? createdAt : given.updatedAt;
    const state = liveStates.find((known) => known === given.state) ?? given.state;
    const start = { missionId, executorId, state, createdAt, updatedAt };
    executor.missions.set(missionId, context.spawn(mission, { start, reports }));
  }

  function onFrame(executor: Executor<Kept>, text: string, context: ExecutorContext<Kept>): void {
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

  return {
    name: 'executor',
    mailbox: MAILBOX,
    // A behaviour that throws over one message is not to lose what it knows.
    childSupervision: { decide: 'resume', intensity: 10 },
    start({ executorId, description, reports, missions }, context) {
      const executor: Executor<Kept> = {
        executorId,
        reports,
        missions: new Map(),
        description,
        connection: undefined,
        lastEventTs: undefined,
        accepted: 0,
        dropped: 0,
        drops: new Map(),
      };
      for (const start of missions) create(executor, start, context);
      return executor;
    },
    receive(executor, message, context) {
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
        case 'forget':
          forget(executor, message.missionId, context);
          break;
        case 'left':
          for (const ref of executor.missions.values())
            context.tell(ref, { type: 'executor-left', resumable: message.resumable });
          executor.connection = undefined;
          break;
        default:
          onRequest(executor, message, context);
      }
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

/** On threads, events are kept as their text, and all missions of a thread share one slab. */
const slab = new Slab();
export default executorActor<string>(
  (event, text) => text ?? JSON.stringify(event),
  (ids) => new TextHistory(slab, ids),
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
    for (const missionId of event.data.owned_mission_ids) {
      const ref = missions.get(missionId);
      if (ref === undefined) drop(executor, 'unknown_mission', missionId, context);
      else context.tell(ref, { type: 'listed', ts: event.ts, connection });
    }
  } else if (event.event === 'executor.deregistered')
    context.tell(reports, { type: 'leaving', executorId, reason: event.data.reason });
}

function onRequest<Kept>(
  executor: Executor<Kept>,
  request: MissionRequest<Kept>,
  context: ExecutorContext<Kept>,
): void {
  const ref = executor.missions.get(request.missionId);
  if (ref !== undefined) context.tell(ref, { type: 'request', request, connection: executor.connection });
  else if (request.type === 'look') context.tell(request.replyTo, undefined);
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
    context.tell(connection, { type: 'close', code: 1008, reason: 'little but invalid frames' });
    executor.connection = undefined;
  }
}
