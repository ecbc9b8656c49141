/**
 * The events on their way to Callboard, in the order in which they were made. The contract has no acknowledgement: so each
 * is kept until a ping sent after it is answered, and a moment longer, for Callboard has it on disk a little later. After a
 * cut, what Callboard has of a mission is a prefix of what was made; what lies beyond is sent again.
 */
import type { MissionEventName } from '../contract/index.js';
import type { Clock } from './clock.js';

/** Milliseconds from an event to the ping that asks for its confirmation: one for all events meanwhile. */
const PING_AFTER = 100;
/** Milliseconds that a confirmed event is kept: Callboard flushes its store every 20 ms by default. */
const KEEP_CONFIRMED = 1_000;
/** Bytes of events that may wait. */
const MAX_BYTES = 64 * 1024 * 1024;
/** Bytes that are handed to a socket before it has sent what it has. */
const MAX_UNSENT = 1024 * 1024;

interface Entry {
  readonly sequence: number;
  readonly missionId: string;
  readonly event: MissionEventName;
  readonly ts: string;
  readonly text: string;
  /** Bytes of the text. */
  readonly size: number;
  sent: boolean;
}

/** What is needed of a connection. */
export interface Channel {
  readonly bufferedAmount: number;
  send(text: string, done: () => void): void;
  ping(payload: string): void;
}

export class Outgoing {
  readonly #clock: Clock;
  readonly #max: number;
  #entries: Entry[] = [];
  #bytes = 0;
  #sequence = 0;
  /** The latest that is confirmed. */
  #confirmed = 0;
  /** The first entry that may not be sent yet, by its index. */
  #next = 0;
  #channel: Channel | undefined;
  #pinging = false;
  #cancelPing = (): void => undefined;
  #cancelForgetting: (() => void) | undefined;
  #waiters: (() => void)[] = [];

  /** @param max events that may wait to be confirmed */
  constructor(clock: Clock, max: number) {
    this.#clock = clock;
    this.#max = max;
  }

  /** Whether as many wait as may. What ends a mission, or changes its state, is taken all the same. */
  get full(): boolean {
    const { length } = this.#entries;
    return this.#unconfirmed() >= this.#max || length >= 2 * this.#max || this.#bytes >= MAX_BYTES;
  }

  /** The missions of which events are kept. */
  get missions(): Set<string> {
    return new Set(this.#entries.map(({ missionId }) => missionId));
  }

  /** @param ts no two events have the same */
  add(missionId: string, event: MissionEventName, ts: string, text: string): void {
    const size = Buffer.byteLength(text);
    this.#entries.push({ sequence: ++this.#sequence, missionId, event, ts, text, size, sent: false });
    this.#bytes += size;
    this.#flush();
  }

  /** Callboard has the events of a mission up to the one of this time, which is its own; and no other. */
  has(missionId: string, newest: string | undefined): void {
    const mine = this.#entries.filter((entry) => entry.missionId === missionId);
    const last = mine.findLast(({ ts }) => ts === newest)?.sequence ?? 0;
    for (const entry of mine) entry.sent = entry.sequence <= last;
  }

  /** Whether such an event of a mission is still to be sent. */
  isWaiting(missionId: string, event: MissionEventName): boolean {
    return this.#entries.some((entry) => !entry.sent && entry.event === event && entry.missionId === missionId);
  }

  /** Nobody wants a mission's events any more. */
  drop(missionId: string): void {
    this.#keep((entry) => entry.missionId !== missionId);
    this.#next = 0;
    this.#flush();
  }

  /** Begins to send what is not sent. */
  open(channel: Channel): void {
    this.#channel = channel;
    this.#next = 0;
    this.#flush();
  }

  /** Whatever was sent may be lost. */
  close(): void {
    this.#channel = undefined;
    this.#pinging = false;
    this.#cancelPing();
    this.#cancelForgetting?.();
    this.#cancelForgetting = undefined;
    // Confirmed is not durable: Callboard may have crashed.
    this.#confirmed = 0;
  }

  /** The answer to a ping: all that was sent before it was received. */
  onPong(payload: string): void {
    const sequence = Number(payload);
    if (!this.#pinging || !Number.isSafeInteger(sequence) || sequence <= this.#confirmed) return;
    this.#pinging = false;
    this.#confirmed = Math.min(sequence, this.#sequence);
    this.#forgetLater();
    if (this.#entries.length > 2 * this.#max) this.#forget(this.#confirmed);
    if (this.#isConfirmed()) for (const tell of this.#waiters.splice(0)) tell();
    else this.#pingSoon();
    this.#flush();
  }

  /** Resolves when Callboard has all that was said so far. */
  confirmed(): Promise<void> {
    if (this.#isConfirmed()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      if (this.#channel !== undefined) this.#ping();
    });
  }

  #flush(): void {
    for (; this.#channel !== undefined && this.#next < this.#entries.length; this.#next++) {
      const entry = this.#entries[this.#next];
      if (entry === undefined || entry.sent) continue;
      if (this.#channel.bufferedAmount > MAX_UNSENT) return; // Until what was sent last is gone.
      entry.sent = true;
      this.#channel.send(entry.text, () => this.#flush());
    }
    if (this.#channel !== undefined && !this.#isConfirmed()) this.#pingSoon();
  }

  #pingSoon(): void {
    if (this.#pinging) return;
    this.#cancelPing();
    if (this.#waiters.length > 0) this.#ping();
    else this.#cancelPing = this.#clock.after(PING_AFTER, () => this.#ping());
  }

  #ping(): void {
    // Where nothing is sent, there is nothing to ask for.
    const last = this.#entries[this.#next - 1]?.sequence ?? 0;
    this.#cancelPing();
    if (this.#pinging || last <= this.#confirmed) return;
    this.#pinging = true;
    this.#channel?.ping(String(last));
  }

  #forgetLater(): void {
    const sequence = this.#confirmed;
    this.#cancelForgetting ??= this.#clock.after(KEEP_CONFIRMED, () => {
      this.#cancelForgetting = undefined;
      this.#forget(sequence);
      if (this.#confirmed > sequence) this.#forgetLater();
    });
  }

  #forget(sequence: number): void {
    const before = this.#entries.length;
    this.#keep((entry) => entry.sequence > sequence);
    this.#next = Math.max(0, this.#next - (before - this.#entries.length));
  }

  #keep(wanted: (entry: Entry) => boolean): void {
    this.#entries = this.#entries.filter(wanted);
    this.#bytes = this.#entries.reduce((bytes, { size }) => bytes + size, 0);
    if (this.#isConfirmed()) for (const tell of this.#waiters.splice(0)) tell();
  }

  #isConfirmed(): boolean {
    const last = this.#entries.at(-1);
    return last === undefined || last.sequence <= this.#confirmed;
  }

  /** Entries are in the order of their sequence. */
  #unconfirmed(): number {
    const first = this.#entries[0]?.sequence ?? 0;
    return this.#entries.length - Math.min(this.#entries.length, Math.max(0, this.#confirmed - first + 1));
  }
}
