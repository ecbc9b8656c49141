import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { built } from '../built.js';

const index = pathToFileURL(join(built, 'src', 'index.js')).href;
const corrupt = 'not JSON';

/** Runs a program in an empty home with an identity file that does not parse: who reads it moves it. */
function run(t: TestContext, program: string) {
  const home = mkdtempSync(join(tmpdir(), 'callboard-home-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const identities = join(home, 'identities.json');
  writeFileSync(identities, corrupt);
  const source = `import { ExecutorRegistry, executorRegistry } from ${JSON.stringify(index)};
    ${program}
    process.stdout.write(JSON.stringify(process.getActiveResourcesInfo().filter((name) => name === 'MessagePort' || name === 'Worker')));`;
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', source], {
    env: { ...process.env, HOME: home, USERPROFILE: home, AIWG_EXECUTOR_IDENTITY_STORE: identities },
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(child.status, 0, `it ends by itself: ${child.stderr}`);
  return { files: readdirSync(home), content: () => readFileSync(identities, 'utf8'), ...child };
}

for (const [what, program] of [
  ['importing the package', ''],
  ['making registries', 'new ExecutorRegistry(); new ExecutorRegistry({ threads: 2 });'],
  [
    'asking registries that keep nothing',
    `for (const registry of [executorRegistry, new ExecutorRegistry({ threads: 2 })]) {
       registry.list(); registry.get('x'); registry.getMission('x'); registry.getRegistration('x'); registry.size;
       registry.pickByFilter({}); registry.failMission('x', 'y'); registry.transitionMission('x', 'paused');
       registry.deregister('x'); registry.setConnected('x', false); registry.pushToExecutor('x', {}); registry.shutdown();
       registry.handleEvent({ event: 'executor.resync', executor_id: 'x' });
     }`,
  ],
] as const) {
  test(`${what} starts no thread, touches no file, and keeps no process`, (t) => {
    const { stdout, stderr, files, content } = run(t, program);
    assert.deepEqual(JSON.parse(stdout), []);
    assert.equal(stderr, '');
    assert.deepEqual(files, ['identities.json']);
    assert.equal(content(), corrupt);
  });
}

test('a registry reads the identity file when it first needs it', (t) => {
  const { stderr, files } = run(t, "executorRegistry.authenticate('x', 'y'); executorRegistry.authenticate('x', 'y');");
  assert.match(stderr, /does not parse/);
  assert.equal(files.length, 1);
  assert.match(files[0] ?? '', /^identities\.json\.corrupt-/);
});

test('a program that has done its work ends, whatever human question is still open', (t) => {
  const id = '7c9e6679-7425-40de-944b-e07fc1f90ae7';
  const { stdout } = run(
    t,
    `const { token } = executorRegistry.register({ executor_id: '${id}', name: 'n', version: '1', spec_version: '1.0.0',
       transport_endpoints: { rest: 'http://127.0.0.1:1', ws: 'ws://127.0.0.1:1' }, capabilities: [] });
     executorRegistry.assignMission('m', '${id}');
     executorRegistry.handleEvent({ event: 'mission.hitl_required', executor_id: '${id}', mission_id: 'm',
       ts: new Date().toISOString(),
       data: { hitl_id: 'h', prompt: 'p', expires_at: new Date(Date.now() + 3_600_000).toISOString() } });
     process.stdout.write(executorRegistry.getMission('m').state + ' ');`,
  );
  assert.match(stdout, /^hitl-required /);
});
