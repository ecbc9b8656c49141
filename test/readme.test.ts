/** The README says what is so: every block of code in it is run, and its picture and tables are held against the code. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { WebSocket } from 'ws';
import { freePort } from '#bench/free-port.js';
import { variableOf } from '#src/cli/flags.js';
import { serveOptions } from '#src/cli/options.js';
import { errorStatus } from '#src/contract/index.js';
import { Installation, manifest, type Program } from './installed.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

const blocks = [...readme.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
  language,
  text,
}));
const textsIn = (language: string): string[] =>
  blocks.filter((block) => block.language === language).map(({ text }) => text);

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

const installation = await Installation.make();
after(() => installation.remove());

test('every block is of a language that is run here', () => {
  assert.deepEqual(new Set(blocks.map(({ language }) => language)), new Set(['sh', 'ts', 'mermaid']));
});

// TypeScript: each block is a file, named in its first line, in the folder of somebody who has installed the package.

const programs = textsIn('ts').map((text) => {
  const name = /^\/\/ (\w+)\.ts\n/.exec(text)?.[1];
  if (name === undefined) throw new Error(`this block does not begin with the name of its file:\n${text}`);
  return { name, text, port: /\.listen\((\d+)/.exec(text)?.[1] };
});

test('the TypeScript of the README is correct under strict settings', async () => {
  const free = await freePort();
  for (const { name, text, port } of programs) {
    const code = port === undefined ? text : text.replace(`listen(${port}`, `listen(${free}`);
    writeFileSync(join(installation.user, `${name}.ts`), code);
  }
  await installation.compile();
});

for (const { name, text } of programs.filter(({ name, port }) => port === undefined && name !== 'client')) {
  test(`${name}.ts prints what its comments say, and ends`, async () => {
    const expected = [...text.matchAll(/\/\/ → (.*)$/gm)].map(([, line]) => `${line}\n`).join('');
    assert.equal(await installation.run(process.execPath, [`${name}.js`], installation.user), expected);
  });
}

for (const { name } of programs.filter(({ port }) => port !== undefined)) {
  test(`${name}.ts serves its own pages and the contract on one port, and stops on SIGTERM`, LIMIT, async () => {
    const compiled = readFileSync(join(installation.user, `${name}.js`), 'utf8');
    const host = `127.0.0.1:${/\.listen\((\d+)/.exec(compiled)?.[1]}`;
    const program = installation.start(process.execPath, [`${name}.js`], installation.user);
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

test('client.ts is an executor that asks, and greets; it stops on SIGTERM', LIMIT, async () => {
  const server = installation.start('npm', ['start', '--', '--port', '0', '--ephemeral'], installation.checkout);
  const url = await server.said(/listening on (http:\/\/[\d.:]+)/);
  const starting = ['--import', `data:text/javascript,process.env.CALLBOARD_URL=${JSON.stringify(url)}`, 'client.js'];
  const program = installation.start(process.execPath, starting, installation.user);
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
  await server.ended;
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
  const folder = join(installation.home, 'lock');
  for (const file of ['package.json', 'package-lock.json']) cpSync(join(root, file), join(folder, file));
  await installation.run('npm', ['ci', '--dry-run'], folder);
});

test('npm test: this file is part of it', () => {
  assert.ok(manifest.scripts.test?.split(' ').includes('test/*.test.ts'));
});

test('npm run bench -- ingest: the scenario is there, and its outcomes are right', async () => {
  const stdout = await installation.run('npm', ['run', 'bench', '--', 'ingest', '--smoke'], installation.checkout);
  assert.match(stdout, /^ingest: as it should be: callboard, ephemeral, baseline/m);
});

test(
  'npm start serves the routes of the table, and npx callboard simulate sees 20 missions through',
  LIMIT,
  async () => {
    const server = installation.start('npm', ['start', '--', '--port', '0'], installation.checkout);
    const url = await server.said(/listening on (http:\/\/[\d.:]+)/);
    await checkRoutes(url);
    // Twice, with a build in between by whoever starts the server again.
    for (const build of [true, false]) {
      const stdout = await installation.run('npx', ['callboard', 'simulate', '--url', url], installation.checkout);
      const summary = v.parse(
        v.object({ ok: v.boolean(), executors: v.number(), done: v.number() }),
        JSON.parse(stdout),
      );
      assert.deepEqual(summary, { ok: true, executors: 2, done: 20 });
      if (build) await installation.run('npm', ['run', 'build'], installation.checkout);
    }
    const run = (...args: string[]) => installation.run('npx', ['callboard', ...args], installation.checkout);
    await run('export', '--out', 'backup.ndjson');
    await run('import', '--data-dir', './copy', 'backup.ndjson');
    assert.equal(
      await run('export', '--data-dir', './copy'),
      readFileSync(join(installation.checkout, 'backup.ndjson'), 'utf8'),
    );
    server.signal('SIGTERM');
    await server.ended;
    assert.match(server.stdout, /"msg":"stopped"/);
  },
);

test('npx callboard executor does the work that curl dispatches, and asks', LIMIT, async () => {
  const server = installation.start('npx', ['callboard', 'serve', '--port', '0', '--ephemeral'], installation.checkout);
  const url = await server.said(/listening on (http:\/\/[\d.:]+)/);
  const start = async (command = ''): Promise<Program> => {
    const executor = installation.start('sh', ['-c', `${command} --url ${url}`], installation.checkout);
    await executor.said(/"event":"(connected)"/);
    return executor;
  };
  const curl = (command = ''): Promise<string> => {
    assert.match(command, /^curl .*http:\/\/127\.0\.0\.1:7337\//);
    const here = command.replace('http://127.0.0.1:7337', url);
    return installation.run('sh', ['-c', here.replace('curl', 'curl --silent --fail')], installation.checkout);
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
  server.signal('SIGTERM');
  await server.ended;
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
