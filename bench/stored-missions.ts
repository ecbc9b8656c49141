/** A store full of missions that are not over, made without a server. */
import { randomUUID } from 'node:crypto';
import { createJournal, JournalWriter } from '../src/store/journal.js';
import { openLmdb } from '../src/store/lmdb-engine.js';
import type { Position } from '../src/store/record.js';
import { nextStream, Writer } from '../src/store/writer.js';

/** Missions between two commits. */
const TOGETHER = 2_000;

/**
 * Makes a store in a folder that has none.
 * @param missions how many, all of them running; they are called `mission-1` and so on
 * @param events `mission.progress` events of each
 * @returns the ids of their executors, which have equally many
 */
export function storeMissions(folder: string, missions: number, events: number, executors = 16): string[] {
  const engine = openLmdb(folder);
  const shared = createJournal(nextStream(engine), 64 * 1024 * 1024);
  const writer = new Writer(engine, [shared]);
  const journal = new JournalWriter(shared);
  const at = new Date().toISOString();
  const executorIds = Array.from({ length: executors }, () => randomUUID());
  for (const executorId of executorIds)
    writer.order({
      type: 'executor',
      executor: {
        executorId,
        name: 'bench',
        version: '1.0.0',
        specVersion: '1.0.0',
        transportEndpoints: { rest: 'http://127.0.0.1:9', ws: 'ws://127.0.0.1:9' },
        capabilities: [],
        token: randomUUID(),
        registeredAt: at,
      },
    });
  for (let number = 1; number <= missions; number++) {
    const missionId = `mission-${number}`;
    const executorId = executorIds[number % executors] ?? '';
    const state = { state: 'running', updatedAt: at, events: 0 } as const;
    writer.order({ type: 'mission', number, mission: { missionId, executorId, createdAt: at, sessionId: 's' }, state });
    let before: Position | undefined;
    for (let iteration = 0; iteration < events; iteration++) {
      const event = { event: 'mission.progress', executor_id: executorId, mission_id: missionId, ts: at };
      const text = JSON.stringify({ ...event, data: { phase: 'build', iteration, summary: 'tests run' } });
      before = { stream: journal.stream, offset: journal.event(number, iteration, before, text) };
    }
    if (number % TOGETHER > 0 && number < missions) continue;
    journal.publish();
    writer.flush();
  }
  writer.close();
  engine.close();
  return executorIds;
}
