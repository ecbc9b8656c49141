/** What is in the identities' file: a JSON array of identities, as existing installations have it. */
import { readFileSync, renameSync } from 'node:fs';
import * as v from 'valibot';

// Loose: fields that another program added to an entry stay with it when the file is written again.
const identitySchema = v.looseObject({
  executorId: v.string(),
  token: v.pipe(v.string(), v.minLength(1)),
  lastSeenAt: v.string(),
  /** It has registered from another machine, and got a token then that was never known before. */
  registeredRemotely: v.exactOptional(v.boolean()),
});
const fileSchema = v.array(identitySchema);

/** One executor's identity: `lastSeenAt` is an ISO 8601 time. */
export type Identity = v.InferOutput<typeof identitySchema>;

/**
 * The identities in a file. One that holds no such list is kept aside under another name, and there are none.
 * @param now the time in ms since 1970, for that name
 * @param onProblem told, in one sentence, what was kept aside
 * @throws if the file cannot be read, or moved
 */
export function readIdentities(path: string, now: () => number, onProblem: (message: string) => void): Identity[] {
  let why: string;
  const text = readFileSync(path, 'utf8');
  try {
    const parsed = v.safeParse(fileSchema, JSON.parse(text));
    if (parsed.success) return parsed.output;
    const [issue] = parsed.issues;
    why = `${v.getDotPath(issue) ?? 'the whole'}: ${issue.message}`;
  } catch {
    why = 'not JSON'; // The parser's own words would quote the text, tokens included.
  }
  const aside = `${path}.corrupt-${new Date(now()).toISOString().replaceAll(':', '-')}`;
  renameSync(path, aside);
  onProblem(`the identity store ${path} does not parse (${why}): it is kept as ${aside}`);
  return [];
}

/** The text of a file that holds these: an entry on each line. */
export function textOf(identities: Iterable<Identity>): string {
  return `[\n${Array.from(identities, (identity) => JSON.stringify(identity)).join(',\n')}\n]\n`;
}
