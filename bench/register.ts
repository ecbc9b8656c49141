/** The scenario `register`: what registering the ten-thousandth executor costs, in the registry and over REST. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutorRegisterRequest } from '../src/index.js';
import { type Contender, compare, figureOf } from './compare.js';
import { readCpuTime } from './cpu.js';
import { inParallel } from './executors.js';
import { sendExpecting } from './http-client.js';
import type { Report } from './report.js';
import type { Scenario, Surroundings } from './scenario.js';
import { baseline, callboard, serverContenders, type Target } from './servers.js';
import { spread } from './statistics.js';

type Values = Record<'executors' | 'threads' | 'runs', number>;

/** What each executor of one tenth took, in milliseconds: time that passed, and CPU time of the main thread. */
interface Tenth {
  passed: number;
  mainThread: number | undefined;
}

/** Executors of a registry of their own, so that the code is compiled when it counts. */
const warmup = 1000;
/** So many register before the event loop has a turn, as they would come in over sockets. */
const atOnce = 20;

const registration = (): ExecutorRegisterRequest => ({
  executor_id: randomUUID(),
  name: 'bench',
  version: '1.0.0',
  spec_version: '1.0.0',
  transport_endpoints: { rest: 'http://127.0.0.1:9', ws: 'ws://127.0.0.1:9' },
  capabilities: ['isolation:container', 'runtime:codex'],
});

/** Registers this many, a tenth after another. @param pid the process that they register in */
async function inTenths(
  executors: number,
  pid: number,
  register: (requests: readonly ExecutorRegisterRequest[]) => Promise<void>,
): Promise<Tenth[]> {
  const tenths: Tenth[] = [];
  const size = Math.floor(executors / 10);
  for (let tenth = 0; tenth < 10; tenth++) {
    const requests = Array.from({ length: size }, registration);
    const cpuBefore = readCpuTime(pid);
    const before = performance.now();
    await register(requests);
    const passed = (performance.now() - before) / size;
    const cpu = readCpuTime(pid);
    const mainThread = cpu && cpuBefore && (cpu.mainThread - cpuBefore.mainThread) / 1000 / size;
    tenths.push({ passed, mainThread });
  }
  return tenths;
}

/** The asynchronous registry. Its file of tokens is written meanwhile, and the last write is counted, too. */
async function measureRegistry({ executors, threads }: Values, folder: string): Promise<Tenth[]> {
  process.env.AIWG_EXECUTOR_IDENTITY_STORE = join(folder, 'executor-identities.json');
  // Here, so that the other scenarios and the help do not load all of it.
  const { createRegistry } = await import('../src/index.js');
  await using registry = await createRegistry({ threads });
  const tenths = await inTenths(executors, process.pid, async (requests) => {
    for (const [index, request] of requests.entries()) {
      const answer = await registry.register(request);
      if ('error' in answer) throw new Error(`An executor was not registered: ${answer.error}`);
      if (index % atOnce === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await registry.supervisor.system.settle();
    await registry.supervisor.identities.flush();
  });
  if (registry.size !== Math.floor(executors / 10) * 10) throw new Error(`${registry.size} executors are registered.`);
  return tenths;
}

/** A server, asked by 16 clients at a time. */
async function measureServer({ url, pid }: Target, executors: number): Promise<Tenth[]> {
  const agent = new Agent({ keepAlive: true });
  const address = new URL('/api/v1/executors/register', url);
  try {
    return await inTenths(executors, pid, async (requests) => {
      await inParallel(requests, (request) => sendExpecting(201, agent, 'POST', address, request));
    });
  } finally {
    agent.destroy();
  }
}

/** The registry by itself, in this process. */
const registryAlone = (values: Values): Contender<Tenth[]> => ({
  name: 'registry alone',
  async measure() {
    const folder = mkdtempSync(join(tmpdir(), 'callboard-bench-'));
    try {
      const fewer = { ...values, executors: Math.min(warmup, values.executors) };
      await measureRegistry(fewer, join(folder, 'warm-up'));
      return await measureRegistry(values, join(folder, 'measured'));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});

const mean = (values: readonly (number | undefined)[]): number | undefined => {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, value) => sum + value, 0) / known.length;
};

function lastToFirst(tenths: readonly Tenth[]): number | undefined {
  const [first, last] = [tenths[0]?.mainThread, tenths.at(-1)?.mainThread];
  return first && last && last / first;
}

export const register: Scenario<keyof Values> = {
  name: 'register',
  shows: 'What it costs to register an executor, and whether the last of many costs more than the first.',
  parameters: {
    executors: { help: 'executors to register', default: 10_000, smoke: 50, lowest: 10 },
    threads: { help: "Callboard's actor threads", default: 2, smoke: 1 },
    runs: { help: 'runs of each contender, in turn', default: 3, smoke: 1 },
  },
  async run(values, surroundings: Surroundings): Promise<Report> {
    const { executors, threads, runs } = values;
    const contenders = [
      ...serverContenders([callboard, baseline], threads, surroundings, (_, target) =>
        measureServer(target, executors),
      ),
      registryAlone(values),
    ];
    const { results, notes } = await compare(contenders, runs, surroundings);
    const size = Math.floor(executors / 10);
    return {
      contenders: contenders.map(({ name }) => name),
      figures: [
        figureOf('ms/executor', 'less', results, (tenths) => mean(tenths.map(({ passed }) => passed))),
        figureOf('main thread ms/executor', 'less', results, (tenths) =>
          mean(tenths.map(({ mainThread }) => mainThread)),
        ),
        figureOf(`main thread, the last ${size} ÷ the first ${size}`, 'less', results, lastToFirst),
      ],
      curves: [
        {
          title: 'Registering one more executor',
          x: 'executors registered',
          y: 'ms of the main thread',
          logX: false,
          points: Object.fromEntries(Array.from(results, ([name, all]) => [name, curveOf(size, all)])),
        },
      ],
      distributions: [],
      notes: [
        ...notes,
        'Over REST, 16 clients at a time share the machine with the server. The registry alone is measured in the process of the bench: with its threads, and with writing its file of tokens to the disk. The baseline keeps no file.',
      ],
    };
  },
};

const curveOf = (size: number, results: readonly Tenth[][]) =>
  Array.from({ length: 10 }, (_, tenth): [number, number] => [
    (tenth + 1) * size,
    spread(results.flatMap((tenths) => tenths[tenth]?.mainThread ?? [])).median,
  ]);
