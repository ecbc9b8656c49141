/**
 * The tokens of every executor ever registered, and the file that carries them over a restart.
 *
 * Everything is answered from memory. The file is read when it is first needed and written behind the caller's back:
 * many changes per write.
 */
import { randomBytes } from 'node:crypto';
import { AtomicFile } from './atomic-file.js';
import { Identities } from './identities.js';
import { type Identity, readIdentities, textOf } from './identity-file.js';
import { resolveExecutorIdentityStorePath } from './identity-path.js';

/** What an {@link IdentityStore} can be told; every field has a default. */
export interface IdentityStoreOptions {
  /** The file; what {@link resolveExecutorIdentityStorePath} names at first need if not given. */
  path?: string;
  /** The time in ms since 1970; `Date.now` if not given. */
  now?: () => number;
  /** Told, in one sentence, when the file cannot be read, understood or written; `process.emitWarning` if not given. */
  onProblem?: (message: string) => void;
}

/** A change waits this long (ms) for others to share its write with… */
const WRITE_DELAY = 20;
/** …or this many times what the last write took, so that writing a big file takes a tenth of the time at most… */
const WRITE_DELAY_FACTOR = 10;
/** …but never longer than this (ms). */
const WRITE_DELAY_LIMIT = 1000;

/** Stores with changes that are not on disk. One exit listener serves them all, and only while there are any. */
const unsaved = new Set<IdentityStore>();

function saveAtExit(): void {
  for (const store of unsaved) store.close();
}

/**
 * Tokens by executor, kept in a file. Making one touches no file.
 *
 * Several stores, in this process or others, may use one file: each takes in what the others wrote before it writes
 * itself and before it makes a token for an executor it does not know. There is no lock: of two writes in the same
 * few milliseconds the later stands, and the other store's entries are back with its next write.
 *
 * ```ts
 * const store = new IdentityStore();
 * const token = store.issue(executorId);
 * store.matches(executorId, token); // true, now and after a restart
 * await store.flush();
 * ```
 */
export class IdentityStore {
  readonly #now: () => number;
  readonly #onProblem: (message: string) => void;
  readonly #path: string | undefined;
  #file: AtomicFile | undefined;

  readonly #identities = new Identities();

  #loaded = false;
  /** What the file looked like when its content was last in memory. */
  #fingerprint: string | undefined;
  /** Counts changes in memory. */
  #version = 0;
  /** The change up to which the file is current. */
  #savedVersion = 0;
  /** Executors whose token the file may not have yet, and the change that made it: here ours beats the file's. */
  readonly #minted = new Map<string, number>();

  #timer: NodeJS.Timeout | undefined;
  #delay = WRITE_DELAY;
  #writing: { version: number; done: Promise<void> } | undefined;
  #nextWrite: Promise<void> | undefined;
  /** The kinds of failure reported since the last write that succeeded. */
  readonly #reported = new Set<string>();

  constructor(options: IdentityStoreOptions = {}) {
    this.#path = options.path;
    this.#now = options.now ?? Date.now;
    this.#onProblem = options.onProblem ?? ((message) => process.emitWarning(message));
  }

  /** The file's path. */
  get path(): string {
    return this.#fileInUse.path;
  }

  get #fileInUse(): AtomicFile {
    this.#file ??= new AtomicFile(this.#path ?? resolveExecutorIdentityStorePath());
    return this.#file;
  }

  /** What is known of an executor. */
  get(executorId: string): Readonly<Identity> | undefined {
    this.#load();
    return this.#identities.get(executorId);
  }

  /** The executor's token: the one it has, or a new one. It counts as seen now. */
  issue(executorId: string): string {
    this.#load();
    if (this.#identities.get(executorId) === undefined) this.#tryTakeIn();
    const known = this.#identities.get(executorId);
    if (known === undefined) return this.rotate(executorId);
    this.seen(executorId, this.#now());
    return known.token;
  }

  /**
   * As `issue`, for an executor that registers from another machine. When it does so for the first time, a token that it
   * has is worth nothing from here on, and it gets another.
   */
  issueRemotely(executorId: string): { token: string; rotated: boolean } {
    this.#load();
    if (this.#identities.get(executorId)?.registeredRemotely !== true) this.#tryTakeIn();
    const known = this.#identities.get(executorId);
    if (known?.registeredRemotely === true) return { token: this.issue(executorId), rotated: false };
    return { token: this.#mint(executorId, { registeredRemotely: true }), rotated: known !== undefined };
  }

  /** Gives the executor a new token (32 random bytes, base64url); an old one is worth nothing from here on. */
  rotate(executorId: string): string {
    this.#load();
    return this.#mint(executorId);
  }

  /** Takes in an executor's token that was kept elsewhere, unless it has one here. @returns the one it has now */
  restore(executorId: string, token: string): string {
    this.#load();
    const known = this.#identities.get(executorId);
    if (known !== undefined) return known.token;
    this.#identities.put({ executorId, token, lastSeenAt: new Date(this.#now()).toISOString() });
    this.#changed();
    this.#minted.set(executorId, this.#version);
    return token;
  }

  /**
   * Notes that a known executor was heard of.
   * @param at the time in ms since 1970.
   */
  seen(executorId: string, at: number): void {
    this.#load();
    const identity = this.#identities.get(executorId);
    if (identity === undefined) return;
    identity.lastSeenAt = new Date(at).toISOString();
    this.#changed();
  }

  /** Is this the executor's token? Anything may be handed in; a string takes the same time whatever is wrong with it. */
  matches(executorId: string, token: unknown): boolean {
    this.#load();
    return this.#identities.matches(executorId, token);
  }

  /** The executor whose token this is. */
  ownerOf(token: string): string | undefined {
    this.#load();
    return this.#identities.ownerOf(token);
  }

  /** Resolves when the executor's token is on disk; rejects if the file cannot be written. */
  async kept(executorId: string): Promise<void> {
    if (this.#minted.has(executorId)) await this.flush();
  }

  /**
   * Resolves when every change made so far is on disk; calls that overlap share their writes.
   * Rejects if the file cannot be written. Nothing is lost then: the next change or flush tries again.
   */
  flush(): Promise<void> {
    if (this.#writing === undefined) {
      return this.#savedVersion === this.#version ? Promise.resolve() : this.#startWrite();
    }
    if (this.#writing.version === this.#version) return this.#writing.done;
    const again = () => {
      this.#nextWrite = undefined;
      return this.flush();
    };
    this.#nextWrite ??= this.#writing.done.then(again, again);
    return this.#nextWrite;
  }

  /** {@link flush} that does not return before it is done, and throws where that rejects. */
  flushSync(): void {
    this.#cancelTimer();
    if (this.#savedVersion === this.#version) return;
    try {
      this.#takeIn();
      const version = this.#version;
      this.#fileInUse.writeSync(textOf(this.#identities.values()), (fingerprint) => this.#saved(version, fingerprint));
    } catch (error) {
      throw this.#failed('write', error);
    }
  }

  /** Writes what is not written and lets go of the timer and the exit listener. A failure is reported, not thrown. */
  close(): void {
    this.#tryFlushSync();
    this.#rest();
  }

  #mint(executorId: string, more: Pick<Identity, 'registeredRemotely'> = {}): string {
    const token = randomBytes(32).toString('base64url');
    const lastSeenAt = new Date(this.#now()).toISOString();
    this.#identities.put({ ...this.#identities.get(executorId), ...more, executorId, token, lastSeenAt });
    this.#changed();
    this.#minted.set(executorId, this.#version);
    return token;
  }

  #load(): void {
    if (this.#loaded) return;
    this.#loaded = true;
    // What a store of this process is about to write is as good as written.
    for (const store of unsaved) if (store.path === this.path) store.#tryFlushSync();
    this.#tryTakeIn();
  }

  #tryTakeIn(): void {
    try {
      this.#takeIn();
    } catch (error) {
      this.#failed('read', error);
    }
  }

  #tryFlushSync(): void {
    try {
      this.flushSync();
    } catch {
      // Reported where it happened.
    }
  }

  /** Takes in what others wrote to the file since it was last in memory. Throws if the file cannot be read. */
  #takeIn(): void {
    const fingerprint = this.#fileInUse.fingerprint();
    if (fingerprint === this.#fingerprint) return;
    const identities = fingerprint === 'absent' ? [] : readIdentities(this.path, this.#now, this.#onProblem);
    this.#fingerprint = fingerprint;
    for (const theirs of identities) {
      const ours = this.#identities.get(theirs.executorId);
      if (ours !== undefined && this.#minted.has(theirs.executorId)) continue;
      const lastSeenAt =
        ours !== undefined && ours.lastSeenAt > theirs.lastSeenAt ? ours.lastSeenAt : theirs.lastSeenAt;
      this.#identities.put({ ...theirs, lastSeenAt });
    }
  }

  #changed(): void {
    this.#version++;
    if (unsaved.size === 0) process.once('exit', saveAtExit);
    unsaved.add(this);
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.flush().catch(() => undefined); // Reported where it happened.
    }, this.#delay);
    this.#timer.unref();
  }

  #startWrite(): Promise<void> {
    this.#cancelTimer();
    const done = this.#write().finally(() => {
      this.#writing = undefined;
    });
    this.#writing = { version: this.#version, done };
    return done;
  }

  async #write(): Promise<void> {
    const started = this.#now();
    const version = this.#version;
    try {
      this.#takeIn();
      await this.#fileInUse.write(
        textOf(this.#identities.values()),
        () => this.#savedVersion >= version, // A flushSync has written more meanwhile.
        (fingerprint) => this.#saved(version, fingerprint),
      );
    } catch (error) {
      throw this.#failed('write', error);
    }
    this.#delay = Math.min(WRITE_DELAY_LIMIT, Math.max(WRITE_DELAY, WRITE_DELAY_FACTOR * (this.#now() - started)));
  }

  /** The file is current up to this change. */
  #saved(version: number, fingerprint: string): void {
    this.#fingerprint = fingerprint;
    this.#savedVersion = version;
    this.#reported.clear();
    for (const [executorId, mintedAt] of this.#minted) if (mintedAt <= version) this.#minted.delete(executorId);
    if (version === this.#version) this.#rest();
  }

  /** Reports, once for each kind of failure until a write succeeds, and returns what there is to throw. */
  #failed(action: 'read' | 'write', error: unknown): Error {
    const { message } = error instanceof Error ? error : new Error(String(error));
    const problem = `cannot ${action} the identity store ${this.path}: ${message}`;
    const [code] = message.split(':');
    const kind = `${action} ${code}`;
    if (!this.#reported.has(kind)) this.#onProblem(problem);
    this.#reported.add(kind);
    this.#delay = WRITE_DELAY_LIMIT;
    return new Error(problem, { cause: error });
  }

  /** From here on the store does nothing by itself, until something changes. */
  #rest(): void {
    this.#cancelTimer();
    unsaved.delete(this);
    if (unsaved.size === 0) process.removeListener('exit', saveAtExit);
  }

  #cancelTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
