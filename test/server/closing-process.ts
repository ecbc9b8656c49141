/** A process of its own: a server with an executor, which closes; then nothing is left to keep the process alive. */
import { pino } from 'pino';
import { WebSocket } from 'ws';
import { createServer } from '#src/server/index.js';

const executorId = '11111111-1111-4111-8111-111111111111';
const server = await createServer({ port: 0, threads: 2, log: pino({ level: 'silent' }) });
await server.listen();
const { status } = await fetch(`${server.url}/healthz`);
const registered = await server.registry.register({
  executor_id: executorId,
  name: 'n',
  version: '1',
  spec_version: '1.0.0',
  capabilities: [],
  transport_endpoints: { rest: 'http://127.0.0.1:9', ws: 'ws://127.0.0.1:9' },
});
const token = 'token' in registered ? registered.token : '';
const ws = new WebSocket(`${server.url.replace('http', 'ws')}/ws/executors/${executorId}?token=${token}`);
ws.on('close', (code) => process.stdout.write(`${status} ${code}\n`));
ws.on('open', () => void server.close());
