/** `callboard/client`: for people who write executors. */
export type { Clock } from './clock.js';
export { MissionStateError, RegistrationError } from './errors.js';
export { createExecutor } from './executor.js';
export type {
  AssignedMission,
  EventData,
  Executor,
  ExecutorOptions,
  ResumedFrom,
  RunningMission,
  SuspendedMission,
} from './options.js';
