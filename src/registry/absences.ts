/** Executors that stay away: an actor tells which have had no connection for too long. One timer serves them all. */
import type { Behaviour, Context } from '../actor/index.js';

export type AbsencesMessage =
  /** This executor is registered and not connected; since now, unless it was so before. */
  | { readonly type: 'absent'; readonly executorId: string }
  /** It is connected, or nobody's business any more. */
  | { readonly type: 'over'; readonly executorId: string }
  /** It is time to look. */
  | { readonly type: 'due' };

interface AbsencesState {
  /** By executor, in milliseconds since the epoch: the longest away first. */
  readonly since: Map<string, number>;
  isWaiting: boolean;
}

/** Executors that are told of at a time, so that nothing else waits for them… */
const AT_ONCE = 500;
/** …and milliseconds of pause after them. */
const PAUSE = 5;

/**
 * @param timeout in milliseconds
 * @param tell told each executor that has been away for so long, once; called inside the actor
 */
export function absences(
  timeout: number,
  tell: (executorId: string) => void,
): Behaviour<AbsencesMessage, AbsencesState, undefined> {
  function tellSome({ since }: AbsencesState, now: number): void {
    let count = 0;
    for (const [executorId, from] of since) {
      if (from + timeout > now || count++ === AT_ONCE) return;
      since.delete(executorId);
      tell(executorId);
    }
  }

  function plan(state: AbsencesState, context: Context<AbsencesMessage>): void {
    const [oldest] = state.since.values();
    // A timer that comes too early, as its executor is back meanwhile, looks and waits again.
    if (oldest === undefined || state.isWaiting) return;
    state.isWaiting = true;
    const wait = oldest + timeout - context.now();
    context.after(wait > 0 ? wait : PAUSE, { type: 'due' });
  }

  return {
    name: 'absences',
    mailbox: { limit: Number.POSITIVE_INFINITY, overflow: 'refuse' },
    start: () => ({ since: new Map(), isWaiting: false }),
    receive(state, message, context) {
      if (message.type === 'over') state.since.delete(message.executorId);
      else if (message.type === 'due') {
        state.isWaiting = false;
        tellSome(state, context.now());
      } else if (!state.since.has(message.executorId)) state.since.set(message.executorId, context.now());
      plan(state, context);
      return state;
    },
  };
}
