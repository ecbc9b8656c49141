/** Executors and missions as they are shown: to programs, and as the JSON of the REST interface. */
import type { MissionView } from '../../actors/mission.js';
import {
  type ExecutorRegistration,
  type ExecutorSummary,
  isTerminal,
  type MissionRecord,
  specVersion,
} from '../contract/index.js';
import type { KeptExecutor } from '../store/kept.js';
import type { Found } from '../store/thread.js';
import type { MissionEntry } from './directory.js';

/** A mission whose actor was lost: what the directory knows of it. */
export const recordOf = ({ number: _, ...entry }: Readonly<MissionEntry>): MissionRecord => ({
  ...entry,
  ...(isTerminal(entry.state) && { completedAt: entry.updatedAt }),
  recentEvents: [],
});

/** A mission as the store has it. */
export const storedRecordOf = ({ mission, state, texts }: Found): MissionRecord => ({
  missionId: mission.missionId,
  executorId: mission.executorId,
  state: state.state,
  createdAt: mission.createdAt,
  updatedAt: state.updatedAt,
  ...(state.completedAt !== undefined && { completedAt: state.completedAt }),
  recentEvents: texts.map((text) => JSON.parse(text)),
  ...(state.ptySessionRef !== undefined && { ptySessionRef: state.ptySessionRef }),
  ...(state.exitCode !== undefined && { exitCode: state.exitCode }),
  ...(state.error !== undefined && { error: state.error }),
});

/** A `mission_status_response` as JSON text. @param events its recent events, JSON texts. Default: it says nothing of them */
export function statusText(mission: MissionView<unknown>, events?: readonly string[]): string {
  const status = {
    mission_id: mission.missionId,
    executor_id: mission.executorId,
    state: mission.state,
    created_at: mission.createdAt,
    updated_at: mission.updatedAt,
    completed_at: mission.completedAt,
    pty_session_ref: mission.ptySessionRef,
    exit_code: mission.exitCode,
    error: mission.error,
  };
  const text = JSON.stringify(status);
  return events === undefined ? text : `${text.slice(0, -1)},"recent_events":[${events.join(',')}]}`;
}

/** What the store keeps of an executor. */
export const keptExecutorOf = (registration: ExecutorRegistration): KeptExecutor => {
  const { executorId, a2aInstanceId, name, version, specVersion, transportEndpoints, capabilities, token } =
    registration;
  const { registeredAt, lastEventTs } = registration;
  return {
    executorId,
    ...(a2aInstanceId !== undefined && { a2aInstanceId }),
    name,
    version,
    specVersion,
    transportEndpoints,
    capabilities,
    token,
    registeredAt,
    ...(lastEventTs !== undefined && { lastEventTs }),
  };
};

/** An `executor_status`. */
export function summaryOf(registration: ExecutorRegistration): ExecutorSummary {
  return {
    executor_id: registration.executorId,
    ...(registration.a2aInstanceId !== undefined && { a2a_instance_id: registration.a2aInstanceId }),
    name: registration.name,
    version: registration.version,
    // The version that is spoken with it: the published shape knows no other.
    spec_version: specVersion,
    transport_endpoints: { ...registration.transportEndpoints },
    capabilities: [...registration.capabilities],
    connected: registration.connected,
    ...(registration.lastEventTs !== undefined && { last_event_ts: registration.lastEventTs }),
    active_mission_count: registration.currentMissions.size,
    registered_at: registration.registeredAt,
    ...(registration.disconnectedAt !== undefined && { disconnected_at: registration.disconnectedAt }),
  };
}
