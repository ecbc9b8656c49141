/** An actor that blocks its thread until the test wakes it. */
import type { Behaviour } from '../../src/actor/index.js';

const blocking: Behaviour<'block', Int32Array, Int32Array> = {
  name: 'blocking',
  start: (wake) => wake,
  receive(wake) {
    Atomics.wait(wake, 0, 0);
    return wake;
  },
};

export default blocking;
