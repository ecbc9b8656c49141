/**
 * The floor under `lane`: Node's own MessagePort between two threads and nothing on it. Each message is posted by itself;
 * `null` is a question, and the answer is how many messages came so far.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import * as v from 'valibot';
import { measure, print, programValues } from '../actor-program.js';
import { smallMessages, timeQuestions } from '../lane-program.js';

/** How many may be under way. */
const AT_ONCE = 2_000;

/** JavaScript, so that a thread can run it whether this file is compiled or not. */
const taker = `
const { parentPort } = require('node:worker_threads');
let taken = 0;
parentPort.on('message', (message) => {
  if (message === null) parentPort.postMessage(taken);
  else taken++;
});`;

const { messages, questions } = programValues('messages', 'questions');
const worker = new Worker(taker, { eval: true });

async function ask(): Promise<number> {
  worker.postMessage(null);
  const [answer]: unknown[] = await once(worker, 'message');
  return v.parse(v.number(), answer);
}

/** Posts so many, resting now and then until all so far were taken, and resolves with how many that was. */
async function post(make: (index: number) => unknown, count: number): Promise<number> {
  const before = await ask();
  for (let index = 0; index < count; index++) {
    worker.postMessage(make(index));
    if (index % AT_ONCE === 0) await ask();
  }
  return (await ask()) - before;
}

const oneWay = async (make: (index: number) => unknown) => {
  await post(make, Math.ceil(messages / 5));
  return measure(() => post(make, messages));
};

print({
  texts: await oneWay(smallMessages.text),
  bytes: await oneWay(smallMessages.bytes),
  objects: await oneWay(smallMessages.object),
  ask: await timeQuestions(questions, ask),
});
await worker.terminate();
