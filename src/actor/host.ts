/**
 * A host: the actors of one thread, and the loop that runs them.
 *
 * It is the same on every thread: on the calling thread it is used as it is, synchronous and deterministic; on a worker
 * thread `worker.ts` puts a lane in front of it. An actor takes one message at a time; ready actors take turns.
 */
import type { AnyBehaviour, Behaviour, Ended, SpawnOptions, StopMode } from './behaviour.js';
import { Asked, Cell, DRAINED, EndedSignal, Envelope, Escalated } from './cell.js';
import type { Clock } from './clock.js';
import type { DeadLetterReason, SystemEvent } from './events.js';
import { end, fail, start } from './life.js';
import { type AnyRef, asRef, formatRef, hostOf, type Ref } from './ref.js';
import { Ring } from './ring.js';
import type { ActorSignal } from './signals.js';
import type { Supervision } from './supervision.js';
import { type Addressee, AddressTable } from './table.js';

/** Messages one actor takes before the next one has its turn. */
const QUANTUM = 128;
/** Messages a thread takes before its event loop has a turn. */
const SLICE = 20_000;
/** Emptied mailboxes that are kept for reuse. */
const SPARE_RINGS = 1_024;

export interface HostOptions {
  readonly thread: number;
  /** First address to give out, an even number. */
  readonly firstAddress: number;
  /** Told below which number addresses may be given out from now on. */
  readonly reserveAddresses?: (below: number) => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observe: (event: SystemEvent) => void;
  /** Sends to an actor on another thread; false if it can't. */
  readonly sendAway: (ref: number, message: unknown) => boolean;
  readonly signalAway: (ref: AnyRef, signal: ActorSignal) => void;
  /** `turn`: ready actors run by themselves, soon. `manual`: only `run` runs them. */
  readonly schedule: 'turn' | 'manual';
  /** Told that an actor without a parent has ended. */
  readonly onTopEnded?: (ended: Ended) => void;
  /** Called after each run. */
  readonly onRun?: () => void;
  /** True while something waits outside, to be let in. */
  readonly waiting?: () => boolean;
}

export interface HostStats {
  readonly actors: number;
  /** Messages taken since the start. */
  readonly processed: number;
  readonly deadLetters: number;
}

export class Host {
  readonly thread: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observe: (event: SystemEvent) => void;
  /** Told that an actor without a parent has ended. */
  readonly onTopEnded: ((ended: Ended) => void) | undefined;
  /** Messages that wait in mailboxes. */
  backlog = 0;
  /** Messages taken since the start. */
  processed = 0;
  readonly #options: HostOptions;
  readonly #table: AddressTable<Addressee>;
  readonly #ready = new Ring<Cell>(64);
  readonly #spareRings: Ring<unknown>[] = [];
  readonly #settling: (() => void)[] = [];
  #running = false;
  #scheduled = false;
  #actors = 0;
  #deadLetters = 0;

  constructor(options: HostOptions) {
    this.#options = options;
    this.thread = options.thread;
    this.clock = options.clock;
    this.random = options.random;
    this.observe = options.observe;
    this.onTopEnded = options.onTopEnded;
    this.#table = new AddressTable(options.firstAddress, options.reserveAddresses);
  }

  get stats(): HostStats {
    return { actors: this.#actors, processed: this.processed, deadLetters: this.#deadLetters };
  }

  /** True if no actor has anything to do at this moment. */
  get idle(): boolean {
    return this.#ready.length === 0;
  }

  /** True inside an actor. */
  get running(): boolean {
    return this.#running;
  }

  // Talking to actors.

  tell(ref: number, message: unknown): boolean {
    const addressee = this.#table.get(ref);
    if (addressee !== undefined) return addressee.accept(message);
    if (hostOf(ref) !== this.thread) return this.#options.sendAway(ref, message);
    this.deadLetter(ref, 'no-such-actor', message);
    return false;
  }

  /** Tells an actor of this thread something whose sender waits at `replyTo`: for the answer, or why there is none. */
  ask(ref: number, message: unknown, replyTo: number): void {
    const asked = new Asked(message, replyTo);
    const cell = this.find(ref);
    if (cell) cell.accept(asked);
    else this.deadLetter(ref, 'no-such-actor', asked);
  }

  /** Tells whoever waits for an answer at an address, wherever it is, that there will be none. */
  unanswered(replyTo: number, reason: string): void {
    if (hostOf(replyTo) !== this.thread) this.#options.signalAway(asRef(replyTo), { kind: 'unanswered', reason });
    else this.#table.get(replyTo)?.unanswered?.(reason);
  }

  spawn<Message, State, Args>(
    behaviour: Behaviour<Message, State, Args>,
    args: Args,
    options?: SpawnOptions,
    parent?: Cell,
  ): Ref<Message> {
    const cell = this.addCell(this.#table.free(), behaviour, args, options?.supervision, parent);
    start(cell);
    return asRef(cell.ref);
  }

  /** Puts an actor at an address, not started yet. */
  addCell(ref: number, behaviour: AnyBehaviour, args: unknown, supervision?: Supervision, parent?: Cell): Cell {
    const cell = new Cell(this, ref, behaviour, args, parent, supervision);
    this.#table.add(cell);
    this.#actors++;
    return cell;
  }

  /** Takes an actor that has ended out of the table. */
  removeCell(cell: Cell): void {
    this.#table.remove(cell);
    this.#actors--;
  }

  /** Gives something that is not an actor (a question) an address of its own. */
  enrol<T extends Addressee>(make: (ref: number) => T): T {
    const addressee = make(this.#table.free());
    this.#table.add(addressee);
    return addressee;
  }

  strike(addressee: Addressee): void {
    this.#table.remove(addressee);
  }

  /** The actor at this address, on this thread. */
  find(ref: number): Cell | undefined {
    const found = this.#table.get(ref);
    return found instanceof Cell ? found : undefined;
  }

  /** Every actor of this thread. */
  *cells(): Generator<Cell> {
    for (const addressee of this.#table) if (addressee instanceof Cell) yield addressee;
  }

  stop(ref: AnyRef, mode: StopMode): void {
    const cell = this.find(ref);
    if (cell === undefined) {
      if (hostOf(ref) !== this.thread) this.#options.signalAway(ref, { kind: 'stop', mode });
    } else if (mode === 'drain' && (cell.status === 'running' || cell.waiting > 0)) cell.enqueue(DRAINED);
    else end(cell, 'stopped');
  }

  watch(target: AnyRef, watcher: number): void {
    const cell = this.find(target);
    if (cell !== undefined) {
      const extras = cell.needExtras();
      extras.watchers ??= new Set();
      extras.watchers.add(watcher);
    } else if (hostOf(target) !== this.thread) this.#options.signalAway(target, { kind: 'watch', watcher });
    else this.tellEnded(watcher, { ref: target, reason: 'no-such-actor' });
  }

  unwatch(target: AnyRef, watcher: number): void {
    const cell = this.find(target);
    if (cell !== undefined) cell.extras?.watchers?.delete(watcher);
    else if (hostOf(target) !== this.thread) this.#options.signalAway(target, { kind: 'unwatch', watcher });
  }

  /** Death watch: tells a watcher, wherever it is, that an actor ended. */
  tellEnded(watcher: number, ended: Ended): void {
    if (hostOf(watcher) !== this.thread) {
      this.#options.signalAway(asRef(watcher), { kind: 'ended', ended });
      return;
    }
    const cell = this.find(watcher);
    // It may have changed its mind, or have been restarted, while the news was under way.
    if (cell?.extras?.watching?.delete(ended.ref) && cell.behaviour.ended) cell.enqueue(new EndedSignal(ended));
  }

  /** Does what another thread signalled about an actor of this one. */
  signal(ref: AnyRef, signal: ActorSignal): void {
    switch (signal.kind) {
      case 'stop':
        this.stop(ref, signal.mode);
        break;
      case 'watch':
        this.watch(ref, signal.watcher);
        break;
      case 'unwatch':
        this.unwatch(ref, signal.watcher);
        break;
      case 'ended':
        this.tellEnded(ref, signal.ended);
        break;
      case 'ask':
        this.ask(ref, signal.message, signal.replyTo);
        break;
      case 'unanswered':
        this.unanswered(ref, signal.reason);
    }
  }

  // Running.

  makeReady(cell: Cell): void {
    cell.queued = true;
    this.#ready.push(cell);
    this.schedule();
  }

  /** Sees to it that there is a run, soon. */
  schedule(): void {
    if (this.#scheduled || this.#running || this.#options.schedule === 'manual') return;
    this.#scheduled = true;
    queueMicrotask(this.#runTurn);
  }

  /**
   * Runs ready actors until none is left, or until about `slice` messages have been taken.
   * @returns true if none is left; false inside an actor, where it does nothing
   */
  run(slice: number = Number.POSITIVE_INFINITY): boolean {
    if (this.#running) return false;
    this.#running = true;
    const until = this.processed + slice;
    for (let cell = this.#ready.shift(); cell !== undefined; cell = this.#ready.shift()) {
      this.#runCell(cell);
      if (this.processed >= until) break;
    }
    this.#running = false;
    this.#options.onRun?.();
    this.checkSettled();
    return this.idle;
  }

  /** Runs for a slice, and lets the event loop have its turn before the next one. @returns true if none is left to run */
  runTurn(slice: number = SLICE): boolean {
    const idle = this.run(slice);
    if (!idle && !this.#scheduled) {
      this.#scheduled = true;
      setImmediate(this.#runTurn);
    }
    return idle;
  }

  /** Runs, and resolves once no message is left, in mailboxes or waiting to be let in. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.#settling.push(resolve);
      this.runTurn();
    });
  }

  checkSettled(): void {
    if (this.#settling.length === 0 || this.backlog > 0 || this.#options.waiting?.()) return;
    for (const resolve of this.#settling.splice(0)) resolve();
  }

  #runTurn = (): void => {
    this.#scheduled = false;
    this.runTurn();
  };

  #runCell(cell: Cell): void {
    for (let taken = 0; taken < QUANTUM && cell.status === 'running' && cell.waiting > 0; taken++) {
      const item = cell.take();
      this.processed++;
      try {
        if (item instanceof Envelope) this.#open(cell, item);
        else cell.state = cell.behaviour.receive(cell.state, item, cell);
      } catch (error) {
        if (item instanceof Asked) this.unanswered(item.replyTo, `${formatRef(cell.ref)} failed on it`);
        fail(cell, error);
      }
    }
    cell.queued = cell.status === 'running' && cell.waiting > 0;
    if (cell.queued) this.#ready.push(cell);
  }

  #open(cell: Cell, envelope: Envelope): void {
    if (envelope instanceof Asked) cell.state = cell.behaviour.receive(cell.state, envelope.message, cell);
    else if (envelope instanceof EndedSignal)
      cell.state = cell.behaviour.ended ? cell.behaviour.ended(cell.state, envelope.ended, cell) : cell.state;
    else if (envelope instanceof Escalated) throw envelope.error;
    else if (envelope === DRAINED) end(cell, 'stopped');
  }

  takeRing(): Ring<unknown> {
    return this.#spareRings.pop() ?? new Ring<unknown>();
  }

  giveRing(ring: Ring<unknown>): void {
    if (ring.capacity <= 64 && this.#spareRings.length < SPARE_RINGS) this.#spareRings.push(ring);
  }

  /** Ends every actor of this thread. */
  endAll(): void {
    for (const cell of this.cells()) if (cell.parent === undefined) end(cell, 'stopped');
    this.checkSettled();
  }

  deadLetter(ref: number, reason: DeadLetterReason, message?: unknown): void {
    this.#deadLetters++;
    this.observe({ type: 'dead-letter', ref: asRef(ref), reason });
    if (message instanceof Asked) this.unanswered(message.replyTo, `${formatRef(ref)}: ${reason}`);
  }
}
