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
  /** Told what people may want to know: dropped events, late ones, actors that failed, threads that died. */
  readonly onNotice?: (notice: Notice | SystemEvent) => void;
}

/** Makes an asynchronous registry; it resolves once its threads are up. */
export async function createRegistry(options: RegistryOptions = {}): Promise<AsyncExecutorRegistry> {
  const registry = new AsyncExecutorRegistry(options);
  await registry.supervisor.system.settle();
  return registry;
}

/**
 * As `ExecutorRegistry`, with promises, and the same events. Everything but `pushToExecutor` of an executor that the
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

  constructor({
    threads = availableParallelism(),
    highWater,
    threadHeapMb = DEFAULT_THREAD_HEAP_MB,
    maxEndedMissions = 10_000,
    maxEndedMissionAgeMs = 3_600_000,
    onNotice,
  }: RegistryOptions) {
    super();
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
    });
    stage.system.onDrain((drained) => this.#letGo(({ thread }) => thread === drained));
  }

  async register(req: ExecutorRegisterRequest): Promise<ExecutorRegisterResponse | { error: string; status: 400 }> {
    const registered = this.supervisor.register(req);
    if (!registered.ok) return { error: JSON.stringify(registered.issues), status: 400 };
    return registered.response;
  }

  async deregister(executorId: string, reason: DeregistrationReason = 'graceful_shutdown'): Promise<boolean> {
    return this.supervisor.deregister(executorId, reason);
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
    this.supervisor.missions.assign(missionId, executorId);
    const mission = await this.getMission(missionId);
    if (mission === undefined) throw new Error(`mission ${missionId} could not be created`);
    return mission;
  }

  async failMission(missionId: string, error: string): Promise<void> {
    this.supervisor.missions.fail(missionId, error);
  }

  async getMission(missionId: string): Promise<MissionRecord | undefined> {
    return this.supervisor.missions.look(missionId)?.later();
  }

  async transitionMission(missionId: string, targetState: 'paused' | 'running' | 'aborted'): Promise<boolean> {
    return (await this.supervisor.missions.transition(missionId, targetState).later()).ok;
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
