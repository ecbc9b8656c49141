/** The human questions that are open, in the order in which they were asked: when and in which mission, not their texts. */

/** Where a question stands among the others: those asked in the same millisecond are in the order of their missions. */
export interface Place {
  /** When it was asked, in milliseconds since the epoch. */
  readonly at: number;
  /** The mission's number. */
  readonly number: number;
}

export interface OpenQuestion extends Place {
  readonly missionId: string;
}

export class Questions {
  readonly #byMission = new Map<string, OpenQuestion>();
  /** Sorted. */
  readonly #sorted: OpenQuestion[] = [];

  /** A mission's question is open; it takes the place of the one before. @param askedAt RFC 3339 */
  open(missionId: string, number: number, askedAt: string): void {
    this.close(missionId);
    const question = { missionId, number, at: millisecondsOf(askedAt) };
    this.#byMission.set(missionId, question);
    this.#sorted.splice(this.#indexAfter(question), 0, question);
  }

  /** No question of the mission is open. */
  close(missionId: string): void {
    const question = this.#byMission.get(missionId);
    if (question === undefined) return;
    this.#byMission.delete(missionId);
    this.#sorted.splice(this.#indexAfter(question) - 1, 1);
  }

  /** The oldest after that place. */
  list(after: Place, limit: number): readonly OpenQuestion[] {
    const from = this.#indexAfter(after);
    return this.#sorted.slice(from, from + limit);
  }

  /** How many are at that place or before it. */
  #indexAfter({ at, number }: Place): number {
    let low = 0;
    for (let high = this.#sorted.length; low < high; ) {
      const middle = Math.floor((low + high) / 2);
      const one = this.#sorted[middle];
      if (one !== undefined && (one.at < at || (one.at === at && one.number <= number))) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A valid time is not always one that Date knows: a leap second is taken for the one before. None is before 1970. */
function millisecondsOf(time: string): number {
  const at = Date.parse(time.replace(/:60(?=[.Zz+-])/, ':59'));
  return Number.isNaN(at) ? 0 : Math.max(0, at);
}
