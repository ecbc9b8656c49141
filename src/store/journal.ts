/**
 * A journal: shared memory in which an actor thread writes what is to be kept, and from which the store's thread takes
 * it. A ring of records (record.ts), written by one thread and read by one, without messages between them: what a thread
 * has written outlives it, should it die, and until it is on disk the thread itself can still read it.
 */
import { FILLER, HEADER_BYTES, HEADER_WORDS, type Position, recordSize, STATE } from './record.js';

// The control words: counts of words, which wrap around, so that they fit what Atomics can wait on.
const HEAD = 0;
const TAIL = 1;
const STREAM = 2;
const CLOSED = 3;
/** The head again, as bytes that do not wrap: for the thread's successor. Written before the other. */
const HEAD_BYTES_AT = 16;
const CONTROL_BYTES = 64;

/** Bytes of a chunk: reading one event costs reading its chunk; writing one costs a microsecond or two. */
const CHUNK = 64 * 1024;
/** Milliseconds between two looks at whether there is room. */
const PATIENCE = 1_000;

export type SharedJournal = SharedArrayBuffer;

/**
 * Makes the shared memory of a journal.
 * @param stream its number, which no other journal has had; not 0
 * @param capacity bytes, a multiple of 4. Default: 16 MiB, which take up memory only as they are first used
 */
export function createJournal(stream: number, capacity = 16 * 1024 * 1024): SharedJournal {
  const shared = new SharedArrayBuffer(CONTROL_BYTES + capacity);
  new Int32Array(shared)[STREAM] = stream;
  return shared;
}

/** Tells a journal that nobody reads it any more: what is written from now on is lost, and nobody waits for room. */
export function closeJournal(shared: SharedJournal): void {
  const control = new Int32Array(shared, 0, CONTROL_BYTES / 4);
  Atomics.store(control, CLOSED, 1);
  Atomics.notify(control, TAIL);
}

/** The writing end: on the thread that writes, and after its death on its successor. */
export class JournalWriter {
  readonly stream: number;
  /** A record may take this many bytes. */
  readonly largest: number;
  readonly #control: Int32Array;
  readonly #headBytes: Float64Array;
  readonly #capacity: number;
  readonly #words: Uint32Array;
  readonly #bytes: Buffer;
  /** Bytes written since the stream began. */
  #head: number;

  constructor(shared: SharedJournal) {
    this.#control = new Int32Array(shared, 0, CONTROL_BYTES / 4);
    this.#headBytes = new Float64Array(shared, HEAD_BYTES_AT, 1);
    this.#capacity = shared.byteLength - CONTROL_BYTES;
    this.#words = new Uint32Array(shared, CONTROL_BYTES);
    this.#bytes = Buffer.from(shared, CONTROL_BYTES);
    this.stream = this.#control[STREAM] ?? 0;
    this.largest = this.#capacity >> 2;
    this.#head = this.#headBytes[0] ?? 0;
  }

  /**
   * Writes an event, which is seen by the store with the next `state` or `publish`: the two are kept together or not at all.
   * @param ordinal how many events the mission had before
   * @param before where the latest of them lies
   * @returns the offset at which it lies
   * @throws RangeError if it is larger than a quarter of the journal
   */
  event(mission: number, ordinal: number, before: Position | undefined, text: string): number {
    return this.#append(mission, ordinal, before, text);
  }

  /** Writes a mission's state; of those that reach the store together, the last one counts. @throws as `event` */
  state(mission: number, json: string): void {
    this.#append(mission, STATE, undefined, json);
    this.publish();
  }

  /** Lets the store see all that was written. */
  publish(): void {
    this.#headBytes[0] = this.#head;
    Atomics.store(this.#control, HEAD, (this.#head / 4) | 0);
  }

  /**
   * The texts of a mission's events that may not be on disk yet, oldest first.
   * @param latest where its latest event lies
   * @returns also where the event before them lies, which is on disk
   */
  pending(mission: number, latest: Position | undefined): { texts: string[]; before: Position | undefined } {
    const used = 4 * ((this.#head / 4 - Atomics.load(this.#control, TAIL)) >>> 0);
    // Of a journal that is closed, nobody reads what is overwritten.
    const tail = this.#head - Math.min(used, this.#capacity);
    const texts: string[] = [];
    let before = latest;
    while (before !== undefined && before.stream === this.stream && before.offset >= tail) {
      const at = (before.offset % this.#capacity) / 4;
      if (this.#words[at + 1] !== mission) break; // Overwritten in part.
      const start = at * 4 + HEADER_BYTES;
      texts.push(this.#bytes.toString('utf8', start, start + (this.#words[at] ?? 0)));
      const stream = this.#words[at + 3] ?? 0;
      const offset = (this.#words[at + 4] ?? 0) + (this.#words[at + 5] ?? 0) * 2 ** 32;
      before = stream === 0 ? undefined : { stream, offset };
    }
    return { texts: texts.reverse(), before };
  }

  #append(mission: number, ordinal: number, before: Position | undefined, text: string): number {
    const textBytes = Buffer.byteLength(text);
    const size = recordSize(textBytes);
    if (size > this.largest) throw new RangeError(`a record of ${size} bytes is too large for this journal`);
    const at = this.#reserve(size);
    // Most text is ASCII, which is copied faster where that is known.
    if (textBytes === text.length) this.#bytes.write(text, at + HEADER_BYTES, 'latin1');
    else this.#bytes.write(text, at + HEADER_BYTES, 'utf8');
    const words = this.#words;
    const word = at / 4;
    words[word] = textBytes;
    words[word + 1] = mission;
    words[word + 2] = ordinal;
    words[word + 3] = before?.stream ?? 0;
    const offset = before?.offset ?? 0;
    words[word + 4] = offset >>> 0;
    words[word + 5] = offset / 2 ** 32;
    const lies = this.#head;
    this.#head = lies + size;
    return lies;
  }

  /** Waits for room. @returns where in the ring the next record of that size begins; the head is there */
  #reserve(size: number): number {
    const at = this.#head % this.#capacity;
    const left = this.#capacity - at;
    if (size <= left) {
      this.#awaitRoom(size);
      return at;
    }
    // A record lies in one piece.
    this.#awaitRoom(left + size);
    if (left >= HEADER_BYTES) {
      const word = at / 4;
      this.#words.fill(0, word, word + HEADER_WORDS);
      this.#words[word] = left - HEADER_BYTES;
      this.#words[word + 2] = FILLER;
    }
    this.#head += left;
    return 0;
  }

  #awaitRoom(size: number): void {
    for (;;) {
      const tail = Atomics.load(this.#control, TAIL);
      const used = 4 * ((this.#head / 4 - tail) >>> 0);
      if (used + size <= this.#capacity || Atomics.load(this.#control, CLOSED) === 1) return;
      // The store is behind: nothing more comes in here until it has caught up.
      Atomics.wait(this.#control, TAIL, tail, PATIENCE);
    }
  }
}

/** What a reader is shown. The bytes are copies. */
export interface JournalVisitor {
  event(mission: number, ordinal: number, offset: number): void;
  state(mission: number, json: Uint8Array): void;
  /** Whole records, one after the other: about 64 KiB of them, or a larger one. */
  chunk(offset: number, records: Uint8Array): void;
}

/** The reading end: on the store's thread. */
export class JournalReader {
  readonly stream: number;
  readonly #control: Int32Array;
  readonly #capacity: number;
  readonly #ring: Uint8Array;
  readonly #words: Uint32Array;
  #tail = 0;

  constructor(shared: SharedJournal) {
    this.#control = new Int32Array(shared, 0, CONTROL_BYTES / 4);
    this.#capacity = shared.byteLength - CONTROL_BYTES;
    this.#ring = new Uint8Array(shared, CONTROL_BYTES);
    this.#words = new Uint32Array(shared, CONTROL_BYTES);
    this.stream = this.#control[STREAM] ?? 0;
  }

  /** Bytes that were taken since the stream began. */
  get tail(): number {
    return this.#tail;
  }

  /** Bytes that wait to be taken. */
  get waiting(): number {
    return 4 * ((Atomics.load(this.#control, HEAD) - this.#tail / 4) >>> 0);
  }

  /**
   * Shows what waits, every record once, in order. It stays in the journal until `release`.
   * @returns where it stopped: for `release`
   */
  read(visitor: JournalVisitor): number {
    const words = this.#words;
    const end = this.#tail + this.waiting;
    let offset = this.#tail;
    /** Where the chunk begins that is yet to be shown. */
    let begun = offset;
    const showChunk = (): void => {
      const at = begun % this.#capacity;
      if (offset > begun) visitor.chunk(begun, this.#ring.slice(at, at + offset - begun));
      begun = offset;
    };
    while (offset < end) {
      const at = offset % this.#capacity;
      // The last record may have ended where the ring does, without a filler.
      if (at === 0) showChunk();
      const left = this.#capacity - at;
      const word = at / 4;
      const textBytes = words[word] ?? 0;
      const ordinal = words[word + 2] ?? 0;
      if (left < HEADER_BYTES || ordinal === FILLER) {
        showChunk();
        offset += left;
        begun = offset;
        continue;
      }
      const size = recordSize(textBytes);
      if (offset + size - begun > CHUNK) showChunk();
      const mission = words[word + 1] ?? 0;
      if (ordinal === STATE) visitor.state(mission, this.#ring.slice(at + HEADER_BYTES, at + HEADER_BYTES + textBytes));
      else visitor.event(mission, ordinal, offset);
      offset += size;
    }
    showChunk();
    return end;
  }

  /** Gives back what was read, up to `end`. */
  release(end: number): void {
    this.#tail = end;
    Atomics.store(this.#control, TAIL, (end / 4) | 0);
    Atomics.notify(this.#control, TAIL);
  }
}
