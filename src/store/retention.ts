/**
 * What the store forgets: missions that ended long ago, and the log that is left of them.
 *
 * The log is forgotten from its oldest end, chunk by chunk. What it holds of missions that are still there outlives it,
 * as records of their own, so that a mission that never ends keeps its events, and no chunk is looked at twice.
 *
 * All of it goes by a horizon: missions that ended before it and log that was written before it are due. It follows the
 * clock at a distance; when the store has grown too large, it moves on ahead of that.
 */
import type { Engine } from './engine.js';
import { readCheckpoint } from './kept.js';
import { keys, keysOfMission, numberOf, positionOf, timeOf } from './keys.js';
import { Reader } from './reader.js';
import { recordSize, records, STATE } from './record.js';
import type { Writer } from './writer.js';

export interface RetentionOptions {
  /** Milliseconds for which a mission is kept after its end. */
  readonly retain: number;
  /** Above so many bytes ({@link Engine.size}), missions and log are forgotten before their time. Default: no bound */
  readonly maxBytes?: number;
}

/**
 * After a step: nothing is due; there is more to do, after the next flush; or the store is too large, and nothing can be
 * forgotten any more.
 */
export type Progress = 'idle' | 'more' | 'full';

// What one step does at most: a few milliseconds, so that flushes are not held up.
const MOST_MISSIONS = 50;
const MOST_CHUNKS = 4;
const MOST_BYTES = 256 * 1024;
const MOST_KEYS = 500;
/** A checkpoint is asked for so often while a mission is kept: the log lives longer by two of these parts at most. */
const CHECKPOINTS = 32;
/** Of the bound: what to come down to when it was passed. */
const ENOUGH = 0.9;
/** Milliseconds from when all was forgotten that can be until that is tried again. */
const REST = 10_000;
/** After all ends and all log. */
const FOREVER = 2 ** 48 - 1;

type Changes = Map<string, undefined | Uint8Array>;

export class Retention {
  readonly #engine: Engine;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #retain: number;
  readonly #maxBytes: number;
  /** The checkpoint whose time was kept last. */
  #timed: Uint8Array | undefined;
  /** When a checkpoint was asked for. */
  #askedAt = Number.NEGATIVE_INFINITY;
  /** The store is too large: the horizon of what is forgotten before its time, once there is a checkpoint up to here. */
  #pass: { horizon: number; isReady: boolean } | undefined;
  /** When such a pass had come to its end in vain. */
  #fullAt = Number.NEGATIVE_INFINITY;

  /** @param writer the one that writes to this engine */
  constructor(engine: Engine, writer: Writer, { retain, maxBytes = Number.POSITIVE_INFINITY }: RetentionOptions) {
    this.#engine = engine;
    this.#writer = writer;
    this.#reader = new Reader(engine);
    this.#retain = retain;
    this.#maxBytes = maxBytes;
  }

  /**
   * Forgets a part of what is due, in a commit of its own; to be called after a flush, and again for as long as there is time.
   * @param now milliseconds since the epoch
   * @throws StorageError when that cannot be written; then nothing has changed
   */
  step(now: number): Progress {
    // It could be of a mission that is deleted here, and would bring a part of it back.
    if (this.#writer.isWaiting) return 'more';
    if (this.#pass !== undefined && this.#engine.size < this.#maxBytes * ENOUGH) this.#pass = undefined;
    const horizon = Math.max(now - this.#retain, this.#pass?.horizon ?? 0);
    const changes: Changes = new Map();
    const timed = this.#keepTime(now, changes);
    const deleted = this.#deleteMissions(horizon, changes);
    const isBusy = deleted.length > 0 || this.#deleteLog(horizon, changes);
    if (changes.size > 0) this.#engine.commit(changes);
    this.#timed = timed;
    for (const number of deleted) this.#writer.forget(number);
    return isBusy ? 'more' : this.#moveOn(now);
  }

  /** Where nothing is due: whether the horizon has to move on. */
  #moveOn(now: number): Progress {
    const pass = this.#pass;
    if (pass === undefined) {
      if (this.#engine.size <= this.#maxBytes) return 'idle';
      if (Math.abs(now - this.#fullAt) < REST) return 'full';
      this.#writer.checkpoint();
      this.#pass = { horizon: 0, isReady: false };
    } else if (!pass.isReady) {
      pass.isReady = !this.#writer.isCheckpointing;
    } else if (pass.horizon < FOREVER) {
      pass.horizon = this.#nextHorizon();
    } else {
      this.#pass = undefined;
      if (this.#engine.size <= this.#maxBytes) return 'idle';
      this.#fullAt = now;
      return 'full';
    }
    return 'more';
  }

  /** So that another step's missions are due, or the log up to the next checkpoint. */
  #nextHorizon(): number {
    const ended = this.#keysOf('ended/', keys.end('ended/'), MOST_MISSIONS);
    const last = ended.length === MOST_MISSIONS ? ended.at(-1) : undefined;
    const [checkpoint] = this.#keysOf('time/', keys.end('time/'), 1);
    return Math.min(FOREVER, ...[last, checkpoint].map((key) => (key === undefined ? FOREVER : timeOf(key) + 1)));
  }

  /**
   * Keeps the time of a new checkpoint: what lies before it has its heads written, and may be deleted.
   * @returns the latest checkpoint whose time is kept, once the changes are
   */
  #keepTime(now: number, changes: Changes): Uint8Array | undefined {
    // A pass goes up to where it began.
    if (this.#pass?.isReady) return this.#timed;
    if (Math.abs(now - this.#askedAt) >= this.#retain / CHECKPOINTS) {
      this.#askedAt = now;
      this.#writer.checkpoint();
    }
    const kept = this.#engine.get(keys.checkpoint);
    if (kept === undefined || (this.#timed !== undefined && Buffer.compare(kept, this.#timed) === 0))
      return this.#timed;
    const checkpoint = new Uint8Array(kept);
    changes.set(keys.time(now), checkpoint);
    return checkpoint;
  }

  /** @returns the numbers of the missions that are gone then */
  #deleteMissions(horizon: number, changes: Changes): number[] {
    const numbers: number[] = [];
    const latest = this.#reader.latest();
    for (const ended of this.#keysOf('ended/', keys.ended(horizon), MOST_MISSIONS)) {
      if (changes.size >= MOST_KEYS) break;
      const number = numberOf(ended);
      numbers.push(number);
      // Numbers are not given out twice.
      if (number === latest) changes.set(keys.latest, Buffer.from(String(number)));
      this.#deleteMission(number, changes);
      // What it had many of may take more than one step: to readers it is gone with the first, and here with the last.
      if ([keys.mark(number), keys.outlived(number)].every((prefix) => this.#deleteAll(prefix, changes)))
        changes.set(ended, undefined);
    }
    return numbers;
  }

  #deleteMission(number: number, changes: Changes): void {
    const found = this.#reader.mission(number);
    if (found === undefined) return;
    for (const key of keysOfMission(number, found.mission, found.state.state)) changes.set(key, undefined);
    // Its id may have been given to another one.
    const { missionId } = found.mission;
    if (this.#reader.find(missionId) !== number) changes.delete(keys.number(missionId));
  }

  /** @returns whether that is all that there is below the prefix */
  #deleteAll(prefix: string, changes: Changes): boolean {
    const room = MOST_KEYS - changes.size;
    if (room <= 0) return false;
    const found = this.#keysOf(prefix, keys.end(prefix), room);
    for (const key of found) changes.set(key, undefined);
    return found.length < room;
  }

  /** @returns whether there was some to be deleted */
  #deleteLog(horizon: number, changes: Changes): boolean {
    for (const { key, value } of this.#engine.range('time/', keys.time(horizon), { limit: 1 })) {
      if (this.#deleteBefore(readCheckpoint(value), changes)) changes.set(key, undefined);
      return true;
    }
    return false;
  }

  /** @returns whether that is all that there was before the checkpoint */
  #deleteBefore(checkpoint: ReadonlyMap<number, number>, changes: Changes): boolean {
    const isKept = this.#whatIsKept();
    let chunks = 0;
    let bytes = 0;
    let before = 0;
    for (const [stream, stood] of [...checkpoint].sort(([one], [other]) => one - other)) {
      // With the streams between the two, which ended before it.
      const range = this.#engine.range(
        keys.log({ stream: before + 1, offset: 0 }),
        keys.log({ stream, offset: stood }),
      );
      for (const { key, value } of range) {
        if (chunks >= MOST_CHUNKS || bytes >= MOST_BYTES || changes.size >= MOST_KEYS) return false;
        chunks++;
        bytes += value.length;
        changes.set(key, undefined);
        const { stream, offset } = positionOf(key);
        // A copy: what is asked for below takes the place of what the engine gave out.
        const chunk = new Uint8Array(value);
        for (const { mission, ordinal, textBytes, at } of records(chunk))
          if (ordinal !== STATE && isKept(mission))
            changes.set(
              keys.outlived(mission, { stream, offset: offset + at }),
              chunk.subarray(at, at + recordSize(textBytes)),
            );
      }
      before = stream;
    }
    return true;
  }

  /** Whether a mission is there, or may yet be created: its events can come before it. */
  #whatIsKept(): (mission: number) => boolean {
    const latest = this.#reader.latest();
    const known = new Map<number, boolean>();
    return (mission) => {
      const isKept = known.get(mission) ?? (mission > latest || this.#engine.get(keys.state(mission)) !== undefined);
      known.set(mission, isKept);
      return isKept;
    };
  }

  #keysOf(from: string, to: string, limit: number): string[] {
    return Array.from(this.#engine.range(from, to, { limit }), ({ key }) => key);
  }
}
