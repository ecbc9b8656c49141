/** What a system tells whoever observes it: failures, dead letters, lost threads. Plain data. */
import { type AnyRef, formatRef } from './ref.js';
import type { Decision } from './supervision.js';

/** Why a message became a dead letter. */
export type DeadLetterReason = 'no-such-actor' | 'mailbox-full' | 'actor-ended' | 'lane-full' | 'not-cloneable';

export type SystemEvent =
  | {
      readonly type: 'actor-failed';
      readonly ref: AnyRef;
      readonly name: string;
      readonly error: string;
      readonly decision: Decision;
    }
  | { readonly type: 'actor-given-up'; readonly ref: AnyRef; readonly name: string; readonly error: string }
  | { readonly type: 'dead-letter'; readonly ref: AnyRef; readonly reason: DeadLetterReason }
  | { readonly type: 'thread-lost'; readonly thread: number; readonly error: string; readonly restartIn: number };

/** Whatever was thrown, as text: it may have been anything, and may have to cross to another thread. */
export function describeError(error: unknown): string {
  try {
    return String(error instanceof Error ? (error.stack ?? error) : error);
  } catch {
    return 'something that has no text was thrown';
  }
}

/** The default observer: one line of JSON on standard error for each event. Dead letters are only counted. */
export function logToStandardError(event: SystemEvent): void {
  if (event.type === 'dead-letter') return;
  const { type, ...rest } = event;
  const ref = 'ref' in event ? { ref: formatRef(event.ref) } : {};
  process.stderr.write(`${JSON.stringify({ event: type, ...rest, ...ref })}\n`);
}
