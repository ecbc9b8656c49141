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
