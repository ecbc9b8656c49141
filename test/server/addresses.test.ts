/** Where a request comes from: its peer, or what trusted proxies say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressSet, isAddressRange, isLocal } from '#src/server/addresses.js';

const nobody: string[] = [];

for (const [peer, forwarded, trusted, local] of [
  ['127.0.0.1', undefined, nobody, true],
  ['127.255.0.9', undefined, nobody, true],
  ['::1', undefined, nobody, true],
  ['::ffff:127.0.0.1', undefined, nobody, true],
  ['::ffff:7f00:1', undefined, nobody, true],
  [undefined, '10.0.0.1', ['0.0.0.0/0'], true],
  ['128.0.0.1', undefined, nobody, false],
  ['10.0.0.1', undefined, nobody, false],
  ['::2', undefined, nobody, false],
  ['::ffff:10.0.0.1', undefined, nobody, false],
  // Nobody is believed who is not trusted.
  ['127.0.0.1', '10.0.0.1', nobody, true],
  ['127.0.0.1', '10.0.0.1', ['10.0.0.0/8'], true],
  ['10.0.0.1', '127.0.0.1', ['127.0.0.1'], false],
  // A trusted proxy, which may be seen as IPv6.
  ['127.0.0.1', '10.0.0.1', ['127.0.0.1'], false],
  ['::ffff:10.0.0.1', '127.0.0.1', ['10.0.0.0/8'], true],
  ['fd00::1', '127.0.0.1', ['fd00::/8'], true],
  ['127.0.0.1', undefined, ['127.0.0.1'], true],
  ['10.0.0.1', undefined, ['10.0.0.1'], false],
  // The rightmost that is not trusted counts, whatever is made up before it.
  ['127.0.0.1', '127.0.0.1, 8.8.8.8', ['127.0.0.1'], false],
  ['127.0.0.1', '127.0.0.1, 8.8.8.8,127.0.0.1 , 127.0.0.1', ['127.0.0.1'], false],
  ['127.0.0.1', '8.8.8.8, 127.0.0.2', ['127.0.0.1'], true],
  ['127.0.0.1', ['127.0.0.2', '8.8.8.8'], ['127.0.0.1'], false],
  ['127.0.0.1', '127.0.0.1, 127.0.0.1', ['127.0.0.1'], true],
  // As proxies write them, and what is none.
  ['127.0.0.1', '127.0.0.2:4711', ['127.0.0.1'], true],
  ['127.0.0.1', '8.8.8.8:4711', ['127.0.0.1'], false],
  ['127.0.0.1', '[::1]:4711', ['127.0.0.1'], true],
  ['127.0.0.1', '[::1]', ['127.0.0.1'], true],
  ['fe80::1%eth0', '127.0.0.1', ['fe80::/10'], true],
  ['127.0.0.1', '127.0.0.2, unknown', ['127.0.0.1'], false],
  ['127.0.0.1', '127.0.0.2,', ['127.0.0.1'], false],
] as const)
  test(`${peer}, forwarded for ${JSON.stringify(forwarded)}, trusted ${trusted}: ${local ? 'local' : 'remote'}`, () => {
    const headers = { 'x-forwarded-for': typeof forwarded === 'object' ? [...forwarded] : forwarded };
    assert.equal(isLocal({ socket: { remoteAddress: peer }, headers }, addressSet(trusted)), local);
  });

test('a set of addresses takes addresses and CIDR ranges, and names what is neither', () => {
  for (const text of ['1.2.3.4', '0.0.0.0/0', '1.2.3.4/32', '::1', '::/0', 'fd00::/128'])
    assert.ok(isAddressRange(text), text);
  for (const text of ['', 'a', '1.2.3', '1.2.3.4/33', '1.2.3.4/', '1.2.3.4/-1', '::/129', 'fe80::1%lo', ' ::1', '/8']) {
    assert.ok(!isAddressRange(text), text);
    assert.throws(() => addressSet(['::1', text]), new RangeError(`"${text}" is not an IP address or CIDR range`));
  }
});
