import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { liveStates, terminalStates } from '#src/contract/transitions.js';
import type { ExecutorFilter, ExecutorRegisterRequest, MissionState } from '#src/contract/types.js';
import { Directory } from '#src/registry/directory.js';
import { Placement } from '#src/registry/placement.js';

const early = '2026-01-01T00:00:00.000Z';
const late = '2026-01-01T00:00:01.000Z';

function request(executorId: string, capabilities: string[] = []): ExecutorRegisterRequest {
  return {
    executor_id: executorId,
    name: `name of ${executorId}`,
    version: '1.2.3',
    spec_version: '1.0.0',
    transport_endpoints: { rest: 'http://127.0.0.1:1', ws: 'ws://127.0.0.1:1' },
    capabilities,
  };
}

function mission(missionId: string, executorId: string, state: MissionState = 'queued') {
  return { missionId, executorId, state, createdAt: early, updatedAt: early, number: 1 };
}

/** A directory of connected executors, registered in this order. */
function connected(executors: Record<string, string[]>): Directory {
  const directory = new Directory();
  for (const [executorId, capabilities] of Object.entries(executors)) {
    directory.upsert(request(executorId, capabilities), 'token', early);
    directory.setConnected(executorId, true, early);
  }
  return directory;
}

function currentMissions(directory: Directory, executorId: string): string[] {
  return [...(directory.executors.get(executorId)?.currentMissions ?? [])];
}

test('a new executor is registered as it describes itself, and not connected', () => {
  const directory = new Directory();
  const described = { ...request('a', ['hitl']), a2a_instance_id: 'instance' };
  const executor = directory.upsert(described, 'token', early);
  assert.deepEqual(executor, {
    executorId: 'a',
    a2aInstanceId: 'instance',
    name: 'name of a',
    version: '1.2.3',
    specVersion: '1.0.0',
    transportEndpoints: { rest: 'http://127.0.0.1:1', ws: 'ws://127.0.0.1:1' },
    capabilities: ['hitl'],
    token: 'token',
    connected: false,
    registeredAt: early,
    currentMissions: new Set(),
  });
  assert.equal(directory.executors.get('a'), executor);
  described.capabilities.push('resumable');
  assert.deepEqual(executor.capabilities, ['hitl'], 'the record is its own');
});

test('registering again updates what the executor says of itself and keeps the rest of the same record', () => {
  const directory = connected({ a: ['hitl'] });
  const executor = directory.upsert({ ...request('a', ['hitl']), a2a_instance_id: 'instance' }, 'token', early);
  executor.lastEventTs = late;
  directory.addMission(mission('m', 'a'));
  const again = { ...request('a', ['resumable']), name: 'new name', version: '2', spec_version: '1.1.0' };
  assert.equal(directory.upsert(again, 'rotated', late), executor);
  assert.deepEqual(executor, {
    executorId: 'a',
    name: 'new name',
    version: '2',
    specVersion: '1.1.0',
    transportEndpoints: { rest: 'http://127.0.0.1:1', ws: 'ws://127.0.0.1:1' },
    capabilities: ['resumable'],
    token: 'rotated',
    connected: true,
    lastEventTs: late,
    registeredAt: early,
    currentMissions: new Set(['m']),
  });
});

test('a connection comes with its handle and goes with the time at which it went', () => {
  const directory = new Directory();
  const executor = directory.upsert(request('a'), 'token', early);
  const wsConn = { readyState: 1, send: () => undefined, close: () => undefined };
  assert.equal(directory.setConnected('a', false, early), true);
  assert.equal(executor.disconnectedAt, undefined, 'it was not connected before');
  assert.equal(directory.setConnected('a', true, early, wsConn), true);
  assert.equal(executor.connected, true);
  assert.equal(executor.wsConn, wsConn);
  directory.setConnected('a', false, late);
  assert.equal(executor.connected, false);
  assert.equal(executor.disconnectedAt, late);
  assert.equal('wsConn' in executor, false);
  directory.setConnected('a', false, '2027-01-01T00:00:00.000Z');
  assert.equal(executor.disconnectedAt, late);
  directory.setConnected('a', true, late);
  assert.equal('disconnectedAt' in executor, false);
  assert.equal(directory.setConnected('nobody', true, early), false);
});

test('a mission is in its executor’s currentMissions from its beginning to its end', () => {
  for (const end of terminalStates) {
    const directory = connected({ a: [], b: [] });
    const added = mission('m', 'a');
    assert.equal(directory.addMission(added), true);
    assert.deepEqual(currentMissions(directory, 'a'), ['m']);
    let before: MissionState = 'queued';
    for (const state of liveStates) {
      assert.equal(directory.setState('m', state, late), before);
      assert.deepEqual(currentMissions(directory, 'a'), ['m']);
      before = state;
    }
    assert.equal(directory.setState('m', end, late), before);
    assert.deepEqual(currentMissions(directory, 'a'), []);
    assert.deepEqual(directory.missions.get('m'), { ...mission('m', 'a', end), updatedAt: late });
    assert.deepEqual(added, mission('m', 'a'), 'the entry is its own');
  }
});

test('a mission that is over stays as it is', () => {
  const directory = connected({ a: [] });
  directory.addMission(mission('m', 'a', 'done'));
  assert.deepEqual(currentMissions(directory, 'a'), []);
  assert.equal(directory.setState('m', 'running', late), undefined);
  assert.deepEqual(directory.missions.get('m'), mission('m', 'a', 'done'));
  assert.deepEqual(currentMissions(directory, 'a'), []);
});

test('a second mission of the same id changes nothing, and neither does the state of an unknown one', () => {
  const directory = connected({ a: [], b: [] });
  directory.addMission(mission('m', 'a'));
  assert.equal(directory.addMission(mission('m', 'b', 'running')), false);
  assert.deepEqual(directory.missions.get('m'), mission('m', 'a'));
  assert.deepEqual(currentMissions(directory, 'b'), []);
  assert.equal(directory.setState('other', 'done', late), undefined);
  assert.equal(directory.missions.size, 1);
});

test('an executor that leaves and comes back has those of its missions that are still live', () => {
  const directory = connected({ a: [] });
  for (const missionId of ['one', 'two', 'three']) directory.addMission(mission(missionId, 'a', 'suspended'));
  const before = directory.executors.get('a');
  assert.equal(directory.remove('a'), before);
  assert.equal(directory.remove('a'), undefined);
  assert.equal(directory.executors.size, 0);
  directory.setState('two', 'failed', late);
  directory.addMission(mission('four', 'a'));
  const executor = directory.upsert(request('a'), 'token', late);
  assert.deepEqual(currentMissions(directory, 'a'), ['one', 'three', 'four']);
  assert.equal(executor.registeredAt, late);
  assert.equal(executor.connected, false);
});

test('sandboxes go first, however loaded; then whoever else will do', () => {
  for (const isolation of ['isolation:vm', 'isolation:container']) {
    const directory = connected({ local: ['isolation:host', 'isolation:microvm'], sandbox: [isolation] });
    for (let i = 0; i < 3; i++) directory.addMission(mission(`m${i}`, 'sandbox'));
    const first = directory.pick({});
    assert.equal(first?.executor.executorId, 'sandbox');
    assert.match(first?.reason ?? '', /sandbox-first/);
    assert.deepEqual(first?.rejected, []);
    directory.setConnected('sandbox', false, late);
    const second = directory.pick({});
    assert.equal(second?.executor.executorId, 'local');
    assert.match(second?.reason ?? '', /local fallback/);
    assert.deepEqual(second?.rejected, [{ executorId: 'sandbox', reason: 'not connected' }]);
  }
});

test('among equals the least loaded is picked, and among those the one that registered first', () => {
  const directory = connected({ a: ['hitl'], b: ['hitl', 'resumable'], c: ['hitl'] });
  const picked: (string | undefined)[] = [];
  for (let i = 0; i < 7; i++) {
    const executorId = directory.pick({ capabilities: ['hitl'] })?.executor.executorId ?? '';
    picked.push(executorId);
    directory.addMission(mission(`m${i}`, executorId));
    directory.upsert(request(executorId, executorId === 'b' ? ['hitl', 'resumable'] : ['hitl']), 'token', late);
  }
  assert.deepEqual(picked, ['a', 'b', 'c', 'a', 'b', 'c', 'a']);
  directory.setState('m2', 'done', late);
  assert.equal(directory.pick({ capabilities: ['hitl'] })?.executor.executorId, 'c');
});

test('a pinned executor is picked if it will do, and no other', () => {
  const directory = connected({ a: ['isolation:vm', 'hitl'], b: ['hitl'] });
  const pick = directory.pick({ executor_id: 'b', capabilities: ['hitl'] });
  assert.equal(pick?.executor, directory.executors.get('b'));
  assert.match(pick?.reason ?? '', /pinned/);
  assert.equal(pick?.rejected.length, 1);
  assert.equal(pick?.rejected[0]?.executorId, 'a');
  assert.match(pick?.rejected[0]?.reason ?? '', /pinned/);
  assert.equal(directory.pick({ executor_id: 'b', capabilities: ['isolation:vm'] }), null);
  assert.equal(directory.pick({ executor_id: 'b' }, true), null);
  assert.equal(directory.pick({ executor_id: 'nobody' }), null);
  directory.setConnected('b', false, late);
  assert.equal(directory.pick({ executor_id: 'b' }), null);
  assert.equal(directory.pick({ executor_id: null })?.executor.executorId, 'a');
});

test('a long-running mission needs a resumable executor', () => {
  const directory = connected({ a: ['isolation:vm'], b: ['resumable'] });
  const pick = directory.pick({}, true);
  assert.equal(pick?.executor.executorId, 'b');
  assert.deepEqual(
    pick?.rejected.map(({ executorId }) => executorId),
    ['a'],
  );
  assert.match(pick?.rejected[0]?.reason ?? '', /resumable/);
  directory.setConnected('b', false, late);
  assert.equal(directory.pick({}, true), null);
});

test('who was rejected, and why, looks like any other property', () => {
  const directory = connected({ a: ['hitl', 'x-gpu'], b: [], c: ['hitl'], d: ['hitl', 'x-gpu'] });
  directory.setConnected('b', false, late);
  directory.setConnected('d', false, late);
  const rejected = [
    { executorId: 'b', reason: 'not connected; missing capabilities: hitl, x-gpu' },
    { executorId: 'c', reason: 'missing capabilities: x-gpu' },
    { executorId: 'd', reason: 'not connected' },
  ];
  const pick = () => {
    const result = directory.pick({ capabilities: ['hitl', 'x-gpu'] });
    assert.ok(result);
    return result;
  };
  const { executor, reason } = pick();
  assert.deepEqual(pick(), { executor, reason, rejected });
  assert.deepEqual({ ...pick() }, { executor, reason, rejected });
  assert.deepEqual(JSON.parse(JSON.stringify(pick())).rejected, rejected);
  assert.deepEqual(Object.keys(pick()), ['executor', 'reason', 'rejected']);
  const result = pick();
  assert.equal(result.rejected, result.rejected, 'worked out once');
});

test('the executor that was picked is never among the rejected, even if they are read after it has gone', () => {
  const directory = connected({ a: ['hitl'], b: [] });
  const filter = { capabilities: ['hitl'] };
  const pick = directory.pick(filter);
  directory.setConnected('a', false, late);
  filter.capabilities.pop();
  assert.deepEqual(pick?.rejected, [{ executorId: 'b', reason: 'missing capabilities: hitl' }]);
});

/** The directory again, in the plainest way: lists, and a look at every executor. */
class Model {
  readonly executors: { executorId: string; capabilities: string[]; connected: boolean }[] = [];
  readonly missions: { missionId: string; executorId: string; live: boolean }[] = [];

  find(executorId: string) {
    return this.executors.find((executor) => executor.executorId === executorId);
  }

  live(executorId: string): string[] {
    return this.missions.filter((m) => m.live && m.executorId === executorId).map((m) => m.missionId);
  }

  pick(filter: ExecutorFilter, longRunning: boolean) {
    const rejected: { executorId: string; reason: string }[] = [];
    const fit: { executorId: string; rank: [local: number, live: number] }[] = [];
    for (const { executorId, capabilities, connected } of this.executors) {
      const missing = (filter.capabilities ?? []).filter((capability) => !capabilities.includes(capability));
      const reasons = [
        ...(connected ? [] : ['not connected']),
        ...(missing.length === 0 ? [] : [`missing capabilities: ${missing.join(', ')}`]),
        ...(longRunning && !capabilities.includes('resumable') ? ['not resumable'] : []),
      ];
      if (typeof filter.executor_id === 'string' && filter.executor_id !== executorId) {
        rejected.push({ executorId, reason: 'another executor is pinned' });
      } else if (reasons.length > 0) {
        rejected.push({ executorId, reason: reasons.join('; ') });
      } else {
        const isolated = capabilities.includes('isolation:vm') || capabilities.includes('isolation:container');
        fit.push({ executorId, rank: [isolated ? 0 : 1, this.live(executorId).length] });
      }
    }
    fit.sort((a, b) => a.rank[0] - b.rank[0] || a.rank[1] - b.rank[1]); // Stable: the earlier stays first.
    const [best] = fit;
    return best === undefined ? null : { executorId: best.executorId, rejected };
  }
}

const capability = fc.constantFrom<string>(
  'isolation:vm',
  'isolation:container',
  'isolation:host',
  'isolation:microvm',
  'resumable',
  'hitl',
  'x-rare',
);
const executorId = fc.constantFrom<string>('a', 'b', 'c', 'd', 'e', 'f', 'g');
const missionId = fc.nat({ max: 15 }).map((n) => `m${n}`);
const state = fc.constantFrom(...liveStates, ...terminalStates);
const question = fc.record({
  filter: fc.record(
    {
      executor_id: fc.option(executorId, { freq: 3 }),
      capabilities: fc.array(fc.oneof({ weight: 20, arbitrary: capability }, fc.constant('x-unknown')), {
        maxLength: 2,
      }),
    },
    { requiredKeys: [] },
  ),
  longRunning: fc.boolean(),
});
const step = fc.oneof(
  fc.record({ do: fc.constant('register' as const), executorId, capabilities: fc.uniqueArray(capability) }),
  fc.record({ do: fc.constant('deregister' as const), executorId }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('connect' as const), executorId }) },
  fc.record({ do: fc.constant('disconnect' as const), executorId }),
  { weight: 3, arbitrary: fc.record({ do: fc.constant('add mission' as const), missionId, executorId, state }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('set state' as const), missionId, state }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function apply(step: Step, directory: Directory, model: Model): void {
  if (step.do === 'register') {
    directory.upsert(request(step.executorId, step.capabilities), 'token', early);
    const known = model.find(step.executorId);
    if (known === undefined) model.executors.push({ ...step, connected: false });
    else known.capabilities = step.capabilities;
  } else if (step.do === 'deregister') {
    directory.remove(step.executorId);
    const at = model.executors.findIndex((executor) => executor.executorId === step.executorId);
    if (at >= 0) model.executors.splice(at, 1);
  } else if (step.do === 'connect' || step.do === 'disconnect') {
    directory.setConnected(step.executorId, step.do === 'connect', late);
    const known = model.find(step.executorId);
    if (known !== undefined) known.connected = step.do === 'connect';
  } else if (step.do === 'add mission') {
    directory.addMission(mission(step.missionId, step.executorId, step.state));
    if (model.missions.some((m) => m.missionId === step.missionId)) return;
    const live = liveStates.some((state) => state === step.state);
    model.missions.push({ missionId: step.missionId, executorId: step.executorId, live });
  } else {
    directory.setState(step.missionId, step.state, late);
    const known = model.missions.find((m) => m.missionId === step.missionId);
    if (known?.live) known.live = liveStates.some((state) => state === step.state);
  }
}

function assertSamePick(directory: Directory, model: Model, filter: ExecutorFilter, longRunning: boolean): void {
  const expected = model.pick(filter, longRunning);
  const actual = directory.pick(filter, longRunning);
  assert.deepEqual(actual && { executorId: actual.executor.executorId, rejected: actual.rejected }, expected);
}

test('after any history the directory picks, rejects and counts as a look at every executor would', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.array(question, { minLength: 1, maxLength: 6 }),
      (steps, asked) => {
        const directory = new Directory();
        const model = new Model();
        for (const step of steps) {
          apply(step, directory, model);
          for (const { filter, longRunning } of asked) assertSamePick(directory, model, filter, longRunning);
          assert.deepEqual(
            [...directory.executors.values()].map((e) => [e.executorId, e.connected, [...e.currentMissions].sort()]),
            model.executors.map((e) => [e.executorId, e.connected, model.live(e.executorId).sort()]),
          );
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('the least loaded is found among many alike', () => {
  const who = fc.nat(29).map((n) => `executor-${n}`);
  const which = fc.nat(199).map((n) => `m${n}`);
  const change = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('add mission' as const), missionId: which, executorId: who }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('end' as const), missionId: which }) },
    fc.record({ do: fc.constantFrom('connect' as const, 'disconnect' as const), executorId: who }),
  );
  fc.assert(
    fc.property(fc.array(change, { minLength: 100, maxLength: 200 }), (changes) => {
      const directory = new Directory();
      const model = new Model();
      for (let n = 0; n < 30; n++) {
        const capabilities = n % 3 === 0 ? ['hitl'] : [];
        apply({ do: 'register', executorId: `executor-${n}`, capabilities }, directory, model);
        apply({ do: 'connect', executorId: `executor-${n}` }, directory, model);
      }
      for (const change of changes) {
        if (change.do === 'add mission') apply({ ...change, state: 'queued' }, directory, model);
        else if (change.do === 'end') apply({ ...change, do: 'set state', state: 'done' }, directory, model);
        else apply(change, directory, model);
        assertSamePick(directory, model, {}, false);
      }
    }),
    { numRuns: 20 },
  );
});

test('picks stay right when more kinds are asked for than keep a standing ranking', () => {
  const filters = Array.from({ length: 200 }, (_, i) => ({
    capabilities: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].filter((_, bit) => (i >> bit) & 1).map((x) => `x-${x}`),
  }));
  fc.assert(
    fc.property(fc.array(fc.uniqueArray(fc.nat(255), { minLength: 6, maxLength: 6 }), { maxLength: 3 }), (rounds) => {
      const directory = new Directory();
      const model = new Model();
      for (const [round, masks] of rounds.entries()) {
        for (const [n, mask] of masks.entries()) {
          const executorId = `executor-${n}`;
          const capabilities = filters[mask % filters.length]?.capabilities ?? [];
          apply({ do: 'register', executorId, capabilities }, directory, model);
          apply({ do: mask % 3 === 0 ? 'disconnect' : 'connect', executorId }, directory, model);
          apply({ do: 'add mission', missionId: `${round}-${n}`, executorId, state: 'queued' }, directory, model);
        }
        for (const filter of filters) assertSamePick(directory, model, filter, false);
      }
    }),
    { numRuns: 20 },
  );
});

test('executors are spread evenly over the threads, whichever of them go', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 16 }), fc.array(fc.nat(), { maxLength: 200 }), (threads, draws) => {
      const placement = new Placement(threads);
      const residents = new Array<number>(threads).fill(0);
      for (const draw of draws) {
        const leaves = draw % 3 === 0 ? draw % threads : -1;
        if ((residents[leaves] ?? 0) > 0) {
          placement.release(leaves);
          residents[leaves] = (residents[leaves] ?? 0) - 1;
        } else {
          const thread = placement.take();
          assert.equal(residents[thread], Math.min(...residents), 'it goes where the fewest are');
          residents[thread] = (residents[thread] ?? 0) + 1;
        }
      }
    }),
  );
});

test('there is no place on no thread', () => {
  for (const threads of [0, -1, 1.5, Number.NaN]) assert.throws(() => new Placement(threads), RangeError);
});
