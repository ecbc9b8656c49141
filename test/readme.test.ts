/**
 * The README says what is so: its commands are run, and its picture and tables are held against the code. Its TypeScript is
 * run where the package is installed, by `package.test.ts`.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { variableOf } from '#src/cli/flags.js';
import { serveOptions } from '#src/cli/options.js';
import { errorStatus } from '#src/contract/index.js';
import { blocks, readme, textsIn } from './readme.js';
import { manifest, type Program, User } from './user.js';

const root = fileURLToPath(new URL('..', import.meta.url));
/** The rows of a table of the README, by a heading of its first column: cells, without padding. */
function rowsOf(heading: string): string[][] {
  const lines = readme.slice(readme.indexOf(`\n| ${heading} `) + 1).split('\n');
  const rows = lines.slice(
    2,
    lines.findIndex((line) => !line.startsWith('|')),
  );
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const codesIn = (cell: string | undefined): string[] =>
  [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, code = '']) => code);

/** For tests that wait for a program that runs. */
const LIMIT = { timeout: 60_000 };

const user = new User();
after(() => user.remove());

test('every block is of a language that is run here', () => {
  assert.deepEqual(new Set(blocks.map(({ language }) => language)), new Set(['sh', 'ts', 'mermaid']));
});

// Shell: each line is a command, run in a copy of the checkout.

const commands = textsIn('sh').flatMap((text) => text.trim().split(/\n| && /));
/** Those that lead from an executor to a mission that is done, in their order. */
const realWork = commands.filter((command) => /^(?:curl|npx callboard executor) /.test(command));

test('the commands of the README are those that are tested here', () => {
  const tested = ['npm ci', 'npm start', 'npm test', 'npm run bench -- ingest', 'npx callboard simulate'];
  tested.push('npx callboard export --out backup.ndjson', 'npx callboard import --data-dir ./copy backup.ndjson');
  tested.push(...realWork);
  assert.deepEqual([...new Set(commands)].sort(), tested.sort());
});

test('npm ci: the lock file is complete and fits package.json', async () => {
  // A real one is what brought these tests their node_modules; nothing is fetched here.
  const folder = join(user.home, 'lock');
  for (const file of ['package.json', 'package-lock.json']) cpSync(join(root, file), join(folder, file));
  await user.run('npm', ['ci', '--dry-run'], folder);
});

test('npm test: this file is part of it', () => {
  assert.ok(manifest.scripts.test?.split(' ').includes('test/*.test.ts'));
});

// Those that need a server have the same one. It is started by `npm start`, in a checkout that has not been built.

user.checkOut();
const run = (program: string, ...args: string[]): Promise<string> => user.run(program, args, user.checkout);
let server: Program;
let url: string;

test('npm start serves the routes of the table', LIMIT, async () => {
  server = user.start('npm', ['start', '--', '--port', '0'], user.checkout);
  url = await server.said(/listening on (http:\/\/[\d.:]+)/);
  await checkRoutes(url);
});

test('npx callboard simulate sees 20 missions through', LIMIT, async () => {
  const stdout = await run('npx', 'callboard', 'simulate', '--url', url);
  const summary = v.parse(v.object({ ok: v.boolean(), executors: v.number(), done: v.number() }), JSON.parse(stdout));
  assert.deepEqual(summary, { ok: true, executors: 2, done: 20 });
});

test('npx callboard export, and import elsewhere, while the server runs', async () => {
  await run('npx', 'callboard', 'export', '--out', 'backup.ndjson');
  await run('npx', 'callboard', 'import', '--data-dir', './copy', 'backup.ndjson');
  assert.equal(
    await run('npx', 'callboard', 'export', '--data-dir', './copy'),
    readFileSync(join(user.checkout, 'backup.ndjson'), 'utf8'),
  );
});

test('npm run bench -- ingest: it builds, and the scenario is there, and its outcome is right', LIMIT, async () => {
  const stdout = await run('npm', 'run', 'bench', '--', 'ingest', '--smoke', '--url', url);
  assert.ok(stdout.includes(`\ningest: as it should be: ${new URL(url).host}\n`), stdout);
});

// The bench has built once more, below the server that runs, as whoever starts another one does.

test('npx callboard executor does the work that curl dispatches, and asks', LIMIT, async () => {
  const start = async (command = ''): Promise<Program> => {
    const executor = user.start('sh', ['-c', `${command} --url ${url}`], user.checkout);
    await executor.said(/"event":"(connected)"/);
    return executor;
  };
  const curl = (command = ''): Promise<string> => {
    assert.match(command, /^curl .*http:\/\/127\.0\.0\.1:7337\//);
    const here = command.replace('http://127.0.0.1:7337', url);
    return run('sh', '-c', here.replace('curl', 'curl --silent --fail'));
  };
  const [search, dispatch, look, asking, dispatchAsking, list, answer, ...more] = realWork;
  assert.deepEqual(more, []);

  const searching = await start(search);
  await curl(dispatch);
  await searching.said(/(mission m-1: done)/);
  await searching.until(async () => {
    const { state, recent_events } = JSON.parse(await curl(look));
    return state === 'done' && /createExecutor/.test(JSON.stringify(recent_events));
  });
  searching.signal('SIGTERM');
  await searching.ended;

  const executor = await start(asking);
  await curl(dispatchAsking);
  await executor.said(/(mission m-2: asks)/);
  const questions = v.object({ questions: v.array(v.object({ prompt: v.string(), hitl_id: v.string() })) });
  const open = async () => v.parse(questions, JSON.parse(await curl(list))).questions;
  await executor.until(async () => (await open()).length > 0);
  const [question] = await open();
  assert.equal(question?.prompt, 'Deploy, really?');
  await curl(answer?.replace('HITL_ID', question.hitl_id));
  await executor.said(/(mission m-2: done)/);
  executor.signal('SIGTERM');
  await executor.ended;
});

test('npm start stops on SIGTERM', LIMIT, async () => {
  server.signal('SIGTERM');
  await server.ended;
  assert.match(server.stdout, /"msg":"stopped"/);
});

async function checkRoutes(url: string): Promise<void> {
  const rows = rowsOf('route');
  assert.ok(rows.length > 10);
  for (const [route, success, errors] of rows) {
    const [method = '', path = ''] = codesIn(route)[0]?.split(' ') ?? [];
    const response = await fetch(`${url}${path.replace(':id', 'nobody')}`, {
      method,
      ...(method === 'POST' && { headers: { 'content-type': 'application/json' }, body: '{}' }),
    });
    // Nobody is there: it is either fine as it is, or an error that the table or the shared ones below it allow.
    if (response.ok) {
      assert.ok(success?.startsWith(String(response.status)), `${route}: ${response.status}`);
      await response.body?.cancel();
    } else {
      const { error } = v.parse(v.object({ error: v.string() }), await response.json());
      const rest =
        errors === 'the same' ? codesIn(rows[rows.findIndex((row) => row[0] === route) - 1]?.[2]) : codesIn(errors);
      assert.ok([...rest, 'invalid_payload'].includes(error), `${route}: ${error}`);
    }
  }
}

test('the table of errors is that of the contract', () => {
  const documented = rowsOf('status').flatMap(([status, codes]) =>
    codesIn(codes).map((code) => [code, Number(status)]),
  );
  assert.deepEqual(Object.fromEntries(documented), errorStatus);
});

test('the errors of a route are errors of the contract', () => {
  for (const [route, , errors] of rowsOf('route'))
    for (const code of codesIn(errors)) assert.ok(Object.hasOwn(errorStatus, code), `${route}: ${code}`);
});

test('the table of flags is that of `callboard serve`', () => {
  const documented = rowsOf('flag').map(([flag, variable]) => [...codesIn(flag), ...codesIn(variable)]);
  const expected = Object.values(serveOptions).map((option) => [`--${option.name}`, variableOf(option)]);
  assert.deepEqual(documented, expected);
});

test('the picture shows every room of the house, and no other', () => {
  const [picture = '', ...more] = textsIn('mermaid');
  assert.deepEqual(more, []);
  assert.match(picture, /^flowchart /);
  assert.equal(picture.match(/^ *subgraph /gm)?.length, picture.match(/^ *end$/gm)?.length);
  const shown = [...picture.matchAll(/"((?:src\/)?\w+)<br\/>/g)].map(([, room]) => room);
  const rooms = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.deepEqual(shown.sort(), ['actors', ...rooms.map(({ name }) => `src/${name}`)].sort());
});

test('every file that the README links to is there', () => {
  const links = [...readme.matchAll(/\]\(([^)#:]+)\)/g)].map(([, path = '']) => path);
  assert.deepEqual(
    links.filter((path) => !existsSync(join(root, path))),
    [],
  );
  assert.ok(links.length > 0);
});

test('the actor runtime can be copied: it imports Node, comlink, piscina and itself', () => {
  const imported = ['actor', 'lane'].flatMap((room) =>
    readdirSync(join(root, 'src', room)).flatMap((file) => {
      const source = readFileSync(join(root, 'src', room, file), 'utf8');
      return [...source.matchAll(/^(?:import|export|}).* from '([^']+)';$/gm)].map(([, name = '']) => name);
    }),
  );
  const own = /^(?:node:[\w/]+|\.\/[\w-]+\.js|\.\.\/(?:actor|lane)\/[\w-]+\.js|comlink|comlink\/.*|piscina)$/;
  assert.deepEqual(
    imported.filter((name) => !own.test(name)),
    [],
  );
  assert.ok(imported.includes('piscina') && imported.includes('comlink'));
});
