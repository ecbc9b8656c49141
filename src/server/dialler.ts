/**
 * Dials executors that only listen, until one side's connection stands. The WebSocket handshake is done here, on the main
 * thread: so an executor is connected before its first frame is read, a dial that is not wanted any more ends at once, and
 * what an executor answers to it is known where the next one is planned. The socket then goes where accepted ones go.
 */
import { randomBytes } from 'node:crypto';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { Clock } from '../actor/index.js';
import { BAD_TOKEN } from '../contract/close-codes.js';
import type { ExecutorRegistration } from '../contract/index.js';
import type { Directory } from '../registry/directory.js';
import { LONGEST_WAIT, waitBeforeDial, waitForReturn } from './dial-schedule.js';
import { acceptOf } from './handshake.js';
import { Sampler } from './sampler.js';

/** Dials under way at once. */
const MAX_UNDER_WAY = 64;
/** Milliseconds for connecting and the handshake. */
const DIAL_TIMEOUT = 10_000;
/** Answers that another try will not change. */
const FOR_GOOD = [401, 404];

export interface DiallerOptions {
  readonly directory: Directory;
  readonly log: Logger;
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Takes a socket with its handshake done. */
  readonly onOpen: (executorId: string, socket: Duplex) => void;
}

/** An executor that is to be dialled, or was. */
interface Dial {
  readonly executorId: string;
  /** `queued`: it is time, and others are under way. `standing`: the connection that came of it. */
  stage: 'waiting' | 'queued' | 'under-way' | 'standing';
  /** When this stage ends, if it waits, or began, if it stands; milliseconds by the clock. */
  at: number;
  /** Ends what this stage is waiting for. */
  cancel: () => void;
  /** The endpoint that was dialled last. */
  endpoint: string | undefined;
  failures: number;
  /** Whether it was refused for good, and that said: of very many in one second not all are, but then the next time. */
  refusal: 'none' | 'unsaid' | 'said';
}

export class Dialler {
  readonly #options: DiallerOptions;
  readonly #sampler: Sampler;
  /** Of executors that have not dialled by themselves; by id. */
  readonly #dials = new Map<string, Dial>();
  /** Those whose time has come: the ones that never failed go first, so that none waits for executors that are away. */
  readonly #first = new Set<Dial>();
  readonly #again = new Set<Dial>();
  #underWay = 0;
  #isOpen = true;

  constructor(options: DiallerOptions) {
    this.#options = options;
    this.#sampler = new Sampler(() => options.clock.now());
  }

  /** An executor has registered, be it again: unless it connects, it is dialled in a moment. */
  expect(executorId: string): void {
    this.#expect(executorId, this.#firstWait());
  }

  #expect(executorId: string, wait: number): void {
    const dial = this.#dials.get(executorId);
    if (dial?.stage === 'standing' || dial?.stage === 'queued') return;
    const executor = this.#options.directory.executors.get(executorId);
    if (executor === undefined || executor.connected || !this.#isOpen) return;
    if (dial?.stage === 'under-way') {
      if (dial.endpoint === executor.transportEndpoints.ws) return;
      dial.cancel();
      this.#next();
    }
    const next = dial ?? this.#add(executorId);
    next.refusal = 'none';
    next.failures = 0;
    if (next.stage === 'waiting' && next.at <= this.#options.clock.now() + wait) return;
    this.#dialIn(next, wait);
  }

  /** An executor's connection has ended. @param hadDialled whether the executor had dialled it */
  lost(executorId: string, hadDialled: boolean): void {
    const dial = this.#dials.get(executorId);
    if (dial === undefined)
      this.#expect(executorId, hadDialled ? waitForReturn(this.#options.random()) : this.#firstWait());
    else if (!this.#options.directory.executors.has(executorId)) this.forget(executorId);
    else if (dial.stage === 'standing') {
      // One that ends as soon as it stands is as good as none.
      const stood = this.#options.clock.now() - dial.at >= LONGEST_WAIT;
      if (stood) dial.refusal = 'none';
      dial.failures = stood ? 0 : dial.failures + 1;
      this.#dialIn(dial, this.#wait(dial));
    }
  }

  /** An executor has closed the connection because it does not accept its token. It may be lost already. */
  refused(executorId: string): void {
    const dial = this.#dials.get(executorId);
    if (dial === undefined) return;
    const isNew = dial.refusal === 'none';
    this.#refuse(dial, `it closed with ${BAD_TOKEN}`);
    if (isNew && dial.stage === 'waiting') this.#dialIn(dial, this.#wait(dial));
  }

  /** An executor has connected by itself, or has left: it is dialled no more. */
  forget(executorId: string): void {
    const dial = this.#dials.get(executorId);
    if (dial === undefined) return;
    this.#dials.delete(executorId);
    dial.cancel();
    this.#next();
  }

  /** Dials no more. */
  close(): void {
    this.#isOpen = false;
    for (const dial of this.#dials.values()) dial.cancel();
    this.#dials.clear();
  }

  #add(executorId: string): Dial {
    const dial: Dial = {
      executorId,
      stage: 'waiting',
      at: Number.POSITIVE_INFINITY,
      cancel: () => undefined,
      endpoint: undefined,
      failures: 0,
      refusal: 'none',
    };
    this.#dials.set(executorId, dial);
    return dial;
  }

  #firstWait(): number {
    return waitBeforeDial(0, this.#options.random());
  }

  #wait({ failures, refusal }: Dial): number {
    return waitBeforeDial(refusal === 'none' ? failures : Number.POSITIVE_INFINITY, this.#options.random());
  }

  #dialIn(dial: Dial, wait: number): void {
    const { clock } = this.#options;
    dial.cancel();
    if (!this.#isOpen) return;
    dial.stage = 'waiting';
    dial.at = clock.now() + wait;
    dial.cancel = clock.after(wait, () => {
      const queue = dial.failures === 0 && dial.refusal === 'none' ? this.#first : this.#again;
      dial.stage = 'queued';
      dial.cancel = () => void queue.delete(dial);
      queue.add(dial);
      this.#next();
    });
  }

  #next(): void {
    while (this.#isOpen && this.#underWay < MAX_UNDER_WAY) {
      const [dial] = this.#first.size > 0 ? this.#first : this.#again;
      if (dial === undefined) return;
      dial.cancel();
      this.#dial(dial);
    }
  }

  #dial(dial: Dial): void {
    const executor = this.#options.directory.executors.get(dial.executorId);
    if (executor === undefined) {
      this.#dials.delete(dial.executorId);
      return;
    }
    if (executor.connected) {
      // By a connection that a program handed in: nobody tells of its end.
      this.#dialIn(dial, LONGEST_WAIT);
      return;
    }
    dial.endpoint = executor.transportEndpoints.ws;
    const url = urlOf(executor);
    if (url === undefined) this.#failed(dial, 'its endpoint is no URL of a WebSocket', true);
    else this.#open(dial, url);
  }

  #open(dial: Dial, url: URL): void {
    const { clock, onOpen } = this.#options;
    const key = randomBytes(16).toString('base64');
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': key,
    };
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, { agent: false, headers });
    let isOver = false;
    /** @returns false if the dial was over already */
    const end = (): boolean => {
      if (isOver) return false;
      isOver = true;
      stopWaiting();
      this.#underWay--;
      return true;
    };
    const fail = (reason: string, isForGood = false): void => {
      if (!end()) return;
      request.destroy();
      this.#failed(dial, reason, isForGood);
      this.#next();
    };
    const stopWaiting = clock.after(DIAL_TIMEOUT, () => fail(`it took longer than ${DIAL_TIMEOUT} ms`));
    this.#underWay++;
    dial.stage = 'under-way';
    dial.cancel = () => {
      if (end()) request.destroy();
    };
    request.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.name));
    request.on('response', ({ statusCode = 0 }) => fail(`it answered ${statusCode}`, FOR_GOOD.includes(statusCode)));
    request.on('upgrade', ({ statusCode, headers: answered }, socket, head) => {
      socket.on('error', () => socket.destroy());
      const isAnswer =
        statusCode === 101 &&
        answered.upgrade?.toLowerCase() === 'websocket' &&
        answered['sec-websocket-accept'] === acceptOf(key) &&
        // Nobody asked for any.
        answered['sec-websocket-extensions'] === undefined &&
        answered['sec-websocket-protocol'] === undefined;
      if (!isAnswer) {
        socket.destroy();
        fail('its handshake is wrong');
      } else if (end()) {
        dial.stage = 'standing';
        dial.at = clock.now();
        dial.cancel = () => undefined;
        if (head.length > 0) socket.unshift(head);
        onOpen(dial.executorId, socket);
        this.#next();
      } else socket.destroy();
    });
    request.end();
  }

  #failed(dial: Dial, reason: string, isForGood: boolean): void {
    if (isForGood) this.#refuse(dial, reason);
    else if (dial.failures === 0 && this.#sampler.admits('failed'))
      this.#options.log.info({ executorId: dial.executorId, reason }, 'an executor could not be dialled: trying on');
    dial.failures++;
    this.#dialIn(dial, this.#wait(dial));
  }

  /** Says so once, until it registers again. */
  #refuse(dial: Dial, reason: string): void {
    if (dial.refusal === 'said') return;
    dial.refusal = this.#sampler.admits('refused') ? 'said' : 'unsaid';
    if (dial.refusal === 'said')
      this.#options.log.warn({ executorId: dial.executorId, reason }, 'an executor refuses to be dialled');
  }
}

/** Where an executor listens, in the terms of HTTP; undefined if that is no WebSocket. The token in it is not for a log. */
function urlOf({ executorId, token, transportEndpoints }: ExecutorRegistration): URL | undefined {
  try {
    const { protocol, href } = new URL(transportEndpoints.ws);
    if (protocol !== 'ws:' && protocol !== 'wss:') return undefined;
    const url = new URL(href.replace('ws', 'http'));
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/ws/executors/${encodeURIComponent(executorId)}`;
    url.searchParams.set('token', token);
    return url;
  } catch {
    return undefined;
  }
}
