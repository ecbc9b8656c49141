/** The scenarios of actors and lanes, tiny: whoever can take part does, and nobody loses anything. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { erlangAbsent, runErlang, runNode } from '#bench/actor-process.js';
import { measurement } from '#bench/actor-program.js';
import type { Report } from '#bench/report.js';
import { smoke } from './smoke.js';

const withoutErlang = erlangAbsent();
const erlang = withoutErlang === undefined ? ['erlang'] : [];

const reports = smoke(['actor-pingpong', 'actor-skynet', 'actor-spawn', 'lane']);

function assertWhole({ contenders, figures, notes }: Report, names: readonly string[]): void {
  assert.deepEqual(contenders, names);
  for (const { title, samples } of figures) {
    assert.deepEqual(Object.keys(samples), names, title);
    for (const values of Object.values(samples)) assert.ok(values.length === 1 && values.every(Number.isFinite), title);
  }
  assert.equal(notes.length, withoutErlang === undefined ? 0 : 1);
}

test('actor-pingpong: every contender receives the ball as often as it was sent', async () => {
  assertWhole((await reports)('actor-pingpong'), ['callboard', 'callboard, two threads', 'nact', ...erlang]);
});

test('actor-skynet: the leaves of every contender add up', async () => {
  assertWhole((await reports)('actor-skynet'), ['callboard', ...erlang]);
});

test('actor-spawn: every contender starts as many actors as it should, and stops all', async () => {
  assertWhole((await reports)('actor-spawn'), ['callboard', 'callboard, on a thread', 'nact', ...erlang]);
});

test('lane: all that is sent to a thread is taken there, and every question answered', async () => {
  const { contenders, figures, distributions } = (await reports)('lane');
  assert.deepEqual(contenders, ['callboard', 'a MessagePort alone']);
  for (const { title, samples } of figures) {
    assert.deepEqual(Object.keys(samples), title.startsWith('blocking') ? ['callboard'] : contenders, title);
  }
  assert.equal(distributions.length, 2);
});

test('a program that fails, or whose outcome is not as it says, is an error with what it printed', async () => {
  await assert.rejects(runNode('./callboard/pingpong', { messages: 1 }, measurement), /pingpong failed.*warmup/s);
  await assert.rejects(runNode('./callboard/spawn', { actors: 10, threads: 0 }, measurement), /seconds/);
});

test('an Erlang module that does not compile, or fails, is an error', { skip: withoutErlang }, async () => {
  const broken = { name: 'broken', flags: [], source: '-module(broken).\nmain(' };
  await assert.rejects(runErlang(broken, [], measurement), /erlc failed/);
  const failing = {
    name: 'failing',
    flags: [],
    source: '-module(failing).\n-export([main/1]).\nmain([]) -> exit(no).',
  };
  await assert.rejects(runErlang(failing, [], measurement), /erl failed/);
});
