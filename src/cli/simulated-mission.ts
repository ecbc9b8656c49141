/** A mission as a simulated executor runs it: one of a few scripts, played over the SDK, and a record of what was said. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AssignedMission, EventData, ResumedFrom, RunningMission, SuspendedMission } from '../client/index.js';
import type { MissionEventName } from '../contract/index.js';

/**
 * What happens in a mission beside its start, some progress and its end. `plain`: nothing. `question`: it asks its
 * operator and waits for the answer. `pause`: its operator pauses and resumes it. `checkpoint`: it is suspended and
 * goes on. `chatter`: it makes more progress than Callboard keeps recent events of.
 */
export const scenarios = ['plain', 'question', 'pause', 'checkpoint', 'chatter'] as const;
export type Scenario = (typeof scenarios)[number];

/** What is answered to the question. */
export const ANSWER = 'Yes, go on.';

/** How many events Callboard keeps as a mission's recent ones, and so how many are worth remembering here. */
export const recentEvents = 50;

/** Milliseconds between two steps of a script. */
const stepTime = 25;

/** An event, with the data that the script gave: the SDK adds more, a `state` for instance. */
export interface Said {
  readonly event: MissionEventName;
  readonly data: object;
}

/** One mission of a simulated executor. */
export class SimulatedMission {
  readonly id: string;
  readonly scenario: Scenario;
  /** The newest events that were said, oldest first. */
  readonly said: Said[] = [];
  readonly #onSaid: () => void;
  readonly #stop = new AbortController();
  /** What can be said now; undefined: it is over. */
  #handle: AssignedMission | RunningMission | SuspendedMission | undefined;
  #onResumed: () => void = () => {};
  readonly #resumed = new Promise<void>((resolve) => {
    this.#onResumed = resolve;
  });

  /** @param onSaid called at each event */
  constructor(assigned: AssignedMission, scenario: Scenario, onSaid: () => void) {
    this.id = assigned.id;
    this.scenario = scenario;
    this.#handle = assigned;
    this.#onSaid = onSaid;
    assigned.signal.addEventListener('abort', () => this.#end());
  }

  /** Runs the script to its end, which is `mission.completed`, or that of the mission if that comes before. */
  async play(): Promise<void> {
    try {
      await this.#script();
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#end();
      throw error; // By which it fails.
    }
  }

  /** The operator wants it paused: `mission.paused` is sent now. */
  onPause(): void {
    this.#note('mission.paused', {});
  }

  /** The operator wants it resumed: `mission.resumed` is sent now, except where the script has done so itself. */
  onResume({ from }: ResumedFrom): void {
    if (from === 'paused') this.#note('mission.resumed', {});
    this.#onResumed();
  }

  /** Fails the mission if it is not over. */
  stop(): void {
    const handle = this.#handle;
    this.#end();
    if (handle === undefined) return;
    const running = 'resumed' in handle ? handle.resumed() : handle;
    running.fail('the simulation stops');
  }

  async #script(): Promise<void> {
    await this.#step();
    let running = this.#start({ agent_runtime: 'simulated', pty_session_id: `pty-${this.id}` });
    await this.#progress(running, 2, 20);
    switch (this.scenario) {
      case 'plain':
        break;
      case 'question': {
        const prompt = 'May the simulation go on?';
        const answering = running.askHuman(prompt);
        this.#note('mission.hitl_required', { prompt });
        const response = await answering;
        if (response !== ANSWER) throw new Error(`it was answered "${response}"`);
        this.#note('mission.hitl_responded', { response });
        break;
      }
      case 'pause':
        await this.#resumed;
        await this.#step(); // Until the SDK has said so.
        break;
      case 'checkpoint':
        running = await this.#suspend(running, `${this.id}-checkpoint`);
        break;
      case 'chatter':
        await this.#progress(running, recentEvents + 10, 50);
        break;
    }
    await this.#progress(running, 2, 90);
    const data = { exit_code: 0, summary: `a simulated mission: ${this.scenario}` };
    running.complete(data);
    this.#note('mission.completed', data);
    this.#end();
  }

  #start(data: EventData<'mission.started'>): RunningMission {
    if (this.#handle === undefined || !('started' in this.#handle)) throw new Error('it is over');
    const running = this.#handle.started(data);
    this.#handle = running;
    this.#note('mission.started', data);
    return running;
  }

  async #suspend(running: RunningMission, checkpoint_id: string): Promise<RunningMission> {
    const suspended = running.suspend(checkpoint_id);
    this.#handle = suspended;
    this.#note('mission.suspended', { checkpoint_id });
    await this.#step();
    const resumed = suspended.resumed();
    this.#handle = resumed;
    this.#note('mission.resumed', {});
    return resumed;
  }

  /** Reports progress `times` times, up to `percent`; every fifth time takes a step's time. */
  async #progress(running: RunningMission, times: number, percent: number): Promise<void> {
    for (let iteration = 1; iteration <= times; iteration++) {
      const data = { phase: 'pretending', iteration, pct_complete: (percent * iteration) / times };
      // Where so much waits for Callboard that it is refused, it was not said.
      if (running.progress(data)) this.#note('mission.progress', data);
      if (iteration % 5 === 0 || iteration === times) await this.#step();
    }
  }

  #note(event: MissionEventName, data: object): void {
    this.said.push({ event, data });
    if (this.said.length > recentEvents) this.said.shift();
    this.#onSaid();
  }

  #end(): void {
    this.#handle = undefined;
    this.#stop.abort();
  }

  async #step(): Promise<void> {
    await sleep(stepTime, undefined, { signal: this.#stop.signal });
  }
}
