/**
 * What piscina runs on a thread. It loads the rest by `import`, because piscina loads this file by `require` where it
 * can, and modules loaded both ways would exist twice.
 */
import { allowTypeScript } from '../lane/typescript.js';
import type { ThreadTask } from './worker.js';

export default async function run(task: ThreadTask): Promise<void> {
  await allowTypeScript(import.meta.url);
  const { runThread } = await import('./worker.js');
  await runThread(task);
}
