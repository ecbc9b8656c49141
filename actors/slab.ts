/** Memory outside the heap, in blocks that form chains: for many small things that grow, shrink and go. */

/** Bytes of a block that its user can use; the rest links it to the next. */
const BLOCK_SIZE = 252;
const LINK_SIZE = Int32Array.BYTES_PER_ELEMENT;
const STRIDE = BLOCK_SIZE + LINK_SIZE;
/** Blocks that are asked of the system at once, and never given back to it. */
const BLOCKS_PER_PAGE = 4_096;
const NONE = -1;

export class Slab {
  /** Bytes of a block. Of its last one, a chain leaves half unused. */
  static readonly blockSize = BLOCK_SIZE;
  /** The number of no block. */
  static readonly none = NONE;
  /** Blocks in use. */
  used = 0;
  readonly #mostPages: number;
  readonly #pages: Buffer[] = [];
  /** The pages again, as words: the first of each block is its link. */
  readonly #links: Int32Array[] = [];
  /** The chain of blocks that nobody uses. */
  #free = NONE;

  /** @param limit bytes that it may grow to. Default: 4 GiB */
  constructor(limit = 4 * 1024 ** 3) {
    this.#mostPages = Math.floor(limit / (BLOCKS_PER_PAGE * STRIDE));
  }

  /** Whether there is room for so many more bytes. */
  hasRoom(bytes: number): boolean {
    const most = this.#mostPages * BLOCKS_PER_PAGE;
    return this.used + Math.ceil(bytes / BLOCK_SIZE) + 1 <= most;
  }

  /** A block, the last one of its chain. */
  take(): number {
    if (this.#free === NONE) this.#grow();
    const block = this.#free;
    this.#free = this.next(block);
    this.link(block, NONE);
    this.used++;
    return block;
  }

  give(block: number): void {
    this.link(block, this.#free);
    this.#free = block;
    this.used--;
  }

  link(block: number, next: number): void {
    const links = this.#links[Math.floor(block / BLOCKS_PER_PAGE)];
    if (links !== undefined) links[((block % BLOCKS_PER_PAGE) * STRIDE) / LINK_SIZE] = next;
  }

  /** The block after this one in its chain. */
  next(block: number): number {
    return this.#links[Math.floor(block / BLOCKS_PER_PAGE)]?.[((block % BLOCKS_PER_PAGE) * STRIDE) / LINK_SIZE] ?? NONE;
  }

  /** The page that a block lies in, from `offset(block)` on. */
  page(block: number): Buffer {
    const page = this.#pages[Math.floor(block / BLOCKS_PER_PAGE)];
    if (page === undefined) throw new RangeError(`there is no block ${block}`);
    return page;
  }

  offset(block: number): number {
    return (block % BLOCKS_PER_PAGE) * STRIDE + LINK_SIZE;
  }

  #grow(): void {
    const first = this.#pages.length * BLOCKS_PER_PAGE;
    const page = Buffer.allocUnsafeSlow(BLOCKS_PER_PAGE * STRIDE);
    this.#pages.push(page);
    this.#links.push(new Int32Array(page.buffer));
    for (let block = first + BLOCKS_PER_PAGE - 1; block >= first; block--) {
      this.link(block, this.#free);
      this.#free = block;
    }
  }
}
