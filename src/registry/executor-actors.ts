/**
 * The executors' actors as the calling thread sees them: each is started when it is first needed, and again when its
 * thread has died; and there is an actor here to which they and their missions report.
 */
import type { Description, ExecutorMessage, ExecutorStart } from '../../actors/executor.js';
import type { ConnectionMessage, Report } from '../../actors/messages.js';
import type { AnyRef, AskOptions, Behaviour, Ref } from '../actor/index.js';
import { type ExecutorRegistration, specVersion } from '../contract/index.js';
import type { Store } from '../store/store.js';
import type { Directory, MissionEntry } from './directory.js';
import type { Stage } from './stage.js';

/** A question to an actor, not yet put. Both ways of putting it fail with an `AskError` if there is no answer. */
export interface Inquiry<Answer> {
  /** Puts it and blocks until it is answered. */
  now(): Answer;
  later(): Promise<Answer>;
}

export interface ExecutorActorsOptions {
  /** What the actors start from. */
  readonly directory: Directory;
  /** The connection that an actor which starts is to know. */
  readonly connectionOf: (executorId: string) => Ref<ConnectionMessage> | undefined;
  readonly onReport: (report: Report) => void;
  /** Told that an executor's actor has started again, its thread having died. */
  readonly onRestart: (executorId: string) => void;
  /** Keeps what the actors write. */
  readonly store: Store | undefined;
  /** Told of missions that have to be found in the store: their executor's actor starts, and waits for `recovered`. */
  readonly onRecovery: (executorId: string, missions: readonly Readonly<MissionEntry>[]) => void;
}

type ReportsMessage = Report | { readonly type: 'watch'; readonly ref: AnyRef };

export class ExecutorActors<Kept> {
  readonly #stage: Stage<Kept>;
  readonly #options: ExecutorActorsOptions;
  readonly #refs = new Map<string, Ref<ExecutorMessage<Kept>>>();
  readonly #executorOf = new Map<number, string>();
  readonly #reports: Ref<ReportsMessage>;

  constructor(stage: Stage<Kept>, options: ExecutorActorsOptions) {
    this.#stage = stage;
    this.#options = options;
    this.#reports = stage.system.spawn(this.#reporting(), undefined);
  }

  has(executorId: string): boolean {
    return this.#refs.has(executorId);
  }

  /** The executor's actor, which is started when it is first needed. */
  ref(executorId: string): Ref<ExecutorMessage<Kept>> {
    const known = this.#refs.get(executorId);
    if (known !== undefined) return known;
    const ref = this.#stage.spawn(
      (thread) => this.#start(executorId, thread),
      (lastEventTs) => this.#options.directory.saw(executorId, lastEventTs),
    );
    this.#refs.set(executorId, ref);
    this.#executorOf.set(ref, executorId);
    this.#stage.system.tell(this.#reports, { type: 'watch', ref });
    this.#tellConnection(executorId, ref);
    return ref;
  }

  /** Ends the executor's actor once it has done what it was told. Should the executor come back, it gets another. */
  stop(executorId: string): void {
    const ref = this.#refs.get(executorId);
    if (ref === undefined) return;
    this.#drop(executorId, ref);
    this.#stage.system.stop(ref);
  }

  /** A question to the executor's actor. @param map makes the answer of what the actor answers */
  inquire<Raw, Answer>(
    executorId: string,
    message: (replyTo: Ref<Raw>) => ExecutorMessage<Kept>,
    map: (raw: Raw) => Answer,
    options: AskOptions = {},
  ): Inquiry<Answer> {
    const ref = this.ref(executorId);
    const { system } = this.#stage;
    return {
      now: () => map(system.askNow(ref, message, options.timeout)),
      later: async () => map(await system.ask(ref, message, options)),
    };
  }

  /** What an executor's actor starts from: all that the directory knows. */
  #start(executorId: string, thread: number): ExecutorStart {
    const { directory, store, onRecovery } = this.#options;
    const registration = directory.executors.get(executorId);
    const missions = directory.liveMissions(executorId);
    const description = registration ? descriptionOf(registration) : { lenient: false };
    const start = { executorId, description, reports: this.#reports, journal: store?.journals[thread] };
    if (store === undefined || missions.length === 0) return { ...start, missions };
    // The directory does not know all of them: an open question, say.
    queueMicrotask(() => onRecovery(executorId, missions));
    return { ...start, missions: undefined };
  }

  #drop(executorId: string, ref: AnyRef): void {
    this.#executorOf.delete(ref);
    this.#refs.delete(executorId);
    this.#stage.ended(ref);
  }

  #tellConnection(executorId: string, ref: Ref<ExecutorMessage<Kept>>): void {
    const connection = this.#options.connectionOf(executorId);
    if (connection !== undefined) this.#stage.system.tell(ref, { type: 'connected', connection });
  }

  /** The actor to which executors and missions report, and which watches the executors'. */
  #reporting(): Behaviour<ReportsMessage, undefined> {
    return {
      name: 'supervisor',
      mailbox: { limit: Number.POSITIVE_INFINITY, overflow: 'refuse' },
      start: () => undefined,
      receive: (_, message, context) => {
        if (message.type === 'watch') context.watch(message.ref);
        else this.#options.onReport(message);
        return undefined;
      },
      ended: (_, { ref, reason }, context) => {
        // A lost thread's actors start again under the same ref; one that was given up on is started when next needed.
        const executorId = this.#executorOf.get(ref);
        if (executorId === undefined) return undefined;
        if (reason === 'thread-lost') {
          context.watch(ref);
          this.#tellConnection(executorId, this.ref(executorId));
          this.#options.onRestart(executorId);
        } else this.#drop(executorId, ref);
        return undefined;
      },
    };
  }
}

/** What an executor's actor has to know of its registration. */
export const descriptionOf = (registration: ExecutorRegistration): Description => ({
  lenient: registration.specVersion !== specVersion,
});
