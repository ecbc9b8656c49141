/** Being told to stop, by real signals to a real process that never stops of itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Running } from './callboard.js';

async function stubborn(): Promise<Running> {
  const script = `
    const { stopOnSignals } = await import('./dist/src/cli/signals.js');
    process.once('SIGTERM', () => {
      const first = performance.now();
      process.on('exit', () => console.log('ended', performance.now() - first, 'ms later'));
    });
    const stop = stopOnSignals();
    stop.addEventListener('abort', () => console.log('asked by', stop.reason));
    setInterval(() => {}, 60_000);
    console.log('ready');`;
  const running = new Running(['--input-type=module', '--eval', script]);
  await running.stdoutMatch(/ready/);
  return running;
}

test('the first signal asks, and another one ends the process at once with 128 + its number', async () => {
  const running = await stubborn();
  running.kill('SIGTERM');
  await running.stdoutMatch(/asked by SIGTERM/);
  running.kill('SIGINT');
  assert.equal((await running.ended).code, 130);
});

test('the same signal within half a second is an echo; after that it ends the process', async () => {
  const running = await stubborn();
  running.kill('SIGTERM');
  await running.stdoutMatch(/asked by SIGTERM/);
  const insisting = setInterval(() => running.kill('SIGTERM'), 20);
  const { code, stdout } = await running.ended;
  clearInterval(insisting);
  assert.equal(code, 143);
  const [, later] = /ended ([\d.]+) ms later/.exec(stdout) ?? [];
  assert.ok(Number(later) >= 500, `an echo ended it after ${later} ms`);
});
