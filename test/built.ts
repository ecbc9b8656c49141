/**
 * The package as `npm test` builds it before the tests. What they start as a process runs from there: it starts in a third
 * of the time that its source takes, and is what users run.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The folder with `src`, `actors`, `bench` and `test`, in JavaScript. */
export const built = join(root, 'dist');

/** The command line. */
export const main = join(built, 'src', 'cli', 'main.js');

const timeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

const newest = Math.max(
  ...['src', 'actors', 'bench', 'test'].flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => timeOf(join(root, room, path))),
  ),
);
if (timeOf(main) < newest) throw new Error('dist is older than its source: `npm run build` first (`npm test` does).');
