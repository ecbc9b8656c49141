/** The runtime and a user's own actor, lifted out with nothing but what they need, compiled, and run by plain node. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
let dir = '';

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'callboard-compiled-'));
  await writeFile(
    join(dir, 'tsconfig.json'),
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        rootDir: dir,
        outDir: join(dir, 'dist'),
        declaration: false,
      },
      include: ['src', 'test'],
    }),
  );
  const imports = { '#src/*.js': { types: './src/*.ts', default: './dist/src/*.js' } };
  await writeFile(join(dir, 'package.json'), JSON.stringify({ type: 'module', imports }));
  for (const path of ['src/actor', 'src/lane', 'test/actor/probe.ts'])
    await cp(join(root, path), join(dir, path), { recursive: true });
  await mkdir(join(dir, 'node_modules'));
  for (const name of ['@types', 'comlink', 'piscina'])
    await symlink(join(root, 'node_modules', name), join(dir, 'node_modules', name));
  await run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', dir]);
  await cp(join(dir, 'dist/test/actor/probe.js'), join(dir, 'elsewhere.js'));
});
after(() => rm(dir, { recursive: true, force: true }));

async function node(body: string, ...options: string[]): Promise<string> {
  const file = join(dir, 'main.js');
  await writeFile(
    file,
    `import { createSystem } from './dist/src/actor/index.js';
     const probe = new URL('./dist/test/actor/probe.js', import.meta.url);
     ${body}`,
  );
  const { stdout, stderr } = await run(process.execPath, [...options, file], { timeout: 20_000 });
  assert.equal(stderr, '');
  return stdout;
}

test('compiled, an actor is spawned on a thread, answers, and dies with its system', async () => {
  const out = await node(`
    const system = createSystem({ threads: 2 });
    const refs = [0, 1].map((thread) => system.spawnOnThread(probe, { first: thread }, { thread }));
    for (const ref of refs) system.tell(ref, Buffer.from([1, 2]));
    console.log(JSON.stringify(await Promise.all(refs.map((ref) => system.ask(ref, (notes) => ({ notes }))))));
    await system.close();`);
  assert.deepEqual(JSON.parse(out), [
    [0, { 0: 1, 1: 2 }],
    [1, { 0: 1, 1: 2 }],
  ]);
});

test('compiled, askNow works at once, without the event loop ever having had a turn', async () => {
  const out = await node(`
    const system = createSystem({ threads: 1 });
    const ref = system.spawnOnThread(probe, {});
    console.log(system.askNow(ref, (replyTo) => ({ echo: 'at once', replyTo })));
    system.settleNow();
    await system.close();`);
  assert.equal(out, 'at once\n');
});

const askOnce = (module = "new URL('./elsewhere.js', import.meta.url)") => `
  const system = createSystem({ threads: 1 });
  const ref = system.spawnOnThread(${module}, {});
  console.log(await system.ask(ref, (replyTo) => ({ echo: 'loaded', replyTo })));
  await system.close();`;

test('a thread starts although an option names a tsx that can not be imported', async () => {
  await mkdir(join(dir, 'tsx'));
  await writeFile(join(dir, 'tsx/hook.js'), '');
  assert.equal(await node(askOnce(), `--import=${join(dir, 'tsx/hook.js')}`), 'loaded\n');
});

test('tsx is registered on a thread for a module from elsewhere, when an option names it and not only its letters', async () => {
  const tsx = join(dir, 'node_modules/tsx');
  await mkdir(tsx);
  await writeFile(join(tsx, 'package.json'), JSON.stringify({ type: 'module', exports: { './esm/api': './api.js' } }));
  await writeFile(join(tsx, 'api.js'), `export const register = () => { throw new Error('registered'); };`);
  assert.equal(await node(askOnce(), '--conditions=my-tsx', '--title=page.tsx'), 'loaded\n');
  await assert.rejects(node(askOnce(), '--conditions=tsx'), /registered/);
  assert.equal(await node(askOnce('probe'), '--conditions=tsx'), 'loaded\n');
});
