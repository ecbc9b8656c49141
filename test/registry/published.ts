/**
 * The published TypeScript surface, in this test's own words, and the compiler's word that ours is exactly that: `npm run
 * check` fails when a name, an argument or a return type differs.
 */
import type { EventEmitter } from 'node:events';
import type * as ours from '#src/index.js';

interface Endpoints {
  rest: string;
  ws: string;
  grpc?: string;
}

type State =
  | 'queued'
  | 'assigned'
  | 'running'
  | 'paused'
  | 'hitl-required'
  | 'suspended'
  | 'done'
  | 'failed'
  | 'aborted';

interface Envelope {
  event: string;
  executor_id: string;
  mission_id?: string;
  ts: string;
  data?: Record<string, unknown>;
}

interface Mission {
  missionId: string;
  executorId: string;
  state: State;
  createdAt: string;
  updatedAt: string;
  completedAt?: string;
  recentEvents: Envelope[];
  ptySessionRef?: string;
  exitCode?: number;
  error?: string;
}

interface Conn {
  readyState: number;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

interface Registration {
  executorId: string;
  a2aInstanceId?: string;
  name: string;
  version: string;
  specVersion: string;
  transportEndpoints: Endpoints;
  capabilities: string[];
  token: string;
  connected: boolean;
  lastEventTs?: string;
  registeredAt: string;
  disconnectedAt?: string;
  currentMissions: Set<string>;
  wsConn?: Conn;
}

interface Summary {
  executor_id: string;
  a2a_instance_id?: string;
  name: string;
  version: string;
  spec_version: string;
  transport_endpoints: Endpoints;
  capabilities: string[];
  connected: boolean;
  last_event_ts?: string;
  active_mission_count: number;
  registered_at: string;
  disconnected_at?: string;
}

interface RegisterRequest {
  executor_id: string;
  a2a_instance_id?: string;
  name: string;
  version: string;
  spec_version: string;
  transport_endpoints: Endpoints;
  capabilities: string[];
}

interface RegisterResponse {
  executor_id: string;
  token: string;
  registered_at: string;
}

interface Filter {
  executor_id?: string | null;
  capabilities?: string[];
}

interface Pick {
  executor: Registration;
  reason: string;
  rejected: Array<{ executorId: string; reason: string }>;
}

/** The class's own public members. */
interface Members {
  register(req: RegisterRequest): RegisterResponse | { error: string; status: 400 };
  deregister(executorId: string, reason?: 'graceful_shutdown' | 'operator_deleted' | 'timeout'): boolean;
  authenticate(executorId: string, token: string): boolean;
  setConnected(executorId: string, connected: boolean, wsConn?: Conn): void;
  pushToExecutor(executorId: string, event: Envelope): boolean;
  handleEvent(envelope: Envelope): void;
  assignMission(missionId: string, executorId: string): Mission;
  failMission(missionId: string, error: string): void;
  getMission(missionId: string): Mission | undefined;
  transitionMission(missionId: string, targetState: 'paused' | 'running' | 'aborted'): boolean;
  list(): Summary[];
  get(executorId: string): Summary | undefined;
  getRegistration(executorId: string): Registration | undefined;
  pickByFilter(filter: Filter, longRunning?: boolean): Pick | null;
  get size(): number;
  shutdown(): void;
}

/** The same members with promises; `size` is what it is. */
type Later = {
  [Name in keyof Members]: Members[Name] extends (...args: infer Args) => infer Result
    ? (...args: Args) => Promise<Result>
    : Members[Name];
};

type Validator = (data: unknown) => { valid: boolean; errors: string };

/** True if two types are one: each property, optional or not, each parameter. Mere assignability lets methods differ. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** The class's members as function types, which compare their parameters strictly. */
type Signatures<T> = {
  [Name in keyof T]: T[Name] extends (...args: infer Args) => infer Result
    ? { args: Args; result: Result }
    : { value: T[Name] };
};

type OwnMembers<T extends EventEmitter> = Omit<T, keyof EventEmitter>;

/** What must hold; a `false` where `true` is said does not compile. */
export const published: {
  TransportEndpoints: Same<ours.TransportEndpoints, Endpoints>;
  MissionRecord: Same<ours.MissionRecord, Mission>;
  MissionState: Same<ours.MissionState, State>;
  EventEnvelope: Same<ours.EventEnvelope, Envelope>;
  ExecutorRegistration: Same<ours.ExecutorRegistration, Registration>;
  WebSocketConn: Same<Signatures<ours.WebSocketConn>, Signatures<Conn>>;
  ExecutorSummary: Same<ours.ExecutorSummary, Summary>;
  ExecutorRegisterRequest: Same<ours.ExecutorRegisterRequest, RegisterRequest>;
  ExecutorRegisterResponse: Same<ours.ExecutorRegisterResponse, RegisterResponse>;
  ExecutorFilter: Same<ours.ExecutorFilter, Filter>;
  ExecutorPickResult: Same<ours.ExecutorPickResult, Pick>;
  validateRegisterPayload: Same<typeof ours.validateRegisterPayload, Validator>;
  validateEventEnvelope: Same<typeof ours.validateEventEnvelope, Validator>;
  validateDispatchPayload: Same<typeof ours.validateDispatchPayload, Validator>;
  resolveExecutorIdentityStorePath: Same<
    typeof ours.resolveExecutorIdentityStorePath,
    (projectRootOverride?: string) => string
  >;
  members: Same<Signatures<OwnMembers<ours.ExecutorRegistry>>, Signatures<Members>>;
  emitter: ours.ExecutorRegistry extends EventEmitter ? true : false;
  /** Made without arguments, and by subclasses too. */
  constructible: typeof ours.ExecutorRegistry extends new () => ours.ExecutorRegistry ? true : false;
  executorRegistry: Same<typeof ours.executorRegistry, ours.ExecutorRegistry>;
  asyncMembers: Same<Signatures<globalThis.Pick<ours.AsyncExecutorRegistry, keyof Members>>, Signatures<Later>>;
} = {
  TransportEndpoints: true,
  MissionRecord: true,
  MissionState: true,
  EventEnvelope: true,
  ExecutorRegistration: true,
  WebSocketConn: true,
  ExecutorSummary: true,
  ExecutorRegisterRequest: true,
  ExecutorRegisterResponse: true,
  ExecutorFilter: true,
  ExecutorPickResult: true,
  validateRegisterPayload: true,
  validateEventEnvelope: true,
  validateDispatchPayload: true,
  resolveExecutorIdentityStorePath: true,
  members: true,
  emitter: true,
  constructible: true,
  executorRegistry: true,
  asyncMembers: true,
};
