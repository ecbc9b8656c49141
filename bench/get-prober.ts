/** GETs at a steady rate while a flood runs, to see whether the server still answers questions. */
import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { sendExpecting } from './http-client.js';
import { Latencies, type Latency } from './latencies.js';

const interval = 10;

/** Probes in progress. */
export interface GetProber {
  /** Nothing is due from the first call on. What was due before, and could not be sent yet, still is sent and counted. */
  end(): void;
  /** Resolves some time after `end`, when everything that was due is answered; rejects as soon as a GET fails. */
  latency: Promise<{ sinceDue: Latency; sinceSent: Latency }>;
}

/**
 * Starts GETting `urls` in turn, one every 10 ms, one at a time on one kept-alive connection.
 *
 * Latency is taken twice. From when a GET was due: an answer that takes a second also delays the hundred after it, and each
 * of them counts with what it waited (coordinated omission, after Gil Tene). And from when it was sent, for those sent before
 * the end: that flatters a server which cannot keep up with the rate, but does not grow with the length of the flood as the
 * first then does.
 *
 * @param check is given every body, with its URL, and may throw
 */
export function startGetProber(urls: readonly URL[], check: (url: URL, body: unknown) => void): GetProber {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const sinceDue = new Latencies();
  const sinceSent = new Latencies();
  const start = performance.now();
  let end = Number.POSITIVE_INFINITY;
  const run = async () => {
    for (let due = start, turn = 0; due < end; due += interval, turn++) {
      const url = urls[turn % urls.length];
      if (url === undefined) break;
      if (due > performance.now()) await delay(due - performance.now());
      if (due >= end) break;
      const sent = performance.now();
      const body = await sendExpecting(200, agent, 'GET', url);
      sinceDue.record(performance.now() - due);
      if (sent < end) sinceSent.record(performance.now() - sent);
      check(url, body);
    }
    agent.destroy();
    return { sinceDue: sinceDue.summary(), sinceSent: sinceSent.summary() };
  };
  const latency = run();
  latency.catch(() => {}); // Whoever awaits it is told.
  return {
    end() {
      end = Math.min(end, performance.now());
    },
    latency,
  };
}
