/** The baseline's missions: what each event does to one, as a table, and what GET answers about one. */

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

/** An event as it arrived, parsed and validated. */
export interface Envelope {
  event: string;
  executor_id: string;
  mission_id?: string;
  ts: string;
  data?: Record<string, unknown>;
}

export interface Mission {
  missionId: string;
  executorId: string;
  state: State;
  createdAt: string;
  updatedAt: string;
  completedAt?: string;
  ptySessionRef?: string;
  exitCode?: number;
  error?: string;
  /** The newest 50, oldest first. */
  recentEvents: Envelope[];
}

/** The states after which nothing changes a mission. */
export const terminal = new Set<State>(['done', 'failed', 'aborted']);

const recentEventLimit = 50;

/** What each event does to a live mission: the state it leads to, and from where (default: any live state). */
const transitions: Record<string, { to?: State; from?: State[] }> = {
  'mission.assigned': { to: 'assigned', from: ['queued', 'assigned'] },
  'mission.started': { to: 'running', from: ['queued', 'assigned', 'paused', 'suspended', 'hitl-required'] },
  'mission.progress': {},
  'mission.hitl_required': { to: 'hitl-required' },
  'mission.hitl_responded': { to: 'running', from: ['hitl-required'] },
  'mission.paused': { to: 'paused' },
  'mission.resumed': { to: 'running', from: ['paused', 'suspended', 'hitl-required'] },
  'mission.suspended': { to: 'suspended' },
  'mission.reconnected': { to: 'running', from: ['suspended', 'running'] },
  'mission.completed': { to: 'done' },
  'mission.failed': { to: 'failed' },
  'mission.aborted': { to: 'aborted' },
};

/** Applies one event to its mission, and keeps the event among the mission's newest. A late event changes nothing. */
export function applyEvent(mission: Mission, envelope: Envelope): void {
  const transition = transitions[envelope.event];
  if (transition === undefined || terminal.has(mission.state)) return;
  mission.recentEvents.push(envelope);
  if (mission.recentEvents.length > recentEventLimit) mission.recentEvents.shift();
  mission.updatedAt = envelope.ts;
  const { to, from } = transition;
  if (to === undefined || from?.includes(mission.state) === false) return;
  mission.state = to;
  const { pty_session_id: pty, exit_code: exitCode, error, reason } = envelope.data ?? {};
  if (envelope.event === 'mission.started' && typeof pty === 'string') mission.ptySessionRef = pty;
  if (!terminal.has(to)) return;
  mission.completedAt = envelope.ts;
  if (typeof exitCode === 'number') mission.exitCode = exitCode;
  const why = error ?? reason;
  if (to === 'failed' && typeof why === 'string') mission.error = why;
}

/** A mission as GET /api/v1/missions/:id answers it. */
export function missionStatus(mission: Mission): object {
  return {
    mission_id: mission.missionId,
    executor_id: mission.executorId,
    state: mission.state,
    created_at: mission.createdAt,
    updated_at: mission.updatedAt,
    completed_at: mission.completedAt,
    recent_events: mission.recentEvents,
    pty_session_ref: mission.ptySessionRef,
    exit_code: mission.exitCode,
    error: mission.error,
  };
}
