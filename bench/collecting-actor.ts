/** An actor that collects the garbage of the thread it lives on, and says what is left. Needs `--expose-gc`. */
import { getHeapStatistics } from 'node:v8';
import type { Behaviour, Ref } from '../src/actor/index.js';

export const collectingModule = new URL(import.meta.url);

/** Answers with the bytes that the thread's heap holds. */
interface Collect {
  readonly replyTo: Ref<number>;
}

export function collectHere(): number {
  if (globalThis.gc === undefined) throw new Error('Start this process with --expose-gc.');
  globalThis.gc();
  return getHeapStatistics().used_heap_size;
}

const collecting: Behaviour<Collect, undefined, undefined> = {
  name: 'collecting',
  start: () => undefined,
  receive: (_, { replyTo }, context) => {
    context.tell(replyTo, collectHere());
    return undefined;
  },
};
export default collecting;
