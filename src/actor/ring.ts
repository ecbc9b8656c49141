/** A first-in, first-out queue in a ring that grows: what mailboxes and the run queue are made of. */
export class Ring<T> {
  length = 0;
  #items: (T | undefined)[];
  #head = 0;

  /** @param capacity first capacity, a power of two */
  constructor(capacity = 8) {
    this.#items = new Array<T | undefined>(capacity).fill(undefined);
  }

  get capacity(): number {
    return this.#items.length;
  }

  push(item: T): void {
    if (this.length === this.#items.length) this.#grow();
    this.#items[(this.#head + this.length++) & (this.#items.length - 1)] = item;
  }

  /** Puts an item before all others. */
  unshift(item: T): void {
    if (this.length === this.#items.length) this.#grow();
    this.#head = (this.#head - 1) & (this.#items.length - 1);
    this.#items[this.#head] = item;
    this.length++;
  }

  /** Takes the oldest item; undefined when empty. */
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.length--;
    return item;
  }

  #grow(): void {
    const items = this.#items;
    const larger = new Array<T | undefined>(items.length * 2).fill(undefined);
    for (let i = 0; i < this.length; i++) larger[i] = items[(this.#head + i) & (items.length - 1)];
    this.#items = larger;
    this.#head = 0;
  }
}
