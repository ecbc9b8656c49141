/** What the tests of actors on threads share: a system that is closed at the end, and what it observed. */
import assert from 'node:assert/strict';
import {
  AskError,
  type AskErrorCode,
  createSystem,
  heapLimits,
  type Ref,
  type System,
  type SystemEvent,
  type SystemOptions,
} from '#src/actor/index.js';
import type probe from '#test/actor/probe.js';
import { type ProbeArgs, type ProbeMessage, probeModule } from '#test/actor/probe.js';

export type Probe = Ref<ProbeMessage>;

export interface Stage extends AsyncDisposable {
  readonly system: System;
  readonly events: SystemEvent[];
  /** Resolves with the first event, past or to come, that fits. */
  observed(fits: (event: SystemEvent) => boolean): Promise<SystemEvent>;
  spawn(thread?: number, first?: unknown): Probe;
}

export function stage(options: SystemOptions = {}): Stage {
  const events: SystemEvent[] = [];
  const waiting = new Set<() => void>();
  const system = createSystem({
    threads: 1,
    resourceLimits: heapLimits(64),
    ...options,
    observe(event) {
      events.push(event);
      for (const look of waiting) look();
    },
  });
  return {
    system,
    events,
    observed: (fits) =>
      new Promise((resolve) => {
        const look = (): void => {
          const event = events.find(fits);
          if (event === undefined) return;
          waiting.delete(look);
          resolve(event);
        };
        waiting.add(look);
        look();
      }),
    spawn: (thread = 0, first) => {
      const args: ProbeArgs = first === undefined ? {} : { first };
      return system.spawnOnThread<typeof probe>(probeModule, args, { thread });
    },
    [Symbol.asyncDispose]: () => system.close(),
  };
}

export const notes = (replyTo: Ref<readonly unknown[]>): ProbeMessage => ({ notes: replyTo });
export const silent = (replyTo: Ref<unknown>): ProbeMessage => ({ silent: replyTo });
export const echo =
  (value: unknown) =>
  (replyTo: Ref<unknown>): ProbeMessage => ({ echo: value, replyTo });

/** For assert.rejects and assert.throws. */
export const askError =
  (code: AskErrorCode) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof AskError, String(error));
    assert.equal(error.code, code);
    return true;
  };
