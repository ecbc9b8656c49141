/** Where the file with the executors' tokens is: the same place in which existing installations look for it. */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import * as v from 'valibot';

const storageConfig = v.object({
  version: v.literal('1'),
  roots: v.object({ executor_identity: v.pipe(v.string(), v.minLength(1)) }),
});

/**
 * Names the file in which executors' tokens are kept. The first of these that is there:
 * 1. the environment variable `AIWG_EXECUTOR_IDENTITY_STORE`, as it stands;
 * 2. `executor-identities.json` in the folder `roots.executor_identity` of `<project root>/.aiwg/storage.config`,
 *    where that file is JSON with `version: "1"` (`~` is the home folder, a relative path starts at the project root);
 * 3. `~/.config/aiwg/executor-identities.json`.
 *
 * @param projectRootOverride the project root; the working directory if not given.
 */
export function resolveExecutorIdentityStorePath(projectRootOverride?: string): string {
  const named = process.env.AIWG_EXECUTOR_IDENTITY_STORE;
  if (named) return named;
  const projectRoot = projectRootOverride ?? process.cwd();
  const folder = configuredFolder(join(projectRoot, '.aiwg', 'storage.config'));
  if (folder === undefined) return join(homedir(), '.config', 'aiwg', 'executor-identities.json');
  return join(resolve(projectRoot, folder.replace(/^~(?=$|[/\\])/, homedir)), 'executor-identities.json');
}

function configuredFolder(configPath: string): string | undefined {
  try {
    const config = v.safeParse(storageConfig, JSON.parse(readFileSync(configPath, 'utf8')));
    return config.success ? config.output.roots.executor_identity : undefined;
  } catch {
    return undefined; // Absent, unreadable or not JSON: it names nothing.
  }
}
