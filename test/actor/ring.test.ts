import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Ring } from '#src/actor/ring.js';

test('a ring behaves as an array that is pushed to, shifted and unshifted, however it grows and wraps', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ put: fc.constant('last'), item: fc.integer() }) },
    { weight: 1, arbitrary: fc.record({ put: fc.constant('first'), item: fc.integer() }) },
    { weight: 2, arbitrary: fc.constant('take') },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const ring = new Ring<number>(2);
      const model: number[] = [];
      for (const each of steps) {
        if (typeof each === 'string') assert.equal(ring.shift(), model.shift());
        else if (each.put === 'last') {
          ring.push(each.item);
          model.push(each.item);
        } else {
          ring.unshift(each.item);
          model.unshift(each.item);
        }
        assert.equal(ring.length, model.length);
      }
      while (model.length > 0) assert.equal(ring.shift(), model.shift());
      assert.equal(ring.shift(), undefined);
    }),
  );
});
