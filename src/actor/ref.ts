/**
 * Refs: the addresses of actors.
 *
 * A ref is a number, never used twice in the life of a system: it can be put in a message, sent to another thread,
 * compared with `===`, used as a key, logged. That is why one talks to an actor through a context or a system
 * (`system.tell(ref, message)`) and not through the ref.
 *
 * The number is `host × 2^45 + id`: an actor's host can be read off it, and its low bits place it in the thread's
 * table without any hashing.
 */

declare const accepts: unique symbol;

/** The address of an actor that accepts messages of type `Message`. */
export type Ref<Message> = number & { readonly [accepts]: (message: Message) => void };

/** Any actor's address: enough to watch or stop it, not to talk to it. */
export type AnyRef = Ref<never>;

const IDS_PER_HOST = 2 ** 45;

/** The number of the host an actor lives in: 0 is the calling thread, n + 1 is thread n. */
export const hostOf = (ref: number): number => Math.floor(ref / IDS_PER_HOST);

/** The smallest number that is an address in a host. */
export const firstAddress = (host: number): number => host * IDS_PER_HOST;

/** The one place where a number becomes a typed address: only whoever creates an actor knows what it accepts. */
export const asRef = <Message>(address: number): Ref<Message> => address as Ref<Message>;

/** A ref as people read it: `host.id`. */
export const formatRef = (ref: number): string => `${hostOf(ref)}.${ref % IDS_PER_HOST}`;
