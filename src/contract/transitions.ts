/**
 * Which event leads a mission from which state to which: the contract's table of events, as data.
 */
import type { MissionEventName } from './events.js';
import type { MissionState } from './types.js';

/** The states that a mission never leaves. */
export const terminalStates = ['done', 'failed', 'aborted'] as const satisfies readonly MissionState[];

/** The states in which a mission is still under way. */
export const liveStates = [
  'queued',
  'assigned',
  'running',
  'paused',
  'hitl-required',
  'suspended',
] as const satisfies readonly MissionState[];

/** Whether a mission in `state` is over. */
export function isTerminal(state: MissionState): boolean {
  return state === 'done' || state === 'failed' || state === 'aborted';
}

/** One row of the table. */
export type Transition = {
  /** The states the event is allowed from. */
  from: readonly MissionState[];
  /** The state it leads to, or `same` for no change. */
  to: MissionState | 'same';
};

/** The table of events. */
export const transitions: Readonly<Record<MissionEventName, Transition>> = {
  'mission.assigned': { from: ['queued', 'assigned'], to: 'assigned' },
  'mission.started': { from: ['queued', 'assigned', 'paused', 'suspended', 'hitl-required'], to: 'running' },
  'mission.progress': { from: liveStates, to: 'same' },
  'mission.hitl_required': { from: liveStates, to: 'hitl-required' },
  'mission.hitl_responded': { from: ['hitl-required'], to: 'running' },
  'mission.paused': { from: liveStates, to: 'paused' },
  'mission.resumed': { from: ['paused', 'suspended', 'hitl-required'], to: 'running' },
  'mission.suspended': { from: liveStates, to: 'suspended' },
  'mission.reconnected': { from: ['suspended', 'running'], to: 'running' },
  'mission.completed': { from: liveStates, to: 'done' },
  'mission.failed': { from: liveStates, to: 'failed' },
  'mission.aborted': { from: liveStates, to: 'aborted' },
};

/** What an operator can ask of a mission, and the event that is pushed for it and says what it does. */
export const operatorEvents = {
  pause: 'mission.paused',
  resume: 'mission.resumed',
  abort: 'mission.aborted',
} as const satisfies Record<string, MissionEventName>;

export type OperatorAction = keyof typeof operatorEvents;

/** The table again, ready to be asked: event, then state, then where that leads. */
const next = new Map<string, Map<MissionState, MissionState>>();
for (const [event, { from, to }] of Object.entries(transitions)) {
  const states = new Map<MissionState, MissionState>();
  for (const state of from) states.set(state, to === 'same' ? state : to);
  next.set(event, states);
}

/**
 * The state that an event leads to, or `undefined` where it is out of place. The events of an operator's actions are in
 * `operatorEvents`: `nextState(operatorEvents.pause, 'running')` is `'paused'`.
 */
export function nextState(event: MissionEventName, from: MissionState): MissionState | undefined {
  return next.get(event)?.get(from);
}
