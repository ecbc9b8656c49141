/** The package as users get it: what is in it, and that it works from there, as the TypeScript of the README does. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { WebSocket } from 'ws';
import { freePort } from '#bench/free-port.js';
import { textsIn } from './readme.js';
import { manifest, User } from './user.js';

const root = fileURLToPath(new URL('..', import.meta.url));

const user = new User();
after(() => user.remove());
await user.install();
const folder = join(user.project, 'node_modules', 'callboard');

/** For tests that wait for a program that runs. */
const LIMIT = { timeout: 60_000 };

/** Runs a program in the user's folder. @returns what it wrote to stdout */
const evaluate = (program: string): Promise<string> =>
  user.run(process.execPath, ['--input-type=module', '--eval', program], user.project);

/** All files below a folder, by their path in it. */
const files = (parent: string): string[] =>
  readdirSync(parent, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(parent, path)).isFile())
    .map((path) => path.replaceAll(sep, '/'));

test('the package holds what is compiled from src, actors and bench, with its types, and three files beside it', () => {
  const sources = ['src', 'actors', 'bench'].flatMap((room) =>
    files(join(root, room))
      .filter((path) => path.endsWith('.ts'))
      .map((path) => `dist/${room}/${path.replace(/\.ts$/, '')}`),
  );
  const expected = [
    ...['LICENSE', 'README.md', 'package.json'],
    ...sources.flatMap((path) => [`${path}.d.ts`, `${path}.js`]),
  ];
  assert.deepEqual(files(folder).sort(), expected.sort());
});

test('whatever package.json exports has types, and importing it starts no thread and touches no file', async () => {
  const names = Object.keys(manifest.exports).map((path) => `callboard${path.slice(1)}`);
  const program = `
    process.on('worker', () => console.log('a thread was started'));
    for (const name of ${JSON.stringify(names)}) console.log(Object.keys(await import(name)).length > 0);`;
  // That it ends shows that nothing keeps it alive.
  assert.equal(await evaluate(program), 'true\n'.repeat(names.length));
  for (const { types } of Object.values(manifest.exports)) assert.ok(statSync(join(folder, types)).isFile());
  assert.deepEqual(
    files(user.home).filter((path) => !path.startsWith('.npm/')),
    [],
  );
});

test('nothing but what package.json exports can be imported', async () => {
  const program = "import 'callboard/dist/src/registry/supervisor.js';";
  await assert.rejects(evaluate(program), /ERR_PACKAGE_PATH_NOT_EXPORTED/);
});

const command = join(folder, manifest.bin.callboard);

test('the callboard command of the package can be executed, and knows its version', async () => {
  assert.match(await user.run(command, ['--help'], user.project), /^Usage: callboard <command>/);
  assert.equal(await user.run(command, ['--version'], user.project), `${manifest.version}\n`);
});

test('the bench of the package measures it, and says what a rival needs that is not there', LIMIT, async () => {
  const said = await user.run(command, ['bench', 'rest-under-load', '--smoke'], user.project);
  // The rival's packages are not there, unless in a folder further up, where Node looks, too.
  const [, baseline] = /^rest-under-load: as it should be: callboard(, baseline)?\n/.exec(said) ?? assert.fail(said);
  const skipped = '\n  baseline is skipped: npm install ajv ajv-formats to have it take part.\n';
  assert.equal(said.includes(skipped), baseline === undefined);
});

// TypeScript: each block is a file, named in its first line, in the project of somebody who has installed the package.

const programs = textsIn('ts').map((text) => {
  const name = /^\/\/ (\w+)\.ts\n/.exec(text)?.[1];
  if (name === undefined) throw new Error(`this block does not begin with the name of its file:\n${text}`);
  return { name, text, port: /\.listen\((\d+)/.exec(text)?.[1] };
});

/** A program that uses the declarations. */
const consumer = `
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

test('it and the README type-check under strict settings, and the declarations by themselves', async () => {
  const free = await freePort();
  for (const { name, text, port } of programs) {
    const code = port === undefined ? text : text.replace(`listen(${port}`, `listen(${free}`);
    writeFileSync(join(user.project, `${name}.ts`), code);
  }
  writeFileSync(join(user.project, 'consumer.ts'), consumer);
  await user.compile();
});

for (const { name, text } of programs.filter(({ name, port }) => port === undefined && name !== 'client')) {
  test(`${name}.ts prints what its comments say, and ends`, async () => {
    const expected = [...text.matchAll(/\/\/ → (.*)$/gm)].map(([, line]) => `${line}\n`).join('');
    assert.equal(await user.run(process.execPath, [`${name}.js`], user.project), expected);
  });
}

for (const { name } of programs.filter(({ port }) => port !== undefined)) {
  test(`${name}.ts serves its own pages and the contract on one port, and stops on SIGTERM`, LIMIT, async () => {
    const compiled = readFileSync(join(user.project, `${name}.js`), 'utf8');
    const host = `127.0.0.1:${/\.listen\((\d+)/.exec(compiled)?.[1]}`;
    const program = user.start(process.execPath, [`${name}.js`], user.project);
    await program.until(async () => (await fetch(`http://${host}/`)).ok);
    assert.equal(await (await fetch(`http://${host}/`)).text(), 'Hello from your own server\n');

    const executor_id = randomUUID();
    const registered = await fetch(`http://${host}/api/v1/executors/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        executor_id,
        name: 'readme',
        version: '1',
        spec_version: '1.0.0',
        transport_endpoints: { rest: 'http://127.0.0.1:1', ws: 'ws://127.0.0.1:1' },
        capabilities: [],
      }),
    });
    const { token } = v.parse(v.object({ token: v.string() }), await registered.json());
    const socket = new WebSocket(`ws://${host}/ws/executors/${executor_id}?token=${token}`);
    await once(socket, 'open');
    program.signal('SIGTERM');
    const [code] = await once(socket, 'close');
    assert.equal(code, 1001);
    assert.equal(await program.ended, 0);
  });
}

test(
  'client.ts asks, and greets, and stops on SIGTERM; its callboard serve needs nothing of the bench',
  LIMIT,
  async () => {
    rmSync(join(folder, 'dist', 'bench'), { recursive: true });
    const server = user.start(command, ['serve', '--port', '0', '--threads', '1', '--ephemeral'], user.project);
    const url = await server.said(/listening on (http:\/\/[\d.:]+)/);
    const starting = ['--import', `data:text/javascript,process.env.CALLBOARD_URL=${JSON.stringify(url)}`, 'client.js'];
    const program = user.start(process.execPath, starting, user.project);
    const post = (path: string, body: object) =>
      fetch(`${url}/api/v1/${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    const dispatch = { mission_id: 'm-1', objective: 'greet', completion: 'greeted' };
    // Where none fits yet, nothing comes of it, and it may be tried again.
    await program.until(async () => (await post('sessions/s/dispatch', dispatch)).status === 202);
    const newest = async (): Promise<unknown> =>
      v
        .parse(
          v.object({ recent_events: v.array(v.unknown()) }),
          await (await fetch(`${url}/api/v1/missions/m-1`)).json(),
        )
        .recent_events.at(-1);
    const question = v.object({ event: v.literal('mission.hitl_required'), data: v.object({ hitl_id: v.string() }) });
    await program.until(async () => v.is(question, await newest()));
    const { hitl_id } = v.parse(question, await newest()).data;
    assert.equal((await post('missions/m-1/hitl_response', { hitl_id, response: 'Ada' })).status, 202);
    const end = v.object({ event: v.literal('mission.completed'), data: v.object({ summary: v.string() }) });
    await program.until(async () => v.is(end, await newest()));
    assert.equal(v.parse(end, await newest()).data.summary, 'Hello Ada');
    program.signal('SIGTERM');
    assert.equal(await program.ended, 0);
    server.signal('SIGTERM');
    assert.equal(await server.ended, 0);
  },
);
