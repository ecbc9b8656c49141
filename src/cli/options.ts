/** The options of each command: one row per option, and from the rows what the command is given. */
import { availableParallelism, homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { isAddressRange } from '../server/addresses.js';
import {
  decimal,
  type Environment,
  measured,
  type OptionTable,
  oneOf,
  type Read,
  toggle,
  wholeNumber,
  word,
} from './flags.js';

/** How much is logged, most first. */
export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const maxThreads = 64;

const durations = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** What `callboard serve` can be told. */
export const serveOptions = {
  port: {
    ...wholeNumber(0, 65_535),
    name: 'port',
    help: 'TCP port to listen on; 0 takes any free one.',
    fallback: () => 7337,
  },
  host: {
    ...word('address', 'an address or a host name'),
    name: 'host',
    help: 'Address to listen on; 0.0.0.0 or :: for every interface.',
    fallback: () => '127.0.0.1',
  },
  threads: {
    ...wholeNumber(1, maxThreads),
    name: 'threads',
    help: 'Worker threads that the actors live on.',
    fallback: () => Math.min(availableParallelism(), maxThreads),
    fallbackText: `one per core, ${Math.min(availableParallelism(), maxThreads)} here`,
  },
  dataDir: {
    placeholder: 'folder',
    expects: 'the path of a folder',
    parse: (text: string) => (text === '' || text.includes('\0') ? undefined : resolve(text)),
    name: 'data-dir',
    help: 'Folder for executors, missions and events. Made if there is none; one server at a time can use it.',
    fallback: defaultDataDir,
    fallbackText: '$XDG_DATA_HOME/callboard, else ~/.local/share/callboard',
  },
  ephemeral: {
    ...toggle,
    name: 'ephemeral',
    help: 'Keep everything in memory only: a restart forgets it.',
    fallback: () => false,
  },
  flushInterval: {
    ...wholeNumber(1, 10_000),
    name: 'flush-interval',
    help: 'Milliseconds after which an event is on disk at the latest. What a REST answer says is on disk before it is given.',
    fallback: () => 20,
  },
  retain: {
    ...measured(durations, '30d', 100 * 365 * 86_400_000),
    name: 'retain',
    help: 'How long a mission is kept after its end.',
    fallback: () => 30 * 86_400_000,
    fallbackText: '30d',
  },
  maxStore: {
    ...measured({ mb: 2 ** 20, gb: 2 ** 30 }, '10gb', 60 * 2 ** 30),
    name: 'max-store',
    help: 'How much may be kept, at most 60gb. Beyond it, missions that ended first go before their time.',
    fallback: () => 10 * 2 ** 30,
    fallbackText: '10gb',
  },
  executorTimeout: {
    ...measured(durations, '1h', 100 * 365 * 86_400_000),
    name: 'executor-timeout',
    help: 'Deregister an executor that has had no connection for so long.',
    fallback: () => undefined,
    fallbackText: 'never',
  },
  trustProxy: {
    placeholder: 'addresses',
    expects: 'IP addresses or CIDR ranges, separated by commas',
    parse: parseAddresses,
    name: 'trust-proxy',
    help: 'Proxies whose X-Forwarded-For says where a registration comes from: 127.0.0.1,10.0.0.0/8.',
    fallback: () => [],
    fallbackText: 'none',
  },
  logLevel: {
    ...oneOf(logLevels),
    name: 'log-level',
    help: `How much to log, one of ${logLevels.join(', ')}.`,
    fallback: () => 'info' as const,
  },
} satisfies OptionTable;

/** What `callboard serve` was told. */
export type ServeSettings = ReturnType<typeof serveSettings>;

/** @param read From `readOptions` with `serveOptions`. */
export function serveSettings(read: Read) {
  return {
    port: read(serveOptions.port),
    host: read(serveOptions.host),
    threads: read(serveOptions.threads),
    dataDir: read(serveOptions.ephemeral) ? undefined : read(serveOptions.dataDir),
    flushInterval: read(serveOptions.flushInterval),
    retain: read(serveOptions.retain),
    maxStoreBytes: read(serveOptions.maxStore),
    executorTimeout: read<number | undefined>(serveOptions.executorTimeout),
    trustProxy: read<readonly string[]>(serveOptions.trustProxy),
    logLevel: read(serveOptions.logLevel),
  };
}

/** What `callboard simulate` can be told. */
export const simulateOptions = {
  url: {
    placeholder: 'url',
    expects: 'an http:// or https:// URL without a query',
    parse: parseUrl,
    name: 'url',
    help: 'The Callboard to drive. It must run on this machine: it reaches the simulated executors on loopback ports.',
    fallback: () => new URL('http://127.0.0.1:7337/'),
  },
  executors: {
    ...wholeNumber(1, 1_000),
    name: 'executors',
    help: 'Executors to register and connect.',
    fallback: () => 2,
  },
  missions: {
    ...wholeNumber(1, 10_000_000),
    name: 'missions',
    help: 'Missions to dispatch.',
    fallback: () => 20,
  },
  rate: {
    ...decimal(0.1, 10_000),
    name: 'rate',
    help: 'Missions to dispatch per second, over all executors.',
    fallback: () => 20,
  },
  duration: {
    ...decimal(0.1, 604_800),
    name: 'duration',
    help: 'Seconds to keep dispatching for, instead of a number of missions.',
    fallback: () => undefined,
    fallbackText: 'until every mission is dispatched',
  },
} satisfies OptionTable;

/** What `callboard simulate` was told. `rate` is in missions per second, `duration` in seconds. */
export type SimulateSettings = ReturnType<typeof simulateSettings>;

/** @param read From `readOptions` with `simulateOptions`. */
export function simulateSettings(read: Read) {
  return {
    url: read(simulateOptions.url),
    executors: read(simulateOptions.executors),
    missions: read(simulateOptions.missions),
    rate: read(simulateOptions.rate),
    duration: read<number | undefined>(simulateOptions.duration),
  };
}

/** The path of a file that need not be named. */
export const file = {
  placeholder: 'file',
  expects: 'the path of a file',
  parse: (text: string) => (text === '' || text.includes('\0') ? undefined : resolve(text)),
  fallback: () => undefined,
};

/** What `callboard export` can be told. */
export const exportOptions = {
  dataDir: { ...serveOptions.dataDir, help: 'Folder of the store to write out.' },
  out: {
    ...file,
    name: 'out',
    help: 'File to write, for its owner only. It is there when it is whole, in place of an older one of that name.',
    fallbackText: 'standard output',
  },
} satisfies OptionTable;

/** What `callboard export` was told. */
export type ExportSettings = ReturnType<typeof exportSettings>;

/** @param read From `readOptions` with `exportOptions`. */
export function exportSettings(read: Read) {
  return { dataDir: read(exportOptions.dataDir), out: read<string | undefined>(exportOptions.out) };
}

/** What `callboard import` can be told. */
export const importOptions = {
  dataDir: {
    ...serveOptions.dataDir,
    help: 'Folder to make the store in. It must hold none, or an empty one, and no server may run on it.',
  },
  file: {
    ...file,
    name: 'file',
    help: 'File to read; the name of the flag may be left out.',
    fallbackText: 'standard input',
    bare: true,
  },
} satisfies OptionTable;

/** What `callboard import` was told. */
export type ImportSettings = ReturnType<typeof importSettings>;

/** @param read From `readOptions` with `importOptions`. */
export function importSettings(read: Read) {
  return { dataDir: read(importOptions.dataDir), file: read<string | undefined>(importOptions.file) };
}

/** The folder of the XDG base directory specification, which has relative paths ignored. */
function defaultDataDir(env: Environment): string {
  const base = env.XDG_DATA_HOME;
  return base !== undefined && isAbsolute(base)
    ? join(base, 'callboard')
    : join(homedir(), '.local', 'share', 'callboard');
}

function parseAddresses(text: string): string[] | undefined {
  const ranges = text.split(',').map((range) => range.trim());
  return ranges.every(isAddressRange) ? ranges : undefined;
}

/** With a slash at its end, so that routes resolve below it. */
function parseUrl(text: string): URL | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') return undefined;
  if (url.username !== '' || url.password !== '') return undefined;
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}
