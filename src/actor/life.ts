/** An actor's life: it starts, may fail and be started again, and ends. */
import type { Ended, EndReason } from './behaviour.js';
import { type Cell, EndedSignal, Escalated, isMessage } from './cell.js';
import { describeError } from './events.js';
import { asRef } from './ref.js';
import { type Decision, defaultSupervision, FailureCount, type Supervision } from './supervision.js';

export function start(cell: Cell): void {
  if (cell.status !== 'waiting') return;
  try {
    cell.state = cell.behaviour.start(cell.args, cell);
  } catch (error) {
    fail(cell, error);
    return;
  }
  // It may have stopped itself.
  if (cell.host.find(cell.ref) === undefined) return;
  cell.status = 'running';
  if (cell.waiting > 0 && !cell.queued) cell.host.makeReady(cell);
}

/** An actor threw: does what its supervision says. */
export function fail(cell: Cell, error: unknown): void {
  if (cell.status === 'ended') return;
  const policy = cell.extras?.supervision ?? cell.parent?.behaviour.childSupervision ?? defaultSupervision;
  const decision = decide(cell, policy, error);
  const text = describeError(error);
  const { clock, observe } = cell.host;
  const { name } = cell.behaviour;
  observe({ type: 'actor-failed', ref: asRef(cell.ref), name, error: text, decision });
  if (decision === 'stop' || decision === 'escalate') {
    end(cell, 'failed', text);
    // In the parent's own turn: it may be in the middle of one, starting this very child.
    if (decision === 'escalate' && cell.parent?.status !== 'ended') cell.parent?.enqueueFirst(new Escalated(error));
    return;
  }
  const extras = cell.needExtras();
  extras.failures ??= new FailureCount();
  const wait = extras.failures.note(clock.now(), policy);
  if (wait === undefined) {
    observe({ type: 'actor-given-up', ref: asRef(cell.ref), name, error: text });
    end(cell, 'failed', text);
  } else if (decision === 'restart' || cell.status === 'waiting') restart(cell, wait);
}

function decide(cell: Cell, policy: Supervision, error: unknown): Decision {
  const decision = policy.decide ?? defaultSupervision.decide;
  if (typeof decision !== 'function') return decision;
  try {
    return decision(error, asRef(cell.ref));
  } catch {
    return 'escalate';
  }
}

function restart(cell: Cell, wait: number): void {
  const started = cell.status === 'running';
  cell.status = 'waiting';
  if (started) lastWords(cell, 'failed');
  clear(cell);
  cell.dropNews();
  cell.state = undefined;
  const extras = cell.needExtras();
  const cancel = cell.host.clock.after(wait, () => {
    extras.timers?.delete(cancel);
    start(cell);
  });
  extras.timers = new Set([cancel]);
}

/** Ends an actor and, before it, its children. What is left in its mailbox becomes dead letters. */
export function end(cell: Cell, reason: EndReason, error?: string): void {
  if (cell.status === 'ended') return;
  const { host, parent } = cell;
  const started = cell.status === 'running';
  cell.status = 'ended';
  if (started) lastWords(cell, reason);
  clear(cell);
  host.removeCell(cell);
  unlink(cell);
  if (cell.waiting > 0) {
    while (cell.waiting > 0) {
      const item = cell.take();
      if (isMessage(item)) host.deadLetter(cell.ref, 'actor-ended', item);
    }
    host.schedule();
  }
  // It is told as the parent.
  parent?.extras?.watching?.delete(cell.ref);
  const watchers = cell.extras?.watchers;
  const tellTop = parent === undefined ? host.onTopEnded : undefined;
  if (watchers === undefined && tellTop === undefined && parent?.behaviour.ended === undefined) return;
  const ended: Ended = { ref: asRef(cell.ref), reason, ...(error !== undefined && { error }) };
  if (parent?.behaviour.ended && parent.status !== 'ended') parent.enqueue(new EndedSignal(ended));
  tellTop?.(ended);
  if (watchers) for (const watcher of watchers) host.tellEnded(watcher, ended);
}

function lastWords(cell: Cell, reason: EndReason): void {
  try {
    cell.behaviour.stopped?.(cell.state, reason, cell);
  } catch (error) {
    const { name } = cell.behaviour;
    const text = describeError(error);
    cell.host.observe({ type: 'actor-failed', ref: asRef(cell.ref), name, error: text, decision: 'stop' });
  }
}

/** Children, timers and watches do not outlive the actor's state. */
function clear(cell: Cell): void {
  while (cell.firstChild) end(cell.firstChild, 'stopped');
  const extras = cell.extras;
  if (extras === undefined) return;
  if (extras.timers) for (const cancel of extras.timers) cancel();
  extras.timers = undefined;
  if (extras.watching) for (const target of extras.watching) cell.host.unwatch(asRef(target), cell.ref);
  extras.watching = undefined;
}

/** Takes an actor out of its parent's children. */
function unlink(cell: Cell): void {
  if (cell.previousSibling) cell.previousSibling.nextSibling = cell.nextSibling;
  else if (cell.parent) cell.parent.firstChild = cell.nextSibling;
  if (cell.nextSibling) cell.nextSibling.previousSibling = cell.previousSibling;
  cell.nextSibling = undefined;
  cell.previousSibling = undefined;
}
