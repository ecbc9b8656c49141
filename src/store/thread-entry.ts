/** What piscina runs on the store's threads; as src/actor/thread-entry.ts, and for the same reasons. */
import { allowTypeScript } from '../lane/typescript.js';
import type { StoreTask } from './thread.js';

export default async function run(task: StoreTask): Promise<void> {
  await allowTypeScript(import.meta.url);
  const { runStore } = await import('./thread.js');
  await runStore(task);
}
