/** The scenario `actor-pingpong`: two actors return a ball to each other. */
import { erlangAbsent, runErlang, runNode } from './actor-process.js';
import { type Measurement, measurement } from './actor-program.js';
import { compare, figureOf } from './compare.js';
import { pingpong } from './erlang/pingpong.js';
import { missingPackages } from './packages.js';
import type { Scenario } from './scenario.js';

export const actorPingpong: Scenario<'messages' | 'crossings' | 'runs'> = {
  name: 'actor-pingpong',
  shows: 'How many messages a second two actors pass to and fro: on one thread, and from thread to thread.',
  parameters: {
    messages: { help: 'times the ball is received, on one thread', default: 5_000_000, smoke: 2_000 },
    crossings: { help: 'times it is received, between two threads', default: 50_000, smoke: 200 },
    runs: { help: 'runs of each contender, in turn', default: 3, smoke: 1 },
  },
  async run({ messages, crossings, runs }, surroundings) {
    const play = async (count: number, measure: (warmup: number) => Promise<Measurement>) => {
      const { outcome, ...times } = await measure(Math.ceil(count / 5));
      if (outcome !== count) throw new Error(`The ball was received ${outcome} times, not ${count}.`);
      return { ...times, messages: count };
    };
    const onNode = (program: string, count: number, threads: number) =>
      play(count, (warmup) => runNode(program, { messages: count, warmup, threads }, measurement));
    const contenders = [
      { name: 'callboard', measure: () => onNode('./callboard/pingpong', messages, 0) },
      { name: 'callboard, two threads', measure: () => onNode('./callboard/pingpong', crossings, 1) },
      { name: 'nact', absent: missingPackages('nact'), measure: () => onNode('./nact/pingpong', messages, 0) },
      {
        name: 'erlang',
        absent: erlangAbsent(),
        measure: () => play(messages, (warmup) => runErlang(pingpong, [messages, warmup], measurement)),
      },
    ];
    const { results, notes } = await compare(contenders, runs, surroundings);
    return {
      contenders: [...results.keys()],
      figures: [
        figureOf('messages/s', 'more', results, (result) => result.messages / result.seconds),
        figureOf('CPU µs/message', 'less', results, (result) => (result.cpuSeconds * 1e6) / result.messages),
      ],
      curves: [],
      distributions: [],
      notes,
    };
  },
};
