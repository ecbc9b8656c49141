/**
 * An inlet: takes batches off a lane into a host's mailboxes, as fast as the host keeps up and no faster.
 *
 * A batch is acknowledged once it has been processed, with all that came of it on this thread. Until then it counts as
 * in flight for the sender.
 */
import type { BatchReader } from '../lane/batch.js';
import type { Host } from './host.js';
import { Ring } from './ring.js';

/** What is let in between two runs of the host, so that no mailbox fills up: messages, and bytes. */
const MESSAGES_AT_ONCE = 64;
const BYTES_AT_ONCE = 64 * 1024;
/** What the host may make of that before the event loop has its turn, in messages. */
const RUN_AT_ONCE = 1_024;
/** A host that is not idle after this many messages may never be: a batch is not held back any longer. */
const PATIENCE = 100_000;

export class Inlet {
  readonly #host: Host;
  readonly #deliver: (address: number, message: unknown) => void;
  readonly #acknowledge: (weight: number) => void;
  readonly #blocked: () => boolean;
  readonly #waiting = new Ring<BatchReader>();
  #current: BatchReader | undefined;
  /** How many messages the host had taken when the last one of the current batch was let in. */
  #letInAt = 0;
  #pumping = false;

  /**
   * @param deliver takes one message
   * @param acknowledge told the weight of each batch that has been processed
   * @param blocked true while nothing may be let in, because what comes of it could not be sent on
   */
  constructor(
    host: Host,
    deliver: (address: number, message: unknown) => void,
    acknowledge: (weight: number) => void,
    blocked: () => boolean,
  ) {
    this.#host = host;
    this.#deliver = deliver;
    this.#acknowledge = acknowledge;
    this.#blocked = blocked;
  }

  /** True while something waits here, or has not been acknowledged. */
  get waiting(): boolean {
    return this.#current !== undefined || this.#waiting.length > 0;
  }

  take(batch: BatchReader): void {
    this.#waiting.push(batch);
    this.pump();
  }

  /** Lets in what can be let in. Called when a batch comes, after each run of the host, and when the way on is free. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (!this.#blocked()) {
      if (this.#current?.done) {
        if (!this.#host.idle && this.#host.processed - this.#letInAt < PATIENCE) break;
        this.#acknowledge(this.#current.weight);
        this.#current = undefined;
      }
      this.#current ??= this.#waiting.shift();
      if (this.#current === undefined) break;
      this.#letIn(this.#current);
      if (!this.#host.runTurn(RUN_AT_ONCE)) break;
    }
    this.#pumping = false;
    this.#host.checkSettled();
  }

  #letIn(batch: BatchReader): void {
    // A host whose actors are busy with each other's messages is still to be reached, if slowly: a stop must arrive.
    this.#letInAt = this.#host.processed;
    const most = this.#host.idle || this.#host.backlog < MESSAGES_AT_ONCE ? MESSAGES_AT_ONCE : 1;
    let bytes = 0;
    for (let messages = 0; messages < most && bytes < BYTES_AT_ONCE && !batch.done; messages++) {
      const message = batch.next();
      if (message instanceof Uint8Array) bytes += message.length;
      this.#deliver(batch.address, message);
    }
  }
}
