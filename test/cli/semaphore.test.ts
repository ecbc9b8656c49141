/** The semaphore keeps its bound, its order, and its permits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import fc from 'fast-check';
import { Semaphore } from '#src/cli/semaphore.js';

test('no more work is under way than there are permits, all of it is done, in order, and errors give permits back', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.boolean(), { maxLength: 12 }),
      async (permits, works) => {
        const semaphore = new Semaphore(permits);
        const begun: number[] = [];
        let underWay = 0;
        let most = 0;
        const results = works.map((fails, index) =>
          semaphore.run(async () => {
            begun.push(index);
            underWay++;
            most = Math.max(most, underWay);
            await nextTurn();
            underWay--;
            if (fails) throw new Error('it fails');
          }),
        );
        const settled = await Promise.allSettled(results);
        assert.equal(most, Math.min(permits, works.length));
        assert.deepEqual(begun, [...works.keys()]);
        assert.deepEqual(
          settled.map(({ status }) => status === 'rejected'),
          works,
        );
      },
    ),
    { numRuns: 30 },
  );
});
