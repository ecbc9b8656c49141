/**
 * The reading half of the store: missions, their events and lists of them, from what is committed. It sees one moment of
 * the store until it is refreshed.
 */
import { liveStates } from '../contract/transitions.js';
import type { MissionState } from '../contract/types.js';
import type { ReadableEngine } from './engine.js';
import {
  type Head,
  headSchema,
  type KeptExecutor,
  type KeptMission,
  type KeptState,
  keptExecutorSchema,
  keptMissionSchema,
  keptStateSchema,
  readKept,
} from './kept.js';
import { keys, type ListedBy, numberOf, positionOf } from './keys.js';
import { EVENTS_PER_MARK, type FoundRecord, type Position, recordAt } from './record.js';

/** A mission as it was kept. */
export interface StoredMission {
  readonly number: number;
  readonly mission: KeptMission;
  readonly state: KeptState;
}

/** Which missions: all of what is given must hold. */
export interface MissionFilter {
  readonly state?: MissionState;
  readonly executorId?: string;
  readonly sessionId?: string;
  /** Created at this time or later; milliseconds since the epoch. */
  readonly since?: number;
}

export interface MissionPage {
  readonly missions: readonly StoredMission[];
  /** The number after which the next page begins; undefined: there are no more. */
  readonly next: number | undefined;
}

export interface EventPage {
  /** JSON texts, oldest first. */
  readonly texts: readonly string[];
  /** How many events come before the next page; undefined: there are no more. */
  readonly next: number | undefined;
}

/** A page of missions looks at no more than so many that the filter may leave out. */
const MOST_LOOKED_AT = 5_000;

export class Reader {
  readonly #engine: ReadableEngine;
  /** The chunk that was read last, while nothing else is read: events that are wanted together often lie near each other. */
  #chunk: { readonly stream: number; readonly offset: number; readonly bytes: Uint8Array } | undefined;

  constructor(engine: ReadableEngine) {
    this.#engine = engine;
  }

  /** Lets it see what was committed meanwhile. */
  refresh(): void {
    this.#engine.refresh();
  }

  *executors(): Iterable<KeptExecutor> {
    for (const { value } of this.#engine.range('executor/', keys.end('executor/')))
      yield readKept(keptExecutorSchema, value);
  }

  /** The number of the mission with that id. */
  find(missionId: string): number | undefined {
    const number = this.#engine.get(keys.number(missionId));
    return number && Number(Buffer.from(number).toString());
  }

  /** The highest number that a mission ever had; 0 if there never was one. */
  latest(): number {
    const kept = this.#engine.get(keys.latest);
    let latest = kept === undefined ? 0 : Number(Buffer.from(kept).toString());
    const prefix = keys.listed({ by: 'all' });
    for (const { key } of this.#engine.range(prefix, keys.end(prefix), { reverse: true, limit: 1 }))
      latest = Math.max(latest, numberOf(key));
    return latest;
  }

  /** The numbers of all missions that are not over. */
  live(): number[] {
    return liveStates.flatMap((state) => {
      const prefix = keys.listed({ by: 'state', is: state });
      return Array.from(this.#engine.range(prefix, keys.end(prefix)), ({ key }) => numberOf(key));
    });
  }

  mission(number: number): StoredMission | undefined {
    const kept = this.#engine.get(keys.mission(number));
    if (kept === undefined) return undefined;
    const mission = readKept(keptMissionSchema, kept);
    const state = this.#engine.get(keys.state(number));
    return state && { number, mission, state: readKept(keptStateSchema, state) };
  }

  /** Where a mission's latest event lies, as of the last checkpoint or, if it is over, its end. */
  head(number: number): Head | undefined {
    const kept = this.#engine.get(keys.head(number));
    return kept && readKept(headSchema, kept);
  }

  /** Missions in the order of their creation. @param after the number of the one before the first */
  list(filter: MissionFilter, after: number, limit: number): MissionPage {
    const missions: StoredMission[] = [];
    const listed = narrowest(filter);
    const from = Math.max(after + 1, filter.since === undefined ? 0 : this.#firstSince(filter.since));
    let looks = 0;
    let last = after;
    for (const { key } of this.#engine.range(keys.listed(listed, from), keys.end(keys.listed(listed)))) {
      if (missions.length === limit || looks++ === MOST_LOOKED_AT) return { missions, next: last };
      last = numberOf(key);
      const found = this.mission(last);
      if (found !== undefined && fits(found, filter)) missions.push(found);
    }
    return { missions, next: undefined };
  }

  /** A mission's newest events up to one. @returns their texts, oldest first */
  recent(number: number, latest: Head | undefined, limit: number): string[] {
    const texts: string[] = [];
    if (latest === undefined || limit <= 0) return texts;
    for (const { text } of this.#back(number, latest.position, latest.count))
      if (texts.push(textOf(text)) === limit) break;
    return texts.reverse();
  }

  /**
   * The newest event of each of some missions.
   * @param heads where they lie, by mission
   * @returns their texts, by mission; without those of which none is left
   */
  newest(heads: ReadonlyMap<number, Head>): Map<number, string> {
    this.#chunk = undefined;
    const texts = new Map<number, string>();
    for (const [number, { position, count }] of heads) {
      const record = this.#record(number, position) ?? this.#beforeGap(number, count);
      if (record !== undefined) texts.set(number, textOf(record.text));
    }
    return texts;
  }

  /**
   * A mission's events in the order in which they came.
   * @param after how many to leave out
   * @param head of a mission that is not over: where its latest event lies, which must be committed
   */
  history(number: number, after: number, limit: number, head: Head | undefined = this.head(number)): EventPage {
    if (head === undefined || after >= head.count) return { texts: [], next: undefined };
    const end = Math.min(head.count, after + limit);
    // From the mark after the last one, or from the latest.
    const mark = Math.ceil(end / EVENTS_PER_MARK);
    const marked = mark * EVENTS_PER_MARK < head.count ? this.#mark(number, mark) : undefined;
    const texts: string[] = [];
    const before = marked === undefined ? head.count : mark * EVENTS_PER_MARK;
    for (const { ordinal, text } of this.#back(number, marked ?? head.position, before)) {
      if (ordinal < after) break;
      if (ordinal < end) texts.push(textOf(text));
    }
    return { texts: texts.reverse(), next: end < head.count ? end : undefined };
  }

  #mark(number: number, mark: number): Position | undefined {
    this.#chunk = undefined;
    const kept = this.#engine.get(keys.mark(number, mark));
    return kept && readKept(headSchema.entries.position, kept);
  }

  /** A mission's events from one back. @param count how many there are up to that one */
  *#back(number: number, latest: Position, count: number): Iterable<FoundRecord> {
    // What an engine gave out before may be gone by now.
    this.#chunk = undefined;
    let position: Position | undefined = latest;
    for (let ordinal = count; position !== undefined; ) {
      const record: FoundRecord | undefined = this.#record(number, position) ?? this.#beforeGap(number, ordinal);
      if (record === undefined) return;
      yield record;
      ordinal = record.ordinal;
      position = record.before;
    }
  }

  /** The latest marked event before a part of the log that was given up while nothing could be written. */
  #beforeGap(number: number, ordinal: number): FoundRecord | undefined {
    for (let mark = Math.floor(ordinal / EVENTS_PER_MARK); mark > 0; mark--) {
      const position = this.#mark(number, mark);
      const record = position && this.#record(number, position);
      if (record !== undefined) return record;
    }
    return undefined;
  }

  #record(number: number, position: Position): FoundRecord | undefined {
    const { stream, offset } = position;
    const held = this.#chunk;
    if (held?.stream === stream && offset >= held.offset && offset < held.offset + held.bytes.length)
      return recordAt(held.bytes, offset - held.offset);
    const upTo = keys.log({ stream, offset: offset + 1 });
    const range = { reverse: true, limit: 1 } as const;
    for (const { key, value } of this.#engine.range(keys.log({ stream, offset: 0 }), upTo, range)) {
      const begins = positionOf(key).offset;
      if (offset >= begins + value.length) break;
      this.#chunk = { stream, offset: begins, bytes: value };
      return recordAt(value, offset - begins);
    }
    this.#chunk = undefined;
    const outlived = this.#engine.get(keys.outlived(number, position));
    return outlived && recordAt(outlived, 0);
  }

  /** The number of the first mission that was created at that time or later: numbers are in the order of creation. */
  #firstSince(since: number): number {
    let low = 1;
    let high = this.latest() + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const created = this.#createdFrom(middle, high);
      if (created === undefined) high = middle;
      else if (created.at < since) low = created.number + 1;
      else high = middle;
    }
    return low;
  }

  /** The first mission with that number or a later one below `end`. */
  #createdFrom(number: number, end: number): { readonly number: number; readonly at: number } | undefined {
    for (const { key, value } of this.#engine.range(keys.mission(number), keys.mission(end), { limit: 1 }))
      return { number: numberOf(key), at: Date.parse(readKept(keptMissionSchema, value).createdAt) };
    return undefined;
  }
}

/** The list in which to look: the one that is likely to be the shortest. */
function narrowest({ state, executorId, sessionId }: MissionFilter): ListedBy {
  if (sessionId !== undefined) return { by: 'session', is: sessionId };
  if (executorId !== undefined) return { by: 'executor', is: executorId };
  return state === undefined ? { by: 'all' } : { by: 'state', is: state };
}

const fits = ({ mission, state }: StoredMission, filter: MissionFilter): boolean =>
  (filter.state === undefined || state.state === filter.state) &&
  (filter.executorId === undefined || mission.executorId === filter.executorId) &&
  (filter.sessionId === undefined || mission.sessionId === filter.sessionId);

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
