/** What happens in a mission's life, as a script that a program and an operator perform. */
import { setImmediate as turn } from 'node:timers/promises';
import * as v from 'valibot';
import type { AssignedMission, Clock, ResumedFrom, RunningMission } from '#src/client/index.js';
import type { CallboardServer } from '#src/server/index.js';
import { mission, send } from '../server/helpers.js';
import { operate } from './helpers.js';

/**
 * `progress`: three events, one after the other. `question`: the operator answers. `pause`: the operator pauses, and
 * resumes. `suspension`: the program suspends, and the operator resumes. `checkpoint`: the program does both.
 */
export const steps = ['progress', 'question', 'pause', 'suspension', 'checkpoint'] as const;
export const ends = ['complete', 'fail', 'abort'] as const;

export interface Script {
  readonly steps: readonly (typeof steps)[number][];
  readonly end: (typeof ends)[number];
}

/** Milliseconds that a program waits at a checkpoint. */
const BREAK = 3_000;
const LAST_WORDS = 'ready';

const questionList = v.object({ questions: v.array(v.object({ mission_id: v.string(), hitl_id: v.string() })) });

const newestOf = async (server: CallboardServer, id: string) => (await mission(server, id)).recent_events?.at(-1);

/** The performance of a script in one mission, by its program and its operator. */
export class Performance {
  /** The step that the program is at, from 0; one that has said all is at its end. */
  at = -1;
  isOver = false;
  /** What has come to the program from outside. */
  readonly heard: string[] = [];
  /** What the operator wants of the mission now. */
  #wish: 'answer' | 'pause' | 'resume' | 'abort' | undefined;
  /** The operator has asked for a resume, and nothing has come of it yet. */
  #isAsked = false;
  #goOn: (mission: RunningMission) => void = () => undefined;
  readonly #script: Script;
  readonly #clock: Clock;
  readonly #onStep: () => void;

  /** @param onStep called when the program comes to a step, and to its end */
  constructor(script: Script, clock: Clock, onStep: () => void = () => undefined) {
    this.#script = script;
    this.#clock = clock;
    this.#onStep = onStep;
  }

  // The program: the functions that the SDK calls.

  onDispatch = async (assigned: AssignedMission): Promise<void> => {
    let running = assigned.started();
    for (const [index, step] of this.#script.steps.entries()) {
      this.#next();
      if (step === 'progress')
        for (let part = 0; part < 3; part++) {
          running.progress({ summary: `${index}.${part}` });
          await turn();
        }
      else if (step === 'question') {
        const answer = running.askHuman(`question ${index}`);
        this.#wish = 'answer';
        this.heard.push(await answer);
        this.#wish = undefined;
      } else if (step === 'pause') running = await this.#resumption('pause');
      else {
        const suspended = running.suspend(`checkpoint ${index}`);
        if (step === 'suspension') running = await this.#resumption('resume');
        else {
          await new Promise<void>((resolve) => this.#clock.after(BREAK, resolve));
          running = suspended.resumed();
        }
      }
    }
    this.#next();
    if (this.#script.end === 'complete') running.complete({ summary: 'done', exit_code: 0 });
    else if (this.#script.end === 'fail') running.fail('as the script has it', { exit_code: 3 });
    else {
      running.progress({ summary: LAST_WORDS });
      this.#wish = 'abort';
      await new Promise((resolve) => running.signal.addEventListener('abort', resolve));
    }
    this.isOver = true;
  };

  onPause = (): void => {
    this.heard.push('pause');
    this.#wish = 'resume';
  };

  onResume = (running: RunningMission, resumed: ResumedFrom): void => {
    this.heard.push(`resume from ${JSON.stringify(resumed)}${this.#isAsked ? '' : ', for which nobody has asked'}`);
    this.#wish = undefined;
    this.#isAsked = false;
    // After the SDK has said so.
    setImmediate(() => this.#goOn(running));
  };

  #next(): void {
    this.at++;
    this.#onStep();
  }

  #resumption(wish: 'pause' | 'resume'): Promise<RunningMission> {
    return new Promise((resolve) => {
      this.#goOn = resolve;
      this.#wish = wish;
    });
  }

  /** Whether the mission waits, in Callboard's eyes, at the step that its program is at. */
  waits(state: string | undefined): boolean {
    const step = this.#script.steps[this.at];
    if (step === 'question') return this.#wish === 'answer' && state === 'hitl-required';
    if (step === 'pause') return this.#wish === 'resume' && state === 'paused';
    return step !== 'progress' && state === 'suspended';
  }

  /** The operator, who looks at the mission and does what is due, again where it was lost. */
  async attend(server: CallboardServer, id: string, state: string | undefined): Promise<void> {
    const wish = this.#wish;
    if (wish === 'pause' && state !== 'paused') await operate(server, id, 'pause');
    else if (wish === 'resume' && (state === 'paused' || state === 'suspended')) {
      // Once the program has said that it waits: what is resumed before that may be paused again by that very event.
      if ((await newestOf(server, id))?.event !== `mission.${state}`) return;
      this.#isAsked = true;
      if ((await operate(server, id, 'resume')) !== 202) this.#isAsked = false;
    } else if (wish === 'answer') {
      const { body } = await send(`${server.url}/api/v1/hitl`);
      const asked = v.parse(questionList, body).questions.find(({ mission_id }) => mission_id === id);
      const response = `answer ${this.at}`;
      // One that was asked only after the state was looked at waits until that is known.
      if (asked !== undefined && server.registry.supervisor.directory.missions.get(id)?.state === state)
        await operate(server, id, 'hitl_response', { hitl_id: asked.hitl_id, response });
    } else if (wish === 'abort' && state === 'running') {
      // Not before all was heard that the program had to say.
      const newest = await newestOf(server, id);
      if (newest?.event === 'mission.progress' && newest.data?.summary === LAST_WORDS)
        await operate(server, id, 'abort');
    }
  }
}
