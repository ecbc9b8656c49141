/** How it is seen that a server has taken in everything that was sent: by the states of missions, or by counts of frames. */
import type { Agent } from 'node:http';
import * as v from 'valibot';
import { type Fleet, inParallel } from './executors.js';
import { sendExpecting } from './http-client.js';
import { checkNewest, consecutiveIterations, missionIn, readMissionStatus } from './missions.js';
import type { Sender } from './senders.js';

export interface Arrivals {
  /** Resolves when the missions of a sender run. */
  started(sender: Sender): Promise<void>;
  /**
   * Resolves when everything has been processed, the ends of all missions included.
   *
   * @param onFirst called when that is true of some
   */
  processed(senders: readonly Sender[], onFirst: () => void): Promise<void>;
  /** Checks what has arrived. @param rounds how many each sender has sent @throws where something is missing */
  check(senders: readonly Sender[], rounds: readonly number[]): Promise<void>;
  /** Checks the answer to a GET while events flow. */
  glance(url: URL, body: unknown): void;
}

/** For servers of the contract. @param ring modulo which `data.iteration` of the events counts */
export function arrivalsByState(agent: Agent, fleet: Fleet, ring: number): Arrivals {
  const inState = (state: string, { executor }: Sender, id: string) =>
    missionIn(state, agent, fleet.url, id, executor.closed);
  return {
    async started(sender) {
      for (const id of sender.missionIds) await inState('running', sender, id);
    },
    async processed(senders, onFirst) {
      const [first] = senders;
      const id = first?.missionIds.at(-1);
      if (first !== undefined && id !== undefined) await inState('done', first, id);
      onFirst();
      // One question for all: thousands of them would take longer than what they ask about.
      await fleet.idle(senders.map(({ executor }) => executor));
    },
    async check(senders, rounds) {
      await inParallel([...senders.entries()], async ([index, sender]) => {
        for (const id of sender.missionIds)
          checkNewest(id, await inState('done', sender, id), rounds[index] ?? 0, ring);
      });
    },
    glance(url, body) {
      if (url.pathname.includes('/missions/')) consecutiveIterations(url.pathname, readMissionStatus(body), ring);
    },
  };
}

const frameCounts = v.object({ frames: v.record(v.string(), v.number()) });

/** For bench/floor.ts, which counts the frames of each executor, and knows no states. */
export function arrivalsByCount(agent: Agent, { url }: Fleet): Arrivals {
  return {
    async started({ executor }) {
      await executor.decoded();
    },
    async processed(senders, onFirst) {
      await Promise.all(senders.map(({ executor }) => executor.decoded().then(onFirst)));
    },
    async check(senders) {
      const { frames } = v.parse(frameCounts, await sendExpecting(200, agent, 'GET', new URL('/bench/frames', url)));
      for (const { executor } of senders) {
        const { [executor.id]: count = 0 } = frames;
        if (count !== executor.frames) {
          throw new Error(`${executor.id}: ${count} frames have arrived; ${executor.frames} were sent.`);
        }
      }
    },
    glance() {},
  };
}
