import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { CommitGate } from '#src/store/commit-gate.js';
import { openLmdb } from '#src/store/lmdb-engine.js';
import { built } from '../built.js';
import { newFolder } from '../folder.js';
import { bytes, openFor, put, textOf } from './engines.js';

test('what comes when the gate is shut is refused and changes nothing', (t) => {
  const gate = new CommitGate();
  const engine = openFor(t, newFolder(), { gate: new CommitGate(gate.memory) });
  put(engine, { a: '1' });
  assert.throws(() => engine.commit(new Map([['', bytes('')]])), RangeError);
  assert.equal(gate.shut(0), true);
  assert.throws(() => put(engine, { a: '2' }), { code: 'storage_unwritable' });
  assert.equal(textOf(engine, 'a'), '1');
});

test('who shuts the gate waits for the commit under way, and no longer than he says', () => {
  const gate = new CommitGate();
  gate.pass(() => assert.equal(gate.shut(5), false));
  assert.equal(gate.shut(5), true);
});

test('a process whose thread commits all the time ends when it is told to', async () => {
  const src = pathToFileURL(join(built, 'src', 'store', '/')).href;
  const thread = `const { parentPort, workerData: { folder, memory } } = require('node:worker_threads');
    (async () => {
      const { openLmdb } = await import('${src}lmdb-engine.js');
      const { CommitGate } = await import('${src}commit-gate.js');
      const engine = openLmdb(folder, { gate: new CommitGate(memory) });
      for (let n = 0; ; n++) {
        engine.commit(new Map(Array.from({ length: 20000 }, (_, key) => ['k' + key, Buffer.from(String(n))])));
        if (n === 0) parentPort.postMessage('committed');
      }
    })();`;
  const program = `import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    import { CommitGate } from '${src}commit-gate.js';
    const gate = new CommitGate();
    process.on('exit', () => gate.shut(10_000));
    const workerData = { folder: process.env.FOLDER, memory: gate.memory };
    const worker = new Worker(${JSON.stringify(thread)}, { eval: true, execArgv: [], workerData });
    await once(worker, 'message');
    await new Promise((resolve) => setTimeout(resolve, Number(process.env.AFTER)));
    process.exit(7);`;
  const args = ['--input-type=module', '--eval', program];
  for (const after of [10, 21, 32, 43]) {
    const folder = newFolder();
    const env = { ...process.env, FOLDER: folder, AFTER: String(after) };
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'inherit', 'inherit'], timeout: 20_000 });
    assert.deepEqual(await once(child, 'exit'), [7, null]);
    const engine = openLmdb(folder);
    assert.equal(textOf(engine, 'k0'), textOf(engine, 'k19999'));
    engine.close();
  }
});
