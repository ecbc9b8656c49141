/** An actor that blocks its thread until the test wakes it, and then ends it if it was told to. */
import type { Behaviour } from '#src/actor/index.js';

export const blockingModule = new URL(import.meta.url);

const blocking: Behaviour<'block' | 'block and die', Int32Array, Int32Array> = {
  name: 'blocking',
  start: (wake) => wake,
  receive(wake, message) {
    Atomics.wait(wake, 0, 0);
    if (message === 'block and die') process.exit(3);
    return wake;
  },
};

export default blocking;
