/**
 * Which executor gets a mission: the policy, and the index that makes a pick cost the same among ten executors as among
 * a hundred thousand.
 *
 * Executors with one and the same set of capabilities form a crew, in which they are ranked by their load. When
 * something is asked for (a list of capabilities), the crews that offer it are ranked by policy and by the head of each.
 * That ranking then stands: it is kept right as executors come, go, take on missions and end them, and the next pick of
 * its kind is a look at its head.
 */

import type { ExecutorFilter, ExecutorPickResult, ExecutorRegistration } from '../contract/types.js';

/** An executor in the index. */
interface Seat extends Ranked {
  readonly executor: ExecutorRegistration;
  /** Counts up with every new executor: among equals, the earliest is picked. */
  readonly order: number;
  crew: Crew;
  connected: boolean;
}

/** The executors that offer one and the same set of capabilities. */
interface Crew {
  readonly signature: string;
  readonly capabilities: ReadonlySet<string>;
  /** Whether they run missions in a virtual machine or a container. */
  readonly isolated: boolean;
  /** How many they are, connected or not. */
  size: number;
  /** Those that are connected. */
  readonly ready: Ranking<Seat>;
  /** Its entries in the standing rankings; it has a place there whenever one of it is connected. */
  readonly entries: Map<Ranking<CrewEntry>, CrewEntry>;
}

/** A crew in one ranking: it may be in several. */
interface CrewEntry extends Ranked {
  readonly crew: Crew;
}

/**
 * A rank is one number, which compares fast: live missions first, then the order of registration. 2^32 executors are more
 * than will ever register; the load of one with 2^20 missions is no longer told from a higher one.
 */
const MOST_EXECUTORS = 2 ** 32;
const MOST_MISSIONS = 2 ** 20 - 1;
/** Added to the rank of crews that are no sandboxes. */
const LOCAL = 2 ** 52;

/** How many lists of capabilities keep their ranking; the oldest makes way. */
const STANDING_RANKINGS = 64;

/** All registered executors, arranged for picking one. It knows of them what it was last told. */
export class PickIndex {
  /** By executor id, in the order of registration. */
  readonly #seats = new Map<string, Seat>();
  #nextOrder = 0;
  /** By signature. */
  readonly #crews = new Map<string, Crew>();
  readonly #crewsOffering = new Map<string, Set<Crew>>();
  /** By what is required, as JSON. */
  readonly #rankings = new Map<string, { required: readonly string[]; crews: Ranking<CrewEntry> }>();

  /** Adds an executor, or takes in that its capabilities have changed. */
  put(executor: ExecutorRegistration): void {
    const signature = JSON.stringify([...new Set(executor.capabilities)].sort());
    let seat = this.#seats.get(executor.executorId);
    if (seat === undefined) {
      const crew = this.#crew(signature, executor.capabilities);
      seat = { executor, order: this.#nextOrder++, crew, connected: false, rank: 0, place: -1 };
      this.#seats.set(executor.executorId, seat);
      crew.size++;
    } else if (seat.crew.signature !== signature) {
      this.#leave(seat);
      seat.crew = this.#crew(signature, executor.capabilities);
      seat.crew.size++;
    }
    this.update(executor.executorId);
  }

  /** Takes in that an executor's connection, or the number of its live missions, has changed. */
  update(executorId: string): void {
    const seat = this.#seats.get(executorId);
    if (seat === undefined) return;
    const { crew, executor } = seat;
    const headBefore = crew.ready.head;
    seat.connected = executor.connected;
    seat.rank = Math.min(executor.currentMissions.size, MOST_MISSIONS) * MOST_EXECUTORS + seat.order;
    if (seat.connected) crew.ready.put(seat);
    else crew.ready.remove(seat);
    if (headBefore === seat || crew.ready.head === seat) rankAnew(crew);
  }

  /** Removes an executor. */
  remove(executorId: string): void {
    const seat = this.#seats.get(executorId);
    if (seat === undefined) return;
    this.#seats.delete(executorId);
    this.#leave(seat);
  }

  /**
   * Picks the executor for a mission, or `null` if none will do:
   * - it is connected, is the one that `filter.executor_id` names, if any, and has all `filter.capabilities`;
   * - a long-running mission needs one that is `resumable`;
   * - sandbox first: one with `isolation:vm` or `isolation:container` goes before any other, the local fallback;
   * - among equals the one with the fewest live missions; among those, the one that registered first.
   *
   * The result's `rejected` names every other executor that will not do, and why. It is worked out, one look at each
   * executor, when it is first read, from what is known then.
   */
  pick(filter: ExecutorFilter, longRunning: boolean): ExecutorPickResult | null {
    const required = [...(filter.capabilities ?? [])];
    const pinned = filter.executor_id ?? undefined;
    const seat = pinned === undefined ? this.#best(required, longRunning) : this.#seats.get(pinned);
    if (seat === undefined) return null;
    if (pinned !== undefined && objectionTo(seat, pinned, required, longRunning) !== undefined) return null;

    let rejected: ExecutorPickResult['rejected'] | undefined;
    const reject = () => {
      const found: ExecutorPickResult['rejected'] = [];
      for (const other of this.#seats.values()) {
        const reason = other === seat ? undefined : objectionTo(other, pinned, required, longRunning);
        if (reason !== undefined) found.push({ executorId: other.executor.executorId, reason });
      }
      return found;
    };
    return {
      executor: seat.executor,
      reason: reasonFor(seat, pinned),
      get rejected() {
        rejected ??= reject();
        return rejected;
      },
    };
  }

  #best(required: readonly string[], longRunning: boolean): Seat | undefined {
    const all = longRunning ? [...required, 'resumable'] : required;
    const key = JSON.stringify(all);
    const crews = this.#rankings.get(key)?.crews ?? this.#rank(key, all);
    return crews.head?.crew.ready.head;
  }

  /** Sets up the ranking of the crews that have all that is required. */
  #rank(key: string, required: readonly string[]): Ranking<CrewEntry> {
    if (this.#rankings.size >= STANDING_RANKINGS) this.#dropOldestRanking();
    const crews = new Ranking<CrewEntry>();
    this.#rankings.set(key, { required, crews });
    for (const crew of this.#crewsWith(required)) enter(crew, crews);
    return crews;
  }

  #dropOldestRanking(): void {
    for (const [key, { required, crews }] of this.#rankings) {
      for (const crew of this.#crewsWith(required)) crew.entries.delete(crews);
      this.#rankings.delete(key);
      return;
    }
  }

  /** The crews that have all that is required: of those with the rarest of it, the ones that have the rest. */
  *#crewsWith(required: readonly string[]): Iterable<Crew> {
    let fewest: Iterable<Crew> = this.#crews.values();
    let size = Number.POSITIVE_INFINITY;
    for (const capability of required) {
      const offering = this.#crewsOffering.get(capability);
      if (offering === undefined) return;
      if (offering.size < size) {
        fewest = offering;
        size = offering.size;
      }
    }
    for (const crew of fewest) if (hasAll(crew, required)) yield crew;
  }

  /** The crew of that signature, a new one if need be. */
  #crew(signature: string, capabilities: readonly string[]): Crew {
    const known = this.#crews.get(signature);
    if (known !== undefined) return known;
    const set = new Set(capabilities);
    const isolated = set.has('isolation:vm') || set.has('isolation:container');
    const ready = new Ranking<Seat>();
    const crew: Crew = { signature, capabilities: set, isolated, size: 0, ready, entries: new Map() };
    this.#crews.set(signature, crew);
    for (const capability of set) {
      const offering = this.#crewsOffering.get(capability);
      if (offering === undefined) this.#crewsOffering.set(capability, new Set([crew]));
      else offering.add(crew);
    }
    for (const { required, crews } of this.#rankings.values()) if (hasAll(crew, required)) enter(crew, crews);
    return crew;
  }

  /** Takes an executor out of its crew, and the crew out of the index if it was the last of it. */
  #leave(seat: Seat): void {
    const { crew } = seat;
    crew.ready.remove(seat);
    rankAnew(crew);
    crew.size--;
    if (crew.size > 0) return;
    this.#crews.delete(crew.signature);
    for (const capability of crew.capabilities) {
      const offering = this.#crewsOffering.get(capability);
      offering?.delete(crew);
      if (offering?.size === 0) this.#crewsOffering.delete(capability);
    }
  }
}

/** Gives a crew a place in a ranking, for as long as one of it is connected. */
function enter(crew: Crew, ranking: Ranking<CrewEntry>): void {
  const entry = { crew, rank: 0, place: -1 };
  crew.entries.set(ranking, entry);
  rankIn(ranking, entry);
}

/** Puts a crew whose head has changed where it now belongs in its rankings. */
function rankAnew(crew: Crew): void {
  for (const [ranking, entry] of crew.entries) rankIn(ranking, entry);
}

/** A crew ranks by its head, sandboxes before all others; without anyone ready it has no place. */
function rankIn(ranking: Ranking<CrewEntry>, entry: CrewEntry): void {
  const { head } = entry.crew.ready;
  if (head === undefined) ranking.remove(entry);
  else {
    entry.rank = entry.crew.isolated ? head.rank : head.rank + LOCAL;
    ranking.put(entry);
  }
}

function hasAll(crew: Crew, required: readonly string[]): boolean {
  for (const capability of required) if (!crew.capabilities.has(capability)) return false;
  return true;
}

/** Why an executor will not do, or `undefined` if it will. */
function objectionTo(
  seat: Seat,
  pinned: string | undefined,
  required: readonly string[],
  longRunning: boolean,
): string | undefined {
  if (pinned !== undefined && pinned !== seat.executor.executorId) return 'another executor is pinned';
  const objections: string[] = [];
  if (!seat.connected) objections.push('not connected');
  const missing = required.filter((capability) => !seat.crew.capabilities.has(capability));
  if (missing.length > 0) objections.push(`missing capabilities: ${missing.join(', ')}`);
  if (longRunning && !seat.crew.capabilities.has('resumable')) objections.push('not resumable');
  return objections.length > 0 ? objections.join('; ') : undefined;
}

function reasonFor(seat: Seat, pinned: string | undefined): string {
  if (pinned !== undefined) return 'pinned: the executor asked for';
  return seat.crew.isolated
    ? 'sandbox-first: the least loaded that runs in a vm or container'
    : 'local fallback: the least loaded, as none that runs in a vm or container will do';
}

/** What can be in a ranking: in one at a time. */
interface Ranked {
  /** The lowest goes first. */
  rank: number;
  /** Where in the ranking's heap it is; -1 if it is not. */
  place: number;
}

/**
 * Items in order of rank: the head at once, a change in O(log n). A binary heap whose items know their places. Ranks are
 * kept beside it, in an array of plain numbers: of many thousand items, most are not in the processor's cache.
 */
class Ranking<T extends Ranked> {
  readonly #heap: T[] = [];
  readonly #ranks: number[] = [];

  /** The first of all. */
  get head(): T | undefined {
    return this.#heap[0];
  }

  /** Adds an item, or moves it to where its changed rank belongs. */
  put(item: T): void {
    const heap = this.#heap;
    const ranks = this.#ranks;
    const { rank } = item;
    let place = item.place === -1 ? heap.push(item) - 1 : item.place;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above];
      const parentRank = ranks[above];
      if (parent === undefined || parentRank === undefined || rank >= parentRank) break;
      this.#set(place, parent, parentRank);
      place = above;
    }
    for (;;) {
      let below = 2 * place + 1;
      let childRank = ranks[below];
      const siblingRank = ranks[below + 1];
      if (childRank !== undefined && siblingRank !== undefined && siblingRank < childRank) {
        childRank = siblingRank;
        below++;
      }
      const child = heap[below];
      if (child === undefined || childRank === undefined || childRank >= rank) break;
      this.#set(place, child, childRank);
      place = below;
    }
    this.#set(place, item, rank);
  }

  /** Removes an item, if it is there. */
  remove(item: T): void {
    const { place } = item;
    if (place === -1) return;
    item.place = -1;
    this.#ranks.pop();
    const last = this.#heap.pop();
    if (last === undefined || last === item) return;
    this.#set(place, last, last.rank);
    this.put(last);
  }

  #set(place: number, item: T, rank: number): void {
    this.#heap[place] = item;
    this.#ranks[place] = rank;
    item.place = place;
  }
}
