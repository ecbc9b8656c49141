/** One executor's actor in the calling thread, with a clock that the test moves and everything it says collected. */
import type { Description, ExecutorMessage } from '#actors/executor.js';
import { localExecutor } from '#actors/executor.js';
import type { ConnectionMessage, Report } from '#actors/messages.js';
import type { MissionRequest, MissionView, Outcome } from '#actors/mission.js';
import { createSystem, type Ref, type SystemEvent, VirtualClock } from '#src/actor/index.js';
import type { EventEnvelope, MissionState } from '#src/contract/index.js';
import { collector } from './collector.js';

export const executorId = '11111111-1111-4111-8111-111111111111';
export const strangerId = '22222222-2222-4222-8222-222222222222';
/** When the rig's clock starts. */
export const start = Date.parse('2026-03-01T00:00:00.000Z');

/** An instant `seconds` after the clock's start, as the contract writes it. */
export const at = (seconds: number): string => new Date(start + seconds * 1000).toISOString();

type Asked = Extract<MissionRequest<EventEnvelope>, { replyTo: Ref<Outcome> }>;

export class Rig {
  readonly clock = new VirtualClock(start);
  readonly reports: Report[] = [];
  readonly trouble: SystemEvent[] = [];
  readonly system = createSystem({
    clock: this.clock,
    schedule: 'manual',
    random: () => 0,
    observe: (event) => void this.trouble.push(event),
  });
  readonly ref: Ref<ExecutorMessage<EventEnvelope>>;

  constructor(description: Partial<Description> = {}) {
    this.ref = this.system.spawn(localExecutor, {
      executorId,
      description: { lenient: false, ...description },
      reports: this.system.spawn(collector<Report>(), this.reports),
      missions: [],
      journal: undefined,
    });
  }

  tell(message: ExecutorMessage<EventEnvelope>): void {
    this.system.tell(this.ref, message);
    this.system.run();
  }

  /** Creates a mission and leads it to a state by the executor's own events. */
  create(missionId: string, state: MissionState = 'queued'): void {
    this.tell({
      type: 'create',
      mission: { missionId, executorId, state: 'queued', createdAt: at(0), updatedAt: at(0), number: 1 },
    });
    for (const [event, data] of ways[state]) this.event(event, missionId, data, at(0));
    this.reports.length = 0;
  }

  event(event: string, missionId: string | undefined, data?: Record<string, unknown>, ts = at(1)): EventEnvelope {
    const envelope = {
      event,
      executor_id: executorId,
      ...(missionId !== undefined && { mission_id: missionId }),
      ts,
      ...(data && { data }),
    };
    this.tell({ type: 'event', envelope });
    return envelope;
  }

  /** Connects the executor; what it is sent ends up in the returned list. */
  connect(): ConnectionMessage[] {
    const sent: ConnectionMessage[] = [];
    this.tell({ type: 'connected', connection: this.system.spawn(collector<ConnectionMessage>(), sent) });
    return sent;
  }

  /** Asks the executor's actor. */
  question<Answer>(message: (replyTo: Ref<Answer>) => ExecutorMessage<EventEnvelope>): Answer {
    return this.system.askNow(this.ref, message);
  }

  look(missionId: string): MissionView<EventEnvelope> | undefined {
    return this.question<MissionView<EventEnvelope> | undefined>((replyTo) => ({ type: 'look', missionId, replyTo }));
  }

  state(missionId: string): MissionState | undefined {
    return this.look(missionId)?.state;
  }

  /** Puts an operator's wish. */
  ask(request: (replyTo: Ref<Outcome>) => Asked): Outcome {
    return this.question(request);
  }

  operate(missionId: string, action: 'pause' | 'resume' | 'abort'): Outcome {
    return this.ask((replyTo) => ({ type: 'operate', missionId, action, replyTo }));
  }

  respond(missionId: string, hitlId: string, response = 'yes'): Outcome {
    return this.ask((replyTo) => ({ type: 'respond', missionId, hitlId, response, replyTo }));
  }

  /** Moves the time forward and lets the timers that fall due be heard. */
  advance(seconds: number): void {
    this.clock.advance(seconds * 1000);
    this.system.run();
  }

  /** The reports of one kind. */
  reported<Type extends Report['type']>(type: Type): Extract<Report, { type: Type }>[] {
    return this.reports.filter((report): report is Extract<Report, { type: Type }> => report.type === type);
  }
}

/** The envelopes among what a connection was sent. */
export const pushed = (sent: readonly ConnectionMessage[]): EventEnvelope[] =>
  sent.flatMap((message) => (message.type === 'push' ? [JSON.parse(message.text)] : []));

/** Events that lead a new mission to a state. */
const ways: Record<MissionState, [event: string, data: Record<string, unknown>][]> = {
  queued: [],
  assigned: [['mission.assigned', { state: 'assigned' }]],
  running: [['mission.started', { state: 'running' }]],
  paused: [['mission.paused', { state: 'paused' }]],
  'hitl-required': [['mission.hitl_required', { hitl_id: 'q', prompt: 'Go on?' }]],
  suspended: [['mission.suspended', { state: 'suspended', checkpoint_id: 'c1' }]],
  done: [['mission.completed', { state: 'done' }]],
  failed: [['mission.failed', { state: 'failed', reason: 'r' }]],
  aborted: [['mission.aborted', { state: 'aborted' }]],
};
