/** A server under measurement, in a process of its own on a free port. */
import { once } from 'node:events';
import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from './free-port.js';
import { startProgram } from './program.js';

/** A server that answers. */
export interface ServerProcess {
  pid: number;
  url: URL;
  /** Asks it to end, and resolves when it has; after 10 s it is killed. */
  stop(): Promise<void>;
}

const startTimeLimit = 20_000;
const stopTimeLimit = 10_000;

/**
 * Starts a program with `--port` added to its arguments, and waits until its /healthz answers 200.
 *
 * @param program as `startProgram` takes it
 * @param env in addition to this process's own
 * @throws where it ends or stays silent, with the last of what it printed
 */
export async function startServer(
  program: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  const port = await freePort();
  const url = new URL(`http://127.0.0.1:${port}`);
  const child = startProgram(program, [...args, '--port', String(port)], env);
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk).slice(-2000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const exited = once(child, 'exit');
  const running = () => child.exitCode === null && child.signalCode === null;
  const stop = async () => {
    const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeLimit);
    if (running()) child.kill('SIGTERM');
    await exited;
    clearTimeout(timer);
  };

  const deadline = Date.now() + startTimeLimit;
  while (!(await isHealthy(url))) {
    if (running() && Date.now() < deadline) await delay(20);
    else {
      await stop();
      throw new Error(`${program} does not answer on /healthz. It printed: ${output.trim() || 'nothing'}`);
    }
  }
  return { pid: child.pid ?? 0, url, stop };
}

/** Over node:http: it is asked many times, and a question by `fetch` that finds nobody there costs several times as much. */
function isHealthy(url: URL): Promise<boolean> {
  return new Promise((resolve) => {
    const question = get(new URL('/healthz', url), { agent: false, timeout: 1000 }, (reply) => {
      reply.resume();
      resolve(reply.statusCode === 200);
    });
    question.on('timeout', () => question.destroy());
    question.on('error', () => resolve(false));
  });
}
