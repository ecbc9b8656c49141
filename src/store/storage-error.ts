/**
 * What can be wrong with a store:
 * - `storage_full`: no space is left for what was to be written;
 * - `storage_unwritable`: it cannot be written, or not be opened, for another reason, such as permissions;
 * - `storage_failed`: LMDB has given it up, for the page that makes a commit count could not be written. Nothing of that
 *   commit is there; but before anything else is done with the store, all that this process has opened of it must be
 *   closed. That page needs no new space, except where the file system copies what is overwritten;
 * - `storage_missing`: there is none, and it was only to be read;
 * - `storage_taken`: a new one was to be made, and there is one with something in it;
 * - `storage_locked`: another process or thread writes to it;
 * - `storage_newer`: a newer version of Callboard wrote it;
 * - `storage_damaged`: it is no store, or only a part of one.
 */
export type StorageErrorCode =
  | 'storage_full'
  | 'storage_unwritable'
  | 'storage_failed'
  | 'storage_missing'
  | 'storage_taken'
  | 'storage_locked'
  | 'storage_newer'
  | 'storage_damaged';

/** A store that cannot be opened, read or written; `cause` is what the layer below said, if it said anything. */
export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly code: StorageErrorCode;

  /** @param message says which store, what is wrong and, where there is something, what to do */
  constructor(code: StorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
