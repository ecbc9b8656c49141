/**
 * Ended missions leave memory, or a server that runs for long grows for ever: the oldest beyond a number, and those whose
 * end is too long ago. An actor sees to it, a few missions at a time, so that nothing else waits for it.
 */
import type { Behaviour, Context } from '../actor/index.js';

/** How many ended missions are kept, and for how long. One beyond either is forgotten, as if it had never been. */
export interface EndedMissionLimits {
  /** The latest to end are kept. Default: 10,000. */
  readonly maxEndedMissions: number;
  /** In milliseconds since a mission's end. Default: 3,600,000, one hour. */
  readonly maxEndedMissionAgeMs: number;
}

export type EndedMissionsMessage =
  /** This mission has ended just now. */
  | { readonly type: 'ended'; readonly missionId: string }
  /** It is time to forget some. */
  | { readonly type: 'due' };

interface EndedMissionsState {
  /** In the order of their ends; the first `forgotten` of them are gone. */
  readonly queue: { readonly missionId: string; readonly endedAt: number }[];
  forgotten: number;
  /** When it looks again: it waits for that. */
  next: { readonly due: number; readonly cancel: () => void } | undefined;
}

type EndedMissionsContext = Context<EndedMissionsMessage>;

/** Missions that are forgotten at a time… */
const AT_ONCE = 500;
/** …and milliseconds of pause after them: 100,000 missions a second, more than can end. */
const PAUSE = 5;
/** So many gone from the head of the queue, it may be worth making it shorter. */
const GONE = 1_000;

/** @param forget told each mission that is to be forgotten; called inside the actor */
export function endedMissions(
  { maxEndedMissions, maxEndedMissionAgeMs }: EndedMissionLimits,
  forget: (missionId: string) => void,
): Behaviour<EndedMissionsMessage, EndedMissionsState, undefined> {
  const keepsAll = Math.min(maxEndedMissions, maxEndedMissionAgeMs) === Number.POSITIVE_INFINITY;

  /** When the oldest is to be forgotten, in milliseconds since the epoch; infinity if none is. */
  function dueTime({ queue, forgotten }: EndedMissionsState): number {
    const oldest = queue[forgotten];
    if (oldest === undefined) return Number.POSITIVE_INFINITY;
    const tooMany = queue.length - forgotten > maxEndedMissions;
    return tooMany ? oldest.endedAt : oldest.endedAt + maxEndedMissionAgeMs;
  }

  function forgetSome(state: EndedMissionsState, context: EndedMissionsContext): void {
    for (let count = 0; count < AT_ONCE && dueTime(state) <= context.now(); count++) {
      const oldest = state.queue[state.forgotten++];
      if (oldest !== undefined) forget(oldest.missionId);
    }
    if (state.forgotten < GONE || state.forgotten * 2 < state.queue.length) return;
    state.queue.splice(0, state.forgotten);
    state.forgotten = 0;
  }

  function plan(state: EndedMissionsState, context: EndedMissionsContext): void {
    const due = dueTime(state);
    if (due === Number.POSITIVE_INFINITY || (state.next !== undefined && state.next.due <= due)) return;
    state.next?.cancel();
    const wait = Math.max(PAUSE, due - context.now());
    state.next = { due, cancel: context.after(wait, { type: 'due' }) };
  }

  return {
    name: 'ended-missions',
    mailbox: { limit: Number.POSITIVE_INFINITY, overflow: 'refuse' },
    start: () => ({ queue: [], forgotten: 0, next: undefined }),
    receive(state, message, context) {
      if (keepsAll) return state;
      if (message.type === 'ended') state.queue.push({ missionId: message.missionId, endedAt: context.now() });
      else {
        state.next = undefined;
        forgetSome(state, context);
      }
      plan(state, context);
      return state;
    },
  };
}
