/** The scenario `missions`: the memory that a live mission takes, with events and without. */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import * as v from 'valibot';
import { compare, figureOf } from './compare.js';
import { startProgram } from './program.js';
import type { Report } from './report.js';
import type { Scenario } from './scenario.js';
import { spread } from './statistics.js';

type Values = Record<'largest' | 'eventful' | 'threads' | 'runs', number>;

/** Bytes for each mission: resident memory, and of these what is in use on the heaps of the main thread and of others. */
const bytesEach = v.object({ resident: v.number(), mainThread: v.number(), threads: v.number() });
type BytesEach = v.InferOutput<typeof bytesEach>;

/** One contender's: without events by number of missions, and with 50 events each. */
interface Result {
  bare: Map<number, BytesEach>;
  eventful: BytesEach;
}

/**
 * The young generation of each thread's heap is kept small: V8 lets it grow to 48 MiB, however many missions there are, and
 * it would hide what they take.
 */
const nodeFlags = ['--expose-gc', '--max-semi-space-size=1'];

/** Measures in a process of its own. */
async function measure(of: string, missions: number, events: number, threads: number): Promise<BytesEach> {
  const args = [`--of=${of}`, `--missions=${missions}`, `--events=${events}`, `--threads=${threads}`];
  const child = startProgram('./mission-keeper', args, {}, nodeFlags);
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk).slice(-2000);
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(errors.trim() || `Measuring the memory of ${of} ended with exit code ${code}.`);
  return v.parse(bytesEach, JSON.parse(output));
}

/** 10,000, 100,000, … up to the largest; at least that. */
function sizesUpTo(largest: number): number[] {
  const sizes = [Math.min(10_000, largest)];
  for (let size = 100_000; size <= largest; size *= 10) sizes.push(size);
  return sizes;
}

const eventsEach = 50;

export const missions: Scenario<keyof Values> = {
  name: 'missions',
  shows: 'How much memory a live mission takes, without events and with its newest 50.',
  parameters: {
    largest: { help: 'missions without events, at most: 10,000, 100,000, … up to this', default: 100_000, smoke: 200 },
    eventful: { help: 'missions with 50 events each', default: 10_000, smoke: 50 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 1 },
    runs: { help: 'runs of each contender, in turn', default: 1, smoke: 1 },
  },
  async run({ largest, eventful, threads, runs }, surroundings): Promise<Report> {
    const sizes = sizesUpTo(largest);
    const contender = (name: string, of: string) => ({
      name,
      absent: existsSync('/proc/self/status') ? undefined : 'resident memory is read from /proc',
      async measure(label: string): Promise<Result> {
        const bare = new Map<number, BytesEach>();
        for (const size of sizes) {
          surroundings.progress(`${label}: ${size} missions`);
          bare.set(size, await measure(of, size, 0, threads));
        }
        surroundings.progress(`${label}: ${eventful} missions with ${eventsEach} events each`);
        return { bare, eventful: await measure(of, eventful, eventsEach, threads) };
      },
    });
    const contenders = [
      contender('callboard', 'callboard'),
      contender('ephemeral', 'ephemeral'),
      contender('plain objects', 'plain-objects'),
    ];
    const { results, notes } = await compare(contenders, runs, surroundings);
    const most = sizes.at(-1) ?? 0;
    const bare = (read: (each: BytesEach) => number) => (result: Result) => {
      const each = result.bare.get(most);
      return each && read(each);
    };
    const [many, some] = [most, eventful].map((count) => count.toLocaleString('en'));
    return {
      contenders: contenders.map(({ name }) => name),
      figures: [
        figureOf(
          `bytes/mission, ${many} without events`,
          'less',
          results,
          bare(({ resident }) => resident),
        ),
        figureOf(
          '… on the heap of the main thread',
          'less',
          results,
          bare(({ mainThread }) => mainThread),
        ),
        figureOf(
          '… on the heaps of actor threads',
          'less',
          results,
          bare(({ threads: heaps }) => heaps),
        ),
        figureOf(
          `bytes/mission, ${some} with ${eventsEach} events`,
          'less',
          results,
          ({ eventful: { resident } }) => resident,
        ),
      ],
      curves: [
        {
          title: 'The memory of a live mission without events',
          x: 'missions',
          y: 'bytes each',
          logX: true,
          points: Object.fromEntries(Array.from(results, ([name, all]) => [name, curveOf(sizes, all)])),
        },
      ],
      distributions: [],
      notes: [
        ...notes,
        'Resident anonymous memory (what no file stands behind), from the operating system, after garbage collection on every thread; less what the idle process had. Events have about 250 bytes.',
      ],
    };
  },
};

const curveOf = (sizes: readonly number[], results: readonly Result[]) =>
  sizes.map((size): [number, number] => [
    size,
    spread(results.flatMap(({ bare }) => bare.get(size)?.resident ?? [])).median,
  ]);
