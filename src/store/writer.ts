/**
 * The writing half of the store: takes what the actor threads have written into their journals, and what the supervisor
 * decides, and commits it together. Knows nothing of threads or files: those are its caller's and the engine's business.
 *
 * The log keeps the journals' bytes in the order of their arrival, in chunks. What is looked up by mission is small and
 * rare: its state when that changed, every 64th of its events, and, once in many megabytes of log, where its latest lies.
 */
import * as v from 'valibot';
import { isTerminal } from '../contract/transitions.js';
import type { Engine } from './engine.js';
import { headsSince } from './heads.js';
import { JournalReader, type SharedJournal } from './journal.js';
import {
  type Head,
  headSchema,
  type KeptExecutor,
  type KeptMission,
  type KeptState,
  keptMissionSchema,
  keptStateSchema,
  readCheckpoint,
  readKept,
} from './kept.js';
import { keys, keysOfMission, positionOf } from './keys.js';
import { Overlay } from './overlay.js';
import { Reader } from './reader.js';
import { EVENTS_PER_MARK, type Position } from './record.js';

/** What the supervisor has the store keep. */
export type Order =
  | { readonly type: 'executor'; readonly executor: KeptExecutor }
  | { readonly type: 'executor-gone'; readonly executorId: string }
  | { readonly type: 'mission'; readonly number: number; readonly mission: KeptMission; readonly state: KeptState }
  /** It could not be kept, and nobody is to find it. */
  | { readonly type: 'mission-gone'; readonly number: number }
  | { readonly type: 'answer'; readonly number: number; readonly answer: NonNullable<KeptMission['answer']> }
  | { readonly type: 'state'; readonly number: number; readonly state: KeptState };

/** A mission that is not over, as its actor left it. */
export interface Standing {
  readonly number: number;
  readonly missionId: string;
  readonly executorId: string;
  readonly createdAt: string;
  readonly state: KeptState;
  readonly head: Head | undefined;
}

const tsOfEvent = v.object({ ts: v.string() });

/** After so many bytes of log the heads are written, so that no more than twice that must be read at a start. */
const CHECKPOINT_EVERY = 32 * 1024 * 1024;
/** So many of them at a time. */
const HEADS_AT_ONCE = 2_000;
/** While nothing can be written, this much of the log waits in memory; beyond it, the oldest is given up. */
const LOG_WAITING = 64 * 1024 * 1024;

export class Writer {
  readonly #engine: Engine;
  /** Sees what is committed, and what waits to be. */
  readonly reader: Reader;
  readonly #journals: readonly JournalReader[];
  /** What the next commit writes; more than one flush's, while nothing can be written. */
  #changes = new Map<string, Uint8Array | undefined>();
  /** Bytes of log among them. */
  #logWaiting = 0;
  /** States of missions of which nothing is known yet: their creation is on its way. */
  readonly #early = new Map<number, Uint8Array[]>();
  /** Heads since the last checkpoint but one, and since the last. */
  #aging = new Map<number, Head>();
  #fresh = new Map<number, Head>();
  /** Where each stream stood when the fresh ones began: the checkpoint, to be written after the aging ones. */
  #freshFrom: Map<number, number> | undefined;
  #logSince = 0;
  /** The highest number that a mission had when it was opened. */
  readonly latest: number;

  /** @param journals each with a stream that `nextStream` gave out */
  constructor(engine: Engine, journals: readonly SharedJournal[]) {
    this.#engine = engine;
    this.reader = new Reader(new Overlay(engine, () => this.#changes));
    this.#journals = journals.map((journal) => new JournalReader(journal));
    const { heads, highest } = headsSince(engine);
    this.#aging = heads;
    this.latest = Math.max(highest, this.reader.latest());
    this.#age();
  }

  /** Takes an order in; the next flush keeps it. */
  order(order: Order): void {
    switch (order.type) {
      case 'executor':
        this.#put(keys.executor(order.executor.executorId), order.executor);
        break;
      case 'executor-gone':
        this.#changes.set(keys.executor(order.executorId), undefined);
        break;
      case 'mission':
        this.#create(order.number, order.mission, order.state);
        break;
      case 'mission-gone':
        this.#withdraw(order.number);
        break;
      case 'answer': {
        const mission = this.#get(keys.mission(order.number));
        if (mission !== undefined)
          this.#put(keys.mission(order.number), { ...readKept(keptMissionSchema, mission), answer: order.answer });
        break;
      }
      case 'state':
        this.#setState(order.number, encode(order.state));
    }
  }

  /**
   * Writes what came so far; it is durable when this returns.
   * @param isDue false: only takes it out of the journals, which are not to fill up while nothing can be written
   * @throws StorageError if it cannot be written: it then waits in memory for the next flush
   */
  flush(isDue = true): void {
    const ends = this.#journals.map((journal) => [journal, this.#take(journal)] as const);
    if (this.#freshFrom === undefined && this.#logSince >= CHECKPOINT_EVERY) this.#age();
    this.#writeHeads(HEADS_AT_ONCE);
    try {
      if (isDue) this.#commit();
    } finally {
      // Not before: what is not in the journal any more is looked for on disk.
      for (const [journal, end] of ends) journal.release(end);
      this.#giveUpOldest();
    }
  }

  /** Flushes, so that nothing of the log need be read at the next start. @throws StorageError */
  close(): void {
    this.flush();
    this.#age();
    this.#writeHeads(Number.POSITIVE_INFINITY);
    this.#commit();
  }

  /** Missions as they stand, without those of which there is none of that number. */
  standing(numbers: readonly number[]): Standing[] {
    const standing = numbers.flatMap((number) => this.#standing(number) ?? []);
    // Events that came later than the state have changed nothing but this.
    const later = new Map<number, Head>();
    for (const { number, head, state } of standing)
      if (head !== undefined && head.count > state.events) later.set(number, head);
    const texts = this.reader.newest(later);
    return standing.map((mission) => {
      const text = texts.get(mission.number);
      if (text === undefined) return mission;
      const { ts } = v.parse(tsOfEvent, JSON.parse(text));
      return { ...mission, state: { ...mission.state, updatedAt: ts } };
    });
  }

  #standing(number: number): Standing | undefined {
    const kept = this.#get(keys.mission(number));
    const mission = kept && readKept(keptMissionSchema, kept);
    const keptState = this.#get(keys.state(number));
    if (mission === undefined || keptState === undefined) return undefined;
    const { missionId, executorId, createdAt } = mission;
    const state = readKept(keptStateSchema, keptState);
    return { number, missionId, executorId, createdAt, state, head: this.head(number) };
  }

  /** Whether something waits to be written by the next flush. */
  get isWaiting(): boolean {
    return this.#changes.size > 0;
  }

  /** Whether a checkpoint is under way. */
  get isCheckpointing(): boolean {
    return this.#freshFrom !== undefined;
  }

  /** Begins a checkpoint, if there is something new in the log; the next flushes write it. */
  checkpoint(): void {
    if (!this.isCheckpointing && this.#logSince > 0) this.#age();
  }

  /** Takes notice that a mission was deleted: it gets no head any more. */
  forget(number: number): void {
    this.#fresh.delete(number);
    this.#aging.delete(number);
  }

  #commit(): void {
    if (this.#changes.size === 0) return;
    this.#engine.commit(this.#changes);
    this.#changes = new Map();
    this.#logWaiting = 0;
  }

  #giveUpOldest(): void {
    if (this.#logWaiting <= LOG_WAITING) return;
    for (const [key, value] of this.#changes) {
      if (value === undefined || !key.startsWith('log/')) continue;
      this.#changes.delete(key);
      this.#logWaiting -= value.length;
      if (this.#logWaiting <= LOG_WAITING) return;
    }
  }

  #take(journal: JournalReader): number {
    const { stream } = journal;
    return journal.read({
      event: (mission, ordinal, offset) => this.#onEvent(mission, ordinal, { stream, offset }),
      state: (mission, json) => this.#setState(mission, json),
      chunk: (offset, records) => {
        this.#changes.set(keys.log({ stream, offset }), records);
        this.#logWaiting += records.length;
        this.#logSince += records.length;
      },
    });
  }

  #onEvent(mission: number, ordinal: number, position: Position): void {
    this.#fresh.set(mission, { position, count: ordinal + 1 });
    if (ordinal % EVENTS_PER_MARK === EVENTS_PER_MARK - 1)
      this.#put(keys.mark(mission, (ordinal + 1) / EVENTS_PER_MARK), position);
  }

  #create(number: number, mission: KeptMission, state: KeptState): void {
    this.#put(keys.number(mission.missionId), number);
    this.#put(keys.mission(number), mission);
    this.#changes.set(keys.listed({ by: 'all' }, number), NOTHING);
    this.#changes.set(keys.listed({ by: 'executor', is: mission.executorId }, number), NOTHING);
    if (mission.sessionId !== undefined)
      this.#changes.set(keys.listed({ by: 'session', is: mission.sessionId }, number), NOTHING);
    this.#changes.set(keys.listed({ by: 'state', is: state.state }, number), NOTHING);
    this.#put(keys.state(number), state);
    for (const early of this.#early.get(number) ?? []) this.#setState(number, early);
    this.#early.delete(number);
  }

  #withdraw(number: number): void {
    const mission = this.#get(keys.mission(number));
    const state = this.#get(keys.state(number));
    if (mission === undefined || state === undefined) return;
    for (const key of keysOfMission(
      number,
      readKept(keptMissionSchema, mission),
      readKept(keptStateSchema, state).state,
    ))
      this.#changes.set(key, undefined);
    this.forget(number);
  }

  #setState(number: number, json: Uint8Array): void {
    const known = this.#get(keys.state(number));
    if (known === undefined) {
      const early = this.#early.get(number);
      if (early === undefined) this.#early.set(number, [json]);
      else early.push(json);
      return;
    }
    const before = readKept(keptStateSchema, known);
    const { state, completedAt, updatedAt } = readKept(keptStateSchema, json);
    // What is over stays over.
    if (isTerminal(before.state)) return;
    this.#changes.set(keys.state(number), json);
    if (state === before.state) return;
    this.#changes.set(keys.listed({ by: 'state', is: before.state }, number), undefined);
    this.#changes.set(keys.listed({ by: 'state', is: state }, number), NOTHING);
    if (!isTerminal(state)) return;
    this.#putHead(number);
    // By its executor's clock, which may be wrong: not before it was created, by the clock here.
    const mission = this.#get(keys.mission(number));
    const created = mission === undefined ? 0 : Date.parse(readKept(keptMissionSchema, mission).createdAt);
    const ended = Date.parse(completedAt ?? updatedAt);
    this.#changes.set(keys.ended(Math.max(created, Number.isNaN(ended) ? 0 : ended), number), NOTHING);
  }

  #get(key: string): Uint8Array | undefined {
    return this.#changes.has(key) ? this.#changes.get(key) : this.#engine.get(key);
  }

  #put(key: string, value: unknown): void {
    this.#changes.set(key, encode(value));
  }

  // Heads and checkpoints.

  /** Where a mission's latest event lies; undefined if it has none. */
  head(number: number): Head | undefined {
    const known = this.#fresh.get(number) ?? this.#aging.get(number);
    if (known !== undefined) return known;
    const kept = this.#get(keys.head(number));
    return kept && readKept(headSchema, kept);
  }

  /** Writes the head of a mission that will get no more events. */
  #putHead(number: number): void {
    const head = this.#fresh.get(number) ?? this.#aging.get(number);
    if (head !== undefined) this.#put(keys.head(number), head);
    this.forget(number);
  }

  #age(): void {
    for (const [number, head] of this.#fresh) this.#aging.set(number, head);
    this.#fresh = new Map();
    this.#freshFrom = new Map(this.#journals.map(({ stream, tail }) => [stream, tail]));
    this.#logSince = 0;
  }

  #writeHeads(most: number): void {
    if (this.#freshFrom === undefined) return;
    let count = 0;
    for (const [number, head] of this.#aging) {
      if (count++ === most) return;
      this.#put(keys.head(number), head);
      this.#aging.delete(number);
    }
    this.#put(keys.checkpoint, Object.fromEntries(this.#freshFrom));
    this.#freshFrom = undefined;
  }
}

/** The number of a stream that nothing was written in: it, and those after it, are free. */
export function nextStream(engine: Engine): number {
  let latest = Math.max(0, ...readCheckpoint(engine.get(keys.checkpoint)).keys());
  for (const { key } of engine.range('log/', keys.end('log/'), { reverse: true, limit: 1 }))
    latest = Math.max(latest, positionOf(key).stream);
  return latest + 1;
}

const NOTHING = new Uint8Array(0);

const encode = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
