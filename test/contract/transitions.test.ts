import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isTerminal,
  liveStates,
  type MissionEventName,
  type MissionState,
  nextState,
  operatorEvents,
  terminalStates,
} from '#src/contract/index.js';
import { eventNames } from './published.js';

const states: MissionState[] = [
  ...(['queued', 'assigned', 'running', 'paused', 'hitl-required', 'suspended'] as const),
  ...(['done', 'failed', 'aborted'] as const),
];

/** Where each event leads from each of the nine states, in the order above; `-` where it is out of place. */
const table: Record<MissionEventName, string> = {
  'mission.assigned': 'assigned assigned - - - - - - -',
  'mission.started': 'running running - running running running - - -',
  'mission.progress': 'queued assigned running paused hitl-required suspended - - -',
  'mission.hitl_required': 'hitl-required hitl-required hitl-required hitl-required hitl-required hitl-required - - -',
  'mission.hitl_responded': '- - - - running - - - -',
  'mission.paused': 'paused paused paused paused paused paused - - -',
  'mission.resumed': '- - - running running running - - -',
  'mission.suspended': 'suspended suspended suspended suspended suspended suspended - - -',
  'mission.reconnected': '- - running - - running - - -',
  'mission.completed': 'done done done done done done - - -',
  'mission.failed': 'failed failed failed failed failed failed - - -',
  'mission.aborted': 'aborted aborted aborted aborted aborted aborted - - -',
};

const rows: [MissionEventName, string][] = [];
for (const event of eventNames) for (const name of names()) if (name === event) rows.push([name, table[name]]);

function names(): MissionEventName[] {
  return [
    ...(['mission.assigned', 'mission.started', 'mission.progress', 'mission.hitl_required'] as const),
    ...(['mission.hitl_responded', 'mission.paused', 'mission.resumed', 'mission.suspended'] as const),
    ...(['mission.reconnected', 'mission.completed', 'mission.failed', 'mission.aborted'] as const),
  ];
}

for (const [event, row] of rows) {
  test(`${event} leads where the contract says, from each of the nine states`, () => {
    const leads = states.map((state) => nextState(event, state) ?? '-');
    assert.equal(leads.join(' '), row);
  });
}

test('every mission event has its row', () => {
  assert.deepEqual(
    rows.map(([event]) => event),
    eventNames.filter((event) => event.startsWith('mission.')),
  );
});

test('done, failed and aborted are terminal, and the other six are live', () => {
  assert.deepEqual([...liveStates, ...terminalStates], states);
  assert.deepEqual(states.filter(isTerminal), ['done', 'failed', 'aborted']);
});

test('an operator pauses and aborts any live mission, and resumes one that waits', () => {
  const leads = (event: MissionEventName) => states.map((state) => nextState(event, state) ?? '-').join(' ');
  assert.equal(leads(operatorEvents.pause), 'paused paused paused paused paused paused - - -');
  assert.equal(leads(operatorEvents.resume), '- - - running running running - - -');
  assert.equal(leads(operatorEvents.abort), 'aborted aborted aborted aborted aborted aborted - - -');
});
