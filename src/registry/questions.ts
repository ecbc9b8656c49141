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
    this.#sorted.splice(indexAfter(this.#sorted, question), 0, question);
  }

  /** No question of the mission is open. */
  close(missionId: string): void {
    const question = this.#byMission.get(missionId);
    if (question === undefined) return;
    this.#byMission.delete(missionId);
    this.#sorted.splice(indexAfter(this.#sorted, question) - 1, 1);
  }

  /** The oldest after that place. @param missionIds of these missions. Default: of all */
  list(after: Place, limit: number, missionIds?: readonly string[]): readonly OpenQuestion[] {
    const sorted = missionIds === undefined ? this.#sorted : this.#of(missionIds);
    const from = indexAfter(sorted, after);
    return sorted.slice(from, from + limit);
  }

  #of(missionIds: readonly string[]): readonly OpenQuestion[] {
    const questions = missionIds.flatMap((missionId) => this.#byMission.get(missionId) ?? []);
    return questions.sort((a, b) => a.at - b.at || a.number - b.number);
  }
}

/** How many are at that place or before it. */
function indexAfter(sorted: readonly OpenQuestion[], { at, number }: Place): number {
  let low = 0;
  for (let high = sorted.length; low < high; ) {
    const middle = Math.floor((low + high) / 2);
    const one = sorted[middle];
    if (one !== undefined && (one.at < at || (one.at === at && one.number <= number))) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A valid time is not always one that Date knows: a leap second is taken for the one before. None is before 1970. */
function millisecondsOf(time: string): number {
  const at = Date.parse(time.replace(/:60(?=[.Zz+-])/, ':59'));
  return Number.isNaN(at) ? 0 : Math.max(0, at);
}
