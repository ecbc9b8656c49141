/**
 * Pages of the human questions that are open. Which there are is known here; their texts only the missions' actors have,
 * and each may fill a frame.
 */
import type { Question } from '../../actors/mission-state.js';
import { AskError, type Ref, type System } from '../actor/index.js';
import type { QuestionsQuery } from '../contract/index.js';
import type { Directory } from './directory.js';
import type { ExecutorActors } from './executor-actors.js';
import type { OpenQuestion, Place, Questions } from './questions.js';

/** A page ends with the question that fills it up to so many bytes. */
const MAX_PAGE = 4 * 1024 * 1024;
/** Questions whose texts are asked for at once: all of them may be long. */
const AT_ONCE = 16;
/** Milliseconds that a thread has to answer. */
const PATIENCE = 1_000;

/** An open human question, as it is listed. */
interface Asked {
  readonly mission_id: string;
  readonly executor_id: string;
  readonly hitl_id: string;
  /** Empty where an earlier version of Callboard kept none. */
  readonly prompt: string;
  readonly context?: string;
  readonly asked_at: string;
  readonly expires_at?: string;
}

export interface QuestionPage {
  /** In the order in which they were asked. */
  readonly questions: readonly Asked[];
  /** Missions that have an open question in the page, too, which could not be read: their thread does not answer. */
  readonly unread: readonly string[];
  /** Where the page ends, if others may follow. */
  readonly next: Place | undefined;
}

export interface QuestionPagesOptions<Kept> {
  readonly directory: Directory;
  readonly actors: ExecutorActors<Kept>;
  readonly questions: Questions;
  readonly system: System;
}

export class QuestionPages<Kept> {
  readonly #options: QuestionPagesOptions<Kept>;

  constructor(options: QuestionPagesOptions<Kept>) {
    this.#options = options;
  }

  /** @throws AskError where one executor's are wanted, and its thread does not answer: there is nothing else to say then */
  async read({ executor_id: executorId, cursor, limit }: QuestionsQuery): Promise<QuestionPage> {
    const { directory, questions: all } = this.#options;
    const missions = executorId === undefined ? undefined : directory.liveMissions(executorId);
    const open = all.list(
      cursor,
      limit,
      missions?.map(({ missionId }) => missionId),
    );
    const questions: Asked[] = [];
    const unread: string[] = [];
    /** Threads that have not answered: they are not waited for again. */
    const silent = new Set<number | undefined>();
    let bytes = 0;
    for (let from = 0; from < open.length; from += AT_ONCE) {
      const some = open.slice(from, from + AT_ONCE);
      const read = await Promise.all(
        some.map((one) => (executorId === undefined ? this.#tryToAsk(one, silent) : this.#ask(one, executorId))),
      );
      for (const [index, one] of some.entries()) {
        const question = read[index];
        if (question === 'unread') unread.push(one.missionId);
        else if (question !== undefined) questions.push(question);
        bytes += Buffer.byteLength(JSON.stringify(question ?? ''));
        if (bytes >= MAX_PAGE) return { questions, unread, next: one };
      }
    }
    return { questions, unread, next: open.length === limit ? open.at(-1) : undefined };
  }

  async #tryToAsk(one: OpenQuestion, silent: Set<number | undefined>): Promise<Asked | 'unread' | undefined> {
    const { directory, actors, system } = this.#options;
    const executorId = directory.missions.get(one.missionId)?.executorId;
    if (executorId === undefined) return undefined;
    const thread = system.threadOf(actors.ref(executorId));
    if (silent.has(thread)) return 'unread';
    try {
      return await this.#ask(one, executorId);
    } catch (error) {
      if (!(error instanceof AskError)) throw error;
      silent.add(thread);
      return 'unread';
    }
  }

  /** @returns undefined if it is open no more */
  async #ask({ missionId, at }: OpenQuestion, executorId: string): Promise<Asked | undefined> {
    const ask = (replyTo: Ref<Question | undefined>) => ({ type: 'question', missionId, replyTo }) as const;
    const { actors } = this.#options;
    const found = (open: Question | undefined) => open;
    const question = await actors.inquire(executorId, ask, found, { timeout: PATIENCE }).later();
    if (question === undefined) return undefined;
    const { hitlId, prompt = '', context, askedAt = new Date(at).toISOString(), expiresAt } = question;
    return {
      mission_id: missionId,
      executor_id: executorId,
      hitl_id: hitlId,
      prompt,
      ...(context !== undefined && { context }),
      asked_at: askedAt,
      ...(expiresAt !== undefined && { expires_at: expiresAt }),
    };
  }
}
