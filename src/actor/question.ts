/** A question: an address that waits for one answer. What `ask` puts in a message as `replyTo`. */
import type { Clock } from './clock.js';
import type { Host } from './host.js';
import { asRef, type Ref } from './ref.js';
import type { Addressee } from './table.js';

export type AskErrorCode = 'ERR_ASK_TIMEOUT' | 'ERR_ASK_UNDELIVERED';

/**
 * Why a question has no answer, in `code`: it took too long (`ERR_ASK_TIMEOUT`), or it is certain that none will come
 * (`ERR_ASK_UNDELIVERED`): there is no such actor, it refused the message, ended before it took it, threw on it, died
 * with its thread, or the message or the answer can not be cloned.
 */
export class AskError extends Error {
  override readonly name = 'AskError';
  readonly code: AskErrorCode;

  constructor(code: AskErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface AskOptions {
  /** Milliseconds to wait for the answer. Default: 5,000. */
  readonly timeout?: number;
  /** Gives up at once when aborted: the promise rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export const DEFAULT_ASK_TIMEOUT = 5_000;

type Outcome<Answer> = { readonly answer: Answer } | { readonly error: unknown };

export class Question<Answer> implements Addressee {
  readonly ref: number;
  /** Whom it was put to. */
  readonly to: number;
  outcome: Outcome<Answer> | undefined;
  readonly #settled: () => void;
  readonly #cancelTimer: () => void;
  readonly #signal: AbortSignal | undefined;

  /** @param settled called once, when there is an answer or a reason why there is none */
  constructor(
    ref: number,
    to: number,
    clock: Clock,
    { timeout = DEFAULT_ASK_TIMEOUT, signal }: AskOptions,
    settled: () => void,
  ) {
    this.ref = ref;
    this.to = to;
    this.#settled = settled;
    this.#signal = signal;
    this.#cancelTimer = clock.after(timeout, () => this.expire(timeout));
    signal?.addEventListener('abort', this.#onAbort);
  }

  accept(answer: Answer): boolean {
    this.#settle({ answer });
    return true;
  }

  expire(timeout: number): void {
    this.fail(new AskError('ERR_ASK_TIMEOUT', `no answer within ${timeout} ms`));
  }

  unanswered(reason: string): void {
    this.fail(new AskError('ERR_ASK_UNDELIVERED', `no answer will come: ${reason}`));
  }

  fail(error: unknown): void {
    this.#settle({ error });
  }

  #onAbort = (): void => this.fail(this.#signal?.reason);

  #settle(outcome: Outcome<Answer>): void {
    if (this.outcome) return;
    this.outcome = outcome;
    this.#cancelTimer();
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#settled();
  }
}

/** The questions of a system that wait for an answer. */
export class Questions {
  readonly #host: Host;
  readonly #clock: Clock;
  readonly #send: (to: number, message: unknown, replyTo: number) => void;
  readonly #waiting = new Set<Question<unknown>>();

  /** @param send sends a message whose sender waits at `replyTo` */
  constructor(host: Host, clock: Clock, send: (to: number, message: unknown, replyTo: number) => void) {
    this.#host = host;
    this.#clock = clock;
    this.#send = send;
  }

  /** Puts a question. @param settled called once, when there is an answer or a reason why there is none */
  put<Message, Answer>(
    to: Ref<Message>,
    message: (replyTo: Ref<Answer>) => Message,
    options: AskOptions,
    settled: (question: Question<Answer>) => void,
  ): Question<Answer> {
    const question = this.#host.enrol(
      (ref) =>
        new Question<Answer>(ref, to, this.#clock, options, () => {
          this.#host.strike(question);
          this.#waiting.delete(question);
          settled(question);
        }),
    );
    this.#waiting.add(question);
    try {
      this.#send(to, message(asRef(question.ref)), question.ref);
    } catch (error) {
      question.fail(error);
    }
    return question;
  }

  [Symbol.iterator](): Iterator<Question<unknown>> {
    return this.#waiting.values();
  }
}
