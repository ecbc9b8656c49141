/** An actor that takes all the memory its thread may have. */
import type { Behaviour } from '#src/actor/index.js';

export const hungryModule = new URL(import.meta.url);

const hungry: Behaviour<'eat', unknown[]> = {
  name: 'hungry',
  start: () => [],
  receive(eaten, message, context) {
    // Message by message: Node 24 ends the whole process when one tight loop exhausts a thread's heap.
    for (let bite = 0; bite < 1_000; bite++) eaten.push(new Array(100).fill(bite));
    context.tell(context.self, message);
    return eaten;
  },
};

export default hungry;
