/**
 * The contract's registry as one would first write it: Maps, loops, and the table of events. It is slow and keeps no
 * tokens; what it answers, and tells its listeners, is what the published class must.
 */
import type { EventEnvelope, ExecutorFilter, ExecutorRegisterRequest, MissionState } from '#src/index.js';
import type { Socket } from './peers.js';

interface Executor {
  request: ExecutorRegisterRequest;
  connected: boolean;
  everLeft: boolean;
  socket: Socket | undefined;
}

interface Mission {
  missionId: string;
  executorId: string;
  state: MissionState;
  createdAt: string;
  updatedAt: string;
  completedAt?: string;
  recentEvents: EventEnvelope[];
  ptySessionRef?: string;
  exitCode?: number;
  error?: string;
}

/** Stands for any time but an event's own. */
export const NOW = 'now';

const over: MissionState[] = ['done', 'failed', 'aborted'];

/** Event: the states it is allowed from (`live` is any that is not over), and where it leads. */
const table: Record<string, readonly [from: readonly MissionState[] | 'live', to: MissionState | 'same']> = {
  'mission.assigned': [['queued', 'assigned'], 'assigned'],
  'mission.started': [['queued', 'assigned', 'paused', 'suspended', 'hitl-required'], 'running'],
  'mission.progress': ['live', 'same'],
  'mission.hitl_required': ['live', 'hitl-required'],
  'mission.hitl_responded': [['hitl-required'], 'running'],
  'mission.paused': ['live', 'paused'],
  'mission.resumed': [['paused', 'suspended', 'hitl-required'], 'running'],
  'mission.suspended': ['live', 'suspended'],
  'mission.reconnected': [['suspended', 'running'], 'running'],
  'mission.completed': ['live', 'done'],
  'mission.failed': ['live', 'failed'],
  'mission.aborted': ['live', 'aborted'],
};

export class ReferenceRegistry {
  readonly told: [name: string, payload: unknown][] = [];
  readonly #executors = new Map<string, Executor>();
  readonly #missions = new Map<string, Mission>();
  readonly #lastEventTs = new Map<string, string>();

  register(request: ExecutorRegisterRequest): string {
    if (request.name === '') return 'error';
    const known = this.#executors.get(request.executor_id);
    if (known) known.request = request;
    else this.#executors.set(request.executor_id, { request, connected: false, everLeft: false, socket: undefined });
    this.told.push(['executor:registered', { executorId: request.executor_id, name: request.name }]);
    return 'ok';
  }

  deregister(executorId: string, reason: string): boolean {
    const executor = this.#executors.get(executorId);
    if (!executor) return false;
    this.#executors.delete(executorId);
    this.#lastEventTs.delete(executorId);
    this.told.push(['executor:deregistered', { executorId, reason }]);
    const resumable = executor.request.capabilities.includes('resumable');
    for (const mission of this.#live(executorId)) {
      if (!resumable) mission.error = 'executor_deregistered';
      this.#enter(mission, resumable ? 'suspended' : 'failed', NOW);
    }
    executor.socket?.close(1000, reason);
    return true;
  }

  setConnected(executorId: string, connected: boolean, socket?: Socket): void {
    const executor = this.#executors.get(executorId);
    if (!executor) return;
    if (connected) {
      executor.socket = socket;
      executor.everLeft = false;
    } else {
      if (socket && executor.socket && socket !== executor.socket) return;
      executor.everLeft ||= executor.connected;
      executor.socket = undefined;
    }
    executor.connected = connected;
  }

  pushToExecutor(executorId: string, event: EventEnvelope): boolean {
    const socket = this.#executors.get(executorId)?.socket;
    if (socket?.readyState !== 1) return false;
    socket.send(JSON.stringify(event));
    return true;
  }

  handleEvent(envelope: EventEnvelope): void {
    const { event, executor_id: executorId, mission_id: missionId, ts, data = {} } = envelope;
    const executor = this.#executors.get(executorId);
    if (!executor || data.invalid) return;
    if (missionId !== undefined) {
      const mission = this.#missions.get(missionId);
      if (mission?.executorId !== executorId) return;
      this.#lastEventTs.set(executorId, ts);
      this.#apply(mission, envelope, data);
      return;
    }
    this.#lastEventTs.set(executorId, ts);
    if (event === 'executor.deregistered') this.deregister(executorId, String(data.reason));
    if (event === 'executor.resync' && Array.isArray(data.owned_mission_ids))
      for (const listed of data.owned_mission_ids) this.#resync(executor, this.#missions.get(listed), ts);
  }

  #apply(mission: Mission, envelope: EventEnvelope, data: Record<string, unknown>): void {
    const row = table[envelope.event];
    if (!row || over.includes(mission.state)) return;
    mission.recentEvents = [...mission.recentEvents, envelope].slice(-50);
    if (envelope.event === 'mission.started' && typeof data.pty_session_id === 'string')
      mission.ptySessionRef = data.pty_session_id;
    if (typeof data.exit_code === 'number') mission.exitCode = data.exit_code;
    if (envelope.event === 'mission.failed') mission.error = String(data.error ?? data.reason);
    const [from, to] = row;
    const allowed = from === 'live' || from.includes(mission.state);
    this.#enter(mission, allowed && to !== 'same' ? to : mission.state, envelope.ts);
  }

  #resync(executor: Executor, mission: Mission | undefined, ts: string): void {
    if (mission?.executorId !== executor.request.executor_id) return;
    const { missionId: mission_id, executorId: executor_id, state } = mission;
    const push = (event: string, data: Record<string, unknown>) =>
      this.pushToExecutor(executor_id, { event, executor_id, mission_id, ts: NOW, data });
    if (state === 'aborted') push('mission.aborted', { state: 'aborted', aborted_by: 'operator' });
    if (over.includes(state)) return;
    this.#enter(mission, 'running', ts);
    if (state === 'suspended') push('mission.resumed', { state: 'running', resumed_from: 'suspended' });
  }

  assignMission(missionId: string, executorId: string): Mission {
    const known = this.#missions.get(missionId);
    if (known && known.executorId !== executorId) return known;
    const fresh: Mission = {
      missionId,
      executorId,
      state: 'assigned',
      createdAt: NOW,
      updatedAt: NOW,
      recentEvents: [],
    };
    if (!known) this.#missions.set(missionId, fresh);
    this.told.push(['mission:assigned', { missionId, executorId }]);
    return known ?? fresh;
  }

  failMission(missionId: string, error: string): void {
    const mission = this.#missions.get(missionId);
    if (!mission || over.includes(mission.state)) return;
    mission.error = error;
    this.#enter(mission, 'failed', NOW);
  }

  getMission(missionId: string): Mission | undefined {
    return this.#missions.get(missionId);
  }

  transitionMission(missionId: string, target: 'paused' | 'running' | 'aborted'): boolean {
    const mission = this.#missions.get(missionId);
    if (!mission || over.includes(mission.state)) return false;
    this.#enter(mission, target, NOW);
    return true;
  }

  list(): unknown[] {
    return [...this.#executors.keys()].map((executorId) => this.get(executorId));
  }

  get(executorId: string): unknown {
    const executor = this.#executors.get(executorId);
    if (!executor) return undefined;
    const { request, connected, everLeft } = executor;
    const lastEventTs = this.#lastEventTs.get(executorId);
    return {
      ...request,
      connected,
      active_mission_count: this.#live(executorId).length,
      registered_at: NOW,
      ...(lastEventTs !== undefined && { last_event_ts: lastEventTs }),
      ...(everLeft && { disconnected_at: NOW }),
    };
  }

  currentMissions(executorId: string): string[] {
    return this.#executors.has(executorId) ? this.#live(executorId).map(({ missionId }) => missionId) : [];
  }

  /** The executor's id, and the ids of those that will not do. */
  pick({ executor_id: pinned, capabilities = [] }: ExecutorFilter, longRunning: boolean) {
    const fits = (executorId: string, { request, connected }: Executor) =>
      connected &&
      (!pinned || pinned === executorId) &&
      capabilities.every((capability) => request.capabilities.includes(capability)) &&
      (!longRunning || request.capabilities.includes('resumable'));
    const rank = (executorId: string, { request }: Executor) =>
      (request.capabilities.some((name) => name === 'isolation:vm' || name === 'isolation:container') ? 0 : 1_000) +
      this.#live(executorId).length;
    let best: { executorId: string; rank: number } | undefined;
    const rejected: string[] = [];
    for (const [executorId, executor] of this.#executors) {
      if (!fits(executorId, executor)) rejected.push(executorId);
      else if (!best || rank(executorId, executor) < best.rank) best = { executorId, rank: rank(executorId, executor) };
    }
    return best ? { executorId: best.executorId, rejected } : null;
  }

  get size(): number {
    return this.#executors.size;
  }

  #live(executorId: string): Mission[] {
    return [...this.#missions.values()].filter(
      (mission) => mission.executorId === executorId && !over.includes(mission.state),
    );
  }

  #enter(mission: Mission, state: MissionState, at: string): void {
    const { missionId, executorId, state: prevState } = mission;
    mission.updatedAt = at;
    if (state === prevState) return;
    mission.state = state;
    if (over.includes(state)) mission.completedAt = at;
    this.told.push(['mission:state_change', { missionId, executorId, state, prevState }]);
  }
}
