/**
 * Callboard inside a program that listens for state changes, as an embedder would: the program notes when it hears of each,
 * and tells on `GET /bench/state-changes/:mission_id`.
 *
 * Run by itself: `node dist/bench/listening-server.js --port 7402`.
 */
import { createServer as createHttpServer } from 'node:http';
import { parseArgs } from 'node:util';
import { createServer } from '../src/index.js';
import { StateChanges } from './state-changes.js';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '7402' },
    threads: { type: 'string', default: '2' },
    'data-dir': { type: 'string' },
  },
});
const changes = new StateChanges();
const callboard = await createServer({ threads: Number(values.threads), dataDir: values['data-dir'] });
callboard.registry.on('mission:state_change', ({ missionId, state }) => changes.note(missionId, state));
const http = createHttpServer((request, response) => {
  if (!changes.answer(request.url ?? '/', response)) callboard.handleRequest(request, response);
});
http.on('upgrade', callboard.handleUpgrade);
http.listen(Number(values.port), '127.0.0.1');

process.once('SIGTERM', async () => {
  http.close();
  http.closeAllConnections();
  await callboard.close();
});
