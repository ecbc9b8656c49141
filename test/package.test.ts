/** The package as users get it: what is in it, and that it works from there. */
import assert from 'node:assert/strict';
import { cpSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { after, test } from 'node:test';
import { Installation, manifest } from './installed.js';

const installation = await Installation.make();
const folder = join(installation.user, 'node_modules', 'callboard');
after(() => installation.remove());

/** For tests that wait for a program that runs. */
const LIMIT = { timeout: 60_000 };

/** Runs a program in the user's folder. @returns what it wrote to stdout */
const evaluate = (program: string): Promise<string> =>
  installation.run(process.execPath, ['--input-type=module', '--eval', program], installation.user);

/** All files below a folder, by their path in it. */
const files = (parent: string): string[] =>
  readdirSync(parent, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(parent, path)).isFile())
    .map((path) => path.replaceAll(sep, '/'));

test('the package holds what is compiled from src, actors and bench, with its types, and three files beside it', () => {
  const sources = ['src', 'actors', 'bench'].flatMap((room) =>
    files(join(installation.checkout, room))
      .filter((path) => path.endsWith('.ts'))
      .map((path) => `dist/${room}/${path.replace(/\.ts$/, '')}`),
  );
  const expected = [
    ...['LICENSE', 'README.md', 'package.json'],
    ...sources.flatMap((path) => [`${path}.d.ts`, `${path}.js`]),
  ];
  assert.deepEqual(files(folder).sort(), expected.sort());
});

test('whatever package.json exports can be imported, and has types', async () => {
  const names = Object.keys(manifest.exports).map((path) => `callboard${path.slice(1)}`);
  const program = names.map((name) => `console.log(Object.keys(await import('${name}')).length > 0);`).join('\n');
  assert.equal(await evaluate(program), 'true\n'.repeat(names.length));
  for (const { types } of Object.values(manifest.exports)) assert.ok(statSync(join(folder, types)).isFile());
});

test('nothing but what package.json exports can be imported', async () => {
  const program = "import 'callboard/dist/src/registry/supervisor.js';";
  await assert.rejects(evaluate(program), /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

test('importing the package starts no thread, keeps nothing alive and touches no file', async () => {
  const program = `
    process.on('worker', () => console.log('a thread was started'));
    await import('callboard');
    await import('callboard/actor');
    await import('callboard/client');`;
  assert.equal(await evaluate(program), '');
  assert.deepEqual(
    files(installation.home).filter((path) => !path.startsWith('.npm/')),
    [],
  );
});

test('the callboard command of the package can be executed, and knows its version', async () => {
  const command = join(folder, manifest.bin.callboard);
  assert.match(await installation.run(command, ['--help'], installation.user), /^Usage: callboard <command>/);
  assert.equal(await installation.run(command, ['--version'], installation.user), `${manifest.version}\n`);
});

test('the bench of the package measures any server, and says what a rival needs that is not there', LIMIT, async () => {
  const command = join(folder, manifest.bin.callboard);
  const bench = (...args: string[]) =>
    installation.run(command, ['bench', 'rest-under-load', ...args], installation.user);
  // The rival's packages are not there, unless in a folder further up, where Node looks, too.
  const said = await bench('--smoke');
  const [, baseline] = /^rest-under-load: as it should be: callboard(, baseline)?\n/.exec(said) ?? assert.fail(said);
  const skipped = '\n  baseline is skipped: npm install ajv ajv-formats to have it take part.\n';
  assert.equal(said.includes(skipped), baseline === undefined);
  const server = installation.start(command, ['serve', '--port', '0'], installation.user);
  const url = await server.said(/listening on (http:\/\/[\d.:]+)/);
  assert.ok(
    (await bench('--smoke', '--url', url)).startsWith(`rest-under-load: as it should be: ${new URL(url).host}\n`),
  );
  server.signal('SIGTERM');
  assert.equal(await server.ended, 0);
});

test('callboard serve loads nothing of the bench', LIMIT, async () => {
  // Without the bench's files it works as before.
  const bare = join(installation.home, 'bare');
  cpSync(folder, bare, { recursive: true });
  rmSync(join(bare, 'dist', 'bench'), { recursive: true });
  symlinkSync(join(installation.user, 'node_modules'), join(bare, 'node_modules'));
  const server = installation.start(join(bare, manifest.bin.callboard), ['serve', '--port', '0'], installation.user);
  await server.said(/listening on (http:\/\/[\d.:]+)/);
  server.signal('SIGTERM');
  assert.equal(await server.ended, 0);
});

test('a strict program type-checks against the declarations, and those check by themselves', async () => {
  const program = `
    import { createRegistry, createServer, ExecutorRegistry, executorRegistry, type EventEnvelope } from 'callboard';
    import type { AsyncExecutorRegistry, CallboardServer, MissionRecord, RegistryOptions, ServerOptions } from 'callboard';
    import { type Behaviour, type Context, createSystem, type Ref, type System } from 'callboard/actor';
    import { type AssignedMission, createExecutor, type Executor, MissionStateError, type RunningMission } from 'callboard/client';

    export const executor: Promise<Executor> = createExecutor({
      url: 'http://127.0.0.1:7337',
      executorId: '7c9e6679-7425-40de-944b-e07fc1f90ae7',
      name: 'consumer',
      async onDispatch(mission: AssignedMission) {
        const running: RunningMission = mission.started();
        running.complete({ summary: await running.askHuman('Well?') });
      },
    });
    export const isMisuse = (error: unknown): boolean => error instanceof MissionStateError;

    const known: MissionRecord | undefined = executorRegistry.getMission('m-1');
    export const states: Set<string> = new Set(known?.recentEvents.map((event: EventEnvelope) => event.event));
    export const synchronous: ExecutorRegistry = new ExecutorRegistry({ threads: 2 });
    export const asynchronous = (options: RegistryOptions): Promise<AsyncExecutorRegistry> => createRegistry(options);
    export const server = (options: ServerOptions): Promise<CallboardServer> => createServer(options);
    export const system: System = createSystem();
    export const echo: Behaviour<Ref<string>, string> = {
      name: 'echo',
      start: () => 'hello',
      receive(state: string, to: Ref<string>, context: Context<Ref<string>>) {
        context.tell(to, state);
        // @ts-expect-error: a number is no message of an actor that takes strings
        context.tell(to, 1);
        return state;
      },
    };`;
  writeFileSync(join(installation.user, 'consumer.ts'), program);
  await installation.compile();
});
