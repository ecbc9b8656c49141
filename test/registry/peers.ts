/** What the registry's tests are played with: executors' payloads and events, their sockets, a folder for identities. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { EventEnvelope, ExecutorRegisterRequest, WebSocketConn } from '#src/index.js';

export const idOf = (executor: number): string => `00000000-0000-4000-8000-${String(executor).padStart(12, '0')}`;

export function payloadOf(executor: number, fields: Partial<ExecutorRegisterRequest> = {}): ExecutorRegisterRequest {
  return {
    executor_id: idOf(executor),
    name: `executor ${executor}`,
    version: '1.2.3',
    spec_version: '1.0.0',
    transport_endpoints: { rest: 'http://127.0.0.1:9', ws: 'ws://127.0.0.1:9' },
    capabilities: [],
    ...fields,
  };
}

/** @param second of the first day of 2020: events are told from what happens now by their year */
export const tsOf = (second: number): string => new Date(Date.UTC(2020, 0, 1, 0, 0, second)).toISOString();

export function missionEvent(
  executor: number,
  mission_id: string,
  event: `mission.${string}`,
  data: Record<string, unknown> = {},
  second = 0,
): EventEnvelope {
  return { event, executor_id: idOf(executor), mission_id, ts: tsOf(second), data };
}

export function executorEvent(
  executor: number,
  event: `executor.${string}`,
  data: Record<string, unknown>,
  second = 0,
): EventEnvelope {
  return { event, executor_id: idOf(executor), ts: tsOf(second), data };
}

export const progress = (executor: number, missionId: string, iteration: number): EventEnvelope =>
  missionEvent(executor, missionId, 'mission.progress', { iteration }, iteration);

export const completed = (executor: number, missionId: string, second = 0): EventEnvelope =>
  missionEvent(executor, missionId, 'mission.completed', { state: 'done', exit_code: 0 }, second);

/** A socket in memory: the published interface is all that the class may use of one. */
export class Socket implements WebSocketConn {
  readyState = 1;
  readonly sent: EventEnvelope[] = [];
  readonly closed: (readonly [code: number | undefined, reason: string | undefined])[] = [];

  send(data: string): void {
    this.sent.push(JSON.parse(data));
  }

  close(code?: number, reason?: string): void {
    this.readyState = 3;
    this.closed.push([code, reason]);
  }
}

export const registryEvents = [
  'executor:registered',
  'executor:deregistered',
  'mission:assigned',
  'mission:state_change',
] as const;

/** All that a registry tells its listeners, in order. */
export function listen(registry: {
  on(name: string, listener: (payload: unknown) => void): unknown;
}): [name: string, payload: unknown][] {
  const told: [string, unknown][] = [];
  for (const name of registryEvents) registry.on(name, (payload) => told.push([name, payload]));
  return told;
}

/** Keeps this test file's identities in a folder of their own. @returns the identity file */
export function useIdentityFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-registry-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'identities.json');
  process.env.AIWG_EXECUTOR_IDENTITY_STORE = path;
  return path;
}
