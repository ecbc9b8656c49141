/**
 * Preloaded by `npm test`: tsx, on the main thread of each test file. Preloaded itself, tsx would start on every worker
 * thread, too, which takes it longer than the thread: those ask for it when they are to load TypeScript
 * (src/lane/typescript.ts).
 */
import { isMainThread } from 'node:worker_threads';

if (isMainThread) (await import('tsx/esm/api')).register();
