/** The log of a Callboard process: JSON lines, or lines for people where stdout is a terminal. No token is ever in it. */
import pino, { type Logger } from 'pino';
import type { ServeSettings } from './options.js';

/** Fields that hold a secret, where they stand in a logged object or one level down. */
const secretFields = ['token', 'authorization', '*.token', '*.authorization', '*.headers.authorization'];

/** A token in a URL: an executor's WebSocket address carries it, also in the text of errors. */
const tokenInUrl = /([?&]token=)[^&\s"'\\]+/g;

/**
 * @param level The least urgent level that is still written.
 * @returns A logger to stdout.
 */
export async function createLog(level: ServeSettings['logLevel']): Promise<Logger> {
  const options = {
    level,
    redact: secretFields,
    hooks: { streamWrite: (line: string) => line.replace(tokenInUrl, '$1[Redacted]') },
  };
  if (!process.stdout.isTTY) return pino(options);
  // Imported here: of a server's start, it would take a twentieth.
  const { default: pretty } = await import('pino-pretty');
  return pino(options, pretty({ ignore: 'pid,hostname', sync: true }));
}
