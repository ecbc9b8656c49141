/** Measures contenders in turn, A B A B …, so that what the machine does meanwhile meets each of them alike. */
import type { Figure } from './report.js';
import type { Surroundings } from './scenario.js';

/** Somebody who takes part; `measure` makes one run. */
export interface Contender<Result> {
  readonly name: string;
  /** Why it can't take part here; undefined if it can. */
  readonly absent?: string | undefined;
  measure(label: string): Promise<Result>;
}

/**
 * @param runs of each contender
 * @returns the results of each contender that took part, in the order of the runs, and a note for each that did not
 * @throws what `measure` throws: an outcome that is not as it must be
 */
export async function compare<Result>(
  contenders: readonly Contender<Result>[],
  runs: number,
  { progress }: Pick<Surroundings, 'progress'>,
): Promise<{ results: Map<string, Result[]>; notes: string[] }> {
  const present = contenders.filter(({ absent }) => absent === undefined);
  const results = new Map<string, Result[]>(present.map(({ name }) => [name, []]));
  for (let run = 1; run <= runs; run++) {
    for (const { name, measure } of present) {
      const label = runs === 1 ? name : `${name}, run ${run} of ${runs}`;
      progress(label);
      results.get(name)?.push(await measure(label));
    }
  }
  const notes = contenders.flatMap(({ name, absent }) =>
    absent === undefined ? [] : [`${name} is skipped: ${absent}.`],
  );
  return { results, notes };
}

/** A line of the report: what `read` finds in the results of each contender; undefined where one has no such figure. */
export function figureOf<Result>(
  title: string,
  better: Figure['better'],
  results: ReadonlyMap<string, readonly Result[]>,
  read: (result: Result) => number | undefined,
): Figure {
  const samples = Array.from(results, ([name, all]) => [name, all.flatMap((result) => read(result) ?? [])] as const);
  return { title, better, samples: Object.fromEntries(samples.filter(([, values]) => values.length > 0)) };
}
