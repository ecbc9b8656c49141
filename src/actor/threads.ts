/** The worker threads of a system: each is started with it, and replaced when it dies. */
import type { ResourceLimits } from 'node:worker_threads';
import type { Lane } from '../lane/lane.js';
import type { SystemEvent } from './events.js';
import type { Host } from './host.js';
import { Inlet } from './inlet.js';
import { firstAddress } from './ref.js';
import { Thread } from './thread.js';

/** A thread that dies again within this time, in milliseconds, is replaced after a pause, each twice as long. */
const CALM = 10_000;
const LONGEST_PAUSE = 10_000;
const CLOSE_TIMEOUT = 5_000;

export interface ThreadsOptions {
  /** How many; they are numbered from 1. */
  readonly count: number;
  readonly highWater: number | undefined;
  readonly resourceLimits: ResourceLimits;
  /** The calling thread's. */
  readonly host: Host;
  readonly observe: (event: SystemEvent) => void;
  /** Takes one message from a thread. */
  readonly deliver: (address: number, message: unknown) => void;
  readonly onDrain: (index: number) => void;
  readonly onUncloneable: (address: number, message: unknown) => void;
  /** Told that a thread died; the one in its place can be sent to by now. */
  readonly onLost: (index: number, error: string) => void;
}

interface Worker {
  readonly thread: Thread;
  readonly inlet: Inlet;
  /** How often it has died without a calm time in between. */
  readonly deaths: number;
}

export class Threads {
  readonly #options: ThreadsOptions;
  readonly #workers: Worker[] = [];
  /** Inlets of threads that died, with messages yet to be let in. */
  readonly #leaving = new Set<Inlet>();
  #open = true;

  constructor(options: ThreadsOptions) {
    this.#options = options;
    for (let index = 1; index <= options.count; index++) this.#start(index, firstAddress(index) + 2, 0, 0);
  }

  get(index: number): Worker | undefined {
    return this.#workers[index - 1];
  }

  /** The way to a thread. */
  lane(index: number): Lane | undefined {
    return this.#workers[index - 1]?.thread.lane;
  }

  [Symbol.iterator](): Iterator<Worker> {
    return this.#workers.values();
  }

  /** True while messages from threads are yet to be let in. */
  get waiting(): boolean {
    return this.#leaving.size > 0 || this.#workers.some(({ inlet }) => inlet.waiting);
  }

  /** Lets in what can be let in. */
  pump(): void {
    for (const inlet of this.#leaving) {
      inlet.pump();
      if (!inlet.waiting) this.#leaving.delete(inlet);
    }
    for (const { inlet } of this.#workers) inlet.pump();
  }

  /** Ends them all; one that does not end in time, by force. */
  async stop(): Promise<void> {
    this.#open = false;
    await Promise.all(this.#workers.map(({ thread }) => thread.stop(CLOSE_TIMEOUT)));
  }

  #start(index: number, first: number, startIn: number, deaths: number): void {
    const { host, highWater, resourceLimits, deliver, onDrain, onUncloneable } = this.#options;
    const thread = new Thread({
      index,
      firstAddress: first,
      startIn,
      highWater,
      resourceLimits,
      onBatch: (batch) => inlet.take(batch),
      onDrain: () => onDrain(index),
      onUncloneable,
      onLost: (lost, error) => this.#onLost(lost, error),
    });
    const inlet = new Inlet(
      host,
      deliver,
      (weight) => thread.lane.acknowledge(weight),
      // The calling thread always takes in what comes: threads hold back on their side, and so none waits for the other.
      () => false,
    );
    this.#workers[index - 1] = { thread, inlet, deaths };
  }

  #onLost(lost: Thread, error: string): void {
    const { index } = lost;
    const worker = this.get(index);
    const calm = performance.now() - lost.startedAt > CALM;
    const deaths = calm ? 0 : (worker?.deaths ?? 0);
    const startIn = deaths === 0 ? 0 : Math.min(LONGEST_PAUSE, 100 * 2 ** (deaths - 1));
    this.#options.observe({ type: 'thread-lost', thread: index - 1, error, restartIn: startIn });
    if (!this.#open) return;
    if (worker?.inlet.waiting) this.#leaving.add(worker.inlet);
    this.#start(index, lost.freeAddress, startIn, deaths + 1);
    this.#options.onLost(index, error);
  }
}
