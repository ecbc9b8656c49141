/** What happens to executors and missions, and what the actors and their system notice, as lines of the log. */
import type { Logger } from 'pino';
import { formatRef, type SystemEvent } from '../actor/index.js';
import type { AsyncExecutorRegistry } from '../registry/async-registry.js';
import type { Notice } from '../registry/events.js';
import type { Trouble } from '../store/thread.js';
import { Sampler } from './sampler.js';

/** Executors and missions that come and go. */
export function logEvents(log: Logger, registry: AsyncExecutorRegistry): void {
  const sampler = new Sampler();
  const info = (fields: object, message: string): void => {
    if (sampler.admits(message)) log.info(fields, message);
  };
  registry.on('executor:registered', (executor) => info(executor, 'an executor registered'));
  registry.on('executor:deregistered', (executor) => info(executor, 'an executor was deregistered'));
  registry.on('mission:assigned', (mission) => info(mission, 'a mission was dispatched'));
}

/** What people may want to know. What a peer could flood comes here already sampled. */
export function logNotice(log: Logger, notice: Notice | SystemEvent): void {
  const { type, ...fields } = notice;
  const detail = 'ref' in notice ? { ...fields, ref: formatRef(notice.ref) } : fields;
  switch (type) {
    case 'dropped':
      log.warn(detail, 'dropped what an executor sent');
      break;
    case 'late':
      log.info(detail, 'an event came for a mission that is over');
      break;
    case 'warning':
      log.warn(detail, 'a mission is not as expected');
      break;
    case 'protocol':
      log.warn(detail, 'an executor speaks another version of the protocol');
      break;
    case 'lost':
      log.error(detail, 'a mission was given up on');
      break;
    case 'actor-failed':
      log.error(detail, 'an actor failed');
      break;
    case 'actor-given-up':
      log.error(detail, 'an actor was given up on');
      break;
    case 'thread-lost':
      log.error(detail, 'a thread died and is replaced');
      break;
    case 'dead-letter':
      log.debug(detail, 'a message could not be delivered');
  }
}

/** The store can't be written, or can again. */
export function logTrouble(log: Logger, trouble: Trouble | undefined): void {
  if (trouble === undefined) log.info('the store can be written again');
  else log.error(trouble, 'the store cannot be written: new dispatches and registrations are refused');
}

/** Milliseconds between two lines about a recovery. */
const RECOVERY_LINES = 1_000;

/** Says how a recovery gets on: once if it is quick, and every second if it is not. */
export function logRecovery(log: Logger): (done: number, of: number) => void {
  let last = performance.now();
  return (done, of) => {
    const now = performance.now();
    if (done < of && now - last < RECOVERY_LINES) return;
    last = now;
    log.info({ done, of }, 'missions are back');
  };
}
