/** The asynchronous twin of `ExecutorRegistry`, over worker threads: what the server uses, and embedders with volume. */
import { EventEmitter } from 'node:events';
import { availableParallelism } from 'node:os';
import { DEFAULT_THREAD_HEAP_MB, heapLimits, type SystemEvent } from '../actor/index.js';
import type {
  EventEnvelope,
  ExecutorFilter,
  ExecutorPickResult,
  ExecutorRegisterRequest,
  ExecutorRegisterResponse,
  ExecutorRegistration,
  ExecutorSummary,
  MissionRecord,
  WebSocketConn,
} from '../contract/index.js';
import { Store } from '../store/store.js';
import type { Trouble } from '../store/thread.js';
import type { EndedMissionLimits } from './ended-missions.js';
import type { Notice, RegistryEvents } from './events.js';
import { IdentityStore } from './identity-store.js';
import { threadStage } from './stage.js';
import { type DeregistrationReason, Supervisor } from './supervisor.js';

export interface RegistryOptions extends Partial<EndedMissionLimits> {
  /** Worker threads for the actors, 1 to 255. Default: one for each processor. */
  readonly threads?: number;
  /** Bytes under way to or from a thread above which its sources should pause. Default: 128 KiB. */
  readonly highWater?: number;
  /** Megabytes of heap each thread may use; one that needs more dies and is replaced. Default: 4,096. */
  readonly threadHeapMb?: number;
  /**
   * A folder in which to keep executors, missions and events, made if there is none; only one registry at a time can use
   * it. Default: none, nothing outlives the process.
   */
  readonly dataDir?: string | undefined;
  /** Milliseconds after which an event is durable at the latest, with `dataDir`. Default: 20. */
  readonly flushInterval?: number;
  /** With `dataDir`: milliseconds for which a mission is kept after its end. Default: 30 days. */
  readonly retain?: number;
  /** With `dataDir`: bytes that may be kept; beyond, missions that ended first go before their time. Default: 10 GiB. */
  readonly maxStoreBytes?: number;
  /** Milliseconds without a connection after which an executor is deregistered (`timeout`). Default: it never is. */
  readonly executorTimeout?: number | undefined;
  /** With `dataDir`: told how many of the missions that are not over are back, while it is opened. */
  readonly onRecovery?: (done: number, of: number) => void;
  /** With `dataDir`: told why nothing can be written any more, and with undefined when that is over. */
  readonly onTrouble?: (trouble: Trouble | undefined) => void;
  /** Told what people may want to know: dropped events, late ones, actors that failed, threads that died. */
  readonly onNotice?: (notice: Notice | SystemEvent) => void;
}

/**
 * Makes an asynchronous registry; it resolves once its threads are up and, with `dataDir`, what is kept there is back.
 * @throws StorageError if the folder cannot be used
 */
export async function createRegistry(options: RegistryOptions = {}): Promise<AsyncExecutorRegistry> {
  const { dataDir, threads = availableParallelism(), flushInterval = 20 } = options;
  const { retain = 30 * 86_400_000, maxStoreBytes: maxBytes = 10 * 2 ** 30 } = options;
  const { onTrouble = () => undefined, onRecovery = () => undefined } = options;
  const store =
    dataDir === undefined
      ? undefined
      : await Store.open({ folder: dataDir, threads, flushInterval, retain, maxBytes, onTrouble });
  const registry = new AsyncExecutorRegistry(options, store);
  await registry.supervisor.restore(onRecovery);
  await registry.supervisor.system.settle();
  return registry;
}

/** How many ended missions stay in memory, and how long (ms): where there is a store, the rest is found there. */
const KEPT_WITHOUT_STORE = { maxEndedMissions: 10_000, maxEndedMissionAgeMs: 3_600_000 } as const;
const KEPT_WITH_STORE = { maxEndedMissions: 1_000, maxEndedMissionAgeMs: 60_000 } as const;

/**
 * As `ExecutorRegistry`, with promises, and the same events. With `dataDir`, what a call has done is durable when it
 * resolves, and it rejects with a `StorageError` where that cannot be. Everything but `pushToExecutor` of an executor that the
 * server holds is answered as soon as what came before it has been processed.
 *
 * @example
 * await using registry = await createRegistry({ threads: 2 });
 * await registry.register(payload);
 */
export class AsyncExecutorRegistry extends EventEmitter<RegistryEvents> {
  /** What the server builds on. */
  readonly supervisor: Supervisor<string>;
  /** Whoever handed in an event that has put its thread behind. */
  #waiting: { readonly thread: number; readonly resolve: () => void }[] = [];

  /** @param store what it keeps things in; it is closed with the registry */
  constructor(options: RegistryOptions, store: Store | undefined) {
    super();
    const { threads = availableParallelism(), highWater, threadHeapMb = DEFAULT_THREAD_HEAP_MB } = options;
    const { executorTimeout, onNotice } = options;
    const limits = store === undefined ? KEPT_WITHOUT_STORE : KEPT_WITH_STORE;
    const { maxEndedMissions = limits.maxEndedMissions, maxEndedMissionAgeMs = limits.maxEndedMissionAgeMs } = options;
    const notice = onNotice ?? (() => undefined);
    const stage = threadStage({
      threads,
      resourceLimits: heapLimits(threadHeapMb),
      ...(highWater !== undefined && { highWater }),
      ...(onNotice && { observe: onNotice }),
    });
    this.supervisor = new Supervisor(stage, {
      identities: new IdentityStore(),
      emit: ([name, ...payload]) => this.emit(name, ...payload),
      outside: queueMicrotask,
      notice,
      now: Date.now,
      endedMissions: { maxEndedMissions, maxEndedMissionAgeMs },
      executorTimeout,
      store,
    });
    stage.system.onDrain((drained) => this.#letGo(({ thread }) => thread === drained));
  }

  async register(req: ExecutorRegisterRequest): Promise<ExecutorRegisterResponse | { error: string; status: 400 }> {
    const registered = this.supervisor.register(req);
    if (!registered.ok) return { error: JSON.stringify(registered.issues), status: 400 };
    await this.supervisor.kept();
    return registered.response;
  }

  async deregister(executorId: string, reason: DeregistrationReason = 'graceful_shutdown'): Promise<boolean> {
    const deregistered = this.supervisor.deregister(executorId, reason);
    await this.supervisor.kept();
    return deregistered;
  }

  async authenticate(executorId: string, token: string): Promise<boolean> {
    return this.supervisor.identities.matches(executorId, token);
  }

  async setConnected(executorId: string, connected: boolean, wsConn?: WebSocketConn): Promise<void> {
    this.supervisor.setConnected(executorId, connected, wsConn);
  }

  async pushToExecutor(executorId: string, event: EventEnvelope): Promise<boolean> {
    return this.supervisor.pushHandedIn(executorId, event) ?? this.supervisor.push(executorId, event)?.later() ?? false;
  }

  /** Hands an event over. Resolves at once, or when its thread keeps up again: await it, and memory stays bounded. */
  async handleEvent(envelope: EventEnvelope): Promise<void> {
    const thread = this.supervisor.handleEvent(envelope);
    if (thread !== undefined) await new Promise<void>((resolve) => this.#waiting.push({ thread, resolve }));
  }

  async assignMission(missionId: string, executorId: string): Promise<MissionRecord> {
    // One that is over may be in the store only: it stays as it is.
    if (!(await this.supervisor.missions.isStored(missionId))) this.supervisor.missions.assign(missionId, executorId);
    const mission = await this.getMission(missionId);
    await this.supervisor.kept();
    if (mission === undefined) throw new Error(`mission ${missionId} could not be created`);
    return mission;
  }

  async failMission(missionId: string, error: string): Promise<void> {
    this.supervisor.missions.fail(missionId, error);
    await this.getMission(missionId);
    await this.supervisor.kept();
  }

  async getMission(missionId: string): Promise<MissionRecord | undefined> {
    return this.supervisor.missions.record(missionId);
  }

  async transitionMission(missionId: string, targetState: 'paused' | 'running' | 'aborted'): Promise<boolean> {
    const { ok } = await this.supervisor.missions.transition(missionId, targetState).later();
    await this.supervisor.kept();
    return ok;
  }

  async list(): Promise<ExecutorSummary[]> {
    const { directory } = this.supervisor;
    const summaries = [...directory.executors.keys()].map((executorId) => this.get(executorId));
    return (await Promise.all(summaries)).flatMap((summary) => summary ?? []);
  }

  async get(executorId: string): Promise<ExecutorSummary | undefined> {
    return this.supervisor.summary(executorId)?.later();
  }

  async getRegistration(executorId: string): Promise<ExecutorRegistration | undefined> {
    await this.get(executorId);
    return this.supervisor.directory.executors.get(executorId);
  }

  /** Picks by what has been reported so far; the record it gives is up to date. */
  async pickByFilter(filter: ExecutorFilter, longRunning = false): Promise<ExecutorPickResult | null> {
    const picked = this.supervisor.directory.pick(filter, longRunning);
    if (picked !== null) await this.get(picked.executor.executorId);
    return picked;
  }

  get size(): number {
    return this.supervisor.directory.executors.size;
  }

  /** Closes open connections (1000), writes the identities, and ends the threads. */
  async shutdown(): Promise<void> {
    this.supervisor.closeConnections();
    this.supervisor.identities.close();
    await this.supervisor.system.close();
    await this.supervisor.store?.close();
    this.#letGo(() => true);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  #letGo(which: (waiting: { readonly thread: number }) => boolean): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter((one) => !which(one));
    for (const one of waiting) if (which(one)) one.resolve();
  }
}
