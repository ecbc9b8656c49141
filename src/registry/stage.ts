/** Where the actors of a registry live: in the calling thread, or on worker threads. All that differs between the two. */
import executorOnThread, {
  type ExecutorMessage,
  type ExecutorStart,
  executorModule,
  localExecutor,
} from '../../actors/executor.js';
import type { MissionView } from '../../actors/mission.js';
import {
  type AnyRef,
  backgroundClock,
  type Clock,
  createSystem,
  type Ref,
  type System,
  type SystemOptions,
} from '../actor/index.js';
import type { EventEnvelope, MissionRecord } from '../contract/index.js';
import { Placement } from './placement.js';

/** `Kept` is the form in which events are kept: objects in the calling thread, JSON text on threads. */
export interface Stage<Kept> {
  readonly system: System;
  /**
   * Starts an executor's actor.
   * @param start what it starts from, given its thread's number; called again should its thread die
   * @param seen told the time of its last event after each message, where that costs nothing
   */
  spawn(start: (thread: number) => ExecutorStart, seen: (lastEventTs: string) => void): Ref<ExecutorMessage<Kept>>;
  /** Told that such an actor was stopped, or given up on. */
  ended(ref: AnyRef): void;
  /** The message that brings an actor an event as a program handed it in; undefined if it can't even be sent. */
  incoming(envelope: unknown): ExecutorMessage<Kept> | undefined;
  /** A mission as programs see it. @param earlier JSON texts of its recent events that the view leaves out */
  record(view: MissionView<Kept>, earlier?: readonly string[]): MissionRecord;
  /** Its recent events as JSON texts. */
  texts(view: MissionView<Kept>): readonly string[];
}

/**
 * Actors in the calling thread. Their records are the live ones.
 * @param clock by default, one that lets a program that has done its work end, whatever question is still open
 */
export function localStage(clock: Clock = backgroundClock): Stage<EventEnvelope> {
  const system = createSystem({ clock });
  return {
    system,
    spawn(start, seen) {
      const receive: typeof localExecutor.receive = (state, message, context) => {
        const next = localExecutor.receive(state, message, context);
        if (next.lastEventTs !== undefined) seen(next.lastEventTs);
        return next;
      };
      return system.spawn({ ...localExecutor, receive }, start(0), { supervision: EXECUTOR_SUPERVISION });
    },
    ended: () => undefined,
    incoming: (envelope) => ({ type: 'event', envelope }),
    record: (view) => view,
    texts: (view) => view.recentEvents.map((event) => JSON.stringify(event)),
  };
}

/** Actors on worker threads; an event crosses as the text of its JSON, which costs a tenth of the object. */
export function threadStage(options: SystemOptions & { readonly threads: number }): Stage<string> {
  const placement = new Placement(options.threads);
  const system = createSystem(options);
  return {
    system,
    spawn(start) {
      const thread = placement.take();
      return system.spawnOnThread<typeof executorOnThread>(executorModule, start(thread), {
        thread,
        restore: () => start(thread),
        supervision: EXECUTOR_SUPERVISION,
      });
    },
    ended(ref) {
      const thread = system.threadOf(ref);
      if (thread !== undefined) placement.release(thread);
    },
    incoming(envelope) {
      try {
        const text = JSON.stringify(envelope);
        return text === undefined ? undefined : { type: 'frame', text };
      } catch {
        return undefined;
      }
    },
    record: ({ stored: _, ...view }, earlier = []) => ({
      ...view,
      recentEvents: [...earlier, ...view.recentEvents].map((text) => JSON.parse(text)),
    }),
    texts: (view) => view.recentEvents,
  };
}

/** An executor that throws over one message keeps what it knows. */
const EXECUTOR_SUPERVISION = { decide: 'resume', intensity: 10 } as const;
