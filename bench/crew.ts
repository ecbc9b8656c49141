/** Executors of the SDK for the load generators of whole missions: each event is built and sent as the mission goes on. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { Agent } from 'node:http';
import { type AssignedMission, createExecutor, type Executor } from '../src/client/index.js';
import { inParallel, untilListed } from './executors.js';

/** Executors that take missions in turn. One can be relieved: another comes, and it leaves when its missions are done. */
export class Crew {
  /** Offered by these executors and, as good as certainly, by no others. */
  readonly capability = `x-bench-${randomBytes(6).toString('hex')}`;
  /** Aborted, with the reason, when an executor is in trouble: it would come back, but then the measurement is spoilt. */
  readonly troubled: AbortSignal;
  readonly #agent: Agent;
  readonly #url: URL;
  readonly #work: (mission: AssignedMission) => void;
  readonly #trouble = new AbortController();
  readonly #underWay = new Map<Executor, Set<Promise<void>>>();
  #turn = 0;

  /** @param work what an executor does with a mission */
  constructor(agent: Agent, url: URL, work: (mission: AssignedMission) => void) {
    this.#agent = agent;
    this.#url = url;
    this.#work = work;
    this.troubled = this.#trouble.signal;
  }

  /** So many more executors come, and the server lists every one as connected. */
  async join(count: number): Promise<void> {
    const executors = await inParallel(Array.from({ length: count }), () => this.#start());
    const here = executors.map(({ id }) => ({ id, closed: this.troubled }));
    await untilListed(this.#agent, this.#url, here, ({ connected }) => connected, 'listed as connected');
    for (const executor of executors) this.#underWay.set(executor, new Set());
  }

  /** Has a mission done by the next in turn. @param mission resolves when it is done */
  async give(mission: (executorId: string) => Promise<void>): Promise<void> {
    const all = [...this.#underWay];
    const [executor, missions] = all[this.#turn++ % all.length] ?? [];
    if (executor === undefined || missions === undefined) throw new Error('There are no executors.');
    const done = mission(executor.id);
    missions.add(done);
    await done;
    missions.delete(done);
  }

  /** Relieves the one who has been here longest. */
  async relieve(): Promise<void> {
    const [longest] = this.#underWay;
    await this.join(1);
    if (longest === undefined) return;
    const [executor, missions] = longest;
    this.#underWay.delete(executor);
    await Promise.all(missions);
    await executor.close();
  }

  /** All leave. */
  async close(): Promise<void> {
    await inParallel([...this.#underWay.keys()], (executor) => executor.close());
    this.troubled.throwIfAborted();
  }

  #start(): Promise<Executor> {
    const executorId = randomUUID();
    return createExecutor({
      url: this.#url.href,
      executorId,
      name: `bench-${executorId.slice(0, 8)}`,
      capabilities: ['isolation:none', 'runtime:codex', this.capability],
      signal: this.troubled,
      onDispatch: this.#work,
      onWarning: (message) => this.#trouble.abort(new Error(`An executor warns: ${message}`)),
    });
  }
}
