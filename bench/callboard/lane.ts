/** Callboard's part in `lane`: messages to an actor on a thread, and questions to it. */
import { createSystem, type Ref } from '../../src/actor/index.js';
import { measure, print, programValues } from '../actor-program.js';
import { smallMessages, timeQuestions } from '../lane-program.js';
import taker, { type Question, type SmallMessage, takerModule } from './taker.js';

const { messages, questions } = programValues('messages', 'questions');
const system = createSystem({ threads: 1 });
const to = system.spawnOnThread<typeof taker>(takerModule, undefined);
const question = (replyTo: Ref<number>): Question => ({ replyTo });

let drained: (() => void) | undefined;
system.onDrain(() => drained?.());

/** Sends so many, resting while the thread is behind, and resolves with how many were taken. */
async function send(make: (index: number) => SmallMessage, count: number): Promise<number> {
  const before = await system.ask(to, question);
  for (let index = 0; index < count; index++) {
    system.tell(to, make(index));
    if (index % 64 === 0 && system.saturated(0)) {
      await new Promise<void>((resolve) => {
        drained = resolve;
        if (!system.saturated(0)) resolve();
      });
    }
  }
  return (await system.ask(to, question, { timeout: 60_000 })) - before;
}

const oneWay = async (make: (index: number) => SmallMessage) => {
  await send(make, Math.ceil(messages / 5));
  return measure(() => send(make, messages));
};

print({
  texts: await oneWay(smallMessages.text),
  bytes: await oneWay(smallMessages.bytes),
  objects: await oneWay(smallMessages.object),
  ask: await timeQuestions(questions, () => system.ask(to, question)),
  askNow: await timeQuestions(questions, () => system.askNow(to, question)),
});
await system.close();
