/** `callboard simulate`: executors and missions that only pretend, over real sockets, and a verdict at the end. */
import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { FAILED, messageOf } from './errors.js';
import type { SimulateSettings } from './options.js';
import { Semaphore } from './semaphore.js';
import { stopOnSignals } from './signals.js';
import { SimulatedExecutor } from './simulated-executor.js';
import { scenarios } from './simulated-mission.js';
import { SimulatedOperator } from './simulated-operator.js';

/** Missions under way at once. At this mark dispatching waits, whatever the rate. */
const maxLive = 1_000;
/** Executors that start or stop at once. */
const maxStarting = 16;
/** Problems that are kept in words; the rest are only counted. */
const maxProblems = 10;
/** Milliseconds that an executor may be without a connection, and between two looks whether one is. */
const maxLost = 30_000;
const lookTime = 1_000;

/**
 * Registers and connects executors, dispatches missions to them, follows each to its end, prints a summary and takes
 * the executors away again. It rides over cuts and over a restart of Callboard, after which every mission is to end as
 * it should all the same. SIGINT or SIGTERM, or an executor without a connection for half a minute, ends it early.
 *
 * @returns The exit code: 0 where every mission ended as it should and nothing ended the simulation early.
 * @throws CommandError where Callboard cannot be reached, or does not take the executors.
 */
export async function simulate(settings: SimulateSettings): Promise<number> {
  const simulation = new Simulation(settings);
  const stop = stopOnSignals();
  stop.addEventListener('abort', () => simulation.halt(`stopped by ${stop.reason}`));
  const progress = process.stdout.isTTY
    ? setInterval(() => process.stdout.write(`\r\x1b[K${simulation.progress()}`), 100)
    : undefined;
  try {
    await simulation.run();
  } finally {
    clearInterval(progress);
    if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  }
  const summary = simulation.summary();
  process.stdout.write(process.stdout.isTTY ? forPeople(summary) : `${JSON.stringify(summary)}\n`);
  return summary.ok ? 0 : FAILED;
}

class Simulation {
  readonly #settings: SimulateSettings;
  readonly #name = randomBytes(4).toString('hex');
  /** No real executor has it. */
  readonly #capability = `x-simulation:${this.#name}`;
  readonly #halt = new AbortController();
  readonly #operator: SimulatedOperator;
  readonly #executors = new Map<string, SimulatedExecutor>();
  readonly #live = new Semaphore(maxLive);
  readonly #problems: string[] = [];
  #dispatched = 0;
  #ended = 0;
  #asItShould = 0;
  #events = 0;
  #seconds = 0;

  constructor(settings: SimulateSettings) {
    this.#settings = settings;
    setMaxListeners(0, this.#halt.signal); // One for everything that waits.
    this.#operator = new SimulatedOperator({
      url: settings.url,
      session: `simulation-${this.#name}`,
      stop: this.#halt.signal,
      troubledAt: () => Math.max(...[...this.#executors.values()].map(({ troubledAt }) => troubledAt)),
    });
  }

  /** Ends the simulation early; what is under way is counted as not ended as it should. */
  halt(reason: string): void {
    if (this.#halt.signal.aborted) return;
    this.#problem(reason);
    this.#halt.abort();
  }

  /** Runs from the first registration to the last deregistration. */
  async run(): Promise<void> {
    const watching = setInterval(() => this.#watch(), lookTime);
    try {
      await this.#gather();
      const start = performance.now();
      await this.#dispatchAll(start);
      this.#seconds = (performance.now() - start) / 1000;
    } catch (error) {
      if (!this.#halt.signal.aborted) throw error;
    } finally {
      clearInterval(watching);
      await this.#disperse();
    }
  }

  progress(): string {
    const { executors, missions, duration } = this.#settings;
    const goal = duration === undefined ? `/${missions}` : '';
    const lost = [...this.#executors.values()].filter(({ isConnected }) => !isConnected).length;
    return this.#dispatched === 0
      ? `${this.#executors.size}/${executors} executors`
      : `${this.#dispatched}${goal} dispatched, ${this.#dispatched - this.#ended} under way, ${this.#asItShould} done, ${this.#ended - this.#asItShould} not as they should${lost > 0 ? `, ${lost} executors without a connection` : ''}`;
  }

  summary() {
    const seconds = this.#seconds;
    return {
      ok: this.#problems.length === 0 && this.#dispatched > 0 && this.#asItShould === this.#dispatched,
      executors: this.#executors.size,
      missions: this.#dispatched,
      done: this.#asItShould,
      not_as_they_should: this.#dispatched - this.#asItShould,
      events: this.#events,
      seconds: Number(seconds.toFixed(3)),
      missions_per_second: Number((this.#ended / (seconds || 1)).toFixed(1)),
      events_per_second: Number((this.#events / (seconds || 1)).toFixed(1)),
      problems: this.#problems,
    };
  }

  /** Starts the executors and waits until Callboard sees each as connected. */
  async #gather(): Promise<void> {
    // A Callboard that is not there is not waited for, as executors would.
    await this.#operator.look();
    const numbers = Array.from({ length: this.#settings.executors }, (_, index) => index + 1);
    const starting = new Semaphore(maxStarting);
    const results = await Promise.allSettled(numbers.map((number) => starting.run(() => this.#start(number))));
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  async #start(number: number): Promise<void> {
    this.#halt.signal.throwIfAborted();
    const executor = await SimulatedExecutor.start({
      url: this.#settings.url,
      name: `simulated executor ${number}`,
      capabilities: ['isolation:none', 'runtime:custom:simulated', 'resumable', 'hitl', this.#capability],
    });
    this.#executors.set(executor.id, executor);
    await this.#operator.untilConnected(executor.id);
  }

  #watch(): void {
    for (const executor of this.#executors.values())
      if (executor.lostFor() > maxLost)
        this.halt(`${executor.name} has had no connection for ${maxLost / 1000} s: ${executor.trouble}`);
  }

  /** Dispatches at the rate and resolves when every mission has ended. @param start When, on performance.now's clock. */
  async #dispatchAll(start: number): Promise<void> {
    const { missions, rate, duration } = this.#settings;
    const due = (number: number) => start + (number * 1000) / rate;
    const more = (number: number) =>
      duration === undefined ? number < missions : due(number) < start + duration * 1000;
    const underWay = new Set<Promise<void>>();
    for (let number = 0; more(number) && !this.#halt.signal.aborted; number++) {
      await this.#until(due(number));
      await this.#live.acquire();
      if (this.#halt.signal.aborted) break;
      const mission = this.#mission(number).finally(() => {
        this.#live.release();
        underWay.delete(mission);
      });
      underWay.add(mission);
    }
    await Promise.all(underWay);
  }

  /** Waits for a time on performance.now's clock, or for the halt. */
  async #until(time: number): Promise<void> {
    const wait = time - performance.now();
    if (wait > 0) await sleep(wait, undefined, { signal: this.#halt.signal }).catch(() => {});
  }

  /** Sees one mission through, and never throws: whatever goes wrong with it is counted and noted. */
  async #mission(number: number): Promise<void> {
    const missionId = `simulated-${this.#name}-${number}`;
    const scenario = scenarios[number % scenarios.length] ?? 'plain';
    const plan = { missionId, scenario, capability: this.#capability };
    this.#dispatched++;
    try {
      const executorId = await this.#operator.dispatch(plan);
      const executor = this.#executors.get(executorId);
      const mission = executor?.mission(missionId);
      if (mission === undefined) throw new Error(`it is said to be with ${executorId}, which has not got it`);
      try {
        const wrong = await this.#operator.follow(executorId, plan, mission);
        if (wrong.length > 0) throw new Error(wrong.join('; '));
      } finally {
        executor?.forget(missionId);
      }
      this.#asItShould++;
    } catch (error) {
      if (!this.#halt.signal.aborted) this.#problem(`mission ${missionId} (${scenario}): ${messageOf(error)}`);
    } finally {
      this.#ended++;
    }
  }

  /** Takes every executor away, whatever happens to the others. */
  async #disperse(): Promise<void> {
    const stopping = new Semaphore(maxStarting);
    const closing = [...this.#executors.values()].map((executor) =>
      stopping.run(async () => {
        const trouble = await executor.close();
        if (trouble !== undefined && !this.#halt.signal.aborted) this.#problem(`${executor.name}: ${trouble}`);
        this.#events += executor.eventCount;
      }),
    );
    await Promise.all(closing);
  }

  #problem(text: string): void {
    if (this.#problems.length < maxProblems) this.#problems.push(text);
  }
}

/** The summary as a table, its problems below. */
function forPeople({ problems, ok, ...figures }: ReturnType<Simulation['summary']>): string {
  const rows = Object.entries(figures).map(([name, value]) => `  ${name.replaceAll('_', ' ').padEnd(24)}${value}`);
  const verdict = ok ? 'Everything ended as it should.' : 'Not everything ended as it should:';
  return `${[...rows, '', verdict, ...problems.map((problem) => `  ${problem}`)].join('\n')}\n`;
}
