/** One mission as its executor has it: which state it is in, what may be said of it then, and who waits for an answer. */
import { randomUUID } from 'node:crypto';
import type { DispatchPayload, MissionEventName } from '../contract/index.js';
import type { Pushed } from './checks.js';
import { MissionStateError, messageOf } from './errors.js';
import type { AssignedMission, ExecutorOptions, RunningMission, SuspendedMission } from './options.js';

/** What a mission needs of its executor. */
export interface MissionHost {
  readonly options: ExecutorOptions;
  /** Sends an event. @throws TypeError, RangeError if Callboard would not take it */
  say(missionId: string, event: MissionEventName, data: object): void;
  /** Throws what `say` would. */
  check(missionId: string, event: MissionEventName, data: object): void;
  /** Whether such an event is still to be sent. */
  isWaiting(missionId: string, event: MissionEventName): boolean;
  /** Whether progress has to be refused. */
  isFull(): boolean;
  warn(message: string): void;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Asks Callboard from this time on, in milliseconds, until the mission is over. @returns what ends that */
  lookFrom(missionId: string, time: number): () => void;
  /** The mission is over. */
  ended(mission: Mission): void;
}

/** Characters of an error's message that are told. */
const MAX_REASON = 10_000;

/** Milliseconds since the epoch of the last time that RFC 3339 can say. */
const LATEST = Date.UTC(9999, 11, 31);

interface PendingQuestion {
  readonly data: { readonly hitl_id: string };
  /** Whether Callboard waits for its answer; else it is to be asked once nothing holds the mission any more. */
  readonly isAsked: boolean;
  /** Milliseconds for an answer, each time that it is asked. Infinity: as many as it takes. */
  readonly span: number;
  readonly answer: (response: string) => void;
  readonly reject: (error: Error) => void;
  readonly cancelLook: () => void;
}

export class Mission {
  readonly id: string;
  readonly dispatch: DispatchPayload;
  readonly #host: MissionHost;
  readonly #abort = new AbortController();
  /** The one that waits for an answer: Callboard knows one of each mission. */
  #question: PendingQuestion | undefined;
  /** The one handle that is not an old one. */
  #handle: AssignedMission | RunningMission | SuspendedMission;
  #running: RunningMission | undefined;
  /** An operator wants it paused. What does not run has nothing to hold: that comes once it does. */
  #paused = false;
  /** What it said last that has it wait for an operator, or for `resumed()`. */
  #hold: { readonly event: 'mission.paused' | 'mission.suspended'; readonly data: object } | undefined;
  /** Why nothing may be said any more. */
  #over: string | undefined;
  /** What operators want is done one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(dispatch: DispatchPayload, host: MissionHost) {
    this.id = dispatch.mission_id;
    this.dispatch = dispatch;
    this.#host = host;
    this.#handle = this.#assigned();
  }

  /** Hands it to the program. */
  async begin(): Promise<void> {
    if (this.#over !== undefined || !('started' in this.#handle)) return;
    try {
      await this.#host.options.onDispatch(this.#handle);
    } catch (error) {
      if (this.#over === undefined)
        this.#end('mission.failed', { state: 'failed', reason: messageOf(error).slice(0, MAX_REASON) || 'error' });
      else if (!(error instanceof MissionStateError) && !this.#abort.signal.aborted)
        this.#host.warn(`onDispatch of mission ${this.id}, which is over: ${messageOf(error)}`);
    }
  }

  /** What Callboard pushed. */
  receive(pushed: Pushed): void {
    if (pushed.event === 'mission.hitl_responded') this.#answer(pushed.hitlId, pushed.response);
    else if (pushed.event === 'mission.aborted') void this.abort('an operator aborted it', true);
    else if (pushed.event === 'mission.resumed') {
      // An operator had it run on instead of answering. Not in its turn: what goes before may wait for the answer.
      if (!pushed.wasSuspended && this.#hold === undefined && this.asked !== undefined) this.#askAgain();
      this.#queue(() => this.#resume());
    } else this.#queue(() => this.#pause());
  }

  /** The id of the question that it waits for an answer to; undefined: none, or one that is still to be sent. */
  get asked(): string | undefined {
    if (!this.#question?.isAsked || this.#host.isWaiting(this.id, 'mission.hitl_required')) return undefined;
    return this.#question.data.hitl_id;
  }

  /**
   * After a resync, by which Callboard takes it to run: says again that it does not, unless that is still to come. A
   * question that is not open any more was answered, and the answer was lost, or an operator has resumed the mission: it
   * is asked again, with as much time as at first, for the time that it had may be over, and a human did answer in it.
   * @param open the ids of the questions that are open
   */
  restate(open: ReadonlySet<string>): void {
    if (this.#over !== undefined) return;
    const { asked } = this;
    if (asked !== undefined && !open.has(asked)) this.#askAgain();
    if (this.#hold !== undefined && !this.#host.isWaiting(this.id, this.#hold.event))
      this.#host.say(this.id, this.#hold.event, this.#hold.data);
  }

  /** Ends it from outside. @param tell whether Callboard waits for `mission.aborted` */
  async abort(why: string, tell: boolean): Promise<void> {
    if (this.#over !== undefined) return;
    this.#stop(`mission ${this.id} is over: ${why}`);
    this.#abort.abort(new MissionStateError(this.#over));
    await this.#call('onAbort', () => this.#host.options.onAbort?.(this.#seen()));
    if (tell) this.#host.say(this.id, 'mission.aborted', { state: 'aborted', aborted_by: 'operator' });
    this.#host.ended(this);
  }

  /**
   * Ends it here because the executor closes; a resumable one has it suspended. Of one that has not begun nothing is
   * said: Callboard, which has never heard of it, dispatches it again once the executor is back.
   */
  async leave(resumable: boolean): Promise<void> {
    if (this.#over !== undefined) return;
    const isRunning = this.#running !== undefined;
    this.#stop(`mission ${this.id} is over here: the executor closes`);
    this.#abort.abort(new MissionStateError(this.#over));
    if (resumable && isRunning) {
      const made = await this.#call('onSuspend', () => this.#host.options.onSuspend?.(this.#seen()));
      const checkpoint_id = typeof made === 'string' && made !== '' ? made : randomUUID();
      this.#host.say(this.id, 'mission.suspended', { state: 'suspended', checkpoint_id });
    }
    this.#host.ended(this);
  }

  // What the program says.

  #seen() {
    return { id: this.id, dispatch: this.dispatch, signal: this.#abort.signal };
  }

  #assigned(): AssignedMission {
    const handle: AssignedMission = {
      ...this.#seen(),
      started: (data = {}) => {
        this.#check(handle, 'has been started already');
        this.#host.say(this.id, 'mission.started', { ...data, state: 'running' });
        return this.#run();
      },
      fail: (reason, data = {}) => {
        this.#check(handle, 'has been started: fail it by the handle that started() gave');
        this.#end('mission.failed', { ...data, state: 'failed', reason });
      },
    };
    return handle;
  }

  #run(): RunningMission {
    const old = 'was suspended: go on with the handle that resumed() gives';
    const handle: RunningMission = {
      ...this.#seen(),
      progress: (data = {}) => {
        this.#check(handle, old);
        if (this.#host.isFull()) return false;
        this.#host.say(this.id, 'mission.progress', data);
        return true;
      },
      askHuman: (prompt, { context, expiresAt } = {}) => {
        this.#check(handle, old);
        if (this.#question !== undefined)
          throw new MissionStateError(
            `mission ${this.id} waits for an answer already: ask one question after the other`,
          );
        return this.#ask(prompt, context, expiresAt);
      },
      suspend: (checkpointId, reason) => {
        this.#check(handle, old);
        const data = { state: 'suspended', checkpoint_id: checkpointId, ...(reason !== undefined && { reason }) };
        this.#sayHold('mission.suspended', data);
        this.#paused = false;
        return this.#suspended(checkpointId);
      },
      complete: (data = {}) => {
        this.#check(handle, old);
        this.#end('mission.completed', { ...data, state: 'done' });
      },
      fail: (reason, data = {}) => {
        this.#check(handle, old);
        this.#end('mission.failed', { ...data, state: 'failed', reason });
      },
    };
    this.#handle = handle;
    this.#running = handle;
    this.#hold = undefined;
    if (this.#paused) this.#queue(() => this.#holdIt());
    return handle;
  }

  #suspended(checkpointId: string): SuspendedMission {
    let resumed: RunningMission | undefined;
    const handle: SuspendedMission = {
      ...this.#seen(),
      checkpointId,
      resumed: () => {
        // Callboard may have been first: after a cut, it resumes what was suspended.
        if (resumed !== undefined && this.#over === undefined) return resumed;
        this.#check(handle, 'was resumed');
        const data = { state: 'running', resumed_from: 'suspended' };
        this.#host.say(this.id, 'mission.resumed', data);
        resumed = this.#run();
        this.#askAgain();
        return resumed;
      },
    };
    this.#handle = handle;
    this.#running = undefined;
    return handle;
  }

  #check(handle: AssignedMission | RunningMission | SuspendedMission, otherwise: string): void {
    if (this.#over !== undefined) throw new MissionStateError(this.#over);
    if (handle !== this.#handle) throw new MissionStateError(`mission ${this.id} ${otherwise}`);
  }

  #ask(prompt: string, context: string | undefined, expiresAt: Date | undefined): Promise<string> {
    const { promise, resolve, reject } = withResolvers();
    const data = { hitl_id: randomUUID(), prompt, ...(context !== undefined && { context }) };
    const span = expiresAt === undefined ? Number.POSITIVE_INFINITY : expiresAt.getTime() - this.#host.now();
    const question = { data, isAsked: false, span, answer: resolve, reject, cancelLook: () => undefined };
    if (this.#hold === undefined) this.#put(question, expiresAt?.getTime());
    else {
      // It would have Callboard take a paused mission to go on. What is wrong with it is told now.
      this.#host.check(this.id, 'mission.hitl_required', askedAs(question, expiresAt?.getTime()));
      this.#question = question;
    }
    return promise;
  }

  /** Asks it, or asks it again. @param expires milliseconds since the epoch. Default: its span from now on */
  #put(question: PendingQuestion, expires = this.#host.now() + question.span): void {
    this.#host.say(this.id, 'mission.hitl_required', askedAs(question, expires));
    question.cancelLook();
    const cancelLook = Number.isFinite(expires) ? this.#host.lookFrom(this.id, expires) : () => undefined;
    this.#question = { ...question, isAsked: true, cancelLook };
  }

  /** Callboard waits for no answer: what the program waits for is asked anew, at once or once nothing holds the mission. */
  #askAgain(): void {
    if (this.#question === undefined) return;
    this.#question.cancelLook();
    this.#question = { ...this.#question, isAsked: false };
    if (this.#hold === undefined) this.#put(this.#question);
  }

  #end(event: 'mission.completed' | 'mission.failed', data: object): void {
    this.#host.say(this.id, event, data);
    this.#stop(`mission ${this.id} is over: ${event === 'mission.completed' ? 'it was completed' : 'it has failed'}`);
    this.#host.ended(this);
  }

  /** Nothing can be said from here on, and no answer comes. */
  #stop(why: string): void {
    this.#over = why;
    this.#question?.cancelLook();
    this.#question?.reject(new MissionStateError(why));
    this.#question = undefined;
  }

  // What operators want.

  #answer(hitlId: string, response: string): void {
    const question = this.#question;
    if (question?.data.hitl_id !== hitlId) return; // Answered before, or of an earlier run.
    this.#question = undefined;
    question.cancelLook();
    this.#host.say(this.id, 'mission.hitl_responded', { hitl_id: hitlId, response });
    const running = this.#running;
    if (running !== undefined)
      void this.#call('onHitlResponse', () => this.#host.options.onHitlResponse?.(running, { hitlId, response }));
    question.answer(response);
  }

  async #pause(): Promise<void> {
    if (this.#paused || this.#over !== undefined) return;
    this.#paused = true;
    await this.#holdIt();
  }

  /** What is wanted may have changed before it is its turn. */
  async #holdIt(): Promise<void> {
    if (!this.#paused || this.#over !== undefined) return;
    const running = this.#running;
    if (running !== undefined) await this.#call('onPause', () => this.#host.options.onPause?.(running));
    if (this.#over === undefined && this.#running === running) this.#sayHold('mission.paused', { state: 'paused' });
  }

  #sayHold(event: 'mission.paused' | 'mission.suspended', data: object): void {
    this.#host.say(this.id, event, data);
    this.#hold = { event, data };
  }

  async #resume(): Promise<void> {
    const suspended = this.#handle;
    if (this.#over !== undefined) return;
    if ('checkpointId' in suspended) {
      const { checkpointId } = suspended;
      this.#paused = false;
      const running = suspended.resumed();
      await this.#call('onResume', () => this.#host.options.onResume?.(running, { from: 'suspended', checkpointId }));
      return;
    }
    const running = this.#running;
    if (!this.#paused) return;
    this.#hold = undefined;
    if (running !== undefined)
      await this.#call('onResume', () => this.#host.options.onResume?.(running, { from: 'paused' }));
    if (this.#over !== undefined || this.#running !== running) return;
    this.#paused = false;
    this.#host.say(this.id, 'mission.resumed', { state: 'running', resumed_from: 'paused' });
    this.#askAgain();
  }

  #queue(act: () => Promise<void>): void {
    this.#turn = this.#turn
      .then(act)
      .catch((error: unknown) => this.#host.warn(`mission ${this.id}: ${messageOf(error)}`));
  }

  /** Calls one of the program's functions, which may throw. */
  async #call(name: string, call: () => unknown): Promise<unknown> {
    try {
      return await call();
    } catch (error) {
      this.#host.warn(`${name} of mission ${this.id}: ${messageOf(error)}`);
      return undefined;
    }
  }
}

/** The data of a question. @param expires milliseconds since the epoch; undefined or Infinity: never */
function askedAs({ data }: PendingQuestion, expires = Number.POSITIVE_INFINITY): object {
  if (expires === Number.POSITIVE_INFINITY) return data;
  return { ...data, expires_at: new Date(Math.min(expires, LATEST)).toISOString() };
}

function withResolvers() {
  let resolve: (response: string) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<string>((onAnswer, onError) => {
    resolve = onAnswer;
    reject = onError;
  });
  // Whoever does not wait for the answer is not to end the process by it.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
