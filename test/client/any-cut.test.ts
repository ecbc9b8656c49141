/** Wherever in a mission's life the connection is cut, it ends as it would have, with the history that it would have. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { freePort } from '#bench/free-port.js';
import { VirtualClock } from '#src/actor/clock.js';
import type { CallboardServer } from '#src/server/index.js';
import { mission, post, type Scope, serve, until } from '../server/helpers.js';
import { type Cut, cuttingProxy } from './cutting-proxy.js';
import { eventsOf, inReverse, serveKept, start } from './helpers.js';
import { ends, Performance, type Script, steps } from './script.js';

/** When a cut falls due: it comes that many bytes later. A number is a step of the script, or its end. */
interface Due extends Cut {
  readonly at: 'registration' | 'dispatch' | 'resync' | number;
  /** The way of dispatches, from Callboard to the executor, not the way between the executor and Callboard. */
  readonly ofDispatch?: boolean;
}

interface Life {
  readonly script: Script;
  readonly cuts: readonly Due[];
}

/** Virtual milliseconds that pass in a real few; while a connection is silent, until it counts as gone. */
const PACE = 100;
const FAST_PACE = 20_000;
const PATIENCE = 60_000;

/** A scope of its own for one run: its executors leave, in a time that goes on, before the next one begins. */
async function inScope(run: (t: Scope, clock: VirtualClock, pace: (next: () => number) => void) => Promise<void>) {
  const cleanings: (() => unknown)[] = [];
  const clock = new VirtualClock(Date.now());
  let pace = (): number => PACE;
  const moving = setInterval(() => clock.advance(pace()), 2);
  try {
    await run({ after: (clean) => void cleanings.push(clean) }, clock, (next) => {
      pace = next;
    });
  } finally {
    for (const clean of cleanings.reverse()) await clean();
    clearInterval(moving);
  }
}

const stateOf = (server: CallboardServer, id: string): string | undefined =>
  server.registry.supervisor.directory.missions.get(id)?.state;

/** Dispatches a mission to an executor, which may have to connect first. */
async function dispatchTo(server: CallboardServer, executor_id: string, mission_id: string): Promise<void> {
  const body = { mission_id, objective: 'perform', completion: 'the end', executor_filter: { executor_id } };
  const answer = await until(async () => {
    const { status, body: said } = await post(`${server.url}/api/v1/sessions/s/dispatch`, body);
    return status !== 503 && { status, said };
  }, PATIENCE);
  assert.equal(answer.status, 202, JSON.stringify(answer.said));
}

/**
 * What is the same with and without cuts: of each event its name and its data, of each question which one it is. By the
 * contract, what is listed in a resync runs. So what is held says so again: `mission.paused` or `mission.suspended`, in the
 * same words. And a question is asked again where its answer was lost, for nobody else could know that it is open. Nothing
 * else comes twice, and these no more than once for each time that the executor has come back.
 * @param returns how often it has come back
 */
function told(events: Awaited<ReturnType<typeof eventsOf>>, returns: number): unknown[] {
  assert.equal(new Set(events.map(({ ts }) => ts)).size, events.length, 'an event has come twice');
  const questions: unknown[] = [];
  const story: string[] = [];
  let again = 0;
  for (const { event, data } of events) {
    const { hitl_id, ...more }: Record<string, unknown> = { ...data };
    if (hitl_id !== undefined && !questions.includes(hitl_id)) questions.push(hitl_id);
    const line = JSON.stringify([event, more, hitl_id === undefined ? '' : questions.indexOf(hitl_id)]);
    const isHeld = event === 'mission.paused' || event === 'mission.suspended' || event === 'mission.hitl_required';
    if (isHeld && line === story.at(-1)) assert.ok(++again <= returns, `${event} again, with ${returns} returns`);
    else {
      again = 0;
      story.push(line);
    }
  }
  return story;
}

/** Has a script performed, and the connection cut. @param seen what is cut is added here */
async function live(server: CallboardServer, { script, cuts }: Life, seen: Set<string>): Promise<void> {
  await inScope(async (t, clock, pace) => {
    const due = new Set(cuts);
    const id = randomUUID();
    const uncutId = randomUUID();
    let isDispatching = false;
    /** Has cuts fall due. @returns whether there were any */
    const arm = (at: Due['at'], most = cuts.length): boolean => {
      const now = [...due].filter((cut) => cut.at === at).slice(0, most);
      for (const cut of now) {
        due.delete(cut);
        (cut.ofDispatch ? dispatches : front).cutAfter(cut);
      }
      return now.length > 0;
    };
    const performance: Performance = new Performance(script, clock, () => {
      if ([undefined, 'progress'].includes(script.steps[performance.at])) arm(performance.at);
    });
    const onCut = ({ road, silent }: Cut): void => {
      const state = stateOf(server, id);
      if (silent) seen.add('in silence');
      if (isDispatching) seen.add('before the dispatch is answered');
      // The answer to its ping tells the SDK that its resync has arrived.
      if (front.dialled > 1 && !front.brought.includes('received')) seen.add('during a resync');
      else if (front.dialled === 0) seen.add('while it registers');
      else if (state !== undefined) seen.add(state);
      if (road === 'http' && front.dialled > 0) seen.add('of what it reads');
    };
    const front = await cuttingProxy(t, server, {
      onCut,
      onDial: () => {
        if (front.dialled > 1) arm('resync', 1);
      },
    });
    pace(() => (front.isSilent ? FAST_PACE : PACE));
    const port = await freePort();
    const dispatches = await cuttingProxy(t, { url: `http://127.0.0.1:${port}` });
    arm('registration');
    const { onDispatch, onPause, onResume } = performance;
    const listen = { port, publicUrl: dispatches.url };
    const executor = await start(t, front, {
      clock,
      random: () => 0.05,
      listen,
      onDispatch,
      onPause,
      onResume,
    });
    const uncutPerformance = new Performance(script, clock);
    // Its time stands still, so that it never takes its connection for gone.
    const uncut = await start(t, server, {
      clock: new VirtualClock(clock.now()),
      onDispatch: uncutPerformance.onDispatch,
      onPause: uncutPerformance.onPause,
      onResume: uncutPerformance.onResume,
    });
    isDispatching = true;
    arm('dispatch');
    await Promise.all([
      dispatchTo(server, executor.id, id).finally(() => {
        isDispatching = false;
      }),
      dispatchTo(server, uncut.id, uncutId),
    ]);
    await until(async () => {
      const state = stateOf(server, id);
      // What is cut at once is so before the operator does anything.
      if (!performance.waits(state) || !arm(performance.at)) await performance.attend(server, id, state);
      await uncutPerformance.attend(server, uncutId, stateOf(server, uncutId));
      return (
        [performance, uncutPerformance].every(({ isOver }) => isOver) &&
        [id, uncutId].every((one) => ['done', 'failed', 'aborted'].includes(stateOf(server, one) ?? ''))
      );
    }, PATIENCE);
    const outcome = async (of: string, returns: number) => {
      const { state, exit_code, error } = await mission(server, of);
      return { state, exit_code, error, story: told(await eventsOf(server, of), returns) };
    };
    assert.deepEqual(await outcome(id, front.dialled - 1), await outcome(uncutId, 0));
    assert.deepEqual(performance.heard, uncutPerformance.heard);
  });
}

const socket = fc.constant<'socket'>('socket');
const http = fc.constant<'http'>('http');
const direction = fc.constantFrom<'up' | 'down'>('up', 'down');
/** At once; in the midst of a ping, or after it; and in the midst of events, of what is pushed, of answers. */
const after = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 1_000 }));
const ofRequest = fc.integer({ min: 1, max: 400 });
const isSilent = fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });
const at = <At extends string>(moment: At) => fc.constant<At>(moment);
const anyCut = (length: number): fc.Arbitrary<Due> =>
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ at: fc.nat(length), road: socket, direction, after, silent: isSilent }) },
    { weight: 2, arbitrary: fc.record({ at: at('resync'), road: fc.oneof(socket, http), direction, after }) },
    { weight: 1, arbitrary: fc.record({ at: at('dispatch'), road: socket, direction, after }) },
    { weight: 1, arbitrary: fc.record({ at: at('registration'), road: http, direction, after: ofRequest }) },
  );
/** One of these at the most: a dispatch that fails twice is refused, and its mission has failed. */
const cutOfDispatch: fc.Arbitrary<Due> = fc.record({
  at: at('dispatch'),
  road: http,
  direction,
  after: ofRequest,
  ofDispatch: fc.constant(true),
});
const lives: fc.Arbitrary<Life> = fc
  .record({ steps: fc.array(fc.constantFrom(...steps), { minLength: 1, maxLength: 5 }), end: fc.constantFrom(...ends) })
  .chain((script) =>
    fc
      .tuple(
        fc.array(anyCut(script.steps.length), { minLength: 1, maxLength: 3 }),
        fc.array(cutOfDispatch, { maxLength: 1 }),
      )
      .map((cuts) => ({ script, cuts: cuts.flat() })),
  );

const up = { road: 'socket', direction: 'up' } as const;
const down = { road: 'socket', direction: 'down' } as const;
/** Each point of a mission's life, whatever chance brings. */
const examples: [Life][] = [
  // Before the dispatch is answered, and while it resyncs then.
  [
    {
      script: { steps: ['progress', 'question'], end: 'complete' },
      cuts: [
        { at: 'dispatch', ...up, after: 0 },
        { at: 'resync', ...up, after: 50 },
        { at: 'resync', road: 'http', direction: 'down', after: 300 },
      ],
    },
  ],
  // The answer to the dispatch, an event, and an answer on its way to a question.
  [
    {
      script: { steps: ['progress', 'question', 'progress'], end: 'fail' },
      cuts: [
        { at: 'dispatch', road: 'http', direction: 'up', after: 20, ofDispatch: true },
        { at: 0, ...up, after: 300 },
        { at: 1, ...down, after: 60 },
      ],
    },
  ],
  // During a question, in a pause and in a suspension.
  [
    {
      script: { steps: ['question', 'pause', 'suspension', 'checkpoint'], end: 'abort' },
      cuts: [
        { at: 'registration', road: 'http', direction: 'up', after: 20 },
        { at: 0, ...down, after: 0, silent: true },
        { at: 1, ...up, after: 0 },
        { at: 2, ...up, after: 0 },
      ],
    },
  ],
  // What an operator wants, on its way; what is read back; and between two events.
  [
    {
      script: { steps: ['pause', 'suspension', 'progress'], end: 'abort' },
      cuts: [
        { at: 0, ...down, after: 60 },
        { at: 'resync', road: 'http', direction: 'down', after: 300 },
        { at: 1, ...down, after: 60 },
        { at: 2, ...up, after: 300 },
        { at: 3, ...down, after: 60 },
      ],
    },
  ],
];

for (const keeps of [true, false])
  test(`wherever it is cut, a mission ends as one that is not${keeps ? '' : ', without a store, too'}`, async (test) => {
    const t = inReverse(test);
    const server = keeps ? await serveKept(t) : await serve(t);
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(lives, (life) => live(server, life, seen)),
      // One that never ends is not made any smaller.
      { numRuns: 10, examples, endOnFailure: true, includeErrorInReport: true },
    );
    for (const point of [
      ...['while it registers', 'before the dispatch is answered', 'during a resync', 'of what it reads', 'in silence'],
      ...['running', 'hitl-required', 'paused', 'suspended'],
    ])
      assert.ok(seen.has(point), point);
  });
