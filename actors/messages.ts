/** What the product's actors say to those outside: to a connection, and to the supervisor. Plain data. */
import type { MissionState } from '../src/contract/index.js';

/** To whatever holds an executor's WebSocket. */
export type ConnectionMessage =
  /** Send this text frame. */
  | { readonly type: 'push'; readonly text: string }
  | { readonly type: 'close'; readonly code: number; readonly reason: string };

/** Why something that an executor sent was dropped. */
export type DropReason =
  | 'binary_frame'
  | 'invalid_json'
  | 'invalid_envelope'
  | 'foreign_executor'
  /** None such, or another executor's. */
  | 'unknown_mission';

/** To the supervisor's thread: what its directory has to know, and what people may want to. */
export type Report =
  | {
      readonly type: 'state';
      readonly missionId: string;
      readonly executorId: string;
      readonly state: MissionState;
      readonly prevState: MissionState;
      /** When, by the clock of whoever caused it; RFC 3339. */
      readonly at: string;
    }
  /** Events came for a mission that is over; sampled. */
  | {
      readonly type: 'late';
      readonly missionId: string;
      readonly executorId: string;
      readonly event: string;
      readonly count: number;
    }
  /** A human question is open, asked at that time (RFC 3339); it takes the place of the one before. */
  | { readonly type: 'asked'; readonly missionId: string; readonly executorId: string; readonly at: string }
  /** No question of the mission is open any more. */
  | { readonly type: 'answered'; readonly missionId: string; readonly executorId: string }
  /** The executor's resync has left out a mission that it was never heard to have. */
  | { readonly type: 'undelivered'; readonly missionId: string; readonly executorId: string }
  /** The executor's resync has listed missions that its actor does not have: some may be over, and in the store. */
  | { readonly type: 'unknown-listed'; readonly executorId: string; readonly missionIds: readonly string[] }
  /** The executor's resync names a version of the protocol that is not spoken here; sampled. */
  | { readonly type: 'protocol'; readonly executorId: string; readonly detail: string; readonly count: number }
  | { readonly type: 'warning'; readonly missionId: string; readonly executorId: string; readonly detail: string }
  /** Something was dropped; sampled. */
  | {
      readonly type: 'dropped';
      readonly executorId: string;
      readonly reason: DropReason;
      readonly count: number;
      readonly detail: string;
    }
  /** The mission's actor was given up on: the mission has failed. */
  | { readonly type: 'lost'; readonly missionId: string; readonly executorId: string; readonly at: string }
  /** The executor said that it leaves. */
  | {
      readonly type: 'leaving';
      readonly executorId: string;
      readonly reason: 'graceful_shutdown' | 'operator_deleted' | 'timeout';
    };

/** What a peer could flood is reported the first time, and whenever its count has doubled. */
export const isSampled = (count: number): boolean => Number.isInteger(Math.log2(count));
