/**
 * A lane: one end of the MessageChannel between two threads, with batching, addresses and back-pressure.
 *
 * - `send` collects; what was collected in one turn of the event loop crosses as one batch.
 * - The receiver acknowledges what it has *processed*, by a counter in shared memory: no message goes back for it.
 *   What was sent and not yet acknowledged is in flight; above the high-water mark the lane is `saturated` and whoever
 *   feeds it should pause until it drains.
 * - A thread can also wait for the other one without its event loop (`receiveNow`), for a blocking question.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type Batch, BatchReader, BatchWriter } from './batch.js';

/**
 * Bytes in flight above which a lane is saturated, by default. Measured under a flood: with 1 MiB a question to the
 * thread waits 80 ms for its turn, with this 2 ms, and as many events pass.
 */
export const DEFAULT_HIGH_WATER = 128 * 1024;

/** A batch that is this large, in bytes, does not wait for the end of the turn: the other thread can start on it. */
const LARGE_BATCH = 32 * 1024;
/** Past this many times the high-water mark a lane refuses: whoever fed it did not listen. */
const REFUSAL_FACTOR = 64;
/** The largest high-water mark, in bytes: the counters are 32 bits wide. */
export const MAX_HIGH_WATER = 2 ** 24;

// Shared counters of one direction. They wrap around; differences stay right.
const POSTED = 0; // batches posted; waited upon by a blocking reader
const PROCESSED = 1; // weight the reader has processed
const THIRSTY = 2; // 1 while the writer waits to be told that the lane drained
const COUNTERS = 3;

/** Everything that one end of a lane needs; plain data and a port, so it can be handed to a thread. */
export interface LaneEnd {
  readonly port: MessagePort;
  readonly sent: Int32Array;
  readonly received: Int32Array;
}

/** The two ends of a new lane. The port of the end that moves to another thread must be in the transfer list. */
export function createLaneEnds(): [LaneEnd, LaneEnd] {
  const { port1, port2 } = new MessageChannel();
  const one = new Int32Array(new SharedArrayBuffer(COUNTERS * Int32Array.BYTES_PER_ELEMENT));
  const two = new Int32Array(new SharedArrayBuffer(COUNTERS * Int32Array.BYTES_PER_ELEMENT));
  return [
    { port: port1, sent: one, received: two },
    { port: port2, sent: two, received: one },
  ];
}

export interface LaneOptions {
  /** Called with each batch that arrives, in order. Whoever takes it calls `acknowledge` once it is processed. */
  readonly onBatch: (batch: BatchReader) => void;
  /** Called when a saturated lane has drained to half its high-water mark. */
  readonly onDrain: () => void;
  /** Called when a message could not be cloned, and was left out. */
  readonly onUncloneable: (address: number, message: unknown, error: unknown) => void;
  /** Bytes in flight above which the lane is saturated, up to {@link MAX_HIGH_WATER}. Default: {@link DEFAULT_HIGH_WATER}. */
  readonly highWater?: number | undefined;
}

export class Lane {
  readonly #end: LaneEnd;
  readonly #options: LaneOptions;
  readonly #highWater: number;
  readonly #writer = new BatchWriter();
  #posted = 0;
  #scheduled: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(end: LaneEnd, options: LaneOptions) {
    this.#end = end;
    this.#options = options;
    this.#highWater = options.highWater ?? DEFAULT_HIGH_WATER;
    end.port.on('message', this.#onMessage);
  }

  /** Weight of what was sent and not yet processed by the other side, in bytes. */
  get inFlight(): number {
    return ((this.#posted - Atomics.load(this.#end.sent, PROCESSED)) | 0) + this.#writer.weight;
  }

  /** True above the high-water mark; `onDrain` follows when that is over (and now and then without need). */
  get saturated(): boolean {
    if (this.inFlight < this.#highWater) return false;
    // Ask to be told first, then look again: the reader may have caught up in between.
    Atomics.store(this.#end.sent, THIRSTY, 1);
    return this.inFlight >= this.#highWater;
  }

  /**
   * Sends a message to an address on the other side, at the latest at the end of this turn of the event loop.
   * @param urgent taken even by a lane that refuses: for the few messages that must not be lost
   * @returns false if the lane is closed, or so far above its high-water mark that it refuses: the message was not taken
   */
  send(address: number, message: unknown, urgent = false): boolean {
    if (this.#closed || (!urgent && this.#refuses)) return false;
    this.#writer.add(address, message);
    this.#schedule();
    return true;
  }

  /** As `send`, for bytes that the sender has no more use for: their array may be empty afterwards. */
  transfer(address: number, bytes: Uint8Array): boolean {
    if (this.#closed || this.#refuses) return false;
    this.#writer.transfer(address, bytes);
    this.#schedule();
    return true;
  }

  get #refuses(): boolean {
    // `saturated` sees to it that `onDrain` follows a refusal.
    return this.inFlight > this.#highWater * REFUSAL_FACTOR && this.saturated;
  }

  #schedule(): void {
    if (this.#writer.weight >= LARGE_BATCH) this.flush();
    else this.#scheduled ??= setImmediate(this.#flushTurn);
  }

  /** Posts what was collected, now. */
  flush(): void {
    const weight = this.#writer.weight;
    if (weight === 0 || this.#closed) return;
    const { batch, transfer } = this.#writer.take();
    try {
      this.#end.port.postMessage([batch, weight], transfer);
    } catch {
      // Something in it cannot be cloned. Leave that out; the buffer was not transferred.
      const kept = this.#withoutUncloneable(new BatchReader(batch, weight));
      this.#end.port.postMessage([kept.batch, weight], kept.transfer);
    }
    this.#posted = (this.#posted + weight) | 0;
    this.#countPosted();
  }

  /** Tells the other side that a batch of this weight has been processed. */
  acknowledge(weight: number): void {
    const counters = this.#end.received;
    Atomics.add(counters, PROCESSED, weight);
    if (Atomics.compareExchange(counters, THIRSTY, 1, 0) === 1 && !this.#closed) {
      this.#end.port.postMessage(null);
      this.#countPosted();
    }
  }

  /**
   * Takes one batch without the event loop, waiting up to `timeout` milliseconds for it.
   * @returns false if none came, or this end is closed
   */
  receiveNow(timeout: number): boolean {
    if (this.#closed) return false;
    const until = performance.now() + timeout;
    let received: ReturnType<typeof receiveMessageOnPort>;
    for (;;) {
      const seen = Atomics.load(this.#end.received, POSTED);
      received = receiveMessageOnPort(this.#end.port);
      if (received !== undefined) break;
      const left = until - performance.now();
      if (left <= 0) return false;
      // Ends early when a batch is counted that the event loop has already taken: hence the loop.
      Atomics.wait(this.#end.received, POSTED, seen, left);
    }
    this.#onMessage(received.message);
    return true;
  }

  /**
   * Waits, without the event loop, until the other side has processed everything that was sent, and takes what it sent
   * before that.
   * @returns false if `timeout` milliseconds were not enough
   */
  catchUpNow(timeout: number): boolean {
    const until = performance.now() + timeout;
    for (;;) {
      // Each time: taking in what came may have caused more to be sent.
      this.flush();
      Atomics.store(this.#end.sent, THIRSTY, 1);
      if (this.inFlight <= 0) break;
      if (!this.receiveNow(until - performance.now())) return false;
    }
    while (this.receiveNow(0));
    return true;
  }

  /** Posts what was collected and closes this end. */
  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    clearImmediate(this.#scheduled);
    this.#end.port.close();
  }

  #flushTurn = (): void => {
    this.#scheduled = undefined;
    this.flush();
  };

  #onMessage = (message: null | [Batch, number]): void => {
    if (message !== null) this.#options.onBatch(new BatchReader(message[0], message[1]));
    else this.#drained();
  };

  /** Wakes the other side, should it wait without its event loop. */
  #countPosted(): void {
    Atomics.add(this.#end.sent, POSTED, 1);
    Atomics.notify(this.#end.sent, POSTED);
  }

  #drained(): void {
    // Ask to be told of the next batch before looking, as in `saturated`.
    Atomics.store(this.#end.sent, THIRSTY, 1);
    if (this.inFlight > this.#highWater / 2) return;
    Atomics.store(this.#end.sent, THIRSTY, 0);
    this.#options.onDrain();
  }

  #withoutUncloneable(reader: BatchReader): ReturnType<BatchWriter['take']> {
    const writer = new BatchWriter();
    while (!reader.done) {
      const message = reader.next();
      try {
        writer.add(reader.address, message instanceof Uint8Array ? message : structuredClone(message));
      } catch (error) {
        this.#options.onUncloneable(reader.address, message, error);
      }
    }
    return writer.take();
  }
}
