import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { openLmdb, STORE_FILE } from '#src/store/lmdb-engine.js';
import { StorageError, type StorageErrorCode } from '#src/store/storage-error.js';
import { built } from '../built.js';
import { newFolder } from '../folder.js';
import { entriesOf, openFor, put, textOf } from './engines.js';

const ENGINE = JSON.stringify(pathToFileURL(join(built, 'src', 'store', 'lmdb-engine.js')).href);

/** A process that runs a script with `openLmdb` and the store's `folder`. */
function run(t: TestContext, folder: string, script: string): ChildProcess & { lines: AsyncIterator<string> } {
  const program = `import { writeSync } from 'node:fs';
    import { openLmdb } from ${ENGINE};
    const folder = ${JSON.stringify(folder)};
    const say = (text) => writeSync(1, text + '\\n');
    ${script}`;
  const args = ['--input-type=module', '--eval', program];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  return Object.assign(child, { lines: createInterface(child.stdout)[Symbol.asyncIterator]() });
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

function refuses(code: StorageErrorCode, ...words: string[]) {
  return (error: unknown) => {
    assert.ok(error instanceof StorageError, String(error));
    assert.equal(error.code, code);
    for (const word of words) assert.ok(error.message.includes(word), `"${word}" in: ${error.message}`);
    return true;
  };
}

test('a store that is closed and opened again holds the same', (t) => {
  const folder = newFolder();
  const first = openLmdb(folder);
  put(first, { a: '1', b: '2', c: '' });
  put(first, { b: undefined });
  const before = entriesOf(first);
  first.close();
  first.close();
  assert.deepEqual(entriesOf(openFor(t, folder)), before);
});

test('a new store is made with its folder, for its owner only, and says its version', (t) => {
  const folder = join(newFolder(), 'of', 'mine');
  assert.equal(textOf(openFor(t, folder), 'version'), '1');
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  for (const name of readdirSync(folder)) assert.equal(statSync(join(folder, name)).mode & 0o777, 0o600, name);
});

test('an empty file, as a crash at the first start may leave it, is a new store', (t) => {
  const folder = newFolder();
  writeFileSync(join(folder, STORE_FILE), '');
  assert.equal(textOf(openFor(t, folder), 'version'), '1');
});

test('who only reads makes nothing and writes nothing', (t) => {
  const folder = newFolder();
  const nowhere = join(folder, 'nowhere');
  assert.throws(() => openLmdb(nowhere, { readOnly: true }), refuses('storage_missing', nowhere));
  assert.throws(() => openLmdb(folder, { readOnly: true }), refuses('storage_missing', folder));
  assert.deepEqual(readdirSync(folder), []);
  openLmdb(folder).close();
  const reader = openFor(t, folder, { readOnly: true });
  assert.throws(() => put(reader, { a: '1' }), refuses('storage_unwritable', folder));
});

test('a file that is no whole store is refused and left as it is', (t) => {
  const whole = newFolder();
  const engine = openLmdb(whole);
  for (let i = 0; i < 50; i++) engine.commit(new Map([[`k${i}`, new Uint8Array(i * 500).fill(i)]]));
  engine.close();
  const good = readFileSync(join(whole, STORE_FILE));
  const zeroed = Buffer.from(good).fill(0, 4096, 8192);
  const parts = [1, 168, 4096, 5000, 8192, good.length / 2, good.length - 4096].map((size) => good.subarray(0, size));
  const senseless = Buffer.from(good.subarray(0, -4096)).fill(0xff, 8192);
  for (const contents of [Buffer.from('{"not": "LMDB"}'), Buffer.alloc(20_000, 'x'), zeroed, senseless, ...parts]) {
    const folder = newFolder();
    const path = join(folder, STORE_FILE);
    writeFileSync(path, contents);
    for (const readOnly of [false, true]) {
      assert.throws(() => openLmdb(folder, { readOnly }), refuses('storage_damaged', path));
      assert.deepEqual(readFileSync(path), contents);
    }
    writeFileSync(path, good);
    assert.equal(openFor(t, folder).get('k49')?.length, 49 * 500);
  }
});

test('a file that lacks only pages that nothing is in is a store', (t) => {
  const folder = newFolder();
  const engine = openLmdb(folder);
  put(engine, { a: '1' });
  engine.commit(new Map([['b', new Uint8Array(100_000)]]));
  put(engine, { b: undefined });
  put(engine, { b: 'small' }); // Uses early pages again, so that the last ones are free.
  put(engine, { b: 'smaller' });
  engine.close();
  const path = join(folder, STORE_FILE);
  truncateSync(path, statSync(path).size - 4096);
  const again = openFor(t, folder);
  again.commit(new Map([['c', new Uint8Array(200_000)]]));
  assert.deepEqual([textOf(again, 'a'), textOf(again, 'b'), again.get('c')?.length], ['1', 'smaller', 200_000]);
});

test('a store of a newer version, or of another program, is refused and left as it is', () => {
  const cases: [string | undefined, StorageErrorCode, string][] = [
    ['2', 'storage_newer', 'version 2'],
    ['17', 'storage_newer', 'version 17'],
    ['"x"', 'storage_damaged', 'version'],
    ['', 'storage_damaged', 'version'],
    [undefined, 'storage_damaged', 'something else'],
  ];
  for (const [version, code, words] of cases) {
    const folder = newFolder();
    const engine = openLmdb(folder);
    put(engine, { version, other: 'x' });
    engine.close();
    const path = join(folder, STORE_FILE);
    const before = readFileSync(path);
    for (const readOnly of [false, true]) {
      assert.throws(() => openLmdb(folder, { readOnly }), refuses(code, folder, words));
      assert.deepEqual(readFileSync(path), before);
    }
  }
});

test('a second writer is refused at once, by whichever path it comes, and welcome when the first has closed', (t) => {
  const folder = newFolder();
  const link = join(newFolder(), 'link');
  symlinkSync(folder, link);
  const first = openLmdb(folder);
  assert.throws(() => openLmdb(folder), refuses('storage_locked', folder));
  assert.throws(() => openLmdb(link), refuses('storage_locked', link));
  put(first, { a: '1' });
  first.close();
  assert.equal(textOf(openFor(t, link), 'a'), '1');
});

test('a writer that was refused for what is in the file leaves no lock', (t) => {
  const folder = newFolder();
  writeFileSync(join(folder, STORE_FILE), 'no store');
  assert.throws(() => openLmdb(folder), refuses('storage_damaged'));
  writeFileSync(join(folder, STORE_FILE), '');
  openFor(t, folder);
});

test('another process is refused, and reads at the same time what is committed meanwhile', async (t) => {
  const folder = newFolder();
  const writer = openLmdb(folder);
  put(writer, { n: '0' });
  const reader = run(
    t,
    folder,
    `try { openLmdb(folder); } catch (error) { say(error.code); }
    const engine = openLmdb(folder, { readOnly: true });
    const read = () => Buffer.from(engine.get('n')).toString();
    say(read());
    for (;;) { // Never back to the event loop.
      engine.refresh();
      if (read() !== '0') break;
    }
    say(read());`,
  );
  assert.equal((await reader.lines.next()).value, 'storage_locked');
  assert.equal((await reader.lines.next()).value, '0');
  put(writer, { n: '1' });
  assert.equal((await reader.lines.next()).value, '1');
  await once(reader, 'exit');
  writer.close();
});

test('a thread that reads beside the one that writes sees whole commits only, and new ones when it refreshes', async (t) => {
  const folder = newFolder();
  const engine = openFor(t, folder);
  put(engine, { a: '0', b: '0' });
  const program = `const { parentPort, workerData } = require('node:worker_threads');
    import(${ENGINE}).then(({ openLmdb }) => {
      const engine = openLmdb(workerData.folder, { readOnly: true });
      const read = (key) => Buffer.from(engine.get(key)).toString('latin1', 0, 5).trim();
      parentPort.postMessage('ready');
      for (let last = '0'; last !== 'end'; ) { // Never back to the event loop.
        engine.refresh();
        const a = read('a');
        if (a !== read('b')) throw new Error('torn');
        if (a !== last) Atomics.add(workerData.seen, 0, 1);
        last = a;
      }
      engine.close();
    });`;
  const seen = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(program, { eval: true, workerData: { folder, seen } });
  await once(worker, 'message');
  const filler = 'x'.repeat(30_000);
  for (let n = 1; n <= 100 || Atomics.load(seen, 0) < 2; n++) {
    assert.ok(n < 100_000, 'none of the commits was seen');
    put(engine, { a: `${n}`.padEnd(5) + filler, b: `${n}`.padEnd(5) + filler });
  }
  put(engine, { a: 'end', b: 'end' });
  assert.deepEqual(await once(worker, 'exit'), [0]);
  put(engine, { a: 'the writer outlives it' });
});

test('who opens a store for reading and then for writing is told to do it the other way round', async (t) => {
  const folder = newFolder();
  const script = `openLmdb(folder).close();
    const reader = openLmdb(folder, { readOnly: true });
    try { openLmdb(folder); } catch (error) { say(error.code + ' ' + error.message); }`;
  const { value } = await run(t, folder, script).lines.next();
  assert.match(value, /^storage_failed .*writer first/);
});

test('a commit is on disk when it returns', (t) => {
  const folder = newFolder();
  const program = `import { openLmdb } from ${ENGINE};
    import { writeSync } from 'node:fs';
    const engine = openLmdb(${JSON.stringify(folder)});
    writeSync(1, 'begin ');
    engine.commit(new Map([['a', Buffer.from('1')]]));
    writeSync(1, 'end ');`;
  const log = join(folder, 'strace');
  const calls = 'trace=write,pwrite64,pwritev,fdatasync,openat';
  const args = ['-y', '-o', log, '-e', calls, process.execPath, '--input-type=module', '-e'];
  if (spawnSync('strace', [...args, program]).error !== undefined) return t.skip('there is no strace');
  const lines = readFileSync(log, 'utf8').split('\n');
  assert.ok(lines.some((line) => /openat.*store\.mdb", O_WRONLY\|O_DSYNC.*= \d/.test(line)));
  const [from, to] = ['"begin "', '"end "'].map((text) => lines.findIndex((line) => line.includes(text)));
  const onStore = lines.slice(from, to).filter((line) => line.includes(STORE_FILE));
  // The pages, onto the disk; then what makes them count, through the file descriptor whose every write waits for it.
  assert.match(onStore.at(-2) ?? '', /fdatasync\(.*= 0/);
  assert.match(onStore.at(-1) ?? '', /pwrite64\(.*= 128/);
});

test('a process that is killed while it commits leaves every commit whole, and all that it reported', async (t) => {
  const folder = newFolder();
  let reported = 0;
  for (let round = 0; round < 4; round++) {
    const child = run(
      t,
      folder,
      `const engine = openLmdb(folder);
      for (let n = ${reported + 1}; ; n++) {
        const text = new Uint8Array(n % 7 === 0 ? 50000 : 300).fill(n % 251);
        const keys = ['a', 'b', 'c', 'd'].map((name) => name + '/' + n % 40);
        engine.commit(new Map([['last', Buffer.from(String(n))], ...keys.map((key) => [key, text])]));
        say(String(n));
      }`,
    );
    await child.lines.next();
    await new Promise((resolve) => setTimeout(resolve, 30 + 37 * round));
    await kill(child);
    for (let line = await child.lines.next(); line.done !== true; line = await child.lines.next())
      reported = Number(line.value);
    const engine = openLmdb(folder);
    const last = Number(textOf(engine, 'last'));
    assert.ok(last === reported || last === reported + 1, `${last} is there, ${reported} was reported`);
    for (let n = Math.max(1, last - 39); n <= last; n++) {
      for (const name of ['a', 'b', 'c', 'd']) {
        const value = engine.get(`${name}/${n % 40}`);
        assert.equal(value?.length, n % 7 === 0 ? 50_000 : 300);
        assert.ok(
          value?.every((byte) => byte === n % 251),
          `${name} of commit ${n}`,
        );
      }
    }
    engine.close();
    reported = last;
  }
  t.diagnostic(`${reported} commits`);
});

test('when the disk is full a commit changes nothing, and works again once there is space', (t) => {
  const folder = newFolder();
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], { stdio: 'pipe' });
  } catch (error) {
    return t.skip(`no small disk can be mounted: ${error instanceof Error ? error.message.trim() : error}`);
  }
  const engine = openLmdb(join(folder, 'store'));
  try {
    put(engine, { a: '1' });
    const before = entriesOf(engine);
    const much = new Map(Array.from({ length: 100 }, (_, n) => [`k${n}`, new Uint8Array(65_536).fill(n)]));
    for (let attempt = 0; attempt < 3; attempt++) {
      assert.throws(() => engine.commit(much), refuses('storage_full', folder));
      assert.deepEqual(entriesOf(engine), before);
    }
    put(engine, { a: '2' });
    execFileSync('mount', ['-o', 'remount,size=16m', folder]);
    engine.commit(much);
    assert.equal(engine.get('k99')?.at(-1), 99);
    assert.equal(textOf(engine, 'a'), '2');
  } finally {
    engine.close();
    execFileSync('umount', [folder]);
  }
});
