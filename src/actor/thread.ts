/** A worker thread as the calling thread sees it: a piscina pool of one, its lane and its control endpoint. */
import { MessageChannel, type MessagePort, type ResourceLimits } from 'node:worker_threads';
import { type Remote, wrap } from 'comlink';
import { Piscina } from 'piscina';
import type { BatchReader } from '../lane/batch.js';
import { createLaneEnds, Lane } from '../lane/lane.js';
import { describeError } from './events.js';
import type { ThreadControl, ThreadTask } from './worker.js';

/** `import.meta.url` ends in .ts under a TypeScript loader and in .js when compiled; the entry is its neighbour. */
const entry = new URL(import.meta.url.endsWith('.ts') ? './thread-entry.ts' : './thread-entry.js', import.meta.url);

export interface ThreadOptions {
  readonly index: number;
  readonly firstAddress: number;
  readonly highWater: number | undefined;
  readonly resourceLimits: ResourceLimits;
  /** Milliseconds to wait before it starts; what is sent meanwhile waits in its lane. */
  readonly startIn: number;
  readonly onBatch: (batch: BatchReader) => void;
  readonly onDrain: () => void;
  readonly onUncloneable: (address: number, message: unknown) => void;
  readonly onLost: (thread: Thread, error: string) => void;
}

export class Thread {
  readonly index: number;
  readonly lane: Lane;
  readonly startedAt: number;
  readonly #control: Remote<ThreadControl>;
  readonly #controlPort: MessagePort;
  /** Gives up each call that has not been answered. */
  readonly #calls = new Set<() => void>();
  /** Below this number the thread may have given out addresses. */
  readonly #reserved = new Float64Array(new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT));
  readonly #options: ThreadOptions;
  #pool: Piscina | undefined;
  #startTimer: NodeJS.Timeout | undefined;
  #state: 'alive' | 'stopping' | 'gone' = 'alive';

  constructor(options: ThreadOptions) {
    this.#options = options;
    this.index = options.index;
    this.startedAt = performance.now() + options.startIn;
    this.#reserved[0] = options.firstAddress;
    const [here, there] = createLaneEnds();
    this.lane = new Lane(here, options);
    const { port1, port2 } = new MessageChannel();
    this.#controlPort = port1;
    this.#control = wrap<ThreadControl>(port1);
    const task: ThreadTask = {
      thread: this.index,
      firstAddress: options.firstAddress,
      reserved: this.#reserved,
      lane: there,
      control: port2,
      highWater: options.highWater,
    };
    if (options.startIn > 0) this.#startTimer = setTimeout(() => this.#start(task), options.startIn);
    else this.#start(task);
  }

  /** An even number from which on the thread gave out no address. */
  get freeAddress(): number {
    return this.#reserved[0] ?? this.#options.firstAddress;
  }

  /** Calls the thread's control surface. @returns undefined if the thread ends before it answers */
  call<Answer>(request: (control: Remote<ThreadControl>) => Promise<Answer>): Promise<Answer | undefined> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => resolve(undefined);
      if (this.#state === 'gone') return giveUp();
      this.#calls.add(giveUp);
      request(this.#control)
        .then(resolve, reject)
        .finally(() => this.#calls.delete(giveUp));
    });
  }

  #start(task: ThreadTask): void {
    // A pool of its own: a new pool gives its first thread its task without waiting for the event loop, so that a
    // blocking question can be put to a thread that is still starting.
    this.#pool = new Piscina({
      filename: entry.href,
      minThreads: 1,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
      resourceLimits: this.#options.resourceLimits,
    });
    this.#pool.on('error', (error) => this.#lose(error));
    this.#pool.run(task, { transferList: [task.lane.port, task.control] }).then(
      () => this.#lose(new Error('the thread ended by itself')),
      (error: unknown) => this.#lose(error),
    );
  }

  #lose(error: unknown): void {
    this.#giveUpCalls();
    if (this.#state !== 'alive') return;
    this.#close();
    void this.#pool?.destroy();
    this.#options.onLost(this, describeError(error));
  }

  /** Ends the actors and the thread; by force after `timeout` milliseconds. */
  async stop(timeout: number): Promise<void> {
    if (this.#state !== 'alive') return;
    this.#state = 'stopping';
    clearTimeout(this.#startTimer);
    if (this.#pool) {
      this.lane.flush();
      const timer = setTimeout(() => this.#giveUpCalls(), timeout);
      await this.call((control) => control.stop());
      clearTimeout(timer);
      await this.#pool.destroy();
    }
    this.#close();
  }

  #giveUpCalls(): void {
    for (const giveUp of this.#calls) giveUp();
    this.#calls.clear();
  }

  /** Once the thread is no more. */
  #close(): void {
    this.#state = 'gone';
    // News of its end may overtake what it sent before.
    while (this.lane.receiveNow(0));
    this.lane.close();
    this.#controlPort.close();
    this.#giveUpCalls();
  }
}
