/** A port for a server that is started a moment later, as another process. */
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Systems give connections their own ends' ports from above these, so that none of them takes it meanwhile. */
const FIRST = 20_000;
const COUNT = 10_000;

/** A free TCP port of 127.0.0.1 that stays free, unless somebody asks for just that one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    const probe = createServer().listen(port, '127.0.0.1');
    const [error] = await Promise.race([once(probe, 'listening'), once(probe, 'error').catch((reason) => [reason])]);
    probe.close();
    if (error === undefined) return port;
  }
}
