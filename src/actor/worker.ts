/** The inside of a worker thread: a host with a lane in front of it, for as long as the thread lives. */
import type { MessagePort } from 'node:worker_threads';
import { expose } from 'comlink';
import { Lane, type LaneEnd } from '../lane/lane.js';
import { allowTypeScript } from '../lane/typescript.js';
import type { AnyBehaviour } from './behaviour.js';
import type { Cell } from './cell.js';
import { realClock, realRandom } from './clock.js';
import { describeError, type SystemEvent } from './events.js';
import { Host, type HostStats } from './host.js';
import { Inlet } from './inlet.js';
import { end, start } from './life.js';
import { type AnyRef, asRef } from './ref.js';
import { isSignal, SYSTEM_ADDRESS } from './signals.js';
import type { Supervision } from './supervision.js';

/** What a thread is given when it starts. */
export interface ThreadTask {
  readonly thread: number;
  readonly firstAddress: number;
  /** Where the thread notes below which number it gives out addresses: its successor starts there. */
  readonly reserved: Float64Array;
  readonly lane: LaneEnd;
  readonly control: MessagePort;
  readonly highWater: number | undefined;
}

/** The thread's control surface, a comlink endpoint. Messages and spawns go by the lane, in one order. */
export interface ThreadControl {
  stats(): HostStats & { readonly heapUsed: number };
  /** The actors of the thread: for people who look into a running system. */
  snapshot(): readonly ActorSnapshot[];
  /** Answers once everything that came by the lane so far has been processed, and what came of it has been sent. */
  drain(): Promise<void>;
  /** Ends every actor, and then the thread. */
  stop(): void;
}

export interface ActorSnapshot {
  readonly ref: AnyRef;
  readonly name: string;
  readonly parent: AnyRef | undefined;
  readonly waiting: number;
}

/** Runs the thread; resolves when it was told to stop. */
export function runThread(task: ThreadTask): Promise<void> {
  return new Promise((resolve) => {
    const host = new Host({
      thread: task.thread,
      firstAddress: task.firstAddress,
      reserveAddresses: (below) => {
        task.reserved[0] = below;
      },
      clock: realClock,
      random: realRandom,
      observe,
      sendAway: (ref, message) => {
        const sent = lane.send(ref, message);
        if (!sent) host.deadLetter(ref, 'lane-full');
        return sent;
      },
      signalAway: (ref, signal) => void lane.send(-ref, signal, true),
      schedule: 'turn',
      // What has no parent was spawned from the calling thread, which keeps what it takes to start it again.
      onTopEnded: (ended) => void lane.send(-SYSTEM_ADDRESS, { kind: 'ended', ended }, true),
      onRun: () => inlet.pump(),
      waiting: () => inlet.waiting || loading.size > 0,
    });
    const lane = new Lane(task.lane, {
      highWater: task.highWater,
      onBatch: (batch) => inlet.take(batch),
      onDrain: () => inlet.pump(),
      onUncloneable: (address) => {
        host.deadLetter(Math.abs(address), 'not-cloneable');
        if (address > 0) host.unanswered(address, 'the answer can not be cloned');
      },
    });
    function observe(event: SystemEvent): void {
      // Dead letters are counted in any case. While the lane is full of them, that must do.
      if (event.type !== 'dead-letter' || !lane.saturated)
        lane.send(-SYSTEM_ADDRESS, { kind: 'observed', event }, true);
    }

    const modules = new Map<string, AnyBehaviour>();
    /** Actors whose module is being loaded. */
    const loading = new Set<Cell>();
    const spawn = (ref: number, module: string, args: unknown, supervision?: Supervision): void => {
      const behaviour = modules.get(module);
      const cell = host.addCell(ref, behaviour ?? { ...unloaded, name: module }, args, supervision);
      if (behaviour) {
        start(cell);
        return;
      }
      // Until the module is loaded the actor collects its mail.
      loading.add(cell);
      loadBehaviour(module)
        .then(
          (loaded) => {
            modules.set(module, loaded);
            cell.behaviour = loaded;
            start(cell);
          },
          (reason: unknown) => {
            const error = describeError(reason);
            observe({ type: 'actor-failed', ref: asRef(ref), name: module, error, decision: 'stop' });
            end(cell, 'failed', error);
          },
        )
        .finally(() => {
          loading.delete(cell);
          inlet.pump();
        });
    };
    // So that nothing counts as processed that waits for a module, and a flood meanwhile does not fill the mailbox.
    const mailWaitsForModule = (): boolean => {
      for (const cell of loading) if (cell.waiting > 0) return true;
      return false;
    };

    const inlet = new Inlet(
      host,
      (address, message) => {
        if (address > 0) host.tell(address, message);
        else if (isSignal(message)) {
          if (message.kind === 'spawn') spawn(-address, message.module, message.args, message.supervision);
          else if (message.kind !== 'observed') host.signal(asRef(-address), message);
        }
      },
      (weight) => {
        // What came of the batch goes first: who sees it acknowledged finds that waiting.
        lane.flush();
        lane.acknowledge(weight);
      },
      // While the calling thread is behind, take in no more: what is not acknowledged pauses its sources.
      () => lane.saturated || mailWaitsForModule(),
    );

    const control: ThreadControl = {
      stats: () => ({ ...host.stats, heapUsed: process.memoryUsage().heapUsed }),
      snapshot: () =>
        Array.from(host.cells(), (cell) => ({
          ref: asRef(cell.ref),
          name: cell.behaviour.name,
          parent: cell.parent && asRef(cell.parent.ref),
          waiting: cell.waiting,
        })),
      drain: async () => {
        await host.settled();
        lane.flush();
      },
      stop: () => {
        host.endAll();
        lane.flush();
        // After the answer to this very call.
        setImmediate(() => {
          lane.close();
          task.control.close();
          resolve();
        });
      },
    };
    expose(control, task.control);
  });
}

const unloaded: AnyBehaviour = {
  name: 'unloaded',
  start: () => undefined,
  receive: (state) => state,
};

async function loadBehaviour(module: string): Promise<AnyBehaviour> {
  await allowTypeScript(module);
  const { default: behaviour }: { readonly default?: unknown } = await import(module);
  if (!isBehaviour(behaviour)) throw new TypeError(`${module} has no behaviour as its default export`);
  return behaviour;
}

const isBehaviour = (value: unknown): value is AnyBehaviour =>
  typeof value === 'object' &&
  value !== null &&
  'name' in value &&
  typeof value.name === 'string' &&
  'start' in value &&
  typeof value.start === 'function' &&
  'receive' in value &&
  typeof value.receive === 'function';
