/** Callboard's part in `actor-spawn`: idle actors in the calling thread or, with `threads` 1, started from it on another. */
import { createSystem, type Ref } from '../../src/actor/index.js';
import { heapUsed, measure, print, programValues } from '../actor-program.js';
import idle, { idleModule } from './idle.js';

const { actors, threads } = programValues('actors', 'threads');
const system = createSystem({ threads });
const start = () =>
  threads === 0 ? system.spawn(idle, undefined) : system.spawnOnThread<typeof idle>(idleModule, undefined);
/** Of all threads. */
const living = async (): Promise<number> => (await system.stats()).reduce((sum, stats) => sum + stats.actors, 0);

const first = start();
const heap = async (): Promise<number> => {
  await system.settle();
  const there = await system.ask(first, (heapTo: Ref<number>) => ({ heapTo }), { timeout: 60_000 });
  return threads === 0 ? there : there + heapUsed();
};
const refs: ReturnType<typeof start>[] = new Array(actors).fill(first);

/** How many may be under way to a thread before it is waited for. */
const AT_ONCE = 5_000;

const startAll = async (): Promise<number> => {
  for (let i = 0; i < actors; i++) {
    refs[i] = start();
    if (threads > 0 && i % AT_ONCE === 0) await system.settle();
  }
  await system.settle();
  return (await living()) - 1;
};
const stopAll = async (): Promise<number> => {
  for (const [i, ref] of refs.entries()) {
    system.stop(ref);
    if (threads > 0 && i % AT_ONCE === 0) await system.settle();
  }
  await system.settle();
  return (await living()) - 1;
};

// Once to warm up: code, and the tables of addresses.
await startAll();
await stopAll();
const before = await heap();
const started = await measure(startAll);
const bytes = (await heap()) - before;
print({ started, bytes, stopped: await measure(stopAll) });
await system.close();
