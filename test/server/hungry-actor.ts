/** An actor that takes all the memory its thread may have. */
import type { Behaviour } from '../../src/actor/index.js';

const hungry: Behaviour<'eat', unknown[]> = {
  name: 'hungry',
  start: () => [],
  receive(eaten) {
    // Bit by bit: V8 ends the whole process when a heap fills up faster than it can end the thread.
    for (;;) eaten.push(new Array(100).fill(eaten.length));
  },
};

export default hungry;
