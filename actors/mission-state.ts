/** How a mission stands: what its actor knows of it, and every way in which that changes. */
import type { Context, Ref } from '../src/actor/index.js';
import { type EventEnvelope, isTerminal, type MissionEventName, type MissionState } from '../src/contract/index.js';
import type { KeptState } from '../src/store/kept.js';
import type { History } from './history.js';
import type { ConnectionMessage, Report } from './messages.js';
import type { MissionMessage, MissionView } from './mission.js';

/** The executor's open connection, if it has one. */
export type Connection = Ref<ConnectionMessage> | undefined;

/** A question to a human, as it was asked. */
export type Question = NonNullable<KeptState['question']>;

export interface Mission<Kept> {
  readonly view: MissionView<Kept>;
  readonly history: History<Kept>;
  readonly reports: Ref<Report>;
  /** The open human question. */
  question: (Question & { readonly cancelTimer: () => void }) | undefined;
  /** The question whose time ran out. */
  expired: string | undefined;
  checkpointId: string | undefined;
  /** Its executor has said something of it that takes having it, whatever the state; or it was past `assigned` before it left. */
  heard: boolean;
  /** The executor's resync has left it out: when it is lost unless the executor is heard of it, in milliseconds since the epoch. */
  grace: { readonly until: number; readonly cancel: () => void } | undefined;
  /** Events that came after its end. */
  late: number;
  /** Something about it has changed that is to be kept. */
  changed: boolean;
}

export type MissionContext<Kept> = Context<MissionMessage<Kept>>;

export const timestamp = (context: { now(): number }): string => new Date(context.now()).toISOString();

/** Moves the mission to a state, at `ts`, and reports it. Nothing moves a mission that is over. */
export function enter<Kept>(
  mission: Mission<Kept>,
  state: MissionState,
  ts: string,
  context: MissionContext<Kept>,
): void {
  const { view } = mission;
  const prevState = view.state;
  if (isTerminal(prevState)) return;
  view.updatedAt = ts;
  if (state === prevState) return;
  mission.changed = true;
  view.state = state;
  if (isTerminal(state)) {
    view.completedAt = ts;
    closeQuestion(mission, context);
    endGrace(mission);
  }
  const { missionId, executorId } = view;
  context.tell(mission.reports, { type: 'state', missionId, executorId, state, prevState, at: ts });
}

export function fail<Kept>(mission: Mission<Kept>, error: string, context: MissionContext<Kept>): void {
  if (isTerminal(mission.view.state)) return;
  mission.view.error = error;
  enter(mission, 'failed', timestamp(context), context);
}

/** Its question, if one is open, waits for no answer any more. */
export function closeQuestion<Kept>(mission: Mission<Kept>, context: MissionContext<Kept>): void {
  if (mission.question === undefined) return;
  mission.changed = true;
  mission.question.cancelTimer();
  mission.question = undefined;
  const { missionId, executorId } = mission.view;
  context.tell(mission.reports, { type: 'answered', missionId, executorId });
}

export function openQuestion<Kept>(mission: Mission<Kept>, question: Question, context: MissionContext<Kept>): void {
  mission.question?.cancelTimer();
  const { hitlId, expiresAt, askedAt } = question;
  // A valid time is not always one that Date knows (leap seconds): such a question does not expire.
  const expires = expiresAt === undefined ? Number.NaN : Date.parse(expiresAt);
  const cancelTimer = Number.isNaN(expires)
    ? () => undefined
    : context.after(Math.max(0, expires - context.now()), { type: 'question-expired', hitlId, expiresAt });
  mission.question = { ...question, cancelTimer };
  mission.changed = true;
  const { missionId, executorId, updatedAt } = mission.view;
  context.tell(mission.reports, { type: 'asked', missionId, executorId, at: askedAt ?? updatedAt });
}

/** Milliseconds that the executor has to be heard of a mission that its resync has left out. */
const GRACE = 30_000;

export function startGrace<Kept>(mission: Mission<Kept>, context: MissionContext<Kept>): void {
  if (mission.grace !== undefined || isTerminal(mission.view.state)) return;
  const until = context.now() + GRACE;
  mission.grace = { until, cancel: context.after(GRACE, { type: 'grace-over', until }) };
}

export function endGrace<Kept>(mission: Mission<Kept>): void {
  mission.grace?.cancel();
  mission.grace = undefined;
}

/**
 * Whether its executor certainly has it, or had: it was past `assigned`, or was heard of. That it is suspended says
 * nothing: it may have been so since its executor left.
 */
export const isBegun = <Kept>({ view, heard }: Mission<Kept>): boolean =>
  heard || (view.state !== 'queued' && view.state !== 'assigned' && view.state !== 'suspended');

/** Its executor has left, which can resume. */
export function suspend<Kept>(mission: Mission<Kept>, context: MissionContext<Kept>): void {
  mission.heard = isBegun(mission);
  enter(mission, 'suspended', timestamp(context), context);
}

/** Has the store keep what has become of it. */
export function keep<Kept>(mission: Mission<Kept>): void {
  mission.history.keep?.(mission.changed ? stateOf(mission) : undefined);
  mission.changed = false;
}

/** How it stands, for the store. */
function stateOf<Kept>({ view, question, expired, checkpointId, heard }: Mission<Kept>): Omit<KeptState, 'events'> {
  const { state, updatedAt, completedAt, ptySessionRef, exitCode, error } = view;
  return {
    state,
    updatedAt,
    ...(completedAt !== undefined && { completedAt }),
    ...(ptySessionRef !== undefined && { ptySessionRef }),
    ...(exitCode !== undefined && { exitCode }),
    ...(error !== undefined && { error }),
    ...(question && { question: plain(question) }),
    ...(expired !== undefined && { expired }),
    ...(checkpointId !== undefined && { checkpointId }),
    ...(heard && { heard }),
  };
}

/** A question without its timer. */
export const plain = ({ cancelTimer: _, ...question }: NonNullable<Mission<unknown>['question']>): Question => question;

/** Takes up what the store had kept. */
export function recover<Kept>(mission: Mission<Kept>, kept: KeptState, context: MissionContext<Kept>): void {
  if (kept.ptySessionRef !== undefined) mission.view.ptySessionRef = kept.ptySessionRef;
  mission.expired = kept.expired;
  mission.checkpointId = kept.checkpointId;
  mission.heard = kept.heard ?? false;
  if (kept.question !== undefined) openQuestion(mission, kept.question, context);
  mission.changed = false;
}

/** The live record where events are kept as they are; else one with their texts. */
export function shown<Kept>({ view, history }: Mission<Kept>): MissionView<Kept> {
  if (history.live !== undefined) return view;
  const { events, stored } = history.show();
  return { ...view, recentEvents: events, ...(stored && { stored }) };
}

/** Sends the executor an event about the mission. @returns whether an open connection took it */
export function push<Kept>(
  mission: Mission<Kept>,
  connection: Connection,
  event: MissionEventName,
  data: Record<string, unknown>,
  context: MissionContext<Kept>,
): boolean {
  return pushText(connection, textOf(mission, event, data, context), context);
}

/** An event about the mission, as the text of its frame. */
export function textOf<Kept>(
  { view }: Mission<Kept>,
  event: MissionEventName,
  data: Record<string, unknown>,
  context: MissionContext<Kept>,
): string {
  const { missionId: mission_id, executorId: executor_id } = view;
  const envelope: EventEnvelope = { event, executor_id, mission_id, ts: timestamp(context), data };
  return JSON.stringify(envelope);
}

/** Sends the executor a text frame. @returns whether an open connection took it */
export const pushText = <Kept>(connection: Connection, text: string, context: MissionContext<Kept>): boolean =>
  connection !== undefined && context.tell(connection, { type: 'push', text });
