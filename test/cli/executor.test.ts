/** `callboard executor` against a real `callboard serve`: real commands, and what is left of them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as v from 'valibot';
import { executorsListResponseSchema, type MissionStatusResponse } from '#src/contract/index.js';
import { inState, mission, post, send, until } from '../server/helpers.js';
import { callboard, Running, served } from './callboard.js';

/** For tests that wait for what a process does. */
const LIMIT = { timeout: 60_000 };

const folder = mkdtempSync(join(tmpdir(), 'callboard-executor-'));
let server: Running;
let url: string;
/** Its missions' objectives are shell scripts. A line with a question mark is a question. */
let scripts: Running;
/** Prints its words, then runs the completion. */
let words: Running;

before(async () => {
  ({ server, url } = await served(['--ephemeral']));
  [scripts, words] = await Promise.all([
    executor(
      'scripts',
      ['--run', 'eval "$CALLBOARD_OBJECTIVE"', '--shell'],
      ['--ask', '\\?', '--grace', '0.5', '--concurrency', '2'],
    ),
    executor('words', [
      '--run',
      `sh -c 'for word; do printf "[%s]" "$word"; done; echo; eval "$CALLBOARD_COMPLETION"' sh {objective} 'a b'{objective}\\"{mission_id}`,
    ]),
  ]);
});
after(async () => {
  for (const running of [scripts, words, server]) running.kill('SIGTERM');
  await Promise.all([scripts.ended, words.ended, server.ended]);
  rmSync(folder, { recursive: true });
});

async function executor(name: string, ...args: readonly string[][]): Promise<Running> {
  const running = callboard(['executor', '--url', url, '--name', name, '--capabilities', `x-${name}`, ...args.flat()]);
  await running.stdoutMatch(/"event":"connected"/);
  return running;
}

let count = 0;
const executorOf = new Map<string, Running>();

/** Dispatches a mission to an executor. @returns its id */
async function dispatched(running: Running, objective: string, completion = 'true'): Promise<string> {
  const mission_id = `m-${++count}`;
  executorOf.set(mission_id, running);
  const executor_filter = { capabilities: [`x-${running === scripts ? 'scripts' : 'words'}`] };
  const body = { mission_id, objective, completion, executor_filter };
  assert.equal((await post(`${url}/api/v1/sessions/s/dispatch`, body)).status, 202);
  return mission_id;
}

const ask = async (id: string, action: 'pause' | 'resume' | 'abort'): Promise<void> =>
  assert.equal((await post(`${url}/api/v1/missions/${id}/${action}`, {})).status, 202);

const look = (id: string): Promise<MissionStatusResponse> => mission({ url }, id);

/** How a mission ended. Its executor says so first; asking Callboard all the time would be dear. */
async function end(id: string): Promise<MissionStatusResponse> {
  await executorOf.get(id)?.stdoutMatch(new RegExp(`"mission ${id}: (?:done|failed)|"mission ${id} is over`));
  return until(async () => {
    const status = await look(id);
    return status.completed_at !== undefined && status;
  });
}

/** The data of the events of a mission that have this name. */
const dataOf = ({ recent_events = [] }: MissionStatusResponse, name: string): unknown[] =>
  recent_events.flatMap((event) => (event.event === name ? [event.data] : []));

const summaries = (status: MissionStatusResponse): string[] =>
  v.parse(v.array(v.object({ summary: v.string() })), dataOf(status, 'mission.progress')).map(({ summary }) => summary);

/** The numbers in the first line of output: a script tells its processes there. */
async function processesOf(id: string): Promise<number[]> {
  const [line = ''] = await until(async () => {
    const lines = summaries(await look(id));
    return lines.length > 0 && lines;
  });
  return line.split(' ').map(Number);
}

/** `S` for one that sleeps, `T` for one that is stopped; undefined for one that has ended. */
function stateOf(pid: number): string | undefined {
  try {
    const state = /\) (\w)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
    return state === 'Z' ? undefined : state;
  } catch {
    return undefined;
  }
}

const isGone = (pid: number): boolean => stateOf(pid) === undefined;
const areGone = (pids: readonly number[]): Promise<true> => until(() => pids.every(isGone) && true);
/** The path of a file that is not there. */
const path = (name: string): string => join(folder, `${++count}-${name}`);

test('the output of a command is its progress while it runs, and exit code 0 is done', LIMIT, async () => {
  const file = path('go');
  const id = await dispatched(
    scripts,
    `echo one; echo two >&2; while ! [ -e ${file} ]; do sleep 0.02; done; printf '\\033[31mred\\033[0m \\377\\tend'`,
  );
  await until(async () => summaries(await look(id)).at(-1) === 'two');
  writeFileSync(file, '');
  const status = await end(id);
  assert.equal(status.state, 'done');
  assert.deepEqual(dataOf(status, 'mission.completed'), [{ state: 'done', exit_code: 0, summary: 'red \ufffd end' }]);
  assert.equal(summaries(status).at(-1), 'red \ufffd end');
});

test('objective, completion and id are in the environment, and no shell reads what is filled in', async () => {
  const id = await dispatched(
    scripts,
    'echo "$CALLBOARD_COMPLETION|$CALLBOARD_MISSION_ID|$CALLBOARD_OBJECTIVE"',
    'it * is',
  );
  const objective = `--help "two  words" 'it''s' $(touch ${folder}/no) \`x\` \\ ; {completion} $HOME *`;
  const other = await dispatched(words, objective);
  const echo = 'echo "$CALLBOARD_COMPLETION|$CALLBOARD_MISSION_ID|$CALLBOARD_OBJECTIVE"';
  assert.deepEqual(dataOf(await end(id), 'mission.completed'), [
    { state: 'done', exit_code: 0, summary: `it * is|${id}|${echo}` },
  ]);
  assert.deepEqual(dataOf(await end(other), 'mission.completed'), [
    { state: 'done', exit_code: 0, summary: `[${objective}][a b${objective}"${other}]` },
  ]);
  assert.ok(!existsSync(join(folder, 'no')));
});

test('any other exit code, a signal, or what no command can be given: the mission fails and says why', async () => {
  const failures: [script: string, completion: string, reason: string, more: object][] = [
    ['echo no >&2; echo so; exit 3', 'x', 'the command exited with 3', { exit_code: 3, error: 'no' }],
    ['echo oh >&2; kill -KILL $$', 'x', 'the command was ended by SIGKILL', {}],
    ['a\0b', 'x', 'its objective has a NUL character in it, which no command can be given', {}],
    ['true', 'x'.repeat(300_000), 'objective and completion are too long for a command (E2BIG)', {}],
  ];
  for (const [script, completion, reason, more] of failures) {
    const status = await end(await dispatched(scripts, script, completion));
    assert.deepEqual(dataOf(status, 'mission.failed'), [{ state: 'failed', reason, ...more }]);
  }
});

/** The open question of a mission. */
const question = (id: string): Promise<{ hitl_id: string; prompt: string }> =>
  until(async () => {
    const status = await look(id);
    const asked = v.array(v.object({ hitl_id: v.string(), prompt: v.string() }));
    return status.state === 'hitl-required' && v.parse(asked, dataOf(status, 'mission.hitl_required')).at(-1);
  });

/** Answers the open question. @returns its prompt */
async function answer(id: string, response: string): Promise<string> {
  const { hitl_id, prompt } = await question(id);
  assert.equal((await post(`${url}/api/v1/missions/${id}/hitl_response`, { hitl_id, response })).status, 202);
  await until(async () => dataOf(await look(id), 'mission.hitl_responded').length > 0);
  return prompt;
}

test(
  'lines that --ask matches are questions, one after the other, and an answer is a line of standard input',
  LIMIT,
  async () => {
    const id = await dispatched(
      scripts,
      `echo 'Name?'; echo 'Place?' >&2; read name; read place; printf 'Really? [y/N] '; read sure; echo "$name, $place, $sure"; printf '?'`,
    );
    assert.equal(await answer(id, 'Ada\nLovelace'), 'Name?');
    await until(async () => (await question(id)).prompt === 'Place?');
    await answer(id, 'London');
    await until(async () => (await question(id)).prompt === 'Really? [y/N]');
    await answer(id, 'y');
    const status = await end(id);
    // Whoever does not wait for the answer has it end by its exit code.
    assert.equal(status.state, 'done');
    assert.deepEqual(summaries(status), ['Ada Lovelace, London, y']);
  },
);

test('an answer that is not read harms nobody', async () => {
  const id = await dispatched(
    scripts,
    `exec <&-; echo 'Name?'; while ! [ -e ${folder}/answered ]; do sleep 0.02; done`,
  );
  await answer(id, 'Ada');
  writeFileSync(join(folder, 'answered'), '');
  assert.equal((await end(id)).state, 'done');
});

test(
  'a pause stops the whole process group, and resuming has it go on; nothing of it is left at its end',
  LIMIT,
  async (t) => {
    const fifo = path('go');
    execFileSync('mkfifo', [fifo]);
    const go = openSync(fifo, 'r+');
    t.after(() => closeSync(go));
    // The shell starts nothing while it waits: one that a stop catches between vfork and exec is not shown as stopped.
    const id = await dispatched(scripts, `sleep 60 & echo $$ $!; read go <${fifo}; echo 'On?'; read on; echo $on`);
    const pids = await processesOf(id);
    await ask(id, 'pause');
    await until(async () => dataOf(await look(id), 'mission.paused').length > 0);
    // Each is stopped when it would run next.
    await until(() => pids.every((pid) => stateOf(pid) === 'T'));
    writeSync(go, 'go\n');
    await ask(id, 'resume');
    assert.equal(await answer(id, 'on'), 'On?');
    const status = await end(id);
    assert.equal(summaries(status).at(-1), 'on');
    assert.equal(status.state, 'done');
    await areGone(pids);
  },
);

test('a process that has left the group does not hold its mission up', LIMIT, async () => {
  const file = path('gone');
  const id = await dispatched(
    scripts,
    `setsid sh -c 'echo $$; touch ${file}; exec sleep 60' & while ! [ -e ${file} ]; do sleep 0.02; done`,
  );
  const status = await end(id);
  const [escaped = 0] = await processesOf(id);
  process.kill(escaped, 'SIGKILL');
  assert.equal(status.state, 'done');
});

test('an abort has the group end by itself, kills what does not, and takes a paused one, too', LIMIT, async () => {
  const file = path('cleaned-up');
  // The other executor's grace is long.
  const patient = await dispatched(
    words,
    'x',
    `(trap 'sleep 0.2; touch ${file}; exit' TERM; echo ready; while :; do sleep 0.02; done) & wait`,
  );
  await until(async () => summaries(await look(patient)).at(-1) === 'ready');
  const stubborn = await dispatched(scripts, `trap '' TERM; sleep 60 & echo $$ $!; wait; sleep 60`);
  const pids = await processesOf(stubborn);
  await ask(stubborn, 'pause');
  await inState({ url }, stubborn, 'paused');
  await ask(patient, 'abort');
  await ask(stubborn, 'abort');
  await areGone(pids);
  await words.stdoutMatch(new RegExp(`mission ${patient} is over`));
  assert.ok(existsSync(file), 'what the leader had started was given no time');
  assert.equal((await end(stubborn)).state, 'aborted');
});

test('as many missions run as --concurrency says; others wait in order, can be paused and aborted', LIMIT, async () => {
  const files = [path('1'), path('2'), path('3'), path('4')];
  const ids: string[] = [];
  for (const file of files) ids.push(await dispatched(scripts, `echo $$; while ! [ -e ${file} ]; do sleep 0.02; done`));
  const [first = '', second = '', third = '', fourth = ''] = ids;
  await inState({ url }, first, 'running');
  await inState({ url }, second, 'running');
  const states = async () => [(await look(third)).state, (await look(fourth)).state];
  assert.deepEqual(await states(), ['assigned', 'assigned']);
  await ask(third, 'abort');
  await ask(fourth, 'pause');
  await scripts.stdoutMatch(new RegExp(`mission ${third} is over`));
  await until(async () => dataOf(await look(fourth), 'mission.paused').length === 1);
  const [last = '', ...others] = files.reverse();
  for (const file of others) writeFileSync(file, '');
  // While it waited, and when it had begun.
  await until(async () => dataOf(await look(fourth), 'mission.paused').length === 2);
  assert.equal((await look(fourth)).state, 'paused');
  writeFileSync(last, '');
  await ask(fourth, 'resume');
  assert.equal((await end(fourth)).state, 'done');
  assert.deepEqual(summaries(await end(third)), []);
});

test('a flood of output is read to its end, and neither kept nor all sent', LIMIT, async () => {
  const peak = (): number =>
    Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${scripts.pid}/status`, 'utf8'))?.[1]) / 1024;
  const before = peak();
  const begun = performance.now();
  const id = await dispatched(
    scripts,
    `yes ${'0123456789'.repeat(100)} | head -c 200000000; head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end`,
  );
  const status = await end(id);
  const lines = summaries(status);
  assert.equal(lines.at(-1), 'end');
  assert.ok(lines.every((line) => line.length <= 1_000));
  assert.ok(lines.length <= (performance.now() - begun) / 250 + 2, `${lines.length} lines were sent`);
  // Of 300 MB: what is not collected yet is tens of them.
  assert.ok(peak() - before < 120, `it grew from ${before} to ${peak()} MB`);
});

test(
  'stopping the executor ends what runs and what waits, with no process left, and it leaves Callboard',
  LIMIT,
  async () => {
    const running = [
      await dispatched(scripts, `sleep 60 & echo $$ $!; wait`),
      await dispatched(scripts, `trap '' TERM; (sleep 60 & echo $$ $!; wait)`),
    ];
    const waiting = await dispatched(scripts, 'true');
    const pids = (await Promise.all(running.map(processesOf))).flat();
    scripts.kill('SIGTERM');
    const { code, stderr } = await scripts.ended;
    assert.deepEqual({ code, stderr, gone: pids.every(isGone) }, { code: 0, stderr: '', gone: true });
    for (const [id, reason] of [
      ...running.map((id) => [id, 'the executor was stopped']),
      [waiting, 'the executor was stopped before it began'],
    ])
      assert.deepEqual(dataOf(await look(id ?? ''), 'mission.failed'), [{ state: 'failed', reason }]);
    const { executors } = v.parse(executorsListResponseSchema, (await send(`${url}/api/v1/executors`)).body);
    assert.deepEqual(
      executors.map(({ name }) => name),
      ['words'],
    );
  },
);

test('an executor that an operator deletes ends its commands and says why', LIMIT, async () => {
  const deleted = await executor('deleted', ['--run', 'sleep 60']);
  const [, id] = await deleted.stdoutMatch(/"executor_id":"(.*?)"/);
  const mission_id = 'm-deleted';
  const body = { mission_id, objective: 'x', completion: 'x', executor_filter: { capabilities: ['x-deleted'] } };
  assert.equal((await post(`${url}/api/v1/sessions/s/dispatch`, body)).status, 202);
  const [, pid] = await deleted.stdoutMatch(/\(process (\d+)\)/);
  assert.equal((await send(`${url}/api/v1/executors/${id}`, { method: 'DELETE' })).status, 204);
  const { code, stderr } = await deleted.ended;
  assert.deepEqual([code, isGone(Number(pid))], [1, true]);
  assert.match(stderr, /an operator has deleted this executor/);
});

test('where the executor is killed, so is all that it has started', LIMIT, async () => {
  const id = await dispatched(words, 'x', 'trap "" TERM INT HUP; sleep 60 & echo $$ $!; wait');
  const pids = await until(async () => {
    const line = summaries(await look(id)).at(-1);
    return line !== undefined && /^\d+ \d+$/.test(line) && line.split(' ').map(Number);
  });
  assert.ok(!pids.some(isGone));
  words.kill('SIGKILL');
  await words.ended;
  await areGone(pids);
});

test(
  'a mistake in the executor leaves nothing behind either, and it is told when its keeper is gone',
  LIMIT,
  async () => {
    const program = `
    import { ChildGroup } from './dist/src/cli/child-group.js';
    import { ChildGroups } from './dist/src/cli/child-groups.js';
    const groups = new ChildGroups(() => { throw new Error('a mistake'); });
    const onOutput = (_, text) => console.log('started', text);
    const words = ['sh', '-c', 'trap "" TERM; sleep 60 & echo $$ $!; wait'];
    await ChildGroup.start({ words, env: process.env, isAnswered: false, onOutput }, groups);`;
    const running = new Running(['--input-type=module', '--eval', program]);
    const [, ...pids] = (await running.stdoutMatch(/started (\d+) (\d+)/)).map(Number);
    assert.ok(!pids.some(isGone));
    const children = readFileSync(`/proc/${running.pid}/task/${running.pid}/children`, 'utf8');
    process.kill(Number(children.split(' ')[0]), 'SIGKILL');
    assert.match((await running.ended).stderr, /Error: a mistake/);
    await areGone(pids);
  },
);
