/** An actor that has nothing to do. Asked, it says how much heap its thread uses once all garbage is collected. */
import type { Behaviour, Ref } from '../../src/actor/index.js';
import { heapUsed } from '../actor-program.js';

/** The module of this behaviour, for spawning it on a thread. */
export const idleModule = new URL(import.meta.url);

const idle: Behaviour<{ readonly heapTo: Ref<number> }, undefined> = {
  name: 'idle',
  start: () => undefined,
  receive(state, { heapTo }, context) {
    context.tell(heapTo, heapUsed());
    return state;
  },
};
export default idle;
