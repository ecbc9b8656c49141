/** What Callboard may say, and the checks that it has said it: by hand, so that the SDK needs nothing but ws. */
import type { DispatchPayload, MissionEventName, MissionState } from '../contract/index.js';
import { liveStates, terminalStates } from '../contract/transitions.js';

/** Largest body and frame that are read, in bytes. */
export const MAX_SIZE = 1024 * 1024;

/** What Callboard pushes over the WebSocket. */
export type Pushed =
  | {
      readonly event: 'mission.hitl_responded';
      readonly missionId: string;
      readonly hitlId: string;
      readonly response: string;
    }
  | { readonly event: 'mission.resumed'; readonly missionId: string; readonly wasSuspended: boolean }
  | { readonly event: 'mission.paused' | 'mission.aborted'; readonly missionId: string };

/** What Callboard has of a mission. */
export interface RecordedMission {
  readonly state: MissionState;
  /** The `ts` of the newest event that it has; undefined: it has none. */
  readonly newest: string | undefined;
}

/** What a text says as JSON; undefined where it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

export const isUuid = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(value);

/** A dispatch: its three required fields, and the kinds of the others. */
export function isDispatch(value: unknown): value is DispatchPayload {
  if (!isObject(value)) return false;
  const { mission_id, objective, completion, long_running, executor_filter, a2a_instance_id, metadata } = value;
  return (
    isText(mission_id) &&
    isText(objective) &&
    isText(completion) &&
    (long_running === undefined || typeof long_running === 'boolean') &&
    (executor_filter === undefined || isObject(executor_filter)) &&
    (a2a_instance_id === undefined || isText(a2a_instance_id)) &&
    (metadata === undefined || isObject(metadata))
  );
}

/** Something pushed; undefined where it is nothing that the SDK knows. */
export function pushedOf(value: unknown): Pushed | undefined {
  if (!isObject(value) || !isText(value.mission_id)) return undefined;
  const { event, mission_id: missionId, data } = value;
  if (event === 'mission.paused' || event === 'mission.aborted') return { event, missionId };
  if (event === 'mission.resumed')
    return { event, missionId, wasSuspended: isObject(data) && data.resumed_from === 'suspended' };
  if (event !== 'mission.hitl_responded' || !isObject(data)) return undefined;
  const { hitl_id: hitlId, response } = data;
  return isText(hitlId) && isText(response) ? { event, missionId, hitlId, response } : undefined;
}

/** The token in the answer to a registration. */
export const tokenOf = (value: unknown): string | undefined =>
  isObject(value) && isText(value.token) ? value.token : undefined;

/** Whether an answer says that there is no such mission; nothing else does, be it a 404. */
export const isUnknownMission = (status: number, value: unknown): boolean =>
  status === 404 && isObject(value) && value.error === 'mission_not_found';

/** What an error body says, in words. */
export const refusalOf = (value: unknown): string =>
  isObject(value) && isText(value.error)
    ? `${value.error}${isText(value.detail) ? ` (${value.detail})` : ''}`
    : 'not an answer of Callboard';

const states: readonly MissionState[] = [...liveStates, ...terminalStates];

/** What Callboard has of a mission, from the answer to `GET /api/v1/missions/:id`. */
export function recordedOf(value: unknown): RecordedMission | undefined {
  if (!isObject(value)) return undefined;
  const state = states.find((known) => known === value.state);
  const events: unknown = value.recent_events ?? [];
  if (state === undefined || !Array.isArray(events)) return undefined;
  const newest: unknown = events.at(-1);
  if (newest === undefined) return { state, newest: undefined };
  return isObject(newest) && isText(newest.ts) ? { state, newest: newest.ts } : undefined;
}

/** A page of the open questions, from the answer to `GET /api/v1/hitl`. */
export function questionsOf(value: unknown): { ids: readonly string[]; next: string | undefined } | undefined {
  if (!isObject(value) || !Array.isArray(value.questions)) return undefined;
  const ids = value.questions.flatMap((question: unknown) =>
    isObject(question) && isText(question.hitl_id) ? question.hitl_id : [],
  );
  return { ids, next: isText(value.next_cursor) ? value.next_cursor : undefined };
}

// What the program says: an event that Callboard would drop is refused, for a mission that never ends is worse.

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const isString = (value: unknown): boolean => typeof value === 'string';
const isArtifact = (value: unknown): boolean =>
  isObject(value) &&
  isString(value.path) &&
  (value.description === undefined || isString(value.description)) &&
  Object.keys(value).every((key) => key === 'path' || key === 'description');

const text = { fits: isString, needs: 'a string' };
const nonEmpty = { fits: isText, needs: 'a string that is not empty' };
const count = { fits: isCount, needs: 'a whole number from 0' };
const exit_code = { fits: Number.isSafeInteger, needs: 'a whole number' };
const state = text;

/** The fields of the data that a program may give. */
const dataFields: Partial<
  Record<MissionEventName, Record<string, { fits: (value: unknown) => boolean; needs: string }>>
> = {
  'mission.started': { state, agent_runtime: text, pty_session_id: text },
  'mission.progress': {
    phase: text,
    iteration: count,
    tokens_used: count,
    summary: text,
    pct_complete: {
      fits: (value) => typeof value === 'number' && value >= 0 && value <= 100,
      needs: 'a number from 0 to 100',
    },
  },
  'mission.hitl_required': { hitl_id: text, prompt: nonEmpty, context: text, expires_at: text },
  'mission.suspended': { state, checkpoint_id: nonEmpty, reason: text },
  'mission.completed': {
    state,
    exit_code,
    tokens_total: count,
    summary: text,
    artifacts: {
      fits: (value) => Array.isArray(value) && value.every(isArtifact),
      needs: 'a list of { path, description? }',
    },
  },
  'mission.failed': { state, reason: nonEmpty, error: text, exit_code, tokens_total: count },
};

/** @throws TypeError if Callboard would not take this as the data of the event */
export function checkData(event: MissionEventName, data: object): void {
  const fields = dataFields[event];
  if (fields === undefined) return;
  for (const [name, value] of Object.entries(data)) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (field === undefined) throw new TypeError(`${event} has no ${name}`);
    if (value !== undefined && !field.fits(value)) throw new TypeError(`${name} of ${event} must be ${field.needs}`);
  }
}
