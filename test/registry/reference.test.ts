import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ExecutorRegistry } from '#src/index.js';
import { executorEvent, idOf, listen, missionEvent, payloadOf, Socket, tsOf, useIdentityFile } from './peers.js';
import { NOW, ReferenceRegistry } from './reference.js';

useIdentityFile();

const executor = fc.integer({ min: 1, max: 3 });
const mission = fc.constantFrom('a', 'b', 'c', 'd');
const socket = fc.option(fc.constantFrom(0, 1, 2), { nil: undefined });
const second = fc.integer({ min: 0, max: 59 });
const offers = fc.subarray(['resumable', 'isolation:vm', 'isolation:container', 'hitl']);
const reason = fc.constantFrom('graceful_shutdown' as const, 'operator_deleted' as const, 'timeout' as const);

const about = fc.constantFrom<readonly [event: `mission.${string}`, data: Record<string, unknown>]>(
  ['mission.assigned', { state: 'assigned' }],
  ['mission.started', { state: 'running' }],
  ['mission.started', { state: 'running', pty_session_id: 'pty' }],
  ['mission.progress', { iteration: 1 }],
  ['mission.hitl_required', { hitl_id: 'h', prompt: 'sure?' }],
  ['mission.hitl_responded', { hitl_id: 'h', response: 'yes' }],
  ['mission.paused', { state: 'paused' }],
  ['mission.resumed', { state: 'running' }],
  ['mission.suspended', { state: 'suspended', checkpoint_id: 'c' }],
  ['mission.reconnected', { checkpoint_id: 'c' }],
  ['mission.completed', { state: 'done', exit_code: 0 }],
  ['mission.failed', { state: 'failed', reason: 'r' }],
  ['mission.failed', { state: 'failed', reason: 'r', error: 'e', exit_code: 2 }],
  ['mission.aborted', { state: 'aborted' }],
  ['mission.progress', { invalid: true }],
);

const call = fc.oneof(
  fc.record({ call: fc.constant('register' as const), executor, offers, name: fc.constantFrom('one', 'two', '') }),
  fc.record({ call: fc.constant('deregister' as const), executor, reason }),
  fc.record({ call: fc.constant('connect' as const), executor, connected: fc.boolean(), socket }),
  { weight: 3, arbitrary: fc.record({ call: fc.constant('assign' as const), executor, mission }) },
  { weight: 8, arbitrary: fc.record({ call: fc.constant('event' as const), executor, mission, about, second }) },
  fc.record({ call: fc.constant('resync' as const), executor, second, listed: fc.uniqueArray(mission) }),
  fc.record({ call: fc.constant('leave' as const), executor, second, reason }),
  fc.record({ call: fc.constant('fail' as const), mission, error: fc.constantFrom('x', 'y') }),
  fc.record({
    call: fc.constant('transition' as const),
    mission,
    target: fc.constantFrom('paused' as const, 'running' as const, 'aborted' as const),
  }),
  fc.record({ call: fc.constant('push' as const), executor }),
  fc.record({
    call: fc.constant('pick' as const),
    pinned: fc.option(executor, { freq: 4 }),
    capabilities: fc.subarray(['resumable', 'isolation:vm', 'hitl']),
    longRunning: fc.boolean(),
  }),
);

type Call = typeof call extends fc.Arbitrary<infer C> ? C : never;
/** Makes one call, and gives its answer. */
function make(call: Call, registry: ExecutorRegistry | ReferenceRegistry, sockets: readonly Socket[]): unknown {
  switch (call.call) {
    case 'register': {
      const answer = registry.register(payloadOf(call.executor, { name: call.name, capabilities: call.offers }));
      return typeof answer === 'string' ? answer : 'error' in answer ? 'error' : 'ok';
    }
    case 'deregister':
      return registry.deregister(idOf(call.executor), call.reason);
    case 'connect':
      return registry.setConnected(
        idOf(call.executor),
        call.connected,
        call.socket === undefined ? undefined : sockets[call.socket],
      );
    case 'assign':
      return structuredClone(registry.assignMission(call.mission, idOf(call.executor)));
    case 'event':
      return registry.handleEvent(missionEvent(call.executor, call.mission, ...call.about, call.second));
    case 'resync':
      return registry.handleEvent(
        executorEvent(call.executor, 'executor.resync', { owned_mission_ids: call.listed }, call.second),
      );
    case 'leave':
      return registry.handleEvent(
        executorEvent(call.executor, 'executor.deregistered', { reason: call.reason }, call.second),
      );
    case 'fail':
      return registry.failMission(call.mission, call.error);
    case 'transition':
      return registry.transitionMission(call.mission, call.target);
    case 'push':
      return registry.pushToExecutor(idOf(call.executor), missionEvent(call.executor, 'a', 'mission.paused'));
    case 'pick':
      return pick(registry, call);
  }
}

function pick(
  registry: ExecutorRegistry | ReferenceRegistry,
  { pinned, capabilities, longRunning }: Extract<Call, { call: 'pick' }>,
) {
  const filter = { executor_id: pinned === null ? null : idOf(pinned), capabilities };
  if (registry instanceof ReferenceRegistry) return registry.pick(filter, longRunning);
  const picked = registry.pickByFilter(filter, longRunning);
  return (
    picked && {
      executorId: picked.executor.executorId,
      rejected: picked.rejected.map(({ executorId }) => executorId),
    }
  );
}

/** All that can be asked. */
function look(registry: ExecutorRegistry | ReferenceRegistry) {
  return {
    size: registry.size,
    list: registry.list(),
    missions: ['a', 'b', 'c', 'd'].map((missionId) => registry.getMission(missionId)),
    current: [1, 2, 3].map((executor) =>
      registry instanceof ReferenceRegistry
        ? registry.currentMissions(idOf(executor))
        : [...(registry.getRegistration(idOf(executor))?.currentMissions ?? [])],
    ),
    told: listened(registry),
  };
}

const tellings = new WeakMap<ExecutorRegistry, [string, unknown][]>();
const listened = (registry: ExecutorRegistry | ReferenceRegistry) =>
  registry instanceof ReferenceRegistry ? registry.told : tellings.get(registry);

const year = tsOf(0).slice(0, 4);

/** As plain JSON, in which every time that is not an event's is `now`. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value ?? null, (_, field) =>
      typeof field === 'string' && /^\d{4}-\d\d-\d\dT/.test(field) && !field.startsWith(year) ? NOW : field,
    ),
  );

test('whatever is called in whatever order, it answers and tells what the contract says', () => {
  fc.assert(
    fc.property(fc.array(call, { maxLength: 60, size: 'max' }), (calls) => {
      const registry = new ExecutorRegistry();
      const reference = new ReferenceRegistry();
      tellings.set(registry, listen(registry));
      const sockets = [new Socket(), new Socket(), new Socket()];
      const others = [new Socket(), new Socket(), new Socket()];
      try {
        for (const each of calls) {
          const answer = plain(make(each, registry, sockets));
          assert.deepEqual(answer, plain(make(each, reference, others)), each.call);
          assert.deepEqual(plain(look(registry)), plain(look(reference)), each.call);
          assert.deepEqual(plain(sockets), plain(others), each.call);
        }
      } finally {
        registry.shutdown();
      }
    }),
    { numRuns: 150 },
  );
});
