/** A subscriber to state changes, in a server's process: it notes when it hears of each. */
import type { ServerResponse } from 'node:http';
import * as v from 'valibot';

/** What `GET /bench/state-changes/:mission_id` answers: the states of the mission in turn, and when each was heard of. */
export const stateChanges = v.object({
  states: v.array(v.string()),
  /** In nanoseconds, by `process.hrtime.bigint()`: the same clock in every process of the machine. */
  times: v.array(v.number()),
});

export const stateChangesPath = '/bench/state-changes/';

type Changes = v.InferOutput<typeof stateChanges>;

export class StateChanges {
  readonly #changes = new Map<string, Changes>();

  /** Notes that a mission has changed to `state`, now. */
  note(missionId: string, state: string): void {
    let changes = this.#changes.get(missionId);
    if (changes === undefined) {
      changes = { states: [], times: [] };
      this.#changes.set(missionId, changes);
    }
    changes.states.push(state);
    changes.times.push(Number(process.hrtime.bigint()));
  }

  /** Answers the request for this path, where it is one for state changes. @returns whether it was */
  answer(path: string, response: ServerResponse): boolean {
    if (!path.startsWith(stateChangesPath)) return false;
    const changes: Changes = this.#changes.get(path.slice(stateChangesPath.length)) ?? { states: [], times: [] };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(changes));
    return true;
  }
}
