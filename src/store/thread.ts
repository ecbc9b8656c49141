/**
 * The inside of the store's threads: one writes, the other reads, so that no read waits for a disk to take what was
 * written. Neither is ever ended from outside while it is at work (see commit-gate.ts).
 */
import type { MessagePort } from 'node:worker_threads';
import { expose } from 'comlink';
import { CommitGate } from './commit-gate.js';
import type { Engine } from './engine.js';
import { createJournal, type SharedJournal } from './journal.js';
import type { Head, KeptExecutor } from './kept.js';
import { openLmdb } from './lmdb-engine.js';
import { type EventPage, type MissionFilter, type MissionPage, Reader, type StoredMission } from './reader.js';
import { Retention } from './retention.js';
import { StorageError, type StorageErrorCode } from './storage-error.js';
import { nextStream, type Order, type Standing, Writer } from './writer.js';

export type StoreTask =
  | { readonly role: 'write'; readonly control: MessagePort; readonly gate: SharedArrayBuffer; readonly folder: string }
  | { readonly role: 'read'; readonly control: MessagePort; readonly folder: string };

/** Why nothing can be written, or opened. An error's class does not cross threads. */
export interface Trouble {
  readonly code: StorageErrorCode;
  readonly message: string;
}

export type Outcome<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly trouble: Trouble };

/** What was there when the store was opened. */
export interface Opened {
  /** For each actor thread, where it is to write. */
  readonly journals: readonly SharedJournal[];
  readonly executors: readonly KeptExecutor[];
  /** The numbers of the missions that are not over. */
  readonly live: readonly number[];
  /** The highest number that a mission has. */
  readonly latest: number;
}

export interface WriterSettings {
  /** Actor threads. */
  readonly threads: number;
  /** Milliseconds between two flushes. */
  readonly flushInterval: number;
  /** Milliseconds for which a mission is kept after its end. */
  readonly retain: number;
  /** Bytes that the store may take. */
  readonly maxBytes: number;
}

/** What can be asked about missions. */
export interface Lookups {
  find(missionId: string): Found | undefined;
  recent(number: number, latest: Head, limit: number): readonly string[];
  history(number: number, after: number, limit: number, head: Head | undefined): EventPage;
  list(filter: MissionFilter, after: number, limit: number): MissionPage;
}

/**
 * The writing thread's control surface, a comlink endpoint. Events come by the journals. It answers from what is committed
 * and what waits to be: for as long as nothing can be written, what left the journals is nowhere else.
 */
export interface WriterControl extends Lookups {
  open(settings: WriterSettings, onTrouble: (trouble: Trouble | undefined) => void): Promise<Outcome<Opened>>;
  /** Takes orders in; answers once they, and all that the journals held, are durable. */
  commit(orders: readonly Order[]): Promise<Trouble | undefined>;
  /** Missions as they stand, with what their actors wrote last. */
  standing(numbers: readonly number[]): readonly Standing[];
  close(): Trouble | undefined;
}

/** A mission that was looked up by its id. */
export interface Found extends StoredMission {
  /** Its newest 50 events, oldest first. */
  readonly texts: readonly string[];
}

/** The reading thread's control surface: it answers from what is committed. */
export interface ReaderControl extends Lookups {
  open(): Trouble | undefined;
  close(): void;
}

/** Events that are shown with a mission. */
const RECENT_EVENTS = 50;
/** Milliseconds of each flush interval in which what is due may be forgotten. */
const FORGETTING = 5;
/** Milliseconds between two tries to write what could not be written. */
const RETRY = 1_000;

/** Runs one of the threads; resolves when it was told to close. */
export function runStore(task: StoreTask): Promise<void> {
  return new Promise((resolve) => {
    // After the answer to the call that ended it.
    const end = (): void =>
      void setImmediate(() => {
        task.control.close();
        resolve();
      });
    expose(task.role === 'write' ? writing(task.folder, task.gate, end) : reading(task.folder, end), task.control);
  });
}

function writing(folder: string, gate: SharedArrayBuffer, end: () => void): WriterControl {
  let engine: Engine | undefined;
  let writer: Writer | undefined;
  let retention: Retention | undefined;
  let timer: NodeJS.Timeout | undefined;
  /** The store has reached its bound, or nothing of it can be forgotten. */
  let full: Trouble | undefined;
  let told: Trouble | undefined;
  let tellTrouble: (trouble: Trouble | undefined) => void = () => undefined;
  let trouble: Trouble | undefined;
  let triedAt = 0;
  let scheduled = false;
  /** Those who wait for the next flush. */
  let waiting: ((trouble: Trouble | undefined) => void)[] = [];

  function flush(): void {
    scheduled = false;
    const answers = waiting;
    waiting = [];
    // A full disk is not asked at every turn; the journals are emptied all the same.
    const isDue = trouble === undefined || performance.now() - triedAt >= RETRY;
    try {
      if (isDue) triedAt = performance.now();
      writer?.flush(isDue);
      if (isDue) trouble = undefined;
    } catch (error) {
      trouble = troubleOf(error);
    }
    tell();
    for (const answer of answers) answer(trouble);
  }

  function tell(): void {
    const now = trouble ?? full;
    if (now?.message !== told?.message) tellTrouble(now);
    told = now;
  }

  /** Forgets a part of what is due: what comes meanwhile waits in the journals. */
  function forget(maxBytes: number): void {
    const until = performance.now() + FORGETTING;
    try {
      let progress = retention?.step(Date.now());
      while (progress === 'more' && performance.now() < until) progress = retention?.step(Date.now());
      // While there is more to do it stays as it was.
      if (progress === 'full') full = { code: 'storage_full', message: fullMessage(folder, maxBytes) };
      else if (progress === 'idle') full = undefined;
    } catch (error) {
      full = troubleOf(error);
    }
    tell();
  }

  return {
    async open({ threads, flushInterval, retain, maxBytes }, onTrouble) {
      try {
        engine = openLmdb(folder, { gate: new CommitGate(gate) });
        const stream = nextStream(engine);
        const journals = Array.from({ length: threads }, (_, index) => createJournal(stream + index));
        writer = new Writer(engine, journals);
        const reader = new Reader(engine);
        tellTrouble = onTrouble;
        retention = new Retention(engine, writer, { retain, maxBytes });
        timer = setInterval(() => {
          flush();
          if (trouble === undefined) forget(maxBytes);
        }, flushInterval);
        const value = { journals, executors: [...reader.executors()], live: reader.live(), latest: writer.latest };
        return { ok: true, value };
      } catch (error) {
        return { ok: false, trouble: troubleOf(error) };
      }
    },
    commit: (orders) =>
      new Promise((resolve) => {
        for (const order of orders) writer?.order(order);
        waiting.push(resolve);
        // Whoever else asks in this turn of the event loop shares the commit.
        if (!scheduled) setImmediate(flush);
        scheduled = true;
      }),
    ...lookups(() => {
      if (writer === undefined) throw new Error('the store is not open');
      return writer.reader;
    }),
    standing(numbers) {
      flush();
      return writer?.standing(numbers) ?? [];
    },
    close() {
      clearInterval(timer);
      flush();
      try {
        writer?.close();
      } catch (error) {
        trouble ??= troubleOf(error);
      }
      engine?.close();
      end();
      return trouble;
    },
  };
}

function reading(folder: string, end: () => void): ReaderControl {
  let engine: Engine | undefined;
  let open: Reader | undefined;
  const reader = (): Reader => {
    if (open === undefined) throw new Error('the store is not open');
    open.refresh();
    return open;
  };
  return {
    open() {
      try {
        engine = openLmdb(folder, { readOnly: true });
        open = new Reader(engine);
        return undefined;
      } catch (error) {
        return troubleOf(error);
      }
    },
    ...lookups(reader),
    close() {
      engine?.close();
      end();
    },
  };
}

const lookups = (reader: () => Reader): Lookups => ({
  find(missionId) {
    const now = reader();
    const number = now.find(missionId);
    const found = number === undefined ? undefined : now.mission(number);
    return found && { ...found, texts: now.recent(found.number, now.head(found.number), RECENT_EVENTS) };
  },
  recent: (number, latest, limit) => reader().recent(number, latest, limit),
  history: (number, after, limit, head) => reader().history(number, after, limit, head),
  list: (filter, after, limit) => reader().list(filter, after, limit),
});

const fullMessage = (folder: string, maxBytes: number): string =>
  `The store ${folder} has reached its bound of ${maxBytes} bytes, and what is left in it are missions that are not over: raise the bound, or end some.`;

function troubleOf(error: unknown): Trouble {
  if (error instanceof StorageError) return { code: error.code, message: error.message };
  throw error;
}
