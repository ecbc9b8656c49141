/** The file that tells an executor who it is: `{ "executor_id": "…" }`, made at its first run. */
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { isUuid, parseJson } from './checks.js';

/** @throws Error where the file cannot be read or made, or holds something else */
export async function readIdentity(path: string): Promise<string> {
  const made = randomUUID();
  try {
    await writeFile(path, `${JSON.stringify({ executor_id: made })}\n`, { flag: 'wx', mode: 0o600 });
    return made;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  const kept = parseJson(await readFile(path, 'utf8'));
  if (typeof kept === 'object' && kept !== null && 'executor_id' in kept && isUuid(kept.executor_id))
    return kept.executor_id;
  throw new Error(`${path} does not hold the identity of an executor: {"executor_id": "<uuid>"}`);
}
