/** What a program that brings its own executor says, and what it is given. */
import type { ContractEvent, DispatchPayload, MissionEventName } from '../contract/index.js';
import type { Clock } from './clock.js';

/** The data of an event; the SDK adds the `state` that belongs to it. */
export type EventData<N extends MissionEventName> = Omit<
  NonNullable<Extract<ContractEvent, { event: N }>['data']>,
  'state'
>;

interface MissionHandle {
  readonly id: string;
  /** What was dispatched. */
  readonly dispatch: DispatchPayload;
  /**
   * Aborts when the mission is over without its own doing: an operator aborted it, Callboard says that it has failed or
   * does not know it any more, or the executor closes.
   */
  readonly signal: AbortSignal;
}

/** A mission that has been taken and not begun. */
export interface AssignedMission extends MissionHandle {
  /** Says that the work begins. */
  started(data?: EventData<'mission.started'>): RunningMission;
  /** Ends the mission. @param reason one word or sentence for Callboard's `error` */
  fail(reason: string, data?: Omit<EventData<'mission.failed'>, 'reason'>): void;
}

/** A mission that runs. */
export interface RunningMission extends MissionHandle {
  /** Says how far it is. @returns false where the queue is full: this event is not sent, the next may be */
  progress(data?: EventData<'mission.progress'>): boolean;
  /**
   * Asks a human and waits for the answer, across cuts of the connection; one question at a time. While the mission is
   * paused, nobody is asked until it is resumed. The question is asked again where its answer was lost in a cut, and where
   * the mission is resumed instead of being answered.
   * @param options.expiresAt when Callboard fails the mission if there is no answer; where the question is asked again or
   * later, it has as much time as it would have had
   * @throws MissionStateError if the mission ends before, or another question waits
   */
  askHuman(prompt: string, options?: { readonly context?: string; readonly expiresAt?: Date }): Promise<string>;
  /** Says that the work can be taken up again at this checkpoint. */
  suspend(checkpointId: string, reason?: string): SuspendedMission;
  /** Ends the mission: it is done. */
  complete(data?: EventData<'mission.completed'>): void;
  /** Ends the mission. @param reason one word or sentence for Callboard's `error` */
  fail(reason: string, data?: Omit<EventData<'mission.failed'>, 'reason'>): void;
}

/** A mission that waits at a checkpoint. */
export interface SuspendedMission extends MissionHandle {
  readonly checkpointId: string;
  /** Says that the work goes on. Where Callboard has resumed it already, nothing is said twice. */
  resumed(): RunningMission;
}

/** Where a resumed mission was. */
export type ResumedFrom = { readonly from: 'paused' } | { readonly from: 'suspended'; readonly checkpointId: string };

/** Who the executor is: a file that is made at the first run, or a UUID. */
type Identity =
  | { readonly identityFile: string; readonly executorId?: never }
  | { readonly executorId: string; readonly identityFile?: never };

export type ExecutorOptions = Identity & {
  /** The URL of Callboard. */
  readonly url: string;
  /** For people, at most 128 characters. */
  readonly name: string;
  /** Of the contract: `resumable`, `isolation:…`, `x-anything`. Default: none. */
  readonly capabilities?: readonly string[];
  /** The executor's own. Default: 1.0.0. */
  readonly version?: string;
  readonly a2aInstanceId?: string;
  /**
   * Where it takes dispatches. Default: any free port of 127.0.0.1, and the URL that follows from that, which only a
   * Callboard on the same machine can reach; so it is with a `host` that means every address, unless `publicUrl` is given.
   */
  readonly listen?: { readonly host?: string; readonly port?: number; readonly publicUrl?: string };
  /** Whether it dials Callboard's WebSocket, or waits to be dialled where it takes dispatches. Default: `dial`. */
  readonly connect?: 'dial' | 'listen';
  /**
   * Events that may wait while Callboard is away; then progress and dispatches are refused. Default: 10,000. Dispatches
   * are refused, too, while the ids of its missions fill 1 MiB, a frame that has to list them: some 26,000 UUIDs.
   */
  readonly maxQueued?: number;
  /** Gives up registering. */
  readonly signal?: AbortSignal;
  /** For tests. */
  readonly clock?: Clock;
  /** For tests: from 0 to below 1, spreads the waits before attempts. */
  readonly random?: () => number;
  /** Told what people may want to know, in one line: a lost connection, a refused registration. */
  readonly onWarning?: (message: string) => void;

  /** Does the work. If it throws, the mission fails with the error's message; if it only returns, the mission runs on. */
  readonly onDispatch: (mission: AssignedMission) => unknown;
  /**
   * Holds the work; `mission.paused` is sent once it resolves. Of a mission that was paused before `started()`, or while
   * it was suspended, it is called right after `started()` or `resumed()`, unless it was resumed meanwhile.
   */
  readonly onPause?: (mission: RunningMission) => unknown;
  /**
   * Goes on with the work; `mission.resumed` is sent once it resolves, and then a question is asked that waits for that: it
   * is not to wait for one that was asked before. Whatever else operators want of the mission, but for answers and an abort,
   * waits for it, as it does for `onPause`.
   */
  readonly onResume?: (mission: RunningMission, resumed: ResumedFrom) => unknown;
  /** Ends the work, of which `signal` has told already; `mission.aborted` is sent once it resolves. */
  readonly onAbort?: (mission: Pick<RunningMission, 'id' | 'dispatch' | 'signal'>) => unknown;
  /** Told every answer, also where `askHuman` waits for it. */
  readonly onHitlResponse?: (mission: RunningMission, answer: { hitlId: string; response: string }) => unknown;
  /**
   * With the capability `resumable`, at `close`: keeps the work of a mission that runs. The next process does not take
   * it up: Callboard fails the mission 30 seconds after that has connected, with `lost_by_executor`.
   * @returns the id of its checkpoint, or one is made up
   */
  readonly onSuspend?: (
    mission: Pick<RunningMission, 'id' | 'dispatch' | 'signal'>,
  ) => string | undefined | Promise<string | undefined>;
};

/** An executor at work, until it is closed or an operator deletes it while it is connected: then its missions abort. */
export interface Executor {
  readonly id: string;
  /** Where it takes dispatches. */
  readonly url: string;
  /** Whether a connection to Callboard stands. */
  readonly connected: boolean;
  /** Resolves once it is closed, by `close()` or because an operator has deleted it. */
  readonly closed: Promise<void>;
  /**
   * Takes no more dispatches, suspends the missions that run if it is `resumable`, waits up to five seconds until
   * Callboard has all that was said, and deregisters, by which the missions of one that is not `resumable` fail. Missions
   * that had not begun are dispatched again to a `resumable` one that comes back; suspended ones fail then, see
   * `onSuspend`.
   */
  close(): Promise<void>;
}
