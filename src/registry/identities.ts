/** Identities in memory: by executor, and by token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Identity } from './identity-file.js';

export class Identities {
  readonly #byExecutor = new Map<string, Identity>();
  /** Executor by digest of its token. Looking a digest up tells an attacker's clock nothing about the token. */
  readonly #owners = new Map<string, string>();

  get(executorId: string): Identity | undefined {
    return this.#byExecutor.get(executorId);
  }

  values(): Iterable<Identity> {
    return this.#byExecutor.values();
  }

  /** Adds an identity, or replaces the one that its executor has. */
  put(identity: Identity): void {
    const { executorId, token } = identity;
    const before = this.#byExecutor.get(executorId);
    this.#byExecutor.set(executorId, identity);
    if (before?.token === token) return;
    if (before !== undefined) this.#owners.delete(digest(before.token).toString('base64'));
    this.#owners.set(digest(token).toString('base64'), executorId);
  }

  /** Is this the executor's token? Anything may be handed in; a string takes the same time whatever is wrong with it. */
  matches(executorId: string, token: unknown): boolean {
    const identity = this.#byExecutor.get(executorId);
    if (identity === undefined || typeof token !== 'string') return false;
    // Digests, because they are equally long.
    return timingSafeEqual(digest(token), digest(identity.token));
  }

  /** The executor whose token this is. */
  ownerOf(token: string): string | undefined {
    return this.#owners.get(digest(token).toString('base64'));
  }
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
