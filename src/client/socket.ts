/** What is to be known of a WebSocket, whoever dialled it. */
import { on } from 'node:events';
import { WebSocket } from 'ws';
import { MAX_SIZE } from './checks.js';

/** `closeTimeout`: milliseconds that Callboard may take to answer the closing. */
export const socketOptions = { maxPayload: MAX_SIZE, perMessageDeflate: false, closeTimeout: 1_000 };

/** The payload of a ping whose answer says that all before it was received. */
const RECEIVED = 'received';

/** How a socket closes, or that it has. Not by `once`, which would reject at an error, such as a frame too large. */
export function closeOf(socket: WebSocket): Promise<{ code: number; reason: string }> {
  return new Promise((resolve) => {
    if (socket.readyState === WebSocket.CLOSED) resolve({ code: 1006, reason: '' });
    socket.once('close', (code, reason) => resolve({ code, reason: String(reason) }));
  });
}

/** Resolves once all that was sent so far has been received. @throws AbortError */
export async function received(socket: WebSocket, signal: AbortSignal): Promise<void> {
  socket.ping(RECEIVED);
  for await (const [payload] of on(socket, 'pong', { signal })) if (String(payload) === RECEIVED) return;
}
