/** A mission as a simulated executor runs it: one of a few scripts of events, and a record of what was said. */
import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContractEvent, EventName, MissionEventName } from '../contract/index.js';

/** What a mission says: an event of its own, to which its executor adds who says it, of which mission, and when. */
export type Saying = WithoutStamp<Extract<ContractEvent, { event: MissionEventName }>>;
type WithoutStamp<E> = E extends unknown ? Omit<E, 'executor_id' | 'mission_id' | 'ts'> : never;

/**
 * What happens in a mission beside its start, some progress and its end. `plain`: nothing. `question`: it asks its
 * operator and waits for the answer. `pause`: its operator pauses and resumes it. `checkpoint`: it is suspended and
 * reconnects. `chatter`: it makes more progress than Callboard keeps recent events of.
 */
export const scenarios = ['plain', 'question', 'pause', 'checkpoint', 'chatter'] as const;
export type Scenario = (typeof scenarios)[number];

/** How many events Callboard keeps as a mission's recent ones, and so how many are worth remembering here. */
export const recentEvents = 50;

/** Milliseconds between two steps of a script. */
const stepTime = 25;

/** Sends one event for this mission and gives back what was sent. */
export type Send = (saying: Saying) => ContractEvent;

/** One mission of a simulated executor. */
export class SimulatedMission {
  readonly id: string;
  readonly scenario: Scenario;
  /** The newest events that were sent, oldest first. */
  readonly sent: ContractEvent[] = [];
  /** What Callboard pushed for this mission, oldest first. */
  readonly pushed: ContractEvent[] = [];
  readonly #send: Send;
  readonly #stop = new AbortController();
  readonly #news = new EventEmitter();

  constructor(id: string, scenario: Scenario, send: Send) {
    this.id = id;
    this.scenario = scenario;
    this.#send = send;
  }

  /** Runs the script to its end, which is `mission.completed`, or `mission.aborted` if `abort` comes before it. */
  async run(): Promise<void> {
    try {
      await this.#script();
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error;
      this.#say({
        event: 'mission.aborted',
        data: { state: 'aborted', aborted_by: 'operator', reason: 'the simulation stops' },
      });
    }
  }

  /** Ends the mission as soon as it next waits for something. */
  abort(): void {
    this.#stop.abort();
  }

  /** Takes what Callboard pushes for this mission. */
  receive(event: ContractEvent): void {
    this.pushed.push(event);
    if (this.pushed.length > recentEvents) this.pushed.shift();
    if (event.event === 'mission.aborted') this.abort();
    this.#news.emit('pushed');
  }

  async #script(): Promise<void> {
    this.#say({ event: 'mission.assigned', data: { state: 'assigned' } });
    await this.#step();
    const pty_session_id = `pty-${this.id}`;
    this.#say({ event: 'mission.started', data: { state: 'running', agent_runtime: 'simulated', pty_session_id } });
    await this.#progress(2, 20);
    switch (this.scenario) {
      case 'plain':
        break;
      case 'question': {
        const hitl_id = `${this.id}-question`;
        this.#say({ event: 'mission.hitl_required', data: { hitl_id, prompt: 'May the simulation go on?' } });
        const { data } = await this.#arrival('mission.hitl_responded');
        this.#say({ event: 'mission.hitl_responded', data });
        break;
      }
      case 'pause':
        await this.#arrival('mission.paused');
        this.#say({ event: 'mission.paused', data: { state: 'paused', reason: 'the operator asked for it' } });
        await this.#arrival('mission.resumed');
        this.#say({ event: 'mission.resumed', data: { state: 'running', resumed_from: 'paused' } });
        break;
      case 'checkpoint': {
        const checkpoint_id = `${this.id}-checkpoint`;
        this.#say({ event: 'mission.suspended', data: { state: 'suspended', checkpoint_id } });
        await this.#step();
        this.#say({ event: 'mission.reconnected', data: { checkpoint_id } });
        break;
      }
      case 'chatter':
        await this.#progress(recentEvents + 10, 50);
        break;
    }
    await this.#progress(2, 90);
    const summary = `a simulated mission: ${this.scenario}`;
    this.#say({ event: 'mission.completed', data: { state: 'done', exit_code: 0, summary } });
  }

  /** Reports progress `times` times, up to `percent`; every fifth time takes a step's time. */
  async #progress(times: number, percent: number): Promise<void> {
    for (let iteration = 1; iteration <= times; iteration++) {
      const pct_complete = (percent * iteration) / times;
      this.#say({ event: 'mission.progress', data: { phase: 'pretending', iteration, pct_complete } });
      if (iteration % 5 === 0 || iteration === times) await this.#step();
    }
  }

  #say(saying: Saying): void {
    this.sent.push(this.#send(saying));
    if (this.sent.length > recentEvents) this.sent.shift();
  }

  /** The event of this name that Callboard pushes, or has pushed. */
  async #arrival<N extends EventName>(name: N): Promise<Extract<ContractEvent, { event: N }>> {
    const isIt = (event: ContractEvent): event is Extract<ContractEvent, { event: N }> => event.event === name;
    for (;;) {
      const found = this.pushed.find(isIt);
      if (found !== undefined) return found;
      await once(this.#news, 'pushed', { signal: this.#stop.signal });
    }
  }

  async #step(): Promise<void> {
    await sleep(stepTime, undefined, { signal: this.#stop.signal });
  }
}
