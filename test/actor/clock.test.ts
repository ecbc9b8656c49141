import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import { realClock, VirtualClock } from '#src/actor/clock.js';

test('virtual timers fire in the order of their times, those of one time as they were set, each at exactly its time', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ ms: fc.integer({ min: -5, max: 50 }), cancelled: fc.boolean() }), { maxLength: 30 }),
      fc.array(fc.nat({ max: 20 }), { maxLength: 8 }),
      (timers, moves) => {
        const clock = new VirtualClock(1_000);
        const fired: { index: number; at: number }[] = [];
        for (const [index, { ms, cancelled }] of timers.entries()) {
          const cancel = clock.after(ms, () => fired.push({ index, at: clock.now() }));
          if (cancelled) cancel();
        }
        for (const ms of moves) clock.advance(ms);
        const end = 1_000 + moves.reduce((sum, ms) => sum + ms, 0);
        const expected = timers
          .map(({ ms, cancelled }, index) => ({ index, at: 1_000 + Math.max(0, ms), cancelled }))
          .filter(({ at, cancelled }) => !cancelled && at <= end && moves.length > 0)
          .sort((a, b) => a.at - b.at || a.index - b.index)
          .map(({ index, at }) => ({ index, at }));
        assert.deepEqual(fired, expected);
        assert.equal(clock.now(), end);
        assert.equal(clock.pending, timers.filter(({ cancelled }) => !cancelled).length - expected.length);
      },
    ),
  );
});

test('a virtual timer set by another fires in the same move, if it falls due in it', () => {
  const clock = new VirtualClock();
  const fired: number[] = [];
  const again = (): void => {
    fired.push(clock.now());
    clock.after(10, again);
  };
  clock.after(10, again);
  clock.advance(35);
  assert.deepEqual(fired, [10, 20, 30]);
});

test('virtual time never goes back, even if a timer moves it', () => {
  const clock = new VirtualClock();
  clock.after(1, () => clock.advance(100));
  clock.advance(10);
  assert.equal(clock.now(), 101);
});

test('the real clock fires after its time, and not when cancelled', async () => {
  const start = performance.now();
  let wrong = false;
  const cancel = realClock.after(1, () => {
    wrong = true;
  });
  cancel();
  await new Promise<void>((resolve) => {
    realClock.after(20, resolve);
  });
  assert.ok(performance.now() - start >= 19);
  assert.equal(wrong, false);
  assert.ok(Math.abs(realClock.now() - Date.now()) < 1_000);
});

test('the real clock is not early, however long the turn of the event loop in which it was asked', async () => {
  const busyUntil = performance.now() + 30;
  while (performance.now() < busyUntil);
  const start = performance.now();
  await new Promise<void>((resolve) => {
    realClock.after(20, resolve);
  });
  assert.ok(performance.now() - start >= 19);
});

test('a wait longer than setTimeout can do neither fires at once nor early', () => {
  // Time itself is the one thing that a test can't wait for.
  let now = 0;
  const time = mock.method(performance, 'now', () => now);
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const month = 30 * 24 * 3_600_000;
    const fired: string[] = [];
    realClock.after(month, () => fired.push('month'));
    const cancel = realClock.after(2 * month, () => fired.push('two months'));
    const pass = (ms: number): void => {
      for (let left = ms; left > 0; left -= 3_600_000) {
        const step = Math.min(left, 3_600_000);
        now += step;
        mock.timers.tick(step);
      }
    };
    pass(month - 1);
    assert.deepEqual(fired, []);
    pass(1);
    assert.deepEqual(fired, ['month']);
    cancel();
    pass(2 * month);
    assert.deepEqual(fired, ['month']);
  } finally {
    mock.timers.reset();
    time.mock.restore();
  }
});
