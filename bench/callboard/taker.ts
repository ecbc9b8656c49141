/** An actor that counts what it is told, and answers how much that was so far. */
import type { Behaviour, Ref } from '../../src/actor/index.js';

/** The module of this behaviour, for spawning it on a thread. */
export const takerModule = new URL(import.meta.url);

export type Question = { readonly replyTo: Ref<number> };
export type SmallMessage = string | Uint8Array | { readonly type: string; readonly count: number };

const taker: Behaviour<SmallMessage | Question, number> = {
  name: 'taker',
  // More than a lane lets in before the actor has run.
  mailbox: { limit: 100_000, overflow: 'refuse' },
  start: () => 0,
  receive(taken, message, context) {
    if (typeof message !== 'object' || !('replyTo' in message)) return taken + 1;
    context.tell(message.replyTo, taken);
    return taken;
  },
};
export default taker;
