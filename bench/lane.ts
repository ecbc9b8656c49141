/** The scenario `lane`: what crosses from one thread to another, and how long a question and its answer take. */
import type * as v from 'valibot';
import { runNode } from './actor-process.js';
import type { Measurement } from './actor-program.js';
import { compare, figureOf } from './compare.js';
import { laneMeasurement } from './lane-program.js';
import { distributionOf, latencyFigures } from './latencies.js';
import type { Scenario } from './scenario.js';

type Result = v.InferOutput<typeof laneMeasurement>;

export const lane: Scenario<'messages' | 'questions' | 'runs'> = {
  name: 'lane',
  shows: 'How many small messages a second cross from thread to thread, and how long a question there and back takes.',
  parameters: {
    messages: { help: 'messages of each kind', default: 1_000_000, smoke: 2_000 },
    questions: { help: 'questions of each kind', default: 5_000, smoke: 50 },
    runs: { help: 'runs of each contender, in turn', default: 3, smoke: 1 },
  },
  async run({ messages, questions, runs }, surroundings) {
    const measure = async (program: string): Promise<Result> => {
      const result = await runNode(program, { messages, questions }, laneMeasurement);
      for (const { outcome } of [result.texts, result.bytes, result.objects]) {
        if (outcome !== messages) throw new Error(`${outcome} messages were taken, not ${messages}.`);
      }
      return result;
    };
    const contenders = [
      { name: 'callboard', measure: () => measure('./callboard/lane') },
      // A floor: the same, with nothing but Node's own.
      { name: 'a MessagePort alone', measure: () => measure('./node/lane') },
    ];
    const { results, notes } = await compare(contenders, runs, surroundings);
    const perSecond = ({ seconds }: Measurement): number => messages / seconds;
    const perMessage = ({ cpuSeconds }: Measurement): number => (cpuSeconds * 1e6) / messages;
    // A MessagePort alone has no blocking questions.
    const blocking = new Map(
      [...results]
        .map(([name, all]) => [name, all.flatMap(({ askNow }) => askNow ?? [])] as const)
        .filter(([, latencies]) => latencies.length > 0),
    );
    return {
      contenders: [...results.keys()],
      figures: [
        figureOf('texts/s', 'more', results, ({ texts }) => perSecond(texts)),
        figureOf('bytes/s', 'more', results, ({ bytes }) => perSecond(bytes)),
        figureOf('objects/s', 'more', results, ({ objects }) => perSecond(objects)),
        figureOf('CPU µs/text', 'less', results, ({ texts }) => perMessage(texts)),
        figureOf('CPU µs/bytes', 'less', results, ({ bytes }) => perMessage(bytes)),
        figureOf('CPU µs/object', 'less', results, ({ objects }) => perMessage(objects)),
        ...latencyFigures('question', results, ({ ask }) => ask),
        ...latencyFigures('blocking question', blocking, (askNow) => askNow),
      ],
      curves: [],
      distributions: [
        distributionOf('a question and its answer', results, ({ ask }) => ask),
        distributionOf('a blocking question and its answer', blocking, (askNow) => askNow),
      ],
      notes,
    };
  },
};
