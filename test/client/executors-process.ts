/**
 * A process of its own with many executors on the SDK, as built: so that it has nothing else to do. It says the ids of all
 * once they are connected; told that they are `cut`, how many milliseconds each planned to wait for its next attempt, once
 * all are connected again; and told to, it `complete`s their missions. Arguments: URL of Callboard, number of executors.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { systemClock } from '#src/client/clock.js';
import { createExecutor, type Executor, type RunningMission } from '#src/client/index.js';

/** Executors that register and connect at once. */
const AT_ONCE = 50;

const [url = '', count = '0'] = process.argv.slice(2);
const executors: Executor[] = [];
const missions: RunningMission[] = [];
/** By executor. */
const waits = new Map<string, number>();

async function join(): Promise<void> {
  let executor: Executor | undefined;
  executor = await createExecutor({
    url,
    executorId: randomUUID(),
    name: 'one of many',
    clock: {
      now: systemClock.now,
      after(ms, then) {
        // The first thing that it waits for without a connection is the next attempt.
        if (executor?.connected === false && !waits.has(executor.id)) waits.set(executor.id, ms);
        return systemClock.after(ms, then);
      },
    },
    onDispatch: (mission) => missions.push(mission.started()),
  });
  executors.push(executor);
}

let left = Number(count);
const joinAll = async (): Promise<void> => {
  while (left-- > 0) await join();
};
await Promise.all(Array.from({ length: AT_ONCE }, joinAll));

process.on('message', async (word) => {
  if (word === 'complete') for (const mission of missions) mission.complete();
  if (word !== 'cut') return;
  while (waits.size < executors.length || !executors.every(({ connected }) => connected)) await pause(5);
  process.send?.([...waits.values()]);
});
process.on('disconnect', () => process.exit());
process.send?.(executors.map(({ id }) => id));
