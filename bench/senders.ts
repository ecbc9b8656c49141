/** The sending half of the load generators: executors with missions that run, and the ways to pour events into them. */
import type { Agent } from 'node:http';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Arrivals } from './arrivals.js';
import { type Executor, inParallel } from './executors.js';
import { type Chunk, chunksOf, eventFrames } from './frames.js';
import { dispatch, newMissionId } from './missions.js';

const packetsPerTurn = 32;

/** How much to send: so many rounds on each connection, but none that would begin after `deadline`. */
export interface Amount {
  rounds: number;
  /** As `performance.now()` has it. */
  deadline: number;
}

/** Events for `missions` more missions, so that a round of one connection is one event for each of its missions. */
export type RoundsOf = (executorId: string, missionIds: string[]) => Buffer[];

/** An executor with missions that run, and the rounds of frames it sends for them, over and over. */
export class Sender {
  readonly executor: Executor;
  readonly missionIds: readonly string[];
  readonly rounds: readonly Buffer[];
  readonly #completed: Buffer;

  private constructor(executor: Executor, missionIds: string[], rounds: Buffer[]) {
    this.executor = executor;
    this.missionIds = missionIds;
    this.rounds = rounds;
    this.#completed = eventFrames(executor.id, missionIds, 'mission.completed', { state: 'done', exit_code: 0 });
  }

  /** Dispatches `missions` missions to an executor, starts them, and encodes what it will send. */
  static async prepare(
    agent: Agent,
    url: URL,
    executor: Executor,
    missions: number,
    arrivals: Arrivals,
    roundsOf: RoundsOf,
  ): Promise<Sender> {
    const missionIds = Array.from({ length: missions }, newMissionId);
    for (const id of missionIds) await dispatch(agent, url, id, { executor_id: executor.id });
    const sender = new Sender(executor, missionIds, roundsOf(executor.id, missionIds));
    // With a field of its own, so that servers which check `oneOf` over all shapes accept it too.
    const started = { state: 'running', agent_runtime: 'bench' };
    executor.send(eventFrames(executor.id, missionIds, 'mission.started', started), missions);
    await arrivals.started(sender);
    return sender;
  }

  /** Prepares a sender on each connection. */
  static prepareAll(
    agent: Agent,
    url: URL,
    executors: readonly Executor[],
    missions: number,
    arrivals: Arrivals,
    roundsOf: RoundsOf,
  ): Promise<Sender[]> {
    return inParallel(executors, (executor) => Sender.prepare(agent, url, executor, missions, arrivals, roundsOf));
  }

  /** Sends one round, the n-th of all. @returns whether the socket takes more without `drained` */
  sendRound(n: number): boolean {
    const round = this.rounds[n % this.rounds.length];
    return round === undefined || this.executor.send(round, this.missionIds.length);
  }

  /** Sends one of the chunks that the rounds were put into, or its first rounds. */
  sendChunk({ bytes, roundEnds }: Chunk, rounds: number): boolean {
    return this.executor.send(bytes.subarray(0, roundEnds[rounds - 1]), rounds * this.missionIds.length);
  }

  /** Ends every mission. */
  complete(): void {
    this.executor.send(this.#completed, this.missionIds.length);
  }
}

/**
 * Sends rounds over each connection in chunks of about 64 KiB, as fast as it takes them.
 *
 * @param progress told of every so many events sent
 * @returns how many rounds each connection has sent
 */
export function sendChunks(senders: readonly Sender[], amount: Amount, progress: (events: number) => void) {
  return Promise.all(senders.map((sender) => sendChunksOver(sender, amount, progress)));
}

async function sendChunksOver(sender: Sender, { rounds, deadline }: Amount, progress: (events: number) => void) {
  const chunks = chunksOf(sender.rounds);
  let sent = 0;
  for (;;) {
    for (const chunk of chunks) {
      if (sent >= rounds || performance.now() >= deadline) return sent;
      const count = Math.min(chunk.roundEnds.length, rounds - sent);
      // A new turn per chunk, even where the system takes everything: the GETs need this loop too.
      if (!sender.sendChunk(chunk, count)) await sender.executor.drained();
      await nextTurn();
      sent += count;
      progress(count * sender.missionIds.length);
    }
  }
}

/**
 * Sends rounds one at a time: a connection sends its next as soon as the system has taken the one before. With one mission
 * for each connection, each round is one small packet.
 *
 * @param progress told of every so many events sent
 * @returns how many rounds each connection has sent
 */
export async function sendPackets(
  senders: readonly Sender[],
  { rounds, deadline }: Amount,
  progress: (events: number) => void,
): Promise<number[]> {
  const sent = senders.map(() => 0);
  for (let isOver = false; !isOver && performance.now() < deadline; ) {
    isOver = true;
    let events = 0;
    for (const [index, sender] of senders.entries()) {
      // The GETs need this loop too, and would wait for a pass over thousands of connections.
      if (index % packetsPerTurn === packetsPerTurn - 1) await nextTurn();
      const count = sent[index] ?? 0;
      if (count >= rounds) continue;
      isOver = false;
      if (!sender.executor.isFree) continue;
      sender.sendRound(count);
      sent[index] = count + 1;
      events += sender.missionIds.length;
    }
    progress(events);
    // Where every connection is full, the server gets the processor.
    await (events > 0 ? nextTurn() : delay(1));
  }
  return sent;
}
