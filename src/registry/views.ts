/** Executors and missions as they are shown: to programs, and as the JSON of the REST interface. */
import type { MissionView } from '../../actors/mission.js';
import {
  type ExecutorRegistration,
  type ExecutorSummary,
  isTerminal,
  type MissionRecord,
  specVersion,
} from '../contract/index.js';
import type { MissionEntry } from './directory.js';

/** A mission whose actor was lost: what the directory knows of it. */
export const recordOf = (entry: Readonly<MissionEntry>): MissionRecord => ({
  ...entry,
  ...(isTerminal(entry.state) && { completedAt: entry.updatedAt }),
  recentEvents: [],
});

/** A `mission_status_response` as JSON text. @param events its recent events, JSON texts */
export function statusText(mission: MissionView<unknown>, events: readonly string[]): string {
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
  return `${JSON.stringify(status).slice(0, -1)},"recent_events":[${events.join(',')}]}`;
}

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
