/**
 * The mission actor: one objective, followed from `queued` to its end by the contract's table of events.
 *
 * `Kept` is the form in which events are kept: their JSON text on worker threads (compact, and cheap to send on), the
 * objects themselves in the calling thread.
 */
import type { Behaviour, Ref } from '../src/actor/index.js';
import {
  type ContractEvent,
  isTerminal,
  type MissionEventName,
  type MissionState,
  nextState,
  type OperatorAction,
} from '../src/contract/index.js';
import type { SharedJournal } from '../src/store/journal.js';
import type { Head, KeptState } from '../src/store/kept.js';
import type { History, Stored } from './history.js';
import { isSampled, type Report } from './messages.js';
import {
  type Connection,
  closeQuestion,
  endGrace,
  enter,
  fail,
  isBegun,
  keep,
  type Mission,
  type MissionContext,
  openQuestion,
  push,
  type Question,
  recover,
  startGrace,
  suspend,
} from './mission-state.js';
import { onRequest } from './operator-requests.js';

/** An event about a mission. */
export type MissionEvent = Extract<ContractEvent, { event: MissionEventName }>;

/** A mission as it is shown: with `Kept` an object, this is the published `MissionRecord`. */
export interface MissionView<Kept> {
  missionId: string;
  executorId: string;
  state: MissionState;
  createdAt: string;
  updatedAt: string;
  completedAt?: string;
  /** The newest 50, oldest first. */
  recentEvents: Kept[];
  ptySessionRef?: string;
  exitCode?: number;
  error?: string;
  /** Where a store keeps its events: those that `recentEvents` leaves out. */
  stored?: Stored;
}

/** What a mission that is not over starts from: a new one, or one started again from what is known of it. */
export interface MissionStart {
  readonly missionId: string;
  readonly executorId: string;
  readonly state: MissionState;
  readonly createdAt: string;
  readonly updatedAt: string;
  /** Its number, from 1. */
  readonly number: number;
  /** What a store has kept of one that is started again. */
  readonly kept?: { readonly state: KeptState; readonly head: Head | undefined };
}

export interface MissionArgs {
  readonly start: MissionStart;
  readonly reports: Ref<Report>;
  /** Where the thread writes what is to outlive it. */
  readonly journal: SharedJournal | undefined;
}

/** Why an operator's wish was not granted. */
export type Refusal =
  | 'mission_not_found'
  | 'mission_terminal'
  | 'invalid_transition'
  | 'hitl_not_pending'
  | 'hitl_expired'
  | 'payload_too_large'
  | 'executor_not_connected';

export type Outcome =
  | { readonly ok: true; readonly state: MissionState }
  | { readonly ok: false; readonly error: Refusal };

/** The states an operator of the published class can ask for. */
export type OperatorTarget = 'paused' | 'running' | 'aborted';

/** Messages that come by way of the mission's executor, which finds the mission by `missionId`. */
export type MissionRequest<Kept> =
  /** Shows the mission. */
  | { readonly type: 'look'; readonly missionId: string; readonly replyTo: Ref<MissionView<Kept> | undefined> }
  /** The executor took the dispatch. */
  | { readonly type: 'assigned'; readonly missionId: string }
  /** @param unlessBegun it is only certain to have failed where its executor does not have it already */
  | { readonly type: 'fail'; readonly missionId: string; readonly error: string; readonly unlessBegun: boolean }
  /** The executor's resync has left it out, and its dispatch can't be replayed: it is lost unless the executor is heard of it. */
  | { readonly type: 'doubt'; readonly missionId: string }
  /** Shows the open question. */
  | { readonly type: 'question'; readonly missionId: string; readonly replyTo: Ref<Question | undefined> }
  /** Sets the state and tells the executor nothing: whoever asks does that. */
  | {
      readonly type: 'transition';
      readonly missionId: string;
      readonly target: OperatorTarget;
      readonly replyTo: Ref<Outcome>;
    }
  /** An operator's pause, resume or abort: tells the executor, and takes effect. */
  | {
      readonly type: 'operate';
      readonly missionId: string;
      readonly action: OperatorAction;
      readonly replyTo: Ref<Outcome>;
    }
  /** An operator's answer to an open question. */
  | {
      readonly type: 'respond';
      readonly missionId: string;
      readonly hitlId: string;
      readonly response: string;
      readonly replyTo: Ref<Outcome>;
    };

export type MissionMessage<Kept> =
  | { readonly type: 'event'; readonly event: MissionEvent; readonly kept: Kept }
  | { readonly type: 'request'; readonly request: MissionRequest<Kept>; readonly connection: Connection }
  /** The executor listed it in a resync, at `ts`. */
  | { readonly type: 'listed'; readonly ts: string; readonly connection: Connection }
  /** The executor has left it out of a resync. */
  | { readonly type: 'unlisted' }
  | { readonly type: 'grace-over'; readonly until: number }
  /** Its executor left; `suspended` if that can resume, else the mission fails. */
  | { readonly type: 'executor-left'; readonly resumable: boolean }
  | { readonly type: 'question-expired'; readonly hitlId: string; readonly expiresAt: string | undefined };

/** In the view of a mission whose events are kept elsewhere: one list for all of them. */
const NONE_HERE: never[] = [];

/** @param newHistory where a mission keeps its events */
export function missionActor<Kept>(
  newHistory: (start: MissionStart, journal: SharedJournal | undefined) => History<Kept>,
): Behaviour<MissionMessage<Kept>, Mission<Kept>, MissionArgs> {
  return {
    name: 'mission',
    start({ start, reports, journal }, context) {
      const { missionId, executorId, state, createdAt, updatedAt, kept } = start;
      const history = newHistory(start, journal);
      const mission: Mission<Kept> = {
        // Field by field: of a spread, V8 makes a hidden class for each object, which here is 290 bytes a mission.
        view: { missionId, executorId, state, createdAt, updatedAt, recentEvents: history.live ?? NONE_HERE },
        history,
        reports,
        question: undefined,
        expired: undefined,
        checkpointId: undefined,
        heard: false,
        grace: undefined,
        late: 0,
        changed: false,
      };
      if (kept !== undefined) recover(mission, kept.state, context);
      return mission;
    },
    receive(mission, message, context) {
      switch (message.type) {
        case 'event':
          onEvent(mission, message.event, message.kept, context);
          break;
        case 'request':
          onRequest(mission, message.request, message.connection, context);
          break;
        case 'listed':
          onListed(mission, message.ts, message.connection, context);
          break;
        case 'unlisted':
          onUnlisted(mission, context);
          break;
        case 'grace-over':
          if (mission.grace?.until === message.until) fail(mission, 'lost_by_executor', context);
          break;
        case 'executor-left':
          endGrace(mission);
          if (message.resumable) suspend(mission, context);
          else fail(mission, 'executor_deregistered', context);
          break;
        case 'question-expired':
          // The same question may have been asked again since, with more time.
          if (mission.question?.hitlId !== message.hitlId || mission.question.expiresAt !== message.expiresAt) break;
          mission.expired = message.hitlId;
          fail(mission, 'hitl_expired', context);
      }
      keep(mission);
      return mission;
    },
    stopped: ({ history }) => history.free(),
  };
}

function onEvent<Kept>(mission: Mission<Kept>, event: MissionEvent, kept: Kept, context: MissionContext<Kept>): void {
  const { view } = mission;
  const { missionId, executorId } = view;
  if (isTerminal(view.state)) {
    if (isSampled(++mission.late))
      context.tell(mission.reports, { type: 'late', missionId, executorId, event: event.event, count: mission.late });
    return;
  }
  endGrace(mission);
  if (event.event !== 'mission.assigned' && !mission.heard) {
    mission.heard = true;
    mission.changed = true;
  }
  mission.history.add(kept);
  const state = isLateEcho(mission, event) ? view.state : (nextState(event.event, view.state) ?? view.state);
  if (state === 'running' && (state !== view.state || goesOn(event))) closeQuestion(mission, context);
  // Before `enter`, whose reports are to find the mission complete.
  note(mission, event, context);
  enter(mission, state, event.ts, context);
}

/** What says that the mission waits for no answer even where it was taken to run already, after a resync. */
const goesOn = ({ event }: MissionEvent): boolean => event === 'mission.started' || event === 'mission.resumed';

/** The echo of an answer to another question than the one that is open. */
const isLateEcho = <Kept>({ question }: Mission<Kept>, event: MissionEvent): boolean =>
  event.event === 'mission.hitl_responded' && question !== undefined && question.hitlId !== event.data.hitl_id;

/** Takes from an event what it says beside the state. */
function note<Kept>(mission: Mission<Kept>, event: MissionEvent, context: MissionContext<Kept>): void {
  const { view } = mission;
  switch (event.event) {
    case 'mission.started':
      if (event.data.pty_session_id === undefined) break;
      view.ptySessionRef = event.data.pty_session_id;
      mission.changed = true;
      break;
    case 'mission.hitl_required':
      openQuestion(mission, questionOf(event), context);
      break;
    case 'mission.hitl_responded':
      if (mission.question?.hitlId === event.data.hitl_id) closeQuestion(mission, context);
      break;
    case 'mission.suspended':
      mission.checkpointId = event.data.checkpoint_id;
      mission.changed = true;
      break;
    case 'mission.reconnected':
      if (mission.checkpointId !== undefined && mission.checkpointId !== event.data.checkpoint_id) {
        const { missionId, executorId } = view;
        const detail = `reconnected at checkpoint ${event.data.checkpoint_id}, was suspended at ${mission.checkpointId}`;
        context.tell(mission.reports, { type: 'warning', missionId, executorId, detail });
      }
      break;
    case 'mission.completed':
      if (event.data.exit_code !== undefined) view.exitCode = event.data.exit_code;
      break;
    case 'mission.failed':
      view.error = event.data.error ?? event.data.reason;
      if (event.data.exit_code !== undefined) view.exitCode = event.data.exit_code;
  }
}

const questionOf = ({ ts, data }: Extract<MissionEvent, { event: 'mission.hitl_required' }>): Question => ({
  hitlId: data.hitl_id,
  ...(data.expires_at !== undefined && { expiresAt: data.expires_at }),
  askedAt: ts,
  prompt: data.prompt,
  ...(data.context !== undefined && { context: data.context }),
});

/**
 * By the contract every live mission that is listed runs, one with an open question or one that was paused, too. Its
 * question stays open all the same: the executor may be waiting for the answer still, and does not ask again. A pause is
 * not told again: an executor that still holds the mission paused says so by `mission.paused`.
 */
function onListed<Kept>(
  mission: Mission<Kept>,
  ts: string,
  connection: Connection,
  context: MissionContext<Kept>,
): void {
  const before = mission.view.state;
  if (before === 'aborted')
    push(mission, connection, 'mission.aborted', { state: 'aborted', aborted_by: 'operator' }, context);
  if (isTerminal(before)) return;
  endGrace(mission);
  enter(mission, 'running', ts, context);
  if (before === 'suspended')
    push(mission, connection, 'mission.resumed', { state: 'running', resumed_from: 'suspended' }, context);
}

/** Where the executor was never heard to have it, it never got the dispatch; else it may have lost it. */
function onUnlisted<Kept>(mission: Mission<Kept>, context: MissionContext<Kept>): void {
  const { missionId, executorId, state } = mission.view;
  if (isTerminal(state)) return;
  if (isBegun(mission)) startGrace(mission, context);
  else context.tell(mission.reports, { type: 'undelivered', missionId, executorId });
}
