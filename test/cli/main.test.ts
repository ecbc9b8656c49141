/** The command from outside: help, version, and mistakes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as v from 'valibot';
import { callboard } from './callboard.js';

const mistakes: readonly { args: string[]; env?: Record<string, string>; says: RegExp }[] = [
  { args: ['srve'], says: /^callboard: unknown command "srve"\. See callboard --help\.\n$/ },
  { args: ['--port', '1'], says: /^callboard: unknown flag "--port"\. See callboard --help\.\n$/ },
  { args: ['serve', '--prt', '1'], says: /^callboard serve: unknown flag "--prt"\. See callboard serve --help\.\n$/ },
  { args: ['serve', '--port', 'x'], says: /^callboard serve: --port must be .*, not "x"\. See .*\n$/ },
  {
    args: ['simulate'],
    env: { CALLBOARD_RATE: 'x' },
    says: /^callboard simulate: CALLBOARD_RATE must be .*"x"\. See .*\n$/,
  },
];

for (const { args, env = {}, says } of mistakes) {
  const shown = [...Object.entries(env).map((pair) => pair.join('=')), 'callboard', ...args].join(' ');
  test(`${shown} ends with exit code 2 and one line on stderr`, async () => {
    const { code, stdout, stderr } = await callboard(args, env).ended;
    assert.match(stderr, says);
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
  });
}

test('callboard without a command shows its help on stderr and ends with exit code 2', async () => {
  const { code, stdout, stderr } = await callboard([]).ended;
  assert.match(stderr, /no command given.*Usage: callboard <command>/s);
  assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
});

test('callboard --help names the commands', async () => {
  const { code, stdout, stderr } = await callboard(['--help']).ended;
  assert.match(stdout, /^Usage: callboard <command>.*^ {2}serve {2,}\w.*^ {2}simulate {2,}\w/ms);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
});

test('callboard serve --help shows its options, and is not put off by a bad one', async () => {
  const { code, stdout, stderr } = await callboard(['serve', '--port', 'x', '--help']).ended;
  assert.match(stdout, /^Usage: callboard serve.*--data-dir <folder>.*CALLBOARD_DATA_DIR/s);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
});

test('callboard --version is the version of the package', async () => {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version } = v.parse(v.object({ version: v.string() }), JSON.parse(file));
  const { code, stdout } = await callboard(['--version']).ended;
  assert.deepEqual({ code, stdout }, { code: 0, stdout: `${version}\n` });
});
