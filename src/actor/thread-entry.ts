/**
 * What piscina runs on a thread. It loads the rest by `import`, because piscina loads this file by `require` where it
 * can, and modules loaded both ways would exist twice.
 */
import type { ThreadTask } from './worker.js';

/** A variable, not a literal: this compiles, and runs, where tsx is not installed. */
const tsx: string = 'tsx/esm/api';
/** tsx by its name, as in `--import tsx/esm`, or by the path of its files; NODE_OPTIONS holds several options. */
const namesTsx = /(^|[\s"=/])tsx([\s"/]|$)/;

export default async function run(task: ThreadTask): Promise<void> {
  // Under tsx, TypeScript modules can be imported on the main thread; a worker has to ask for that itself (tsx 4.23).
  if ([...process.execArgv, process.env.NODE_OPTIONS ?? ''].some((option) => namesTsx.test(option)))
    await registerTsx();
  const { runThread } = await import('./worker.js');
  await runThread(task);
}

async function registerTsx(): Promise<void> {
  let api: { register(): unknown };
  try {
    api = await import(tsx);
  } catch {
    // Some other "tsx", or out of reach from here: loading TypeScript is then someone else's business.
    return;
  }
  api.register();
}
