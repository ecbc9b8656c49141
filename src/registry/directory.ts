/**
 * What the supervisor thread knows by heart, so that no decision of its own has to ask an actor: which executors are
 * registered and connected, which missions they have, and in which state. The actors' reports keep it current.
 */

import { isTerminal, liveStates, terminalStates } from '../contract/transitions.js';
import type {
  ExecutorFilter,
  ExecutorPickResult,
  ExecutorRegisterRequest,
  ExecutorRegistration,
  MissionState,
  WebSocketConn,
} from '../contract/types.js';
import type { KeptExecutor } from '../store/kept.js';
import { PickIndex } from './pick.js';

const states = new Map([...liveStates, ...terminalStates].map((state) => [state, state] as const));

/** What the directory knows of a mission. Times are ISO 8601. */
export interface MissionEntry {
  missionId: string;
  executorId: string;
  state: MissionState;
  createdAt: string;
  updatedAt: string;
  /** From 1, in the order of creation. */
  number: number;
}

/**
 * Executors and missions by id, and the pick among executors.
 *
 * Its executors are the live records, not copies. Of these, capabilities, `connected` and `currentMissions` change
 * through the methods here and nowhere else, for picks depend on them.
 */
export class Directory {
  readonly #executors = new Map<string, ExecutorRegistration>();
  readonly #missions = new Map<string, MissionEntry>();
  /**
   * Live missions by executor, the very sets that the executors carry as `currentMissions`. They are kept here too
   * because a resumable executor's missions outlive its registration, and are its own again when it is back.
   */
  readonly #liveMissions = new Map<string, Set<string>>();
  /** How many missions each executor has here, live or over; those with none are left out. */
  readonly #missionCounts = new Map<string, number>();
  readonly #picks = new PickIndex();

  /** By id, in the order of their first registration. */
  get executors(): ReadonlyMap<string, ExecutorRegistration> {
    return this.#executors;
  }

  /** By id, in the order in which they were added. */
  get missions(): ReadonlyMap<string, Readonly<MissionEntry>> {
    return this.#missions;
  }

  /**
   * Registers an executor, not connected yet; or updates what a known one says of itself, and its token, and keeps the
   * rest.
   * @param request a valid payload.
   * @param at the time of the registration, ISO 8601.
   */
  upsert(request: ExecutorRegisterRequest, token: string, at: string): ExecutorRegistration {
    const executorId = request.executor_id;
    const described = {
      name: request.name,
      version: request.version,
      specVersion: request.spec_version,
      transportEndpoints: { ...request.transport_endpoints },
      capabilities: [...request.capabilities],
      token,
    };
    let executor = this.#executors.get(executorId);
    if (executor === undefined) {
      const currentMissions = this.#liveMissionsOf(executorId);
      executor = { executorId, ...described, connected: false, registeredAt: at, currentMissions };
      this.#executors.set(executorId, executor);
    } else {
      Object.assign(executor, described);
    }
    if (request.a2a_instance_id === undefined) delete executor.a2aInstanceId;
    else executor.a2aInstanceId = request.a2a_instance_id;
    this.#picks.put(executor);
    return executor;
  }

  /** Takes in an executor that was registered in an earlier run; it is not connected. */
  restore({ left: _, ...kept }: KeptExecutor): void {
    const currentMissions = this.#liveMissionsOf(kept.executorId);
    const executor: ExecutorRegistration = { ...kept, connected: false, currentMissions };
    this.#executors.set(kept.executorId, executor);
    this.#picks.put(executor);
  }

  /** Removes an executor and returns what it was; its missions stay, in the state they are in. */
  remove(executorId: string): ExecutorRegistration | undefined {
    const executor = this.#executors.get(executorId);
    if (executor === undefined) return undefined;
    this.#executors.delete(executorId);
    this.#picks.remove(executorId);
    if (executor.currentMissions.size === 0) this.#liveMissions.delete(executorId);
    return executor;
  }

  /**
   * Notes that an executor is connected, by `wsConn` if one is given, or that it no longer is, since `at` (ISO 8601).
   * @returns false if there is no such executor.
   */
  setConnected(executorId: string, connected: boolean, at: string, wsConn?: WebSocketConn): boolean {
    const executor = this.#executors.get(executorId);
    if (executor === undefined) return false;
    if (connected) {
      delete executor.disconnectedAt;
      if (wsConn === undefined) delete executor.wsConn;
      else executor.wsConn = wsConn;
    } else if (executor.connected) {
      executor.disconnectedAt = at;
      delete executor.wsConn;
    }
    executor.connected = connected;
    this.#picks.update(executorId);
    return true;
  }

  /** Notes when an executor was last heard; `lastEventTs` is RFC 3339. */
  saw(executorId: string, lastEventTs: string): void {
    const executor = this.#executors.get(executorId);
    if (executor !== undefined) executor.lastEventTs = lastEventTs;
  }

  /**
   * Adds a mission. Its executor need not be registered.
   * @returns false, and changes nothing, if there is one of that id.
   */
  addMission(mission: Readonly<MissionEntry>): boolean {
    if (this.#missions.has(mission.missionId)) return false;
    // By the name that is kept anyway: the one given here may be a string of its own.
    const executorId = this.#executors.get(mission.executorId)?.executorId ?? mission.executorId;
    this.#missions.set(mission.missionId, { ...mission, executorId });
    this.#missionCounts.set(executorId, (this.#missionCounts.get(executorId) ?? 0) + 1);
    if (!isTerminal(mission.state)) {
      this.#liveMissionsOf(mission.executorId).add(mission.missionId);
      this.#picks.update(mission.executorId);
    }
    return true;
  }

  /** Whether an executor is neither registered, nor has missions that are not over. */
  isGone(executorId: string): boolean {
    return !this.#executors.has(executorId) && (this.#liveMissions.get(executorId)?.size ?? 0) === 0;
  }

  /** Whether an executor is registered, or has missions here, be they over. */
  knows(executorId: string): boolean {
    return this.#executors.has(executorId) || this.#missionCounts.has(executorId);
  }

  /** The missions of an executor, registered or not, that are not over. */
  liveMissions(executorId: string): Readonly<MissionEntry>[] {
    return [...(this.#liveMissions.get(executorId) ?? [])].flatMap((missionId) => this.#missions.get(missionId) ?? []);
  }

  /**
   * Notes a mission's state. One that is over stays as it is.
   * @param at ISO 8601; the mission's new `updatedAt`.
   * @returns the state before, or `undefined` if nothing was changed: it is over, or there is no such mission.
   */
  setState(missionId: string, state: MissionState, at: string): MissionState | undefined {
    const mission = this.#missions.get(missionId);
    if (mission === undefined || isTerminal(mission.state)) return undefined;
    const before = mission.state;
    // The reported one is a string of its own: each mission would keep one.
    mission.state = states.get(state) ?? state;
    mission.updatedAt = at;
    if (isTerminal(state)) this.#end(mission);
    return before;
  }

  /**
   * Takes a mission that is over out of the directory: from here on there is none of that id.
   * @returns what it was; `undefined`, and nothing changes, if it is live, or there is no such mission.
   */
  forgetMission(missionId: string): Readonly<MissionEntry> | undefined {
    const mission = this.#missions.get(missionId);
    if (mission === undefined || !isTerminal(mission.state)) return undefined;
    this.#missions.delete(missionId);
    const left = (this.#missionCounts.get(mission.executorId) ?? 1) - 1;
    if (left > 0) this.#missionCounts.set(mission.executorId, left);
    else this.#missionCounts.delete(mission.executorId);
    return mission;
  }

  /** Picks an executor for a mission; see {@link PickIndex.pick} for the policy. */
  pick(filter: ExecutorFilter, longRunning = false): ExecutorPickResult | null {
    return this.#picks.pick(filter, longRunning);
  }

  #end({ missionId, executorId }: MissionEntry): void {
    const live = this.#liveMissionsOf(executorId);
    live.delete(missionId);
    if (live.size === 0 && !this.#executors.has(executorId)) this.#liveMissions.delete(executorId);
    this.#picks.update(executorId);
  }

  #liveMissionsOf(executorId: string): Set<string> {
    let live = this.#liveMissions.get(executorId);
    if (live === undefined) {
      live = new Set();
      this.#liveMissions.set(executorId, live);
    }
    return live;
  }
}
