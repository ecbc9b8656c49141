/** What may be said of a mission in which state is known to the types: the type check is the test, nothing here runs. */
import { test } from 'node:test';
import type { AssignedMission, ExecutorOptions, RunningMission, SuspendedMission } from '#src/client/index.js';

export function illegal(assigned: AssignedMission, running: RunningMission, suspended: SuspendedMission): void {
  // @ts-expect-error: it has not been started
  assigned.progress();
  // @ts-expect-error: it has not been started
  assigned.complete();
  // @ts-expect-error: it runs already
  running.started();
  // @ts-expect-error: it is not suspended
  running.resumed();
  // @ts-expect-error: a failure has a reason
  running.fail();
  // @ts-expect-error: no field of the contract
  running.progress({ percent: 50 });
  // @ts-expect-error: it is suspended
  suspended.progress();
  // @ts-expect-error: it is suspended
  suspended.complete();
}

/** Who an executor is has to be said, in one way. */
const rest = { url: 'http://127.0.0.1:7337', name: 'typed', onDispatch: () => undefined };
// @ts-expect-error: neither way
export const nobody: ExecutorOptions = rest;
// @ts-expect-error: both ways
export const twice: ExecutorOptions = { ...rest, executorId: 'a', identityFile: 'b' };

test('what types can refuse, the type check does', () => undefined);
