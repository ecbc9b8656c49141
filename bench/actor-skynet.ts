/** The scenario `actor-skynet`: a tree of actors, whose leaves each send a number that is summed up on the way to the top. */
import { erlangAbsent, runErlang, runNode } from './actor-process.js';
import { type Measurement, measurement } from './actor-program.js';
import { compare, figureOf } from './compare.js';
import { skynet } from './erlang/skynet.js';
import type { Scenario } from './scenario.js';

export const actorSkynet: Scenario<'levels' | 'runs'> = {
  name: 'actor-skynet',
  shows: 'How long a tree of actors takes that each start ten more, and sum up what their leaves, a million, send.',
  parameters: {
    levels: { help: 'levels below the top: there are 10 to the power of this many leaves', default: 6, smoke: 3 },
    runs: { help: 'runs of each contender, in turn', default: 3, smoke: 1 },
  },
  async run({ levels, runs }, surroundings) {
    const leaves = 10 ** levels;
    const sum = (leaves * (leaves - 1)) / 2;
    const grow = async (measure: (told: 0 | 1) => Promise<Measurement>) => {
      const [started, told] = [await measure(0), await measure(1)];
      for (const { outcome } of [started, told]) {
        if (outcome !== sum) throw new Error(`The leaves add up to ${outcome}, not ${sum}.`);
      }
      return { started, told };
    };
    const contenders = [
      {
        name: 'callboard',
        measure: () => grow((told) => runNode('./callboard/skynet', { levels, told }, measurement)),
      },
      {
        name: 'erlang',
        absent: erlangAbsent(),
        measure: () => grow((told) => runErlang(skynet, [levels, told], measurement)),
      },
    ];
    const { results, notes } = await compare(contenders, runs, surroundings);
    return {
      contenders: [...results.keys()],
      figures: [
        figureOf('seconds', 'less', results, ({ started }) => started.seconds),
        figureOf('CPU seconds', 'less', results, ({ started }) => started.cpuSeconds),
        figureOf('seconds, each told by a message', 'less', results, ({ told }) => told.seconds),
        figureOf('CPU seconds, each told by a message', 'less', results, ({ told }) => told.cpuSeconds),
      ],
      curves: [],
      distributions: [],
      notes,
    };
  },
};
