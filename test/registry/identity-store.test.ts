import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { resolveExecutorIdentityStorePath } from '#src/registry/identity-path.js';
import { IdentityStore, type IdentityStoreOptions } from '#src/registry/identity-store.js';

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-identity-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A store on a file of its own (or the one given), what it reports, and a second look at its file. */
function newStore(t: TestContext, options: IdentityStoreOptions = {}) {
  const path = options.path ?? join(newFolder(t), 'identities.json');
  const problems: string[] = [];
  const store = new IdentityStore({ onProblem: (message) => problems.push(message), ...options, path });
  t.after(() => store.close());
  return { store, path, problems };
}

function tokensIn(path: string): Record<string, string> {
  const entries: { executorId: string; token: string }[] = JSON.parse(readFileSync(path, 'utf8'));
  return Object.fromEntries(entries.map(({ executorId, token }) => [executorId, token]));
}

function identity(executorId: string, token: string) {
  return { executorId, token, lastSeenAt: '2026-01-02T03:04:05.000Z' };
}

/** Runs a script with a `store` on `path` in a process of its own. */
function runWithStore(path: string, script: string) {
  const source = new URL('../../src/registry/identity-store.ts', import.meta.url);
  const program = `import { IdentityStore } from ${JSON.stringify(source.href)};
    const store = new IdentityStore({ path: ${JSON.stringify(path)} });
    ${script}`;
  const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
}

function withEnvironment(values: Record<string, string | undefined>, run: () => void): void {
  const set = (name: string, value: string | undefined) => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  const before = Object.keys(values).map((name) => [name, process.env[name]] as const);
  try {
    for (const [name, value] of Object.entries(values)) set(name, value);
    run();
  } finally {
    for (const [name, value] of before) set(name, value);
  }
}

test('the identity file is the one the environment names, whatever the project says', (t) => {
  const root = newFolder(t);
  mkdirSync(join(root, '.aiwg'));
  writeFileSync(join(root, '.aiwg', 'storage.config'), '{"version":"1","roots":{"executor_identity":"elsewhere"}}');
  withEnvironment({ AIWG_EXECUTOR_IDENTITY_STORE: '/somewhere/tokens.json' }, () => {
    assert.equal(resolveExecutorIdentityStorePath(root), '/somewhere/tokens.json');
  });
});

test("the identity file is in the folder that the project's storage.config names, else in the home folder", (t) => {
  const root = newFolder(t);
  const home = newFolder(t);
  mkdirSync(join(root, '.aiwg'));
  const resolveWith = (config: string) => {
    writeFileSync(join(root, '.aiwg', 'storage.config'), config);
    return resolveExecutorIdentityStorePath(root);
  };
  withEnvironment({ AIWG_EXECUTOR_IDENTITY_STORE: undefined, HOME: home, USERPROFILE: home }, () => {
    assert.equal(homedir(), home);
    const fallback = join(home, '.config', 'aiwg', 'executor-identities.json');
    assert.equal(resolveExecutorIdentityStorePath(root), fallback, 'no storage.config');
    for (const [folder, expected] of [
      ['/absolute/folder', '/absolute/folder'],
      ['relative/folder', join(root, 'relative/folder')],
      ['../beside', join(dirname(root), 'beside')],
      ['~/in-home', join(home, 'in-home')],
      ['~', home],
      ['~user', join(root, '~user')],
    ] as const) {
      const config = JSON.stringify({ version: '1', roots: { executor_identity: folder, other: 'x' } });
      assert.equal(resolveWith(config), join(expected, 'executor-identities.json'));
    }
    for (const config of [
      'not json',
      'null',
      '{"version":"2","roots":{"executor_identity":"/x"}}',
      '{"version":1,"roots":{"executor_identity":"/x"}}',
      '{"version":"1"}',
      '{"version":"1","roots":{}}',
      '{"version":"1","roots":{"executor_identity":""}}',
      '{"version":"1","roots":{"executor_identity":7}}',
    ]) {
      assert.equal(resolveWith(config), fallback, config);
    }
  });
});

test('without an override the project root is the working directory', (t) => {
  const before = process.cwd();
  t.after(() => process.chdir(before));
  process.chdir(newFolder(t));
  mkdirSync('.aiwg');
  writeFileSync('.aiwg/storage.config', '{"version":"1","roots":{"executor_identity":"ids"}}');
  withEnvironment({ AIWG_EXECUTOR_IDENTITY_STORE: undefined }, () => {
    assert.equal(resolveExecutorIdentityStorePath(), join(process.cwd(), 'ids', 'executor-identities.json'));
  });
});

test('making a store touches no file: what it reads is what is there when it first needs it', (t) => {
  const { store, path } = newStore(t);
  writeFileSync(path, JSON.stringify([identity('a', 'token-a')]));
  assert.equal(store.issue('a'), 'token-a');
});

test('asking a store changes nothing on disk', async (t) => {
  const { store, path } = newStore(t);
  assert.equal(store.get('a'), undefined);
  assert.equal(store.matches('a', ''), false);
  assert.equal(store.ownerOf('x'), undefined);
  store.seen('a', 0);
  await store.flush();
  assert.deepEqual(readdirSync(dirname(path)), []);
});

test('a token is 32 random bytes, stays the same until it is rotated, and is worth nothing afterwards', (t) => {
  const { store } = newStore(t);
  const token = store.issue('a');
  assert.match(token, /^[A-Za-z0-9_-]{43}$/);
  assert.equal(Buffer.from(token, 'base64url').length, 32);
  assert.equal(store.issue('a'), token);
  assert.notEqual(store.issue('b'), token);
  assert.equal(store.matches('a', token), true);
  assert.equal(store.ownerOf(token), 'a');
  for (const wrong of ['', token.slice(1), `${token}x`, token.toLowerCase(), store.issue('b'), 'é'.repeat(5000)]) {
    assert.equal(store.matches('a', wrong), false);
  }
  assert.equal(store.matches('nobody', token), false);

  const next = store.rotate('a');
  assert.notEqual(next, token);
  assert.equal(store.issue('a'), next);
  assert.equal(store.matches('a', next), true);
  assert.equal(store.matches('a', token), false);
  assert.equal(store.ownerOf(next), 'a');
  assert.equal(store.ownerOf(token), undefined);
});

test('the first registration from another machine makes a new token, once and for all', async (t) => {
  const { store, path } = newStore(t);
  const old = store.issue('known');
  const first = store.issueRemotely('known');
  assert.notEqual(first.token, old);
  assert.equal(first.rotated, true);
  assert.equal(store.matches('known', old), false);
  assert.equal(store.ownerOf(old), undefined);
  assert.deepEqual(store.issueRemotely('known'), { token: first.token, rotated: false });
  assert.equal(store.issue('known'), first.token);
  const { token, rotated } = store.issueRemotely('new');
  assert.equal(rotated, false, 'there was none to rotate');
  assert.deepEqual(store.issueRemotely('new'), { token, rotated: false });
  await store.kept('new');
  assert.deepEqual(tokensIn(path), { known: first.token, new: token });

  // Another store on the file knows, and keeps it known, also where it had the executor in memory before.
  const other = newStore(t, { path }).store;
  assert.deepEqual(other.issueRemotely('new'), { token, rotated: false });
  const local = other.issue('third');
  await other.flush();
  assert.equal(store.issue('third'), local);
  const rotatedThere = other.issueRemotely('third');
  await other.kept('third');
  assert.deepEqual(store.issueRemotely('third'), { token: rotatedThere.token, rotated: false });
  const rotated2 = store.rotate('known');
  await store.flush();
  assert.deepEqual(newStore(t, { path }).store.issueRemotely('known'), { token: rotated2, rotated: false });
});

test('a token that is restored is the one that is known, if one is', (t) => {
  const { store } = newStore(t);
  const token = store.issue('a');
  assert.equal(store.restore('a', 'other'), token);
  assert.equal(store.restore('b', 'other'), 'other');
});

test('the time an executor was last seen is kept', async (t) => {
  let now = Date.UTC(2026, 0, 1);
  const { store, path } = newStore(t, { now: () => now });
  store.issue('a');
  assert.equal(store.get('a')?.lastSeenAt, '2026-01-01T00:00:00.000Z');
  now += 1000;
  store.issue('a');
  assert.equal(store.get('a')?.lastSeenAt, '2026-01-01T00:00:01.000Z');
  store.seen('a', now + 1000);
  await store.flush();
  assert.equal(newStore(t, { path }).store.get('a')?.lastSeenAt, '2026-01-01T00:00:02.000Z');
});

test('an existing file keeps its tokens and the fields nobody here knows, and gets the published shape', async (t) => {
  const { store, path, problems } = newStore(t, { now: () => Date.UTC(2026, 5, 1) });
  writeFileSync(path, JSON.stringify([{ ...identity('a', 'token-a'), note: { of: 'another program' } }]));
  assert.equal(store.ownerOf('token-a'), 'a');
  store.seen('a', Date.UTC(2026, 6, 1));
  const rotated = store.issue('b');
  await store.flush();
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), [
    { executorId: 'a', token: 'token-a', lastSeenAt: '2026-07-01T00:00:00.000Z', note: { of: 'another program' } },
    { executorId: 'b', token: rotated, lastSeenAt: '2026-06-01T00:00:00.000Z' },
  ]);
  store.rotate('a');
  await store.flush();
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8'))[0].note, { of: 'another program' });
  assert.deepEqual(problems, []);
});

test('the file is for its owner alone, and so is the folder made for it', async (t) => {
  const path = join(newFolder(t), 'made', 'for-it', 'identities.json');
  const { store } = newStore(t, { path });
  store.issue('a');
  await store.flush();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  store.issue('b');
  store.flushSync();
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(dirname(path)), ['identities.json'], 'no temporary file stays');
});

test('many registrations share a write, and so do flushes that overlap', async (t) => {
  const { store, path } = newStore(t);
  for (let i = 0; i < 10_000; i++) store.issue(`executor-${i}`);
  assert.equal(existsSync(path), false);
  const first = store.flush();
  assert.equal(store.flush(), first);
  const late = store.issue('late');
  const second = store.flush();
  assert.notEqual(second, first, 'the write under way does not hold the late one');
  store.issue('later');
  assert.equal(store.flush(), second);
  await first;
  assert.equal(Object.keys(tokensIn(path)).length, 10_000);
  await second;
  assert.equal(Object.keys(tokensIn(path)).length, 10_002);
  assert.equal(tokensIn(path).late, late);
});

test('an asynchronous write that a synchronous one overtook does not undo it', async (t) => {
  const { store, path } = newStore(t);
  store.issue('a');
  const slow = store.flush();
  const token = store.issue('b');
  store.flushSync();
  assert.equal(tokensIn(path).b, token);
  await slow;
  assert.equal(tokensIn(path).b, token);
  assert.deepEqual(readdirSync(dirname(path)), ['identities.json']);
});

/** Resolves when there is a token of the executor in the file. */
function written(path: string, executorId: string): Promise<void> {
  return new Promise((resolve) => {
    const watcher = watch(dirname(path), () => {
      if (!existsSync(path) || !(executorId in tokensIn(path))) return;
      watcher.close();
      resolve();
    });
  });
}

test('a change is written soon without being asked for, and keeps no process waiting', async (t) => {
  const { store, path } = newStore(t);
  const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
  const before = timers();
  const seen = written(path, 'a');
  const token = store.issue('a');
  assert.equal(timers(), before);
  await seen;
  assert.equal(tokensIn(path).a, token);
});

test('a change made during a write is written soon after', { timeout: 10_000 }, async (t) => {
  const { store, path } = newStore(t);
  const seen = written(path, 'b');
  store.issue('a');
  const write = store.flush();
  const token = store.issue('b');
  await write;
  await seen;
  assert.equal(tokensIn(path).b, token);
});

test('a token made during a write is newer than whatever another writes next', async (t) => {
  const { store, path } = newStore(t);
  const old = store.issue('a');
  const write = store.flush();
  const token = store.rotate('a');
  await write;
  assert.equal(tokensIn(path).a, old);
  writeFileSync(path, JSON.stringify([identity('a', old), identity('b', 'token-b')]));
  await store.flush();
  assert.deepEqual(tokensIn(path), { a: token, b: 'token-b' });
});

for (const [end, script] of [
  ['ends by itself', ''],
  ['calls process.exit', 'process.exit(0);'],
  ['calls process.exit during a write', 'void store.flush(); store.issue("b"); process.exit(0);'],
] as const) {
  test(`nothing is lost, and nothing lies about, when the process ${end}`, async (t) => {
    const path = join(newFolder(t), 'identities.json');
    const child = runWithStore(path, `process.stdout.write(store.issue('a')); ${script}`);
    let token = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      token += text;
    });
    const [code] = await once(child, 'close');
    assert.equal(code, 0);
    assert.equal(tokensIn(path).a, token);
    assert.equal('b' in tokensIn(path), end.endsWith('during a write'));
    assert.deepEqual(readdirSync(dirname(path)), ['identities.json']);
  });
}

test('stores share one exit listener, and have none when all is written', async (t) => {
  const before = process.listenerCount('exit');
  const stores = Array.from({ length: 20 }, () => newStore(t).store);
  assert.equal(process.listenerCount('exit'), before);
  for (const store of stores) store.issue('a');
  assert.equal(process.listenerCount('exit'), before + 1);
  const [closed, ...flushed] = stores;
  closed?.close();
  assert.equal(process.listenerCount('exit'), before + 1);
  await Promise.all(flushed.map((store) => store.flush()));
  assert.equal(process.listenerCount('exit'), before);
});

test('closing a store writes what is not written', (t) => {
  const { store, path } = newStore(t);
  const token = store.issue('a');
  store.close();
  assert.equal(tokensIn(path).a, token);
});

for (const text of ['not json', '', '{}', '[{"executorId":"a","token":""}]', '[{"executorId":"a","lastSeenAt":"x"}]']) {
  test(`a file that holds ${JSON.stringify(text)} is kept aside and reported`, async (t) => {
    const { store, path, problems } = newStore(t, { now: () => Date.UTC(2026, 0, 1) });
    writeFileSync(path, text);
    const token = store.issue('a');
    const aside = 'identities.json.corrupt-2026-01-01T00-00-00.000Z';
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? '', /does not parse/);
    assert.ok(problems[0]?.includes(path) && problems[0].includes(aside));
    await store.flush();
    assert.deepEqual(readdirSync(dirname(path)), ['identities.json', aside]);
    assert.equal(readFileSync(join(dirname(path), aside), 'utf8'), text);
    assert.deepEqual(tokensIn(path), { a: token });
  });
}

test('a file that is spoilt while the store is in use is kept aside, too, and nothing is lost', async (t) => {
  const { store, path, problems } = newStore(t);
  const token = store.issue('a');
  await store.flush();
  writeFileSync(path, 'spoilt');
  store.seen('a', 0);
  await store.flush();
  assert.equal(problems.length, 1);
  assert.deepEqual(tokensIn(path), { a: token });
  const [, aside] = readdirSync(dirname(path));
  assert.equal(readFileSync(join(dirname(path), aside ?? ''), 'utf8'), 'spoilt');
});

test('a file that cannot be read is reported and not replaced; once it can be, both sides are kept', async (t) => {
  const { store, path, problems } = newStore(t);
  symlinkSync(path, path); // Reading it fails (ELOOP), for root too; renaming something over it would not.
  const token = store.issue('a');
  assert.equal(problems.length, 1);
  assert.ok(problems[0]?.includes(`cannot read the identity store ${path}: ELOOP`), problems[0]);
  await assert.rejects(store.flush(), /ELOOP/);
  assert.throws(() => store.flushSync(), /ELOOP/);
  assert.ok(lstatSync(path).isSymbolicLink());
  assert.equal(store.issue('a'), token);

  unlinkSync(path);
  writeFileSync(path, JSON.stringify([identity('a', 'older'), identity('b', 'token-b')]));
  await store.flush();
  assert.deepEqual(tokensIn(path), { a: token, b: 'token-b' });
  assert.equal(store.ownerOf('token-b'), 'b');
});

test('a write that fails is reported once and loses nothing: the next flush writes it all', async (t) => {
  // A link to nowhere, in place of the folder: nothing can be made there, not even by root.
  const folder = join(newFolder(t), 'folder');
  symlinkSync('nowhere', folder);
  const { store, path, problems } = newStore(t, { path: join(folder, 'identities.json') });
  const token = store.issue('a');
  await assert.rejects(store.flush(), (error: Error) => {
    assert.ok(error.message.startsWith(`cannot write the identity store ${path}: E`), error.message);
    return true;
  });
  const other = store.issue('b');
  assert.throws(() => store.flushSync(), /cannot write/);
  await assert.rejects(store.flush());
  assert.equal(problems.length, 1);
  unlinkSync(folder);
  await store.flush();
  assert.deepEqual(tokensIn(path), { a: token, b: other });
  rmSync(folder, { recursive: true });
  symlinkSync('nowhere', folder);
  store.rotate('a');
  store.close();
  assert.equal(problems.length, 2, 'what fails anew is reported anew');
});

test('closing a store that cannot write leaves no exit listener', (t) => {
  const before = process.listenerCount('exit');
  const { store, problems } = newStore(t, { path: '/dev/null/identities.json' });
  store.issue('a');
  store.close();
  assert.equal(process.listenerCount('exit'), before);
  // Which call finds out, and how, differs between Node's versions.
  assert.match(problems[0] ?? '', /cannot (read|write) .*(ENOTDIR|EEXIST)/);
});

test('a new store in the same process finds the tokens that another has yet to write', (t) => {
  const { store, path } = newStore(t);
  const token = store.issue('a');
  assert.equal(newStore(t, { path }).store.issue('a'), token);
});

test('two stores on one file keep what the other wrote', async (t) => {
  const { store: one, path } = newStore(t);
  const { store: two } = newStore(t, { path });
  const a = one.issue('a');
  const b = two.issue('b');
  await one.flush();
  await two.flush();
  assert.deepEqual(tokensIn(path), { a, b });
  assert.equal(two.issue('a'), a);

  const c = one.issue('c');
  await one.flush();
  assert.equal(two.issue('c'), c, 'found in the file before a token is made');
  // That it was seen is written behind its back: of two writes in the same few milliseconds the later stands.
  await two.flush();

  const rotated = one.rotate('a');
  await one.flush();
  const later = Date.now() + 60_000;
  two.seen('a', later);
  await two.flush();
  assert.equal(tokensIn(path).a, rotated, 'seen is no reason to bring an old token back');
  assert.equal(two.matches('a', a), false);
  assert.equal(two.ownerOf(rotated), 'a');
  assert.equal(two.get('a')?.lastSeenAt, new Date(later).toISOString());
});

test('who reads the file while another process writes it never finds half of it', { timeout: 30_000 }, async (t) => {
  const path = join(newFolder(t), 'identities.json');
  writeFileSync(path, '[]');
  const child = runWithStore(
    path,
    `for (let i = 0; i < 2000; i++) store.issue('executor-' + i);
    for (let i = 0; i < 20; i++) { store.seen('executor-' + i, i); if (i % 2) store.flushSync(); else await store.flush(); }`,
  );
  let running = true;
  const ended = once(child, 'close').finally(() => {
    running = false;
  });
  const sizes = new Set<number>();
  while (running) {
    sizes.add(Object.keys(tokensIn(path)).length);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(await ended, [0, null]);
  sizes.add(Object.keys(tokensIn(path)).length);
  assert.deepEqual([...sizes], [0, 2000]);
});

test('whatever is done in whatever order, what was flushed is there after a restart', async (t) => {
  const executorId = fc.constantFrom('a', 'b', 'c', '__proto__', '');
  const step = fc.oneof(
    fc.record({ do: fc.constant('issue' as const), executorId }),
    fc.record({ do: fc.constant('rotate' as const), executorId }),
    fc.record({ do: fc.constant('seen' as const), executorId }),
    fc.record({ do: fc.constantFrom('flush' as const, 'flushSync' as const, 'start flush' as const) }),
    fc.record({ do: fc.constant('restart' as const), kindly: fc.boolean() }),
  );
  const folder = newFolder(t);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const path = join(folder, `${run++}.json`);
      const problems: string[] = [];
      const open = () => new IdentityStore({ path, onProblem: (message) => problems.push(message) });
      let store = open();
      const model = new Map<string, string>();
      const started: Promise<void>[] = [];
      for (const step of steps) {
        if (step.do === 'issue') {
          const token = store.issue(step.executorId);
          assert.equal(token, model.get(step.executorId) ?? token);
          model.set(step.executorId, token);
        } else if (step.do === 'rotate') model.set(step.executorId, store.rotate(step.executorId));
        else if (step.do === 'seen') store.seen(step.executorId, 0);
        else if (step.do === 'start flush') started.push(store.flush());
        else if (step.do === 'flushSync') store.flushSync();
        else if (step.do === 'flush') await store.flush();
        else if (step.do === 'restart') {
          if (step.kindly) store.close();
          else await store.flush();
          store = open();
        }
        if (model.size > 0 && (step.do === 'flush' || step.do === 'flushSync')) {
          assert.deepEqual(new Map(Object.entries(tokensIn(path))), model);
        }
        for (const [id, token] of model) {
          assert.ok(store.matches(id, token));
          assert.equal(store.ownerOf(token), id);
        }
      }
      store.close();
      await Promise.all(started);
      const after = open();
      for (const [id, token] of model) assert.equal(after.get(id)?.token, token);
      assert.deepEqual(problems, []);
    }),
    { numRuns: 40 },
  );
});
