/**
 * A process of its own: connects, waits to be told, and sends frames as fast as the server takes them. Whenever the
 * server holds back, and at the end, it reports how many bytes it has sent. Arguments: URL of the socket, executor,
 * mission, number of frames.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { envelope, frame, upgrade } from './helpers.js';

const [url = '', executorId = '', missionId = '', frames = '0'] = process.argv.slice(2);
const { port, pathname, search } = new URL(url);
const socket = connect({ port: Number(port), host: '127.0.0.1' });
socket.write(upgrade(pathname + search));
await once(socket, 'data');
process.send?.('connected');
await once(process, 'message');
const one = frame(envelope(executorId, 'mission.progress', missionId, { summary: 'x'.repeat(60) }));
const many = Buffer.concat(Array.from({ length: 256 }, () => one));
/** A server that takes nothing more for this long, in milliseconds, holds back. */
const STALL = 300;
let sent = 0;
const stalled = () => process.send?.(sent);
for (; sent < Number(frames) * one.length; sent += many.length)
  if (!socket.write(many)) {
    const timer = setTimeout(stalled, STALL);
    await once(socket, 'drain');
    clearTimeout(timer);
  }
stalled();
// Stays connected until the test is over.
process.on('disconnect', () => socket.destroy());
