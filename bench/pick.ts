/** The scenario `pick`: what it costs to choose an executor for a mission, among a hundred and among a hundred thousand. */
import { randomUUID } from 'node:crypto';
import type { ExecutorRegistration } from '../src/contract/index.js';
import { PickIndex } from '../src/registry/pick.js';
import { compare, figureOf } from './compare.js';
import { readCpuTime } from './cpu.js';
import type { Report } from './report.js';
import type { Scenario } from './scenario.js';
import { spread } from './statistics.js';

/** Executors to pick from. */
interface Picker {
  add(executor: ExecutorRegistration): void;
  /** The executor with all these capabilities that is to get the next mission. */
  pick(capabilities: readonly string[]): ExecutorRegistration | undefined;
  /** Takes in that the number of an executor's live missions has changed. */
  update(executor: ExecutorRegistration): void;
}

/** What one run found, by number of executors; executors are named by their numbers. */
type Result = Map<number, { microseconds: number; pickAlone: number; firstPicked: number[] }>;

/** Callboard's index. */
function indexPicker(): Picker {
  const index = new PickIndex();
  return {
    add: (executor) => index.put(executor),
    pick: (capabilities) => index.pick({ capabilities: [...capabilities] }, false)?.executor,
    update: ({ executorId }) => index.update(executorId),
  };
}

/** The plain way: each pick looks at every executor. */
function linearScan(): Picker {
  const executors = new Map<string, ExecutorRegistration>();
  return {
    add: (executor) => void executors.set(executor.executorId, executor),
    pick(required) {
      let best: ExecutorRegistration | undefined;
      let lowest = Number.POSITIVE_INFINITY;
      for (const executor of executors.values()) {
        const { capabilities, connected, currentMissions } = executor;
        if (!connected || !required.every((capability) => capabilities.includes(capability))) continue;
        const isolated = capabilities.includes('isolation:vm') || capabilities.includes('isolation:container');
        const cost = currentMissions.size + (isolated ? 0 : 1e9);
        if (cost >= lowest) continue;
        best = executor;
        lowest = cost;
      }
      return best;
    },
    update: () => undefined,
  };
}

/** No picking at all, executors in turn: what is left is counting live missions. */
function inTurn(): Picker {
  const executors: ExecutorRegistration[] = [];
  let next = 0;
  return {
    add: (executor) => void executors.push(executor),
    pick: () => executors[next++ % executors.length],
    update: () => undefined,
  };
}

const isolations = ['isolation:none', 'isolation:container', 'isolation:vm'];
const runtimes = ['runtime:codex', 'runtime:claude', 'runtime:gemini', 'runtime:node', 'runtime:python'];
const extras = ['hitl', 'resumable', 'pty', 'gpu', 'network:open'];
/** What missions ask for: a runtime and one thing more. */
const wishes = runtimes.flatMap((runtime) => extras.map((extra) => [runtime, extra] as const));

/** The first so many picks are compared between contenders. */
const comparedPicks = 100;

/** Chance that is the same in every run. */
function repeatable(): (below: number) => number {
  let seed = 1;
  return (below) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

/** CPU time of this thread in microseconds; where there is no /proc, the time that passed. */
const cpuTime = (): number => readCpuTime(process.pid)?.mainThread ?? performance.now() * 1000;

/** Connected executors with a realistic mixture of capabilities. */
function newExecutors(count: number, chance: (below: number) => number): ExecutorRegistration[] {
  return Array.from({ length: count }, () => ({
    executorId: randomUUID(),
    name: 'bench',
    version: '1.0.0',
    specVersion: '1.0.0',
    transportEndpoints: { rest: 'http://127.0.0.1:9', ws: 'ws://127.0.0.1:9' },
    capabilities: [isolations[chance(3)] ?? '', runtimes[chance(5)] ?? '', ...extras.filter(() => chance(10) < 4)],
    token: 'token',
    connected: true,
    registeredAt: new Date().toISOString(),
    currentMissions: new Set<string>(),
  }));
}

/** As many dispatches, of which each is a pick, one live mission more, and one that ends: every executor has about one. */
function measure(picker: Picker, size: number, picks: number) {
  const chance = repeatable();
  const executors = newExecutors(size, chance);
  for (const executor of executors) picker.add(executor);
  const firstPicked: number[] = [];
  const live = executors.map((executor, index) => ({ missionId: `mission-${index}`, executor }));
  for (const { missionId, executor } of live) {
    executor.currentMissions.add(missionId);
    picker.update(executor);
  }
  let unmet = 0;
  const dispatch = (number: number): void => {
    const executor = picker.pick(wishes[number % wishes.length] ?? []);
    const ending = live[chance(size)];
    if (executor === undefined || ending === undefined) {
      unmet++;
      return;
    }
    if (firstPicked.length < comparedPicks) firstPicked.push(executors.indexOf(executor));
    ending.executor.currentMissions.delete(ending.missionId);
    picker.update(ending.executor);
    ending.executor = executor;
    executor.currentMissions.add(ending.missionId);
    picker.update(executor);
  };
  for (let number = 0; number < picks; number++) dispatch(number);
  const before = cpuTime();
  for (let number = 0; number < picks; number++) dispatch(number);
  const microseconds = (cpuTime() - before) / picks;
  // Once more, with a clock about each pick: that costs too much to be in the figure above.
  const alone = new Float64Array(picks);
  for (let number = 0; number < picks; number++) {
    const start = performance.now();
    picker.pick(wishes[number % wishes.length] ?? []);
    alone[number] = performance.now() - start;
    dispatch(number);
  }
  if (unmet > 0) throw new Error(`Among ${size} executors, nobody was picked for ${unmet} missions.`);
  return { microseconds, pickAlone: 1000 * trimmedMean(alone), firstPicked };
}

/** Without the slowest hundredth: those in which the machine did something else. */
function trimmedMean(durations: Float64Array): number {
  const kept = durations.sort().subarray(0, Math.ceil(durations.length * 0.99));
  return kept.reduce((sum, duration) => sum + duration, 0) / kept.length;
}

/** 100, 1,000, … up to the largest. */
function sizesUpTo(largest: number): number[] {
  const sizes: number[] = [];
  for (let size = 100; size <= largest; size *= 10) sizes.push(size);
  return sizes;
}

export const pick: Scenario<'largest' | 'picks' | 'runs'> = {
  name: 'pick',
  shows: 'What it costs to pick an executor by two capabilities, among more and more of them, while loads change.',
  parameters: {
    largest: { help: 'executors, at most: 100, 1,000, … up to this', default: 100_000, smoke: 1000, lowest: 100 },
    picks: { help: 'picks among each number of executors', default: 200_000, smoke: 200, lowest: comparedPicks },
    runs: { help: 'runs of each contender, in turn', default: 3, smoke: 1 },
  },
  async run({ largest, picks, runs }, surroundings): Promise<Report> {
    const sizes = sizesUpTo(largest);
    const contender = (name: string, newPicker: () => Picker, picksAmong: (size: number) => number) => ({
      name,
      measure: async (label: string): Promise<Result> =>
        new Map(
          sizes.map((size) => {
            surroundings.progress(`${label}: ${size} executors`);
            return [size, measure(newPicker(), size, picksAmong(size))] as const;
          }),
        ),
    });
    // A look at each executor is enough work: fewer picks.
    const scans = (size: number) => Math.max(comparedPicks, Math.min(picks, 10_000_000 / size));
    const callboard = contender('callboard', indexPicker, () => picks);
    const scan = contender('linear scan', linearScan, scans);
    const floor = contender('floor: in turn', inTurn, () => picks);
    const contenders = [callboard, scan, floor];
    const { results, notes } = await compare(contenders, runs, surroundings);
    const pickers = [callboard, scan].map(({ name }) => results.get(name) ?? []);
    for (const size of sizes) checkAgreement(size, pickers.flat());
    return {
      contenders: contenders.map(({ name }) => name),
      figures: sizes.flatMap((size) => [
        figureOf(
          `µs/pick among ${size.toLocaleString('en')}`,
          'less',
          results,
          (result) => result.get(size)?.pickAlone,
        ),
        figureOf(`the same, and what a dispatch changes`, 'less', results, (result) => result.get(size)?.microseconds),
      ]),
      curves: [
        {
          title: 'A pick by two capabilities',
          x: 'executors',
          y: 'µs of CPU time',
          logX: true,
          points: Object.fromEntries(Array.from(results, ([name, all]) => [name, curveOf(sizes, all)])),
        },
      ],
      distributions: [],
      notes: [
        ...notes,
        'The first figure is the time of a pick alone, while loads change between picks; a clock about it is in it (see the floor). The second is the CPU time of a pick and of what a dispatch changes: one live mission more, one that ends. The floor has all but the pick and the index.',
      ],
    };
  },
};

/** The policy is the same, and so must be the executors that are picked. */
function checkAgreement(size: number, results: readonly Result[]): void {
  const picked = results.map((result) => result.get(size)?.firstPicked.join());
  if (new Set(picked).size !== 1) throw new Error(`Among ${size} executors, contenders picked different ones.`);
}

const curveOf = (sizes: readonly number[], results: readonly Result[]) =>
  sizes.map((size): [number, number] => [
    size,
    spread(results.flatMap((result) => result.get(size)?.microseconds ?? [])).median,
  ]);
