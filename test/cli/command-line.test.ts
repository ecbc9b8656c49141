/** Command lines: how they come apart, and what a mission can do to them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { fillIn, hasPlaceholder, isProgram, splitWords } from '#src/cli/command-line.js';

/** Ways to quote a word: each gives a text that a shell reads as that word. */
const quotings: readonly ((word: string) => string)[] = [
  (word) => `'${word.replaceAll("'", `'\\''`)}'`,
  (word) => `"${word.replaceAll(/["\\$`]/g, '\\$&')}"`,
  // A line break can't be quoted by a backslash, which takes it away.
  (word) => (word === '' ? "''" : word.replaceAll(/[\s\S]/gu, (one) => (one === '\n' ? "'\n'" : `\\${one}`))),
];

const words = fc.array(
  fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(' ', '\n', "'", '"', '\\', '$', '`', '|', '&', 'a') })),
);
const gap = fc.stringMatching(/^[ \t\n]+$/);

test('words that are quoted, in any way and piece by piece, come apart as they were', () => {
  fc.assert(
    fc.property(words, fc.infiniteStream(fc.constantFrom(...quotings)), fc.infiniteStream(gap), (list, quote, gaps) => {
      const quoted = (word: string): string => quote.next().value(word);
      const half = (word: string): string =>
        quoted(word.slice(0, word.length / 2)) + quoted(word.slice(word.length / 2));
      const text = list.map((word) => half(word) + gaps.next().value).join('');
      assert.deepEqual(splitWords(text), { words: list });
    }),
  );
});

test('they come apart as in a shell', () => {
  const lines = [
    String.raw`a  b\ c 'd e'"f g"h '' "" i`,
    String.raw`"a\"b\\c\d\ e" 'f\' \'g\" h\
i "j\
k" l#m`,
    '-x --long="a b" {a,b} [c] ! a=b ~x\r \f',
  ];
  for (const line of lines) {
    const shell = execFileSync('/bin/sh', ['-c', `for word in ${line}; do printf '%s\\0' "$word"; done`], {
      encoding: 'utf8',
    });
    assert.deepEqual(splitWords(line), { words: shell.split('\0').slice(0, -1) });
  }
});

test('nothing is expanded', () => {
  const line = '$HOME `id` $(id) "$X" * ~';
  assert.deepEqual(splitWords('$HOME `id` "$X" "$(id)" * ~'), { words: ['$HOME', '`id`', '$X', '$(id)', '*', '~'] });
  assert.deepEqual(splitWords(line), { problem: 'has a ( that only a shell understands: quote it, or give --shell' });
});

test('what is never closed, and what only a shell understands, is a problem', () => {
  const problem = (text: string): string => {
    const split = splitWords(text);
    return 'problem' in split ? split.problem : '';
  };
  for (const text of ["a 'b", "'", "'a'b'"]) assert.match(problem(text), /^has a ' that is never closed/);
  for (const text of ['a "b', 'a "b\\"', '"\\']) assert.match(problem(text), /^has a " that is never closed/);
  assert.match(problem('a \\'), /^ends in a backslash/);
  for (const sign of '|&;<>()') assert.ok(problem(`a ${sign} 'b`).startsWith(`has a ${sign} that only a shell`));
});

test('whatever a mission says stays within its word, and is not looked at again', () => {
  const text = fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom('{completion}', '--help', "a b 'c", '$&', '$1'));
  fc.assert(
    fc.property(text, text, text, (objective, completion, mission_id) => {
      const filled = fillIn(['run', '{objective}', '-m={completion}, {mission_id}{mission_id}', '{other}', '{'], {
        objective,
        completion,
        mission_id,
      });
      assert.deepEqual(filled, ['run', objective, `-m=${completion}, ${mission_id}${mission_id}`, '{other}', '{']);
    }),
  );
  assert.ok(hasPlaceholder('x{objective}') && hasPlaceholder('{mission_id}') && !hasPlaceholder('{other} objective'));
});

test('a program is an executable file, by its path or in PATH', () => {
  assert.ok(isProgram('/bin/sh') && isProgram('sh') && isProgram('sh', '/nowhere:/bin'));
  for (const name of ['/bin', '/etc/passwd', '/bin/nothing', './sh', '']) assert.ok(!isProgram(name, '/bin'), name);
  assert.ok(!isProgram('sh', '/nowhere'));
});
