/** The lines of a command's output, however it comes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cleaned, OutputLines } from '#src/cli/output-lines.js';
import { codePoints } from '../code-points.js';

/** The lines of these pieces of output. */
function linesOf(...pieces: readonly string[]): string[] {
  const lines: string[] = [];
  const output = new OutputLines((line) => lines.push(line));
  for (const piece of pieces) output.add(piece);
  output.end();
  return lines;
}

test('wherever output is cut into pieces, its lines are the same', () => {
  const text = fc.string({ unit: fc.constantFrom('a', ' b', '\n', '\r', '\r\n', '\t', '\x1b[1m', 'é', '😀') });
  fc.assert(
    fc.property(fc.array(text), (pieces) => {
      const expected = pieces
        .join('')
        .split(/[\r\n]+/)
        .map(cleaned)
        .filter((line) => line !== '');
      assert.deepEqual(linesOf(...pieces), expected);
    }),
  );
});

test('a line is shown without what is no text, and not longer than 1,000 characters', () => {
  assert.equal(cleaned('\x1b[31mred\x1b[0m \x1b]0;title\x07a\tb\0\x7f\x85 '), 'red a b');
  assert.equal(cleaned(`${'x'.repeat(999)}😀`), 'x'.repeat(999));
  fc.assert(
    fc.property(fc.string({ unit: codePoints, maxLength: 3_000 }), (line) => {
      const shown = cleaned(line.repeat(3));
      assert.ok(shown.length <= 1_000 && !/[\p{Cc}\p{Cs}]/u.test(shown));
    }),
  );
});

test('a line that never ends is cut', () => {
  const piece = 'x'.repeat(10_000);
  const lines = linesOf(...Array.from({ length: 20 }, () => piece));
  assert.deepEqual(
    lines,
    Array.from({ length: 4 }, () => 'x'.repeat(1_000)),
  );
});

test('the beginning of a line counts as one where silence follows, and it is a prompt', {
  timeout: 10_000,
}, async () => {
  const lines: string[] = [];
  const prompted = new Promise<void>((resolve) => {
    const output = new OutputLines(
      (line) => {
        lines.push(line);
        if (line === 'Sure?') resolve();
        else setImmediate(() => output.add('Sure? '));
      },
      (line) => line.endsWith('?'),
    );
    output.add('Real');
    output.add('ly? No.');
    output.add(' Yes\n');
  });
  await prompted;
  assert.deepEqual(lines, ['Really? No. Yes', 'Sure?']);
});
