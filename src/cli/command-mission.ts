/** One mission as a command: its output is the progress, a line of it may be a question, its exit code is the end. */
import { type AssignedMission, MissionStateError, type RunningMission } from '../client/index.js';
import { ChildGroup, type Ending } from './child-group.js';
import type { ChildGroups } from './child-groups.js';
import { fillIn } from './command-line.js';
import { isSystemError, messageOf } from './errors.js';
import { OutputLines } from './output-lines.js';

/** Milliseconds between two lines of a mission that are sent as progress. */
const PROGRESS_EVERY = 250;
/** Questions of a mission that may wait for the one before them to be answered. */
const MAX_QUESTIONS = 100;

/** What all missions of an executor have in common. */
export interface Work {
  /** The words of the command, with placeholders. */
  readonly words: readonly string[];
  /** What a line looks like that is a question; undefined: none is. */
  readonly ask: RegExp | undefined;
  /** Milliseconds from being asked to end to being killed. */
  readonly grace: number;
  readonly groups: ChildGroups;
  /** Told what becomes of the mission. */
  readonly say: (event: string, message: string, fields: object) => void;
}

export class CommandMission {
  readonly #mission: AssignedMission;
  readonly #work: Work;
  readonly #group: Promise<ChildGroup>;
  readonly #stdout: OutputLines;
  readonly #stderr: OutputLines;
  readonly #begun = performance.now();
  #running: RunningMission | undefined;
  /** Why the executor ends it. */
  #stopped: string | undefined;
  readonly #questions: string[] = [];
  #isAsking = false;
  #lastLine: string | undefined;
  #lastError: string | undefined;
  /** The newest line that is not sent, and what sends it. */
  #unsent: string | undefined;
  #sampling: NodeJS.Timeout | undefined;

  /** Starts the command. */
  constructor(mission: AssignedMission, work: Work) {
    this.#mission = mission;
    this.#work = work;
    const isQuestion = work.ask && ((line: string) => work.ask?.test(line) === true);
    this.#stdout = new OutputLines((line) => this.#take(line), isQuestion);
    this.#stderr = new OutputLines((line) => {
      this.#lastError = line;
      this.#take(line);
    }, isQuestion);
    this.#group = this.#start();
  }

  /** Sees it through. Resolves once it is over, and nothing of the command is left. */
  async run(): Promise<void> {
    const { signal } = this.#mission;
    try {
      const group = await this.#group;
      if (!signal.aborted) {
        this.#running = this.#mission.started();
        this.#say('started', `started (process ${group.id})`);
      }
      const ending = await group.ended;
      this.#stdout.end();
      this.#stderr.end();
      clearTimeout(this.#sampling);
      this.#send();
      if (!signal.aborted) this.#end(ending);
    } catch (error) {
      if (!signal.aborted) this.#fail(this.#reasonOf(error));
    }
    if (signal.aborted) this.#work.say('aborted', messageOf(signal.reason), { mission_id: this.#mission.id });
  }

  async pause(): Promise<void> {
    (await this.#group).pause();
    // Before it is said that the mission is paused.
    this.#send();
  }

  async resume(): Promise<void> {
    (await this.#group).resume();
  }

  /**
   * Ends the command, by force if it takes longer than the grace.
   * @param reason why the mission fails by that, unless it is over already
   */
  async end(reason: string): Promise<void> {
    this.#stopped = reason;
    const group = await this.#group.catch(() => undefined);
    await group?.end(this.#work.grace);
  }

  async #start(): Promise<ChildGroup> {
    const { objective, completion, mission_id } = this.#mission.dispatch;
    for (const [name, value] of Object.entries({ objective, completion, mission_id }))
      if (value.includes('\0')) throw new Error(`its ${name} has a NUL character in it, which no command can be given`);
    const env = {
      ...process.env,
      CALLBOARD_OBJECTIVE: objective,
      CALLBOARD_COMPLETION: completion,
      CALLBOARD_MISSION_ID: mission_id,
    };
    const words = fillIn(this.#work.words, this.#mission.dispatch);
    const onOutput = (stream: 'stdout' | 'stderr', text: string): void =>
      (stream === 'stdout' ? this.#stdout : this.#stderr).add(text);
    return ChildGroup.start({ words, env, isAnswered: this.#work.ask !== undefined, onOutput }, this.#work.groups);
  }

  // What the command says.

  #take(line: string): void {
    this.#lastLine = line;
    if (this.#work.ask?.test(line)) this.#queue(line);
    else this.#sample(line);
  }

  /** The first line is sent at once, of those that follow it the newest, a little later. */
  #sample(line: string): void {
    this.#unsent = line;
    if (this.#sampling === undefined) this.#sendAndWait();
  }

  #sendAndWait(): void {
    const isSent = this.#send();
    this.#sampling = isSent ? setTimeout(() => this.#sendAndWait(), PROGRESS_EVERY) : undefined;
  }

  /** @returns whether there was something to send */
  #send(): boolean {
    const summary = this.#unsent;
    if (summary === undefined) return false;
    this.#unsent = undefined;
    if (!this.#mission.signal.aborted) this.#running?.progress({ summary });
    return true;
  }

  #queue(question: string): void {
    if (this.#questions.length < MAX_QUESTIONS) this.#questions.push(question);
    else this.#say('warning', `a question is left out, for ${MAX_QUESTIONS} wait already`);
    void this.#ask();
  }

  /** Asks one question after the other. */
  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      const group = await this.#group;
      for (let prompt = this.#next(); prompt !== undefined; prompt = this.#next()) {
        this.#send();
        this.#say('asks', `asks: ${prompt}`);
        const answer = await this.#running?.askHuman(prompt);
        // One answer is one line. The next one is not given before the system has taken this one.
        await group.answer((answer ?? '').replaceAll(/[\r\n]+/g, ' '));
      }
    } catch (error) {
      if (!(error instanceof MissionStateError)) throw error; // It is over, and with it the question.
    } finally {
      this.#isAsking = false;
    }
  }

  #next(): string | undefined {
    return this.#mission.signal.aborted ? undefined : this.#questions.shift();
  }

  // How it ends.

  #end({ code, signal }: Ending): void {
    const summary = this.#lastLine;
    const error = this.#lastError;
    if (this.#stopped !== undefined) this.#fail(this.#stopped);
    else if (code === null) this.#fail(`the command was ended by ${signal}`);
    else if (code !== 0)
      this.#fail(`the command exited with ${code}`, { exit_code: code, ...(error !== undefined && { error }) });
    else {
      this.#running?.complete({ exit_code: 0, ...(summary !== undefined && { summary }) });
      this.#say('done', `done (exit 0, ${this.#seconds()})`);
    }
  }

  #fail(reason: string, data: { readonly exit_code?: number; readonly error?: string } = {}): void {
    (this.#running ?? this.#mission).fail(reason, data);
    this.#say('failed', `failed: ${reason} (${this.#seconds()})`);
  }

  /** Why it could not be started. */
  #reasonOf(error: unknown): string {
    const [program] = this.#work.words;
    const code = isSystemError(error) ? error.code : undefined;
    if (code === 'ENOENT') return `the command ${program} was not found`;
    if (code === 'EACCES') return `the command ${program} may not be run`;
    if (code === 'E2BIG') return 'objective and completion are too long for a command (E2BIG)';
    return messageOf(error);
  }

  #seconds(): string {
    return `${((performance.now() - this.#begun) / 1000).toFixed(1)} s`;
  }

  #say(event: string, what: string): void {
    const { id } = this.#mission;
    this.#work.say(event, `mission ${id}: ${what}`, { mission_id: id });
  }
}
