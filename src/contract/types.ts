/**
 * The types of the published TypeScript surface, field by field as published. The shapes of the wire itself are
 * inferred from the schemas beside this file.
 */
import type * as v from 'valibot';
import type { missionStateSchema } from './fields.js';

/** Where an executor can be reached. Each is an absolute URL. */
export interface TransportEndpoints {
  rest: string;
  ws: string;
  grpc?: string;
}

/** One mission, as the published class keeps it. Times are RFC 3339. */
export interface MissionRecord {
  missionId: string;
  executorId: string;
  state: MissionState;
  createdAt: string;
  /** The `ts` of the last event that counted. */
  updatedAt: string;
  /** The `ts` of the event that ended the mission. */
  completedAt?: string;
  /** The newest 50, oldest first. */
  recentEvents: EventEnvelope[];
  ptySessionRef?: string;
  exitCode?: number;
  error?: string;
}

/** Where a mission stands; `done`, `failed` and `aborted` are final. */
export type MissionState = v.InferOutput<typeof missionStateSchema>;

/** An event as the published class takes and gives it. `ContractEvent` is the same with its data typed by `event`. */
export interface EventEnvelope {
  event: string;
  executor_id: string;
  mission_id?: string;
  ts: string;
  data?: Record<string, unknown>;
}

/** One registered executor, in memory. */
export interface ExecutorRegistration {
  /** The executor's own UUID, declared when it registers and kept for life. */
  executorId: string;
  /** The A2A sandbox instance it defaults to; may differ from `executorId`. */
  a2aInstanceId?: string;
  name: string;
  version: string;
  specVersion: string;
  transportEndpoints: TransportEndpoints;
  capabilities: string[];
  /** The bearer token of the first registration, kept across later ones. */
  token: string;
  connected: boolean;
  lastEventTs?: string;
  registeredAt: string;
  disconnectedAt?: string;
  /** Ids of the live missions it owns. */
  currentMissions: Set<string>;
  /** Its open WebSocket, if it has one. */
  wsConn?: WebSocketConn;
}

/** What is needed of a WebSocket; those of the `ws` package have it. */
export interface WebSocketConn {
  readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** An executor as the REST interface shows it. */
export interface ExecutorSummary {
  executor_id: string;
  a2a_instance_id?: string;
  name: string;
  version: string;
  spec_version: string;
  transport_endpoints: TransportEndpoints;
  capabilities: string[];
  connected: boolean;
  last_event_ts?: string;
  active_mission_count: number;
  registered_at: string;
  disconnected_at?: string;
}

/** The body of `POST /api/v1/executors/register`. */
export interface ExecutorRegisterRequest {
  executor_id: string;
  a2a_instance_id?: string;
  name: string;
  version: string;
  spec_version: string;
  transport_endpoints: TransportEndpoints;
  capabilities: string[];
}

/** The body of its 201. */
export interface ExecutorRegisterResponse {
  executor_id: string;
  token: string;
  registered_at: string;
}

/** Which executor will do. */
export interface ExecutorFilter {
  /** This executor and no other; `null` is any. */
  executor_id?: string | null;
  /** All of these it must offer. */
  capabilities?: string[];
}

/** The executor that was picked, why, and why not the others. */
export interface ExecutorPickResult {
  executor: ExecutorRegistration;
  reason: string;
  rejected: Array<{
    executorId: string;
    reason: string;
  }>;
}
