/** What operators want of a mission: to look, pause, resume, abort or answer; and how its dispatch went. */
import type { Ref } from '../src/actor/index.js';
import {
  isTerminal,
  MAX_FRAME,
  type MissionState,
  nextState,
  type OperatorAction,
  operatorEvents,
} from '../src/contract/index.js';
import type { MissionRequest, Outcome, Refusal } from './mission.js';
import {
  type Connection,
  closeQuestion,
  enter,
  fail,
  isBegun,
  keep,
  type Mission,
  type MissionContext,
  plain,
  push,
  pushText,
  shown,
  startGrace,
  textOf,
  timestamp,
} from './mission-state.js';

export function onRequest<Kept>(
  mission: Mission<Kept>,
  request: MissionRequest<Kept>,
  connection: Connection,
  context: MissionContext<Kept>,
): void {
  const { view } = mission;
  switch (request.type) {
    case 'look':
      context.tell(request.replyTo, shown(mission));
      break;
    case 'assigned':
      if (view.state === 'queued' || (view.state === 'suspended' && !isBegun(mission)))
        enter(mission, 'assigned', timestamp(context), context);
      break;
    case 'fail':
      if (!request.unlessBegun || !isBegun(mission)) fail(mission, request.error, context);
      break;
    case 'doubt':
      startGrace(mission, context);
      break;
    case 'question':
      context.tell(request.replyTo, mission.question && plain(mission.question));
      break;
    case 'transition':
      if (isTerminal(view.state)) refuse(request.replyTo, 'mission_terminal', context);
      else grant(mission, request.replyTo, request.target, context);
      break;
    case 'operate':
      operate(mission, request.action, request.replyTo, connection, context);
      break;
    case 'respond':
      respond(mission, request, connection, context);
  }
}

function operate<Kept>(
  mission: Mission<Kept>,
  action: OperatorAction,
  replyTo: Ref<Outcome>,
  connection: Connection,
  context: MissionContext<Kept>,
): void {
  const event = operatorEvents[action];
  const from = mission.view.state;
  const target = nextState(event, from);
  if (isTerminal(from)) refuse(replyTo, 'mission_terminal', context);
  else if (target === undefined) refuse(replyTo, 'invalid_transition', context);
  else {
    const pushed = push(mission, connection, event, dataOf(action, from), context);
    // An abort of a mission whose executor is away takes effect all the same: the executor is told when it resyncs.
    if (pushed || action === 'abort') grant(mission, replyTo, target, context);
    else refuse(replyTo, 'executor_not_connected', context);
  }
}

function dataOf(action: OperatorAction, from: MissionState): Record<string, unknown> {
  switch (action) {
    case 'pause':
      return { state: 'paused' };
    case 'resume':
      return { state: 'running', ...((from === 'paused' || from === 'suspended') && { resumed_from: from }) };
    case 'abort':
      return { state: 'aborted', aborted_by: 'operator' };
  }
}

function respond<Kept>(
  mission: Mission<Kept>,
  { hitlId, response, replyTo }: Extract<MissionRequest<Kept>, { type: 'respond' }>,
  connection: Connection,
  context: MissionContext<Kept>,
): void {
  const { view } = mission;
  const data = { hitl_id: hitlId, response, responded_at: timestamp(context) };
  const text = textOf(mission, 'mission.hitl_responded', data, context);
  if (mission.expired === hitlId) refuse(replyTo, 'hitl_expired', context);
  else if (mission.question?.hitlId !== hitlId) refuse(replyTo, 'hitl_not_pending', context);
  // The executor's WebSocket would break over it, and the question be asked again, for ever.
  else if (Buffer.byteLength(text) > MAX_FRAME) refuse(replyTo, 'payload_too_large', context);
  else if (!pushText(connection, text, context)) refuse(replyTo, 'executor_not_connected', context);
  else {
    closeQuestion(mission, context);
    grant(mission, replyTo, view.state === 'hitl-required' ? 'running' : view.state, context);
  }
}

function grant<Kept>(
  mission: Mission<Kept>,
  replyTo: Ref<Outcome>,
  state: MissionState,
  context: MissionContext<Kept>,
): void {
  // A question survives a pause; a mission that an operator has run on waits for no answer.
  if (state === 'running') closeQuestion(mission, context);
  enter(mission, state, timestamp(context), context);
  // Whoever hears of it asks the store to have it durable.
  keep(mission);
  context.tell(replyTo, { ok: true, state });
}

const refuse = <Kept>(replyTo: Ref<Outcome>, error: Refusal, context: MissionContext<Kept>): boolean =>
  context.tell(replyTo, { ok: false, error });
