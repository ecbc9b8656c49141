/** The same calls for every kind of registry, and the answers as plain data, to be compared. */
import type { AsyncExecutorRegistry, ExecutorRegistry } from '#src/index.js';
import { completed, executorEvent, idOf, listen, missionEvent, payloadOf, progress, Socket } from './peers.js';

type Registry = ExecutorRegistry | AsyncExecutorRegistry;
type Step = (registry: Registry) => unknown;

const executors = [1, 2, 3, 4, 5, 6];
const missions = executors.flatMap((executor) => [0, 1, 2].map((n) => [executor, `${executor}-${n}`] as const));
const each = <T>(items: readonly T[], step: (registry: Registry, item: T) => unknown): Step[] =>
  items.map((item) => (registry) => step(registry, item));

/** The life of six executors with three missions each. */
function life(sockets: ReadonlyMap<number, Socket>): Step[] {
  const capabilitiesOf = (executor: number) => (executor % 2 ? ['resumable', 'hitl'] : ['isolation:vm']);
  return [
    (registry) => registry.list(),
    (registry) => registry.getMission('1-0'),
    ...each(executors, (registry, executor) =>
      registry.register(payloadOf(executor, { capabilities: capabilitiesOf(executor) })),
    ),
    (registry) => registry.register(payloadOf(1, { name: '' })),
    (registry) => registry.authenticate(idOf(1), 'not this'),
    ...each(executors, (registry, executor) => registry.setConnected(idOf(executor), true, sockets.get(executor))),
    ...each(missions, (registry, [executor, missionId]) => registry.assignMission(missionId, idOf(executor))),
    (registry) => registry.assignMission('1-0', idOf(2)),
    (registry) => registry.pickByFilter({}),
    (registry) => registry.pickByFilter({ executor_id: idOf(3) }, true),
    ...each(missions, (registry, [executor, missionId]) =>
      registry.handleEvent(
        missionEvent(executor, missionId, 'mission.started', { state: 'running', pty_session_id: missionId }, 1),
      ),
    ),
    ...each(missions, (registry, [executor, missionId]) => registry.handleEvent(progress(executor, missionId, 2))),
    (registry) => registry.handleEvent(progress(2, '1-0', 3)),
    (registry) => registry.handleEvent({ ...progress(1, '1-0', 4), ts: 'now' }),
    ...each(executors, (registry, executor) => registry.get(idOf(executor))),
    (registry) => registry.transitionMission('1-1', 'paused'),
    (registry) => registry.handleEvent(completed(1, '1-0', 5)),
    (registry) => registry.transitionMission('1-0', 'paused'),
    (registry) => registry.transitionMission('none', 'paused'),
    (registry) => registry.failMission('2-0', 'unreachable'),
    (registry) => registry.handleEvent(progress(2, '2-1', 6)),
    (registry) => registry.pickByFilter({ executor_id: idOf(2) }),
    (registry) => registry.pushToExecutor(idOf(1), missionEvent(1, '1-1', 'mission.paused', { state: 'paused' }, 6)),
    (registry) => registry.pushToExecutor('nobody', progress(1, '1-1', 1)),
    (registry) => registry.pickByFilter({ capabilities: ['isolation:vm'] }),
    (registry) => registry.deregister(idOf(3), 'operator_deleted'),
    (registry) => registry.handleEvent(executorEvent(4, 'executor.deregistered', { reason: 'timeout' }, 7)),
    (registry) => registry.size,
    (registry) => registry.get(idOf(4)),
    (registry) => registry.deregister(idOf(4)),
    (registry) => registry.handleEvent(executorEvent(5, 'executor.deregistered', { reason: 'timeout' }, 7)),
    (registry) => registry.register(payloadOf(5, { capabilities: ['resumable'] })),
    (registry) => registry.setConnected(idOf(5), true, sockets.get(7)),
    (registry) => registry.handleEvent(executorEvent(5, 'executor.resync', { owned_mission_ids: ['5-0', '5-2'] }, 8)),
    (registry) => registry.getRegistration(idOf(5)),
    (registry) => registry.setConnected(idOf(6), false),
    (registry) => registry.list(),
    ...each(missions, (registry, [, missionId]) => registry.getMission(missionId)),
    (registry) => registry.size,
  ];
}

/** A value as JSON, now: a live record will be another one later. Tokens and the times of now are masked. */
const asJson = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value ?? null, (key, field) => {
      if (key === 'token' || key === 'wsConn') return key;
      if (field instanceof Set) return [...field];
      const isOfNow = typeof field === 'string' && /^\d{4}-\d\d-\d\dT/.test(field) && !field.startsWith('2020');
      return isOfNow ? 'now' : field;
    }),
  );

/** What was answered, what was told of each mission and (else) executor, and what the sockets saw. */
function report(answers: unknown[], told: readonly [string, unknown][], sockets: ReadonlyMap<number, Socket>) {
  // Threads do not wait for each other: there is an order for each executor, and for each mission, only.
  const byWhom: Record<string, unknown[]> = {};
  for (const [name, payload] of told) {
    const [, mission, executor = ''] =
      /^{(?:"missionId":"([^"]+)",)?"executorId":"([^"]+)"/.exec(JSON.stringify(payload)) ?? [];
    const key = mission ?? executor;
    byWhom[key] ??= [];
    byWhom[key].push([name, payload]);
  }
  return { answers, told: asJson(byWhom), sockets: asJson([...sockets]) };
}

export type Played = ReturnType<typeof report>;

const newSockets = () => new Map([...executors, 7].map((executor) => [executor, new Socket()]));

/** Plays it without a turn of the event loop. */
export function play(registry: ExecutorRegistry): Played {
  const sockets = newSockets();
  const told = listen(registry);
  const answers = life(sockets).map((step) => asJson(step(registry)));
  return report(answers, told, sockets);
}

/** Plays it, and lets each event be processed. */
export async function playAsync(registry: AsyncExecutorRegistry): Promise<Played> {
  const sockets = newSockets();
  const told = listen(registry);
  const answers: unknown[] = [];
  for (const step of life(sockets)) {
    answers.push(asJson(await step(registry)));
    await registry.supervisor.system.settle();
  }
  return report(answers, told, sockets);
}
