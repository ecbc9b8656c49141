/**
 * Fills itself with live missions and prints, as JSON, what each of them takes. A program of its own, so that nothing else
 * is in its memory: `node --expose-gc dist/bench/mission-keeper.js --of callboard --missions 10000 --events 50`.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Ref } from '../src/actor/index.js';
import type { EventEnvelope } from '../src/index.js';
import { applyEvent, type Envelope, type Mission } from './baseline-mission.js';
import type collecting from './collecting-actor.js';
import { collectHere, collectingModule } from './collecting-actor.js';
import { readAnonymousMemory } from './memory.js';

/** Somebody who keeps missions. */
interface Keeper extends AsyncDisposable {
  begin(missionId: string, executorId: string): Promise<void>;
  take(event: EventEnvelope): Promise<void>;
  /** How many recent events a mission has; undefined if there is none such. */
  recentEvents(missionId: string): Promise<number | undefined>;
  /** Collects garbage everywhere. @returns bytes in use: in the main thread's heap, and in the heaps of others */
  collect(): Promise<{ mainThread: number; threads: number }>;
}

/** @param dataDir where it keeps things on disk; undefined: nowhere */
async function callboard(executorIds: readonly string[], threads: number, dataDir?: string): Promise<Keeper> {
  // Here, so that none of it is in memory beside the plain objects.
  const { createRegistry } = await import('../src/index.js');
  const registry = await createRegistry({ threads, dataDir });
  const { system } = registry.supervisor;
  for (const executor_id of executorIds) {
    const transport_endpoints = { rest: 'http://127.0.0.1:9', ws: 'ws://127.0.0.1:9' };
    const described = { name: 'bench', version: '1.0.0', spec_version: '1.0.0', transport_endpoints };
    await registry.register({ executor_id, capabilities: ['isolation:container'], ...described });
  }
  const collectors = Array.from({ length: threads }, (_, thread) =>
    system.spawnOnThread<typeof collecting>(collectingModule, undefined, { thread }),
  );
  return {
    begin: async (missionId, executorId) => void (await registry.assignMission(missionId, executorId)),
    take: (event) => registry.handleEvent(event),
    recentEvents: async (missionId) => (await registry.getMission(missionId))?.recentEvents.length,
    async collect() {
      await system.settle();
      const ask = (ref: (typeof collectors)[number]) =>
        system.ask(ref, (replyTo: Ref<number>) => ({ replyTo }), { timeout: 120_000 });
      const heaps = await Promise.all(collectors.map(ask));
      return { mainThread: collectHere(), threads: heaps.reduce((sum, heap) => sum + heap, 0) };
    },
    [Symbol.asyncDispose]: () => registry.shutdown(),
  };
}

/** The plain way: a Map of missions, each an object with its newest 50 events, parsed. */
function plainObjects(executorIds: readonly string[]): Keeper {
  const missions = new Map<string, Mission>();
  const executors = new Map(executorIds.map((executorId) => [executorId, new Set<string>()]));
  return {
    async begin(missionId, executorId) {
      const now = new Date().toISOString();
      missions.set(missionId, {
        missionId,
        executorId,
        state: 'assigned',
        createdAt: now,
        updatedAt: now,
        recentEvents: [],
      });
      executors.get(executorId)?.add(missionId);
    },
    async take(event) {
      // As it would come off a socket: every string in it is new.
      const envelope: Envelope = JSON.parse(JSON.stringify(event));
      const mission = missions.get(envelope.mission_id ?? '');
      if (mission !== undefined) applyEvent(mission, envelope);
    },
    recentEvents: async (missionId) => missions.get(missionId)?.recentEvents.length,
    collect: async () => ({ mainThread: collectHere(), threads: 0 }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** What is resident once collecting garbage changes it no more, and the bytes in use on the heaps. */
async function settledMemory(keeper: Keeper) {
  let resident = Number.POSITIVE_INFINITY;
  for (let round = 0; ; round++) {
    const heaps = await keeper.collect();
    // What the allocator gives back, it gives back on threads of its own.
    await delay(100);
    const now = readAnonymousMemory(process.pid) ?? Number.NaN;
    if (round >= 20 || (round >= 2 && Math.abs(now - resident) < resident / 1000)) return { resident: now, ...heaps };
    resident = now;
  }
}

/** As it would come off a socket: in one piece. `randomUUID` makes a string of many, which takes 480 bytes. */
const newId = (): string => Buffer.from(randomUUID()).toString();

/** An event of about 250 bytes. */
const progress = (executor_id: string, mission_id: string, iteration: number): EventEnvelope => ({
  event: 'mission.progress',
  executor_id,
  mission_id,
  ts: new Date().toISOString(),
  data: { phase: 'build', iteration, tokens_used: 40_000, summary: 'tests run', pct_complete: 40 },
});

const executorCount = 16;
const together = 1000;

async function fill(keeper: Keeper, executorIds: readonly string[], missions: number, events: number): Promise<void> {
  for (let begun = 0; begun < missions; begun += together) {
    const batch = Array.from({ length: Math.min(together, missions - begun) }, (_, index) => ({
      missionId: newId(),
      executorId: executorIds[index % executorIds.length] ?? '',
    }));
    await Promise.all(batch.map(({ missionId, executorId }) => keeper.begin(missionId, executorId)));
    for (let event = 0; event < events; event++)
      for (const { missionId, executorId } of batch) await keeper.take(progress(executorId, missionId, event));
    for (const { missionId } of batch.slice(0, 10)) {
      const kept = await keeper.recentEvents(missionId);
      if (kept !== Math.min(events, 50)) throw new Error(`A mission has ${kept} recent events of ${events}.`);
    }
  }
}

const { values } = parseArgs({
  options: {
    of: { type: 'string', default: 'callboard' },
    missions: { type: 'string', default: '10000' },
    events: { type: 'string', default: '0' },
    threads: { type: 'string', default: '2' },
  },
});
const missions = Number(values.missions);
const folder = mkdtempSync(join(tmpdir(), 'callboard-bench-'));
process.env.AIWG_EXECUTOR_IDENTITY_STORE = join(folder, 'executor-identities.json');
try {
  const executorIds = Array.from({ length: executorCount }, newId);
  const threads = Number(values.threads);
  await using keeper =
    values.of === 'plain-objects'
      ? plainObjects(executorIds)
      : await callboard(executorIds, threads, values.of === 'callboard' ? join(folder, 'data') : undefined);
  const idle = await settledMemory(keeper);
  await fill(keeper, executorIds, missions, Number(values.events));
  const full = await settledMemory(keeper);
  const each = (part: keyof typeof idle): number => (full[part] - idle[part]) / missions;
  console.log(JSON.stringify({ resident: each('resident'), mainThread: each('mainThread'), threads: each('threads') }));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
