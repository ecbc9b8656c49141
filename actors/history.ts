/** A mission's newest events, and the ways to keep them: as they are, as bytes outside the heap, or in a journal. */
import type { JournalWriter } from '../src/store/journal.js';
import type { Head, KeptState } from '../src/store/kept.js';
import type { Position } from '../src/store/record.js';
import { Slab } from './slab.js';

/** How many of its newest events a mission keeps. */
export const RECENT_EVENTS = 50;

/** `Kept` is the form in which events are given and shown. */
export interface History<Kept> {
  /** Adds the newest event. Beyond 50, the oldest is dropped. */
  add(kept: Kept): void;
  /** Where events are kept as they are: the list itself, oldest first. */
  readonly live?: Kept[];
  /** The events as they are now. */
  show(): Shown<Kept>;
  /** Where the store keeps them: has it keep what was added, and how the mission stands if that has changed. */
  keep?(state: Omit<KeptState, 'events'> | undefined): void;
  /** Gives back what they took, where that is not the garbage collector's business. */
  free(): void;
}

export interface Shown<Kept> {
  /** Oldest first: the newest 50, or of these, the ones that came after the `stored` ones. */
  readonly events: Kept[];
  /** Given where the store keeps them. */
  readonly stored?: Stored;
}

/** Where in the store a mission's events are. */
export interface Stored {
  /** The mission's number there. */
  readonly number: number;
  /** How many it has, and where the latest lies; undefined: there are none. */
  readonly latest: Head | undefined;
  /** The same of those that are durable. */
  readonly durable: Head | undefined;
}

/** Whose events they are. */
export interface MissionIds {
  readonly missionId: string;
  readonly executorId: string;
}

/** Keeps events as they are. */
export class ListHistory<Kept> implements History<Kept> {
  readonly live: Kept[] = [];

  add(kept: Kept): void {
    this.live.push(kept);
    if (this.live.length > RECENT_EVENTS) this.live.shift();
  }

  show(): Shown<Kept> {
    return { events: [...this.live] };
  }

  free(): void {
    // Whoever was shown the list may still look at it.
  }
}

/** Of an entry: three bytes of length, whose highest bit says that the text is not ASCII. Frames have 1 MiB at most. */
const NOT_ASCII = 0x80;

/**
 * What stands for the ids that every event of a mission repeats, a third of its text: characters that JSON does not allow
 * anywhere unless they are escaped.
 */
const MISSION_ID = '\u0001';
const EXECUTOR_ID = '\u0002';
/** A shorter id is not worth looking for. */
const SHORTEST_ID = 8;
/** Looking for ids makes an event a tenth dearer: that is spared while the slab has fewer blocks than this, 32 MiB, in use. */
const WORTH_SHORTENING = (32 * 1024 * 1024) / Slab.blockSize;

/**
 * Keeps the JSON texts of events in a slab: fifty strings on the heap would take a tenth more for their headers, and as
 * much again for the room that a garbage collector needs; and it would have a million times fifty of them to look after.
 */
export class TextHistory implements History<string> {
  readonly #slab: Slab;
  readonly #ids: MissionIds;
  #count = 0;
  // Where the oldest entry begins, and where the next one will.
  #first = Slab.none;
  #firstAt = 0;
  #last = Slab.none;
  #lastAt = Slab.blockSize;

  constructor(slab: Slab, ids: MissionIds) {
    this.#slab = slab;
    this.#ids = ids;
  }

  add(kept: string): void {
    const text = this.#slab.used < WORTH_SHORTENING ? kept : this.#shortened(kept);
    if (this.#count === RECENT_EVENTS) this.#dropOldest();
    const length = Buffer.byteLength(text);
    // While the slab is full, a mission keeps fewer events: of its own, the newest.
    while (!this.#slab.hasRoom(length)) {
      if (this.#count === 0) return;
      this.#dropOldest();
    }
    const isAscii = length === text.length;
    this.#append(length & 0xff);
    this.#append((length >> 8) & 0xff);
    this.#append((length >> 16) | (isAscii ? 0 : NOT_ASCII));
    if (isAscii) this.#appendAscii(text);
    else for (const byte of Buffer.from(text)) this.#append(byte);
    this.#count++;
  }

  show(): Shown<string> {
    const { missionId, executorId } = this.#ids;
    const texts: string[] = [];
    let block = this.#first;
    let at = this.#firstAt;
    /** Hands out the next `length` bytes, in as many pieces as blocks. */
    const read = (length: number, take: (page: Buffer, from: number, to: number) => void): void => {
      for (let left = length; left > 0; ) {
        if (at === Slab.blockSize) {
          block = this.#slab.next(block);
          at = 0;
        }
        const size = Math.min(left, Slab.blockSize - at);
        const from = this.#slab.offset(block) + at;
        take(this.#slab.page(block), from, from + size);
        at += size;
        left -= size;
      }
    };
    for (let count = this.#count; count > 0; count--) {
      const bytes: number[] = [];
      read(3, (page, from, to) => bytes.push(...page.subarray(from, to)));
      const [low = 0, middle = 0, high = 0] = bytes;
      const pieces: Buffer[] = [];
      read(low | (middle << 8) | ((high & ~NOT_ASCII) << 16), (page, from, to) => pieces.push(page.subarray(from, to)));
      const text = Buffer.concat(pieces).toString((high & NOT_ASCII) === 0 ? 'latin1' : 'utf8');
      texts.push(text.replace(EXECUTOR_ID, () => executorId).replace(MISSION_ID, () => missionId));
    }
    return { events: texts };
  }

  free(): void {
    while (this.#first !== Slab.none) this.#leaveFirst();
    this.#count = 0;
    this.#last = Slab.none;
    this.#lastAt = Slab.blockSize;
  }

  #shortened(text: string): string {
    const { missionId, executorId } = this.#ids;
    return withToken(withToken(text, missionId, MISSION_ID), executorId, EXECUTOR_ID);
  }

  #append(byte: number): void {
    if (this.#lastAt === Slab.blockSize) this.#extend();
    this.#slab.page(this.#last)[this.#slab.offset(this.#last) + this.#lastAt++] = byte;
  }

  #appendAscii(text: string): void {
    for (let at = 0; at < text.length; ) {
      if (this.#lastAt === Slab.blockSize) this.#extend();
      const size = Math.min(text.length - at, Slab.blockSize - this.#lastAt);
      const piece = size === text.length ? text : text.slice(at, at + size);
      this.#slab.page(this.#last).write(piece, this.#slab.offset(this.#last) + this.#lastAt, size, 'latin1');
      this.#lastAt += size;
      at += size;
    }
  }

  #extend(): void {
    const block = this.#slab.take();
    if (this.#last === Slab.none) {
      this.#first = block;
      this.#firstAt = 0;
    } else this.#slab.link(this.#last, block);
    this.#last = block;
    this.#lastAt = 0;
  }

  #dropOldest(): void {
    const length = this.#shift() | (this.#shift() << 8) | ((this.#shift() & ~NOT_ASCII) << 16);
    let at = this.#firstAt + length;
    while (at > Slab.blockSize) {
      this.#leaveFirst();
      at -= Slab.blockSize;
    }
    this.#firstAt = at;
    if (--this.#count === 0) this.free();
  }

  /** The oldest byte, which is dropped. */
  #shift(): number {
    if (this.#firstAt === Slab.blockSize) this.#leaveFirst();
    return this.#slab.page(this.#first)[this.#slab.offset(this.#first) + this.#firstAt++] ?? 0;
  }

  #leaveFirst(): void {
    const block = this.#first;
    this.#first = this.#slab.next(block);
    this.#firstAt = 0;
    this.#slab.give(block);
  }
}

/** The text with the first place of an id taken by what stands for it. */
function withToken(text: string, id: string, token: string): string {
  const at = id.length < SHORTEST_ID ? -1 : text.indexOf(id);
  return at < 0 ? text : text.slice(0, at) + token + text.slice(at + id.length);
}

/** Keeps events in the store, by way of the thread's journal: here, a mission takes a few numbers, whatever it has seen. */
export class JournalHistory implements History<string> {
  readonly #journal: JournalWriter;
  readonly #number: number;
  #count: number;
  // Where the latest event lies.
  #stream: number;
  #offset: number;

  /** @param number the mission's */
  constructor(journal: JournalWriter, number: number, head: Head | undefined) {
    this.#journal = journal;
    this.#number = number;
    this.#count = head?.count ?? 0;
    this.#stream = head?.position.stream ?? 0;
    this.#offset = head?.position.offset ?? 0;
  }

  add(kept: string): void {
    this.#offset = this.#journal.event(this.#number, this.#count++, this.#latest, kept);
    this.#stream = this.#journal.stream;
  }

  show(): Shown<string> {
    const { texts, before } = this.#journal.pending(this.#number, this.#latest);
    const position = this.#latest;
    const latest = position && { position, count: this.#count };
    const durable = before && { position: before, count: this.#count - texts.length };
    return { events: texts.slice(-RECENT_EVENTS), stored: { number: this.#number, latest, durable } };
  }

  keep(state: Omit<KeptState, 'events'> | undefined): void {
    if (state === undefined) this.#journal.publish();
    else this.#journal.state(this.#number, JSON.stringify({ ...state, events: this.#count }));
  }

  free(): void {
    // The journal is the store's to empty.
  }

  get #latest(): Position | undefined {
    return this.#stream === 0 ? undefined : { stream: this.#stream, offset: this.#offset };
  }
}
