/**
 * A gate that a thread's commits go through, and that another thread shuts before it ends that one. For lmdb-js (3.5)
 * does not survive it when a thread is terminated between the begin and the end of a transaction: it waits for a lock
 * that the same thread holds. The thread never ends, and so neither does the process: not by `process.exit()`, and not
 * by an error that nothing caught.
 *
 * @example
 * const gate = new CommitGate();
 * const worker = new Worker(url, { workerData: gate.memory }); // There: openLmdb(folder, { gate: new CommitGate(workerData) })
 * process.on('exit', () => gate.shut(5000));
 */
import { StorageError } from './storage-error.js';

/** The cells of the memory: whether a commit is under way, and whether the gate is shut. */
const BUSY = 0;
const SHUT = 1;

export class CommitGate {
  /** What makes two gates on two threads one. */
  readonly memory: SharedArrayBuffer;
  readonly #cells: Int32Array<SharedArrayBuffer>;

  /** @param memory the memory of the other thread's gate. Default: new memory, of an open gate */
  constructor(memory = new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.#cells = new Int32Array(memory);
  }

  /**
   * Runs a commit.
   * @throws StorageError `storage_unwritable`, and runs nothing, once the gate is shut; and whatever the commit throws
   */
  pass(commit: () => void): void {
    Atomics.store(this.#cells, BUSY, 1);
    try {
      // Only after it is busy: whoever shuts the gate looks in the other order.
      if (Atomics.load(this.#cells, SHUT)) throw new StorageError('storage_unwritable', 'The store is being closed.');
      commit();
    } finally {
      Atomics.store(this.#cells, BUSY, 0);
      Atomics.notify(this.#cells, BUSY);
    }
  }

  /**
   * Lets no further commit begin, and waits, blocking the calling thread, until the one under way is done.
   * @param limit in ms
   * @returns false if it was not done by then
   */
  shut(limit: number): boolean {
    Atomics.store(this.#cells, SHUT, 1);
    return Atomics.wait(this.#cells, BUSY, 1, limit) !== 'timed-out';
  }
}
