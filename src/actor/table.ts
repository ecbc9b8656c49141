/**
 * The table of what has an address on a thread: finds it by its low bits, one array access and one comparison.
 *
 * Addresses count upwards and are never used twice. A number whose place in the table is taken is skipped, so that no
 * two addresses share a place; the table doubles when half full, which keeps that so (numbers that differ in their low
 * n bits differ in their low n + 1).
 *
 * A thread gives out even numbers. Odd ones are given out for it by the calling thread, which therefore knows the ref
 * of an actor before the thread has heard of it, and can send to it at once. The two can never meet in one place.
 */

/** Something that has an address: an actor, or a question that waits for its answer. */
export interface Addressee {
  readonly ref: number;
  /** Takes a message. @returns false if it refuses it */
  accept(message: unknown): boolean;
  /** Told that no answer will come, and why: for questions. */
  unanswered?(reason: string): void;
}

const STEP = 2;
const RESERVED_AHEAD = 2 ** 20;

export class AddressTable<T extends { readonly ref: number }> {
  size = 0;
  #slots: (T | undefined)[] = new Array<T | undefined>(16).fill(undefined);
  #mask = 15;
  #next: number;
  #reserved = 0;
  readonly #reserve: ((below: number) => void) | undefined;

  /**
   * @param first the first address to give out; the following ones are as even or odd as this one
   * @param reserve told, now and then, below which number addresses may be given out from now on: a successor of this
   *   table that starts there repeats none
   */
  constructor(first: number, reserve?: (below: number) => void) {
    this.#next = first;
    this.#reserve = reserve;
  }

  /** An address that was never given out before. The caller must `add` something at it before asking for another. */
  free(): number {
    let address = this.#next;
    while (this.#slots[address & this.#mask] !== undefined) address += STEP;
    this.#next = address + STEP;
    if (this.#reserve && this.#next > this.#reserved) {
      this.#reserved = this.#next + RESERVED_AHEAD;
      this.#reserve(this.#reserved);
    }
    return address;
  }

  get(address: number): T | undefined {
    const found = this.#slots[address & this.#mask];
    return found !== undefined && found.ref === address ? found : undefined;
  }

  add(addressee: T): void {
    // An address that the calling thread gave out may find its place taken, while its own table is larger than this one.
    while (this.#slots[addressee.ref & this.#mask] !== undefined) this.#grow();
    this.#slots[addressee.ref & this.#mask] = addressee;
    if (++this.size * 2 > this.#mask) this.#grow();
  }

  remove(addressee: T): void {
    if (this.get(addressee.ref) !== addressee) return;
    this.#slots[addressee.ref & this.#mask] = undefined;
    this.size--;
  }

  *[Symbol.iterator](): Generator<T> {
    for (const slot of [...this.#slots]) if (slot !== undefined) yield slot;
  }

  #grow(): void {
    const old = this.#slots;
    this.#mask = old.length * 2 - 1;
    this.#slots = new Array<T | undefined>(old.length * 2).fill(undefined);
    for (const slot of old) if (slot !== undefined) this.#slots[slot.ref & this.#mask] = slot;
  }
}
