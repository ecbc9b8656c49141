/** A command line taken apart without a shell, and what each mission fills into it. */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { DispatchPayload } from '../contract/index.js';

/** A gap between words, or a piece of a word: in single quotes, in double quotes, behind a backslash, or as it is. */
const PIECE = /([ \t\n]+)|'([^']*)'|"((?:[^"\\]|\\[\s\S])*)"|\\([\s\S])|([^ \t\n'"\\|&;<>()]+)/gy;

/** What stands in a word for something of the mission. */
const PLACEHOLDER = /\{(objective|completion|mission_id)\}/g;

/** Where programs are looked for if PATH does not say it. */
const DEFAULT_PATH = '/usr/bin:/bin';

/**
 * Splits a command line into words at spaces, with quotes and backslashes as a POSIX shell reads them. Nothing is
 * expanded: `$HOME` and `*` stay as they are. What a shell would not take as part of a word, such as `|`, is a problem.
 *
 * @example
 * splitWords(`git commit -m 'two words'`); // { words: ['git', 'commit', '-m', 'two words'] }
 */
export function splitWords(text: string): { readonly words: readonly string[] } | { readonly problem: string } {
  const words: string[] = [];
  let word: string | undefined;
  let end = 0;
  for (const [piece, gap, single, double, escaped, plain] of text.matchAll(PIECE)) {
    end += piece.length;
    if (gap !== undefined) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (piece !== '\\\n') {
      // In double quotes, a backslash quotes four characters and takes a line break away; else it is one itself.
      const quoted = double?.replaceAll(/\\([$`"\\\n])/g, (_, character) => (character === '\n' ? '' : character));
      word = (word ?? '') + (single ?? quoted ?? escaped ?? plain);
    }
  }
  if (word !== undefined) words.push(word);
  const wrong = text[end];
  if (wrong === undefined) return { words };
  if (wrong === '\\') return { problem: 'ends in a backslash, which quotes nothing' };
  if (wrong === "'" || wrong === '"') return { problem: `has a ${wrong} that is never closed` };
  return { problem: `has a ${wrong} that only a shell understands: quote it, or give --shell` };
}

/** Whether something of the mission is to be filled in. */
export function hasPlaceholder(text: string): boolean {
  return text.search(PLACEHOLDER) >= 0;
}

/** The words with a mission filled in: each stays one word, whatever the mission says. */
export function fillIn(words: readonly string[], { objective, completion, mission_id }: DispatchPayload): string[] {
  const values = new Map([
    ['objective', objective],
    ['completion', completion],
    ['mission_id', mission_id],
  ]);
  return words.map((word) => word.replaceAll(PLACEHOLDER, (placeholder, name) => values.get(name) ?? placeholder));
}

/** Whether there is such a program: a path, or a name to be found in the folders of `path`, as in the variable PATH. */
export function isProgram(name: string, path = DEFAULT_PATH): boolean {
  const files = name.includes('/') ? [name] : path.split(delimiter).map((folder) => join(folder, name));
  return files.some(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
