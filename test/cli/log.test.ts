/** The log: what a token may be in, and must not come out of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Running } from './callboard.js';

test('a log line holds no token: not in a field, not in a header, not in a URL, not in the text of an error', async () => {
  const script = `
    const { createLog } = await import('./dist/src/cli/log.js');
    const log = await createLog('info');
    log.info({ token: 'secret', headers: { authorization: 'Bearer secret' } }, 'fields');
    log.info({ req: { url: '/ws/executors/1?token=secret&x=1', headers: { authorization: 'Bearer secret' } } }, 'request');
    log.error(new Error('failed: ws://127.0.0.1:1/ws/executors/1?token=secret'), 'error');
    log.debug('not at this level');`;
  const { stdout, stderr } = await new Running(['--input-type=module', '--eval', script]).ended;
  assert.equal(stderr, '');
  assert.doesNotMatch(stdout, /secret/);
  const lines = stdout.trimEnd().split('\n');
  assert.equal(lines.length, 3);
  for (const line of lines) assert.match(JSON.stringify(JSON.parse(line)), /\[Redacted\]/);
  assert.match(stdout, /token=\[Redacted\]&x=1/);
});
