/** A rival whose packages are not installed says which they are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missingPackages } from '#bench/packages.js';

test('packages that are installed are not missing', () => {
  assert.equal(missingPackages('ws', 'valibot'), undefined);
});

test('those that are not are named, and how to install them', () => {
  const absent = missingPackages('ws', 'callboard-no-such-package', '@callboard/neither');
  assert.equal(absent, 'npm install callboard-no-such-package @callboard/neither to have it take part');
});
