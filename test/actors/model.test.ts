/** Any sequence of valid events on several missions, against a naive model of the contract's own words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { at, executorId, Rig } from './rig.js';

const missions = ['a', 'b', 'c'];

interface Model {
  state: string;
  updatedAt: string;
  completedAt: string | undefined;
  error: string | undefined;
  exitCode: number | undefined;
  pty: string | undefined;
  history: unknown[];
  moves: string[];
  late: number;
  /** The question that waits for its answer. */
  open: unknown;
  /** Something was heard of it that takes having it. */
  begun: boolean;
  /** A resync has left it out: when it is lost, in seconds. */
  lostAt: number | undefined;
}

/** Seconds that the executor has to be heard of a mission that its resync has left out. */
const GRACE = 30;
const isOver = ({ state }: Model) => ['done', 'failed', 'aborted'].includes(state);

function move(model: Model, state: string) {
  if (state !== model.state) model.moves.push(`${model.state} > ${state}`);
  model.state = state;
}

/** The table again, as sentences would have it. */
function step(model: Model, event: string, data: Record<string, unknown> | undefined, ts: string, whole: unknown) {
  if (['done', 'failed', 'aborted'].includes(model.state)) {
    model.late += 1;
    return;
  }
  const go = (state: string) => {
    move(model, state);
    if (['running', 'done', 'failed', 'aborted'].includes(state)) model.open = undefined;
  };
  model.lostAt = undefined;
  if (event !== 'mission.assigned') model.begun = true;
  // A resync leaves a question open; what says that the mission goes on does not.
  if (['mission.started', 'mission.resumed'].includes(event) && model.state === 'running') model.open = undefined;
  const isOneOf = (...states: string[]) => states.includes(model.state);
  if (event === 'mission.assigned' && isOneOf('queued')) go('assigned');
  if (event === 'mission.started' && isOneOf('queued', 'assigned', 'paused', 'suspended', 'hitl-required'))
    go('running');
  if (event === 'mission.hitl_required') {
    go('hitl-required');
    model.open = data?.hitl_id;
  }
  // The echo of an answer to another question is late, and changes nothing.
  if (event === 'mission.hitl_responded' && [undefined, data?.hitl_id].includes(model.open)) {
    if (isOneOf('hitl-required')) go('running');
    model.open = undefined;
  }
  if (event === 'mission.paused') go('paused');
  if (event === 'mission.resumed' && isOneOf('paused', 'suspended', 'hitl-required')) go('running');
  if (event === 'mission.suspended') go('suspended');
  if (event === 'mission.reconnected' && isOneOf('suspended')) go('running');
  if (event === 'mission.completed') go('done');
  if (event === 'mission.failed') go('failed');
  if (event === 'mission.aborted') go('aborted');
  if (event === 'mission.started' && typeof data?.pty_session_id === 'string') model.pty = data.pty_session_id;
  if (event === 'mission.failed') model.error = String(data?.error ?? data?.reason);
  if (isOneOf('done', 'failed')) model.exitCode = typeof data?.exit_code === 'number' ? data.exit_code : undefined;
  if (isOneOf('done', 'failed', 'aborted')) model.completedAt = ts;
  model.updatedAt = ts;
  model.history = [...model.history, whole].slice(-50);
}

/** A resync, as sentences would have it. @returns whether the mission's dispatch never arrived */
function onResync(model: Model, isListed: boolean, ts: string, now: number): boolean {
  if (isOver(model)) return false;
  if (isListed) {
    model.lostAt = undefined;
    model.begun = true;
    model.updatedAt = ts;
    move(model, 'running');
    return false;
  }
  if (!model.begun) return true;
  model.lostAt ??= now + GRACE;
  return false;
}

/** Time passes. */
function onTime(model: Model, now: number) {
  if (model.lostAt === undefined || model.lostAt > now || isOver(model)) return;
  move(model, 'failed');
  // The rig lets it be heard once all of the time has passed.
  Object.assign(model, { error: 'lost_by_executor', updatedAt: at(now), completedAt: at(now), open: undefined });
}

const maybe = <T>(field: string, values: fc.Arbitrary<T>) =>
  fc.option(values, { nil: undefined }).map((value) => (value === undefined ? {} : { [field]: value }));
const words = fc.constantFrom('x', 'y');

const progress = fc.record({ event: fc.constant('mission.progress'), data: maybe('iteration', fc.nat(9)) });
const livelyEvents = fc.oneof(
  progress,
  fc.record({ event: fc.constant('mission.assigned'), data: fc.constant({ state: 'assigned' }) }),
  fc.record({
    event: fc.constant('mission.started'),
    data: maybe('pty_session_id', words).map((more) => ({ state: 'running', ...more })),
  }),
  fc.record({
    event: fc.constant('mission.hitl_required'),
    data: words.map((hitl_id) => ({ hitl_id, prompt: 'p' })),
  }),
  fc.record({
    event: fc.constant('mission.hitl_responded'),
    data: words.map((hitl_id) => ({ hitl_id, response: 'r' })),
  }),
  fc.record({ event: fc.constant('mission.paused'), data: fc.constant({ state: 'paused' }) }),
  fc.record({ event: fc.constant('mission.resumed'), data: fc.constant({ state: 'running' }) }),
  fc.record({
    event: fc.constant('mission.suspended'),
    data: words.map((checkpoint_id) => ({ state: 'suspended', checkpoint_id })),
  }),
  fc.record({ event: fc.constant('mission.reconnected'), data: words.map((checkpoint_id) => ({ checkpoint_id })) }),
);
const lastEvents = fc.oneof(
  fc.record({
    event: fc.constant('mission.completed'),
    data: maybe('exit_code', fc.nat(2)).map((more) => ({ state: 'done', ...more })),
  }),
  fc.record({
    event: fc.constant('mission.failed'),
    data: fc
      .tuple(maybe('error', words), maybe('exit_code', fc.nat(2)))
      .map((more) => Object.assign({ state: 'failed', reason: 'r' }, ...more)),
  }),
  fc.record({ event: fc.constant('mission.aborted'), data: fc.constant({ state: 'aborted' }) }),
);
const said = fc.record({
  mission: fc.constantFrom(...missions),
  happened: fc.oneof({ weight: 40, arbitrary: livelyEvents }, { weight: 1, arbitrary: lastEvents }),
  seconds: fc.nat(1000),
});
const steps = fc.array(
  fc.oneof(
    { weight: 20, arbitrary: said },
    { weight: 2, arbitrary: fc.record({ listed: fc.subarray(missions), seconds: fc.nat(1000) }) },
    { weight: 1, arbitrary: fc.record({ pass: fc.integer({ min: 1, max: 20 }) }) },
  ),
  { maxLength: 400, size: 'max' },
);

const one = 'a';
/** What chance seldom brings about. */
const rare: [typeof steps extends fc.Arbitrary<infer Steps> ? Steps : never][] = [
  // It is lost.
  [
    [
      { mission: one, happened: { event: 'mission.started', data: { state: 'running' } }, seconds: 0 },
      { listed: [], seconds: 1 },
      { pass: 20 },
      { pass: 20 },
    ],
  ],
  // It asks, and runs after a resync.
  [
    [
      { mission: one, happened: { event: 'mission.hitl_required', data: { hitl_id: 'x', prompt: 'p' } }, seconds: 0 },
      { listed: [one], seconds: 1 },
    ],
  ],
  // It never arrived.
  [[{ listed: [], seconds: 1 }]],
];

test('any sequence of valid events leaves each mission in the state, and with the history, that the table says', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(steps, (sequence) => {
      const rig = new Rig();
      const models = new Map<string, Model>();
      for (const mission of missions) {
        rig.create(mission);
        const model = { state: 'queued', updatedAt: at(0), history: [], moves: [], late: 0 };
        models.set(mission, {
          ...model,
          completedAt: undefined,
          error: undefined,
          exitCode: undefined,
          pty: undefined,
          open: undefined,
          begun: false,
          lostAt: undefined,
        });
      }
      let now = 0;
      let undelivered = 0;
      for (const one of sequence) {
        if ('pass' in one) {
          now += one.pass;
          rig.advance(one.pass);
          for (const model of models.values()) onTime(model, now);
          continue;
        }
        if ('listed' in one) {
          rig.event('executor.resync', undefined, { owned_mission_ids: one.listed }, at(one.seconds));
          for (const [mission, model] of models)
            if (onResync(model, one.listed.includes(mission), at(one.seconds), now)) undelivered++;
          continue;
        }
        const { mission, happened, seconds } = one;
        const whole = { ...happened, executor_id: executorId, mission_id: mission, ts: at(seconds) };
        rig.tell({ type: 'frame', text: JSON.stringify(whole) });
        const model = models.get(mission);
        if (model) step(model, happened.event, happened.data, whole.ts, whole);
      }
      for (const [mission, model] of models) {
        const view = rig.look(mission);
        const { state, updatedAt, completedAt, error, exitCode, pty, history } = model;
        assert.deepEqual(
          { ...view },
          {
            missionId: mission,
            executorId,
            state,
            createdAt: at(0),
            updatedAt,
            recentEvents: history,
            ...(completedAt !== undefined && { completedAt }),
            ...(error !== undefined && { error }),
            ...(exitCode !== undefined && { exitCode }),
            ...(pty !== undefined && { ptySessionRef: pty }),
          },
        );
        const moves = rig.reported('state').filter(({ missionId }) => missionId === mission);
        if (error === 'lost_by_executor') seen.add(error);
        if (state === 'running' && model.open !== undefined) seen.add('asks and runs');
        assert.deepEqual(
          moves.map((move) => `${move.prevState} > ${move.state}`),
          model.moves,
        );
        const late = rig.reported('late').filter(({ missionId }) => missionId === mission);
        assert.equal(late.length, model.late === 0 ? 0 : Math.floor(Math.log2(model.late)) + 1);
        seen.add(state);
        if (history.length === 50) seen.add('full');
        if (model.late > 1) seen.add('late');
      }
      assert.equal(rig.reported('undelivered').length, undelivered);
      if (undelivered > 0) seen.add('undelivered');
      // Asking comes last, for it changes what it is about.
      rig.connect();
      for (const [mission, { open }] of models)
        for (const hitlId of ['x', 'y']) assert.equal(rig.respond(mission, hitlId).ok, hitlId === open);
      assert.deepEqual(rig.trouble, []);
    }),
    { numRuns: 100, examples: rare },
  );
  // That the sequences reach what they are to reach.
  for (const outcome of [
    ...['done', 'failed', 'aborted', 'running', 'full', 'late'],
    ...['lost_by_executor', 'asks and runs', 'undelivered'],
  ])
    assert.ok(seen.has(outcome), outcome);
});
