/** Closing a system with threads. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { built } from '../built.js';
import { askError, echo, silent, stage } from './threads.js';

// One of these takes the five seconds after which a thread is ended by force.
describe('closing a system', { concurrency: 2 }, () => {
  test('a busy system closes, twice is as good as once, and questions that wait fail', async () => {
    const { system, spawn } = stage({ threads: 2 });
    const refs = [spawn(0), spawn(1)];
    await system.settle();
    const waiting = Promise.all(
      refs.map((ref) => assert.rejects(system.ask(ref, silent), askError('ERR_ASK_UNDELIVERED'))),
    );
    for (const ref of refs) {
      system.tell(ref, { talk: 100 });
      for (let i = 0; i < 1_000; i++) system.tell(ref, `message ${i}`);
    }
    const drain = system.settle();
    await Promise.all([system.close(), system.close()]);
    await system.close();
    await waiting;
    await drain;
  });

  test('a closed system refuses actors, counts messages as dead letters, fails questions at once and answers the rest', async () => {
    const { system, spawn, events } = stage();
    const ref = spawn();
    await system.settle();
    await system.close();
    assert.equal(system.tell(ref, 'too late'), false);
    assert.deepEqual(events, [{ type: 'dead-letter', ref, reason: 'no-such-actor' }]);
    await assert.rejects(system.ask(ref, echo(1)), askError('ERR_ASK_UNDELIVERED'));
    assert.throws(() => system.askNow(ref, echo(1)), askError('ERR_ASK_UNDELIVERED'));
    assert.throws(() => spawn(), /closed/);
    assert.equal((await system.stats()).length, 2);
    assert.deepEqual(await system.snapshot(0), []);
    await system.settle();
    system.flush();
    system.run();
    system.stop(ref);
  });

  test('a system can be closed before its threads have started', async () => {
    const { system, spawn } = stage({ threads: 2 });
    spawn(0);
    await system.close();
  });

  test('a thread that dies while it is being closed is not replaced, and not waited for', async () => {
    const { system, spawn, events } = stage();
    const ref = spawn();
    await system.settle();
    system.tell(ref, { crash: 'exit' });
    const start = performance.now();
    await system.close();
    assert.ok(performance.now() - start < 4_000);
    assert.ok(events.every((event) => event.type !== 'thread-lost' || event.restartIn === 0));
  });

  test('a thread in an endless loop is ended by force, after five seconds', async () => {
    const { system, spawn } = stage();
    const ref = spawn();
    await system.settle();
    const raised = new Int32Array(new SharedArrayBuffer(4));
    system.tell(ref, { raise: raised });
    system.tell(ref, { crash: 'loop' });
    system.flush();
    // Or else the stop might overtake it.
    assert.notEqual(Atomics.wait(raised, 0, 0, 10_000), 'timed-out');
    const start = performance.now();
    await system.close();
    const took = performance.now() - start;
    assert.ok(took > 4_500 && took < 15_000, `it took ${took} ms`);
  });

  /** Runs a program of its own, which must end by itself. @returns what it printed */
  async function program(body: string): Promise<string> {
    const threads = pathToFileURL(join(built, 'test/actor/threads.js'));
    const program = `import { silent, stage } from '${threads}';\n${body}`;
    const args = ['--conditions=built', '--input-type=module', '--eval', program];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 });
    return stdout;
  }

  test('after close nothing keeps the process alive: not a question, a timer, a thread that died or one that waits to be started', async () => {
    const stdout = await program(`
      const { system, spawn, events, observed } = stage({ threads: 2 });
      const [ref, other] = [spawn(0), spawn(1)];
      await system.settle();
      system.ask(other, silent, { timeout: 3_600_000 }).catch(() => undefined);
      system.tell(other, { after: 3_600_000, message: 'later' });
      for (let death = 1; death <= 3; death++) {
        system.tell(ref, { crash: 'exit' });
        await observed(() => events.filter(({ type }) => type === 'thread-lost').length === death);
        if (death < 3) await system.settle();
      }
      await system.close();
      process.on('worker', () => console.log('a thread was started after close'));
      console.log('closed', events.filter(({ type }) => type === 'thread-lost').map(({ restartIn }) => restartIn).join());`);
    assert.equal(stdout, 'closed 0,100,200\n');
  });

  test('a system with threads keeps its process alive until it is closed', async () => {
    const stdout = await program(`
      const { system } = stage();
      await system.stats();
      setTimeout(() => { console.log('alive'); void system.close(); }, 50).unref();`);
    assert.equal(stdout, 'alive\n');
  });
});
