/** Errors of the contract on a bare socket: where there is no HTTP request to answer, or its answer is not HTTP's. */
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type ErrorBody, type ErrorCode, errorStatus } from '../contract/index.js';

/** Answers with an error, and hangs up. */
export function refuse(socket: Duplex, error: ErrorCode, detail: string): void {
  const status = errorStatus[error];
  const body = JSON.stringify({ error, detail } satisfies ErrorBody);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}

/**
 * Answers what Node itself refuses to make a request of: what is no HTTP, has headers too large, or takes too long.
 * For the `clientError` event of a `node:http` server.
 */
export function onClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  // Reset, or an answer is on its way already: nothing more can be said.
  if (!socket.writable || error.code === 'ECONNRESET') socket.destroy();
  else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT')
    refuse(socket, 'request_timeout', 'the request did not arrive in time');
  else if (error.code === 'HPE_HEADER_OVERFLOW' || error.code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    refuse(socket, 'payload_too_large', 'the headers are too large');
  else refuse(socket, 'invalid_payload', 'this is not HTTP');
}
