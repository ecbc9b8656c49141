/**
 * A system of actors: the calling thread's host and, if asked for, worker threads with a host each.
 *
 * @example
 * const system = createSystem({ threads: 2 });
 * const ref = system.spawnOnThread<typeof counter>(new URL('./counter.js', import.meta.url), { from: 0 });
 * system.tell(ref, { add: 1 });
 * const count = await system.ask(ref, (replyTo: Ref<number>) => ({ get: replyTo }));
 * await system.close();
 */
import { MAX_HIGH_WATER } from '../lane/lane.js';
import type { Behaviour, SpawnOptions, StopMode } from './behaviour.js';
import { Asked } from './cell.js';
import { realClock, realRandom } from './clock.js';
import { describeError, logToStandardError, type SystemEvent } from './events.js';
import { Host, type HostStats } from './host.js';
import { type ArgsOf, heapLimits, type MessageOf, type SpawnOnThreadOptions, type SystemOptions } from './options.js';
import { AskError, type AskOptions, DEFAULT_ASK_TIMEOUT, Questions } from './question.js';
import { type AnyRef, asRef, formatRef, hostOf, type Ref } from './ref.js';
import { RemoteActors } from './remote.js';
import { type ActorSignal, isSignal, SYSTEM_ADDRESS } from './signals.js';
import { Threads } from './threads.js';
import type { ActorSnapshot } from './worker.js';

const MAX_THREADS = 255;

/**
 * Makes a system. Without threads it starts nothing and need not be closed. With threads it keeps the process alive
 * until it is closed, as a server does.
 */
export const createSystem = (options: SystemOptions = {}): System => new System(options);

export class System {
  readonly threads: number;
  readonly #observe: (event: SystemEvent) => void;
  readonly #host: Host;
  readonly #threads: Threads;
  readonly #remote: RemoteActors;
  readonly #questions: Questions;
  readonly #drainListeners = new Set<(thread: number) => void>();
  #nextThread = 0;
  #open = true;
  #closing: Promise<void> | undefined;

  constructor(options: SystemOptions) {
    const threads = options.threads ?? 0;
    if (!Number.isInteger(threads) || threads < 0 || threads > MAX_THREADS)
      throw new RangeError(`threads must be a whole number from 0 to ${MAX_THREADS}, not ${threads}`);
    const { highWater, observe = logToStandardError } = options;
    if (highWater !== undefined && !(Number.isInteger(highWater) && highWater > 0 && highWater <= MAX_HIGH_WATER))
      throw new RangeError(`highWater must be a whole number from 1 to ${MAX_HIGH_WATER}, not ${highWater}`);
    this.threads = threads;
    const clock = options.clock ?? realClock;
    this.#observe = (event) => {
      try {
        observe(event);
      } catch (error) {
        process.emitWarning(`an observer threw: ${describeError(error)}`);
      }
    };
    this.#host = new Host({
      thread: 0,
      firstAddress: 2,
      clock,
      random: options.random ?? realRandom,
      observe: this.#observe,
      sendAway: (ref, message) => this.#send(ref, message),
      signalAway: (ref, signal) => this.#signalAway(ref, signal),
      schedule: options.schedule ?? 'turn',
      onRun: () => this.#threads.pump(),
      waiting: () => this.#threads.waiting,
    });
    this.#questions = new Questions(this.#host, clock, (to, message, replyTo) => this.#sendAsked(to, message, replyTo));
    this.#remote = new RemoteActors({
      threads,
      host: this.#host,
      clock,
      observe: this.#observe,
      sendSpawn: (ref, signal) => void this.#send(ref, signal, 'signal'),
    });
    this.#threads = new Threads({
      count: threads,
      highWater,
      resourceLimits: options.resourceLimits ?? heapLimits(),
      host: this.#host,
      observe: this.#observe,
      deliver: (address, message) => this.#deliver(address, message),
      onDrain: (index) => this.#tellDrained(index),
      onUncloneable: (address, message) => this.#onUncloneable(address, message),
      onLost: (index, error) => this.#onLost(index, error),
    });
  }

  /** Starts an actor on the calling thread. @throws Error if the system was closed */
  spawn<Message, State, Args>(
    behaviour: Behaviour<Message, State, Args>,
    args: Args,
    options?: SpawnOptions,
  ): Ref<Message> {
    this.#mustBeOpen();
    return this.#host.spawn(behaviour, args, options);
  }

  /**
   * Starts an actor on a worker thread, and again whenever it is lost with its thread, under the same ref.
   * @param module its default export is the behaviour
   * @param args must be cloneable
   * @throws RangeError if there is no such thread; TypeError if `decide` is a function; Error if the system was closed
   */
  spawnOnThread<B = Behaviour<unknown, unknown, unknown>>(
    module: URL,
    args: ArgsOf<B>,
    { thread, restore, supervision }: SpawnOnThreadOptions<ArgsOf<B>> = {},
  ): Ref<MessageOf<B>> {
    this.#mustBeOpen();
    if (typeof supervision?.decide === 'function')
      throw new TypeError('a function can not be sent to a thread: give a decision, or supervise from an actor there');
    const index = thread ?? this.#nextThread++ % Math.max(1, this.threads);
    const ref = this.#remote.spawn(index + 1, module, args, restore, supervision);
    if (ref === undefined) throw new RangeError(`there is no thread ${index}: this system has ${this.threads}`);
    return asRef(ref);
  }

  /**
   * Sends a message and never waits. What crosses to a thread is cloned; a `Uint8Array` (a `Buffer`, too) is copied, and
   * arrives as a `Uint8Array` that is a view of a larger buffer: copy it again to keep it for long.
   * @returns false if it certainly will not arrive (it is then a dead letter)
   */
  tell<Message>(to: Ref<Message>, message: Message): boolean {
    return this.#host.tell(to, message);
  }

  /**
   * As `tell`, for bytes that the sender has no more use for: many of them, with a buffer to themselves, are not copied
   * on their way to a thread, and the array is empty afterwards.
   */
  transfer(to: Ref<Uint8Array>, bytes: Uint8Array): boolean {
    const lane = this.#threads.lane(hostOf(to));
    return lane?.transfer(to, bytes) || this.tell(to, bytes);
  }

  /**
   * Asks an actor.
   * @param message makes the message from the address at which the answer is awaited
   * @throws AskError `ERR_ASK_TIMEOUT`, `ERR_ASK_UNDELIVERED`; the signal's reason when it is aborted
   */
  ask<Message, Answer>(
    to: Ref<Message>,
    message: (replyTo: Ref<Answer>) => Message,
    options: AskOptions = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      options.signal?.throwIfAborted();
      this.#questions.put(to, message, options, ({ outcome }) => {
        if (outcome === undefined) return;
        if ('answer' in outcome) resolve(outcome.answer);
        else reject(outcome.error);
      });
    });
  }

  /**
   * Asks an actor and waits for the answer without the event loop: runs the actors of the calling thread until one has
   * answered, or blocks until the other thread has. The answer must come from the thread that was asked: nothing that
   * needs the event loop (timers, sockets, another thread) can have a part in it.
   *
   * A thread that is still starting is waited for. Under tsx, though, on Node 20, a thread cannot start while the main
   * thread is blocked (tsx loads modules there), so await something of it first, a `settle()` or `ask`, or compile.
   * @param timeout milliseconds. Default: 5,000
   * @throws as `ask`, and Error when it is called from inside an actor
   */
  askNow<Message, Answer>(
    to: Ref<Message>,
    message: (replyTo: Ref<Answer>) => Message,
    timeout: number = DEFAULT_ASK_TIMEOUT,
  ): Answer {
    if (this.#host.running) throw new Error('askNow can not be called from inside an actor');
    const question = this.#questions.put(to, message, { timeout }, () => undefined);
    const until = performance.now() + timeout;
    const index = hostOf(to);
    while (question.outcome === undefined) if (!this.#workNow(index, until)) break;
    if (question.outcome === undefined) question.expire(timeout);
    const outcome = question.outcome;
    if (outcome && 'answer' in outcome) return outcome.answer;
    throw outcome?.error;
  }

  /** The thread an actor lives on, 0 to `threads` − 1; undefined is the calling thread. */
  threadOf(ref: AnyRef): number | undefined {
    const index = hostOf(ref);
    return index === 0 ? undefined : index - 1;
  }

  /** Ends an actor: `drain` lets it finish what is in its mailbox first, `now` does not. Default: `drain`. */
  stop(ref: AnyRef, mode: StopMode = 'drain'): void {
    this.#host.stop(ref, mode);
  }

  /** Runs the actors of the calling thread until none has a message left. */
  run(): void {
    this.#host.run();
  }

  /** Sends what was told to actors on threads in this turn of the event loop now, instead of at its end. */
  flush(): void {
    for (const { thread } of this.#threads) thread.lane.flush();
  }

  /** True while a thread (0 to `threads` − 1) is behind by more than the high-water mark: whoever feeds it should pause. */
  saturated(thread: number): boolean {
    return this.#threads.lane(thread + 1)?.saturated ?? false;
  }

  /** Calls back with a thread's number whenever it is no longer saturated. @returns what ends that */
  onDrain(listener: (thread: number) => void): () => void {
    this.#drainListeners.add(listener);
    return () => void this.#drainListeners.delete(listener);
  }

  /** Blocks until a thread is no longer saturated. @returns false if it still is after `timeout` milliseconds */
  drainNow(thread: number, timeout: number = DEFAULT_ASK_TIMEOUT): boolean {
    const until = performance.now() + timeout;
    while (this.saturated(thread)) if (!this.#workNow(thread + 1, until)) break;
    return !this.saturated(thread);
  }

  /**
   * Blocks until every thread has processed what it was sent, and takes in what came of it.
   * @throws AskError `ERR_ASK_TIMEOUT` if one has not after `timeout` milliseconds
   */
  settleNow(timeout: number = DEFAULT_ASK_TIMEOUT): void {
    if (!this.catchUpNow(timeout))
      throw new AskError('ERR_ASK_TIMEOUT', `a thread did not catch up within ${timeout} ms`);
  }

  /** As `settleNow`, for whom it does not matter much. @returns false if a thread has not caught up in time */
  catchUpNow(timeout: number): boolean {
    const until = performance.now() + timeout;
    for (const { thread, inlet } of this.#threads) {
      if (!thread.lane.catchUpNow(until - performance.now())) return false;
      while (inlet.waiting && !this.#host.running) this.#host.runTurn();
    }
    return true;
  }

  /**
   * Resolves once every message sent so far, and what came of it, has been processed: also by actors that wait to be
   * restarted. What is sent meanwhile is waited for, too.
   */
  async settle(): Promise<void> {
    const isInFlight = (): boolean => [...this.#threads].some(({ thread }) => thread.lane.inFlight > 0);
    let more = true;
    while (more && this.#open) {
      this.flush();
      // The question whether a thread has settled goes by a way of its own, and may overtake messages.
      const overtakes = isInFlight();
      await Promise.all([
        this.#host.settled(),
        ...Array.from(this.#threads, ({ thread }) => thread.call((control) => control.drain())),
      ]);
      more = overtakes || this.#host.backlog > 0 || isInFlight();
      // Only now: what came of a batch is here once it counts as processed, and may not have been a moment before.
      for (const { thread } of this.#threads) while (thread.lane.receiveNow(0)) more = true;
    }
  }

  /** The counts of each host: the calling thread's first. Zeros for a thread that dies before it answers. */
  async stats(): Promise<readonly HostStats[]> {
    const none: HostStats = { actors: 0, processed: 0, deadLetters: 0 };
    const threads = Array.from(this.#threads, ({ thread }) => thread.call((control) => control.stats()));
    return [this.#host.stats, ...(await Promise.all(threads)).map((stats) => stats ?? none)];
  }

  /** The actors of one thread (0 to `threads` − 1): for people who look into a running system. */
  async snapshot(thread: number): Promise<readonly ActorSnapshot[]> {
    return (await this.#threads.get(thread + 1)?.thread.call((control) => control.snapshot())) ?? [];
  }

  /**
   * Ends every actor and every thread; a thread that does not end within five seconds, by force. Questions that wait for
   * an answer fail. Nothing of the system keeps the process alive afterwards.
   */
  close(): Promise<void> {
    this.#open = false;
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#host.endAll();
    await this.#threads.stop();
    for (const question of this.#questions) question.unanswered('the system was closed');
  }

  #mustBeOpen(): void {
    if (!this.#open) throw new Error('the system was closed');
  }

  /**
   * Gets on without the event loop: runs what waits on the calling thread, or waits for what a thread sends.
   * @returns false if that leads nowhere: all is done, or it is `until`
   */
  #workNow(index: number, until: number): boolean {
    const left = until - performance.now();
    const worker = this.#threads.get(index);
    if (worker !== undefined && !(worker.inlet.waiting && left > 0)) {
      worker.thread.lane.flush();
      return worker.thread.lane.receiveNow(left);
    }
    return left > 0 && (!this.#host.runTurn() || worker !== undefined);
  }

  // Between threads.

  #sendAsked(to: number, message: unknown, replyTo: number): void {
    if (hostOf(to) === 0) this.#host.ask(to, message, replyTo);
    else if (!this.#threads.lane(hostOf(to))?.send(-to, { kind: 'ask', message, replyTo }))
      this.#host.deadLetter(to, this.#open ? 'lane-full' : 'no-such-actor', new Asked(message, replyTo));
  }

  #deliver(address: number, message: unknown): void {
    if (address > 0) this.#host.tell(address, message);
    else if (!isSignal(message) || message.kind === 'spawn') return;
    else if (message.kind === 'observed') this.#observe(message.event);
    else if (address === -SYSTEM_ADDRESS) {
      if (message.kind === 'ended') this.#remote.forget(message.ended.ref);
    } else if (hostOf(-address) !== 0) this.#signalAway(asRef(-address), message);
    else {
      if (message.kind === 'ended') this.#remote.unwatch(message.ended.ref, -address);
      this.#host.signal(asRef(-address), message);
    }
  }

  #send(address: number, message: unknown, signal?: 'signal'): boolean {
    const lane = this.#threads.lane(hostOf(address));
    if (signal ? lane?.send(-address, message, true) : lane?.send(address, message)) return true;
    this.#host.deadLetter(address, lane && this.#open ? 'lane-full' : 'no-such-actor');
    return false;
  }

  #signalAway(ref: AnyRef, signal: ActorSignal): void {
    if (signal.kind === 'watch') this.#remote.watch(ref, signal.watcher);
    else if (signal.kind === 'unwatch') this.#remote.unwatch(ref, signal.watcher);
    else if (signal.kind === 'ended') this.#remote.unwatch(signal.ended.ref, ref);
    // Should its thread die before the signal arrives, it is not to be started again.
    else if (signal.kind === 'stop') this.#remote.forget(ref);
    this.#send(ref, signal, 'signal');
  }

  #onUncloneable(address: number, message: unknown): void {
    const ref = Math.abs(address);
    this.#host.deadLetter(ref, 'not-cloneable');
    if (address > 0 || !isSignal(message)) return;
    if (message.kind === 'ask') this.#host.unanswered(message.replyTo, 'the message can not be cloned');
    else if (message.kind === 'spawn') this.#remote.giveUp(ref, message.module, 'its args can not be cloned');
  }

  #onLost(index: number, error: string): void {
    for (const question of this.#questions)
      if (hostOf(question.to) === index) question.unanswered(`the thread of ${formatRef(question.to)} died`);
    this.#remote.onLost(index, error);
    // Whoever paused because the thread was behind waits for this.
    this.#tellDrained(index);
  }

  #tellDrained(index: number): void {
    for (const listener of this.#drainListeners) listener(index - 1);
  }
}
