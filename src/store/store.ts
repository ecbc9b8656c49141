/** The store as the supervisor sees it: what it has kept, and what it asks for. Its work is done on two threads. */
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { proxy, type Remote, wrap } from 'comlink';
import { Piscina } from 'piscina';
import { CommitGate } from './commit-gate.js';
import { closeJournal, type SharedJournal } from './journal.js';
import type { Head, KeptExecutor } from './kept.js';
import type { EventPage, MissionFilter, MissionPage } from './reader.js';
import { StorageError } from './storage-error.js';
import type { Found, Lookups, ReaderControl, StoreTask, Trouble, WriterControl, WriterSettings } from './thread.js';
import type { Order, Standing } from './writer.js';

/** `import.meta.url` ends in .ts under a TypeScript loader and in .js when compiled; the entry is its neighbour. */
const entry = new URL(import.meta.url.endsWith('.ts') ? './thread-entry.ts' : './thread-entry.js', import.meta.url);

/** Missions that are asked for at once. */
const STANDING_AT_ONCE = 2_000;
/** Milliseconds that the process, when it exits, waits for a commit that is under way. */
const EXIT_TIMEOUT = 5_000;

export interface StoreOptions extends WriterSettings {
  /** The folder; made if there is none. */
  readonly folder: string;
  /** Told when nothing can be written any more, and when that is over. */
  readonly onTrouble: (trouble: Trouble | undefined) => void;
}

export class Store {
  /** Where each actor thread is to write. */
  readonly journals: readonly SharedJournal[];
  /** The executors that were there when it was opened. */
  readonly executors: readonly KeptExecutor[];
  /** The numbers of the missions that were not over. */
  readonly live: readonly number[];
  readonly #writer: StoreThread<WriterControl>;
  readonly #reader: StoreThread<ReaderControl>;
  readonly #gate: CommitGate;
  readonly #onExit: () => void;
  readonly #onTrouble: StoreOptions['onTrouble'];
  #latest: number;
  #orders: Order[] = [];
  #trouble: Trouble | undefined;
  #isWriterLost = false;

  /** Opens the store in a folder. @throws StorageError if it cannot be opened */
  static async open(options: StoreOptions): Promise<Store> {
    const gate = new CommitGate();
    const { folder, onTrouble, ...settings } = options;
    let store: Store | undefined;
    let trouble: Trouble | undefined;
    const writer = new StoreThread<WriterControl>((control) => ({ role: 'write', control, gate: gate.memory, folder }));
    const tell = (now: Trouble | undefined): void => {
      trouble = now;
      if (store !== undefined) store.#trouble = now;
      onTrouble(now);
    };
    writer.lost.catch(({ code, message }: StorageError) => {
      // Nobody is to wait for room in a journal that nobody reads.
      for (const journal of store?.journals ?? []) closeJournal(journal);
      if (store !== undefined) store.#isWriterLost = true;
      tell({ code, message });
    });
    const opened = await writer.call((control) => control.open(settings, proxy(tell)));
    if (!opened.ok) {
      await writer.call((control) => control.close());
      await writer.end();
      throw errorOf(opened.trouble);
    }
    // After the writer: what a process opens first for reading stays so.
    const reader = new StoreThread<ReaderControl>((control) => ({ role: 'read', control, folder }));
    reader.lost.catch(({ code, message }: StorageError) => tell({ code, message }));
    const unreadable = await reader.call((control) => control.open());
    store = new Store(writer, reader, gate, onTrouble, opened.value);
    store.#trouble = trouble;
    if (unreadable === undefined) return store;
    await store.close();
    throw errorOf(unreadable);
  }

  private constructor(
    writer: StoreThread<WriterControl>,
    reader: StoreThread<ReaderControl>,
    gate: CommitGate,
    onTrouble: StoreOptions['onTrouble'],
    { journals, executors, live, latest }: Pick<Store, 'journals' | 'executors' | 'live'> & { readonly latest: number },
  ) {
    this.journals = journals;
    this.executors = executors;
    this.live = live;
    this.#latest = latest;
    this.#writer = writer;
    this.#reader = reader;
    this.#gate = gate;
    this.#onTrouble = onTrouble;
    this.#onExit = () => gate.shut(EXIT_TIMEOUT);
    process.on('exit', this.#onExit);
  }

  /** Why nothing can be written, or nothing new be taken in; undefined: all is well. */
  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /** @throws StorageError while nothing can be written, or nothing new be taken in */
  check(): void {
    if (this.#trouble !== undefined) throw errorOf(this.#trouble);
  }

  /** A number for a new mission. */
  nextNumber(): number {
    return ++this.#latest;
  }

  /** Has something kept, soon: `kept` tells when. */
  keep(order: Order): void {
    if (this.#orders.push(order) === 1) setImmediate(() => this.#sendOrders());
  }

  /**
   * Resolves once all that was to be kept so far, and all that actors have written so far, is durable.
   * @throws StorageError if it cannot be written now
   */
  async kept(): Promise<void> {
    const trouble = await this.#commit();
    if (trouble !== undefined) throw errorOf(trouble);
  }

  /** Missions as they stand, a page at a time; with what their actors wrote last, be they alive or not. */
  async *standing(numbers: readonly number[]): AsyncIterable<readonly Standing[]> {
    // What was decided before goes before.
    this.#sendOrders();
    const ask = (from: number): Promise<readonly Standing[]> =>
      this.#writer.call((control) => control.standing(numbers.slice(from, from + STANDING_AT_ONCE)));
    let next = ask(0);
    for (let from = STANDING_AT_ONCE; from < numbers.length; from += STANDING_AT_ONCE) {
      const page = await next;
      // It is made while this one is taken in.
      next = ask(from);
      yield page;
    }
    yield await next;
  }

  /** A mission by its id, with the texts of its newest 50 events; a live one as of the last state that was written. */
  find(missionId: string): Promise<Found | undefined> {
    return this.#look((control) => control.find(missionId));
  }

  /** The texts of a mission's newest events up to one that is durable, oldest first. */
  async recent(number: number, latest: Head, limit: number): Promise<readonly string[]> {
    return this.#look((control) => control.recent(number, latest, limit));
  }

  /** A mission's events; @see Reader.history */
  history(number: number, after: number, limit: number, head: Head | undefined): Promise<EventPage> {
    return this.#look((control) => control.history(number, after, limit, head));
  }

  /** Missions in the order of their creation; @see Reader.list */
  list(filter: MissionFilter, after: number, limit: number): Promise<MissionPage> {
    return this.#look((control) => control.list(filter, after, limit));
  }

  /** Keeps all that came so far, and ends the threads; what cannot be kept is told as trouble. The actors that write must have ended. */
  async close(): Promise<void> {
    this.#sendOrders();
    const closed = await Promise.allSettled([
      this.#writer.call((control) => control.close()),
      this.#reader.call((control) => control.close()),
    ]);
    await Promise.all([this.#reader.end(), this.#writer.end()]);
    const [written] = closed;
    if (written.status === 'fulfilled' && written.value !== undefined) this.#onTrouble(written.value);
    for (const journal of this.journals) closeJournal(journal);
    process.off('exit', this.#onExit);
    this.#gate.shut(0);
  }

  /** Asks the reader; or, while nothing can be written, the writer, which knows what waits. */
  #look<Answer>(request: (control: Remote<Lookups>) => Answer): Promise<Awaited<Answer>> {
    const isWaiting = this.#trouble !== undefined && !this.#isWriterLost;
    return isWaiting ? this.#writer.call(request) : this.#reader.call(request);
  }

  /** Without waiting: whether they could be written is heard of as trouble. */
  #sendOrders(): void {
    if (this.#orders.length > 0) this.#commit().catch(() => undefined);
  }

  #commit(): Promise<Trouble | undefined> {
    const orders = this.#orders;
    this.#orders = [];
    return this.#writer.call((control) => control.commit(orders));
  }
}

/** A thread of the store: a piscina pool of one. */
class StoreThread<Control> {
  /** Rejects with a StorageError when it ends without having been told to; it never does by itself. */
  readonly lost: Promise<never>;
  readonly #control: Remote<Control>;
  readonly #port: MessagePort;
  readonly #pool: Piscina;
  readonly #ran: Promise<void>;
  /** Gives up each call that has not been answered. */
  readonly #waiting = new Set<(reason: StorageError) => void>();
  #loss: StorageError | undefined;

  constructor(taskOf: (control: MessagePort) => StoreTask) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#control = wrap<Control>(port1);
    this.#pool = new Piscina({
      filename: entry.href,
      minThreads: 1,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
    });
    this.#ran = this.#pool.run(taskOf(port2), { transferList: [port2] });
    this.lost = new Promise((_, reject) => {
      this.#ran.catch((cause: unknown) => {
        const message = `a thread of the store has ended: ${cause instanceof Error ? cause.message : cause}`;
        this.#loss = new StorageError('storage_failed', message, { cause });
        reject(this.#loss);
        for (const giveUp of this.#waiting) giveUp(this.#loss);
      });
    });
    this.lost.catch(() => undefined);
  }

  /** @throws StorageError if the thread is lost */
  call<Answer>(request: (control: Remote<Control>) => Answer): Promise<Awaited<Answer>> {
    return new Promise((resolve, reject) => {
      if (this.#loss !== undefined) return reject(this.#loss);
      // Not a race with `lost`: that would hold each answer for as long as the thread lives.
      this.#waiting.add(reject);
      Promise.resolve(request(this.#control))
        .then(resolve, reject)
        .finally(() => this.#waiting.delete(reject));
    });
  }

  /** Resolves when it has ended, which its control's `close` brings about. */
  async end(): Promise<void> {
    await this.#ran.catch(() => undefined);
    this.#port.close();
    await this.#pool.destroy();
  }
}

const errorOf = ({ code, message }: Trouble): StorageError => new StorageError(code, message);
