/** The scenario `actor-spawn`: what it costs to start an actor, to have it, and to stop it. */
import type * as v from 'valibot';
import { erlangAbsent, runErlang, runNode } from './actor-process.js';
import { spawnMeasurement } from './actor-program.js';
import { compare, figureOf } from './compare.js';
import { spawn } from './erlang/spawn.js';
import { missingPackages } from './packages.js';
import type { Scenario } from './scenario.js';

type Result = v.InferOutput<typeof spawnMeasurement>;

export const actorSpawn: Scenario<'actors' | 'runs'> = {
  name: 'actor-spawn',
  shows: 'What it takes to start an actor and to stop it, and the memory of one that is idle.',
  parameters: {
    actors: { help: 'idle actors', default: 200_000, smoke: 500 },
    runs: { help: 'runs of each contender, in turn', default: 3, smoke: 1 },
  },
  async run({ actors, runs }, surroundings) {
    const check = (result: Result): Result => {
      const [started, left] = [result.started.outcome, result.stopped.outcome];
      if (started !== actors || left !== 0) throw new Error(`${started} actors were started, and ${left} not stopped.`);
      return result;
    };
    const onNode = async (program: string, threads: number) =>
      check(await runNode(program, { actors, threads }, spawnMeasurement));
    const contenders = [
      { name: 'callboard', measure: () => onNode('./callboard/spawn', 0) },
      { name: 'callboard, on a thread', measure: () => onNode('./callboard/spawn', 1) },
      { name: 'nact', absent: missingPackages('nact'), measure: () => onNode('./nact/spawn', 0) },
      {
        name: 'erlang',
        absent: erlangAbsent(),
        measure: async () => check(await runErlang(spawn, [actors], spawnMeasurement)),
      },
    ];
    const { results, notes } = await compare(contenders, runs, surroundings);
    const each = (seconds: number): number => (seconds * 1e6) / actors;
    return {
      contenders: [...results.keys()],
      figures: [
        figureOf('start µs/actor', 'less', results, ({ started }) => each(started.seconds)),
        figureOf('start CPU µs/actor', 'less', results, ({ started }) => each(started.cpuSeconds)),
        figureOf('bytes/idle actor', 'less', results, ({ bytes }) => bytes / actors),
        figureOf('stop µs/actor', 'less', results, ({ stopped }) => each(stopped.seconds)),
        figureOf('stop CPU µs/actor', 'less', results, ({ stopped }) => each(stopped.cpuSeconds)),
      ],
      curves: [],
      distributions: [],
      notes,
    };
  },
};
