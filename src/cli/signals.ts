/** Being asked to stop: the first signal asks, a second one insists. */
import { constants } from 'node:os';

/** Within this many milliseconds of the first, the same signal again is the same request. */
const echoWindow = 500;

/**
 * Listens for SIGINT and SIGTERM for the rest of the process's life.
 *
 * The first of them aborts the returned signal, with the signal's name as its reason. A second one ends the process at
 * once, with 128 + its number as the exit code. But one Ctrl-C can arrive twice: the terminal signals the whole process
 * group, and npm, being in it, forwards what it got to its child. So the same signal within half a second is an echo.
 *
 * @example
 * const stop = stopOnSignals();
 * await once(stop, 'abort');
 */
export function stopOnSignals(): AbortSignal {
  const stop = new AbortController();
  let first: { name: NodeJS.Signals; at: number } | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    const now = performance.now();
    if (first === undefined) {
      first = { name, at: now };
      stop.abort(name);
    } else if (name !== first.name || now - first.at > echoWindow) {
      process.exit(128 + constants.signals[name]);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return stop.signal;
}
