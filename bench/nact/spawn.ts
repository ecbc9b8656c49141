/** nact's part in `actor-spawn`. */
import { type Ref, spawn, start, stop } from 'nact';
import { heapUsed, measure, print, programValues } from '../actor-program.js';

const { actors } = programValues('actors');
const system = start();
const idle = (state: number, _message: unknown): number => state;
const refs: Ref<unknown>[] = [];
let living = 0;

const startAll = async (): Promise<number> => {
  const props = { initialState: 0, afterStop: () => void living-- };
  for (let i = 0; i < actors; i++) {
    refs.push(spawn(system, idle, `idle-${i}`, props));
    living++;
  }
  return living;
};
const stopAll = async (): Promise<number> => {
  for (const ref of refs.splice(0)) stop(ref);
  // It tells of the end of each in an immediate of its own.
  await new Promise((resolve) => setImmediate(resolve));
  return living;
};

await startAll();
await stopAll();
const before = heapUsed();
const started = await measure(startAll);
const bytes = heapUsed() - before;
print({ started, bytes, stopped: await measure(stopAll) });
stop(system);
