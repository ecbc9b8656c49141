/**
 * How an event lies in a journal and, byte for byte the same, in the log on disk: a header of six 32-bit words, then the
 * event's text in UTF-8, filled up to whole words.
 *
 * | word | is                                                                                             |
 * | ---- | ---------------------------------------------------------------------------------------------- |
 * | 0    | bytes of the text                                                                              |
 * | 1    | the mission's number                                                                           |
 * | 2    | of an event: how many the mission had before it; else `STATE` or `FILLER`                      |
 * | 3    | the stream in which the mission's event before this one lies; 0: there is none                 |
 * | 4, 5 | where in that stream, low word first                                                           |
 *
 * So the events of one mission form a chain from the newest to the oldest, and writing one costs no index entry.
 */

/** Where a record lies: a stream is what one thread wrote in one run, and `offset` counts its bytes. */
export interface Position {
  readonly stream: number;
  readonly offset: number;
}

export const HEADER_WORDS = 6;
export const HEADER_BYTES = HEADER_WORDS * 4;
/** In place of an event's number: the record is a mission's state, as JSON. */
export const STATE = 0xffff_ffff;
/** In place of an event's number: the record is nothing, and only leads to where the next one begins. */
export const FILLER = 0xffff_fffe;

/** Bytes of a whole record whose text has so many. */
export const recordSize = (textBytes: number): number => HEADER_BYTES + ((textBytes + 3) & ~3);

/** Of this many events of a mission, one can be found without following the chain. */
export const EVENTS_PER_MARK = 64;

/** A record, read where it lies. */
export interface RecordHeader {
  readonly textBytes: number;
  readonly mission: number;
  /** The event's number, `STATE` or `FILLER`. */
  readonly ordinal: number;
  readonly before: Position | undefined;
}

/** Reads the header that begins `at` so many bytes into some, which may lie anywhere in memory. */
export function readHeader(bytes: Uint8Array, at: number): RecordHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  const stream = view.getUint32(12, true);
  const offset = view.getUint32(16, true) + view.getUint32(20, true) * 2 ** 32;
  return {
    textBytes: view.getUint32(0, true),
    mission: view.getUint32(4, true),
    ordinal: view.getUint32(8, true),
    before: stream === 0 ? undefined : { stream, offset },
  };
}

/** A record among others: `at` is where it begins in them, in bytes. */
export interface FoundRecord extends RecordHeader {
  readonly at: number;
  readonly text: Uint8Array;
}

/** The records that lie one after the other in a chunk of log. */
export function* records(chunk: Uint8Array): Iterable<FoundRecord> {
  for (let at = 0; at < chunk.length; ) {
    const found = recordAt(chunk, at);
    yield found;
    at += recordSize(found.textBytes);
  }
}

/** The record that begins `at` so many bytes into a chunk of log. */
export function recordAt(chunk: Uint8Array, at: number): FoundRecord {
  const header = readHeader(chunk, at);
  const start = at + HEADER_BYTES;
  return { ...header, at, text: chunk.subarray(start, start + header.textBytes) };
}
