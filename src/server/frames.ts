/**
 * The quick way through the WebSocket protocol (RFC 6455), for what nearly all frames are: a whole text message in one
 * frame, all of it here. Whatever else comes is handed on to ws, byte for byte: control frames, fragments, frames whose
 * end is still under way, and every violation of the protocol.
 *
 * Measured under a flood of 250-byte events, ws's decoding was a quarter of all the work that an event makes. Here a
 * payload is unmasked where it lies, four bytes at a time, and one that turns out to be ASCII needs no decoding.
 */
import { isAscii, isUtf8 } from 'node:buffer';

const FIN = 0x80;
const MASKED = 0x80;
/** The first byte of a whole text message: FIN, and the opcode of text. */
const WHOLE_TEXT = 0x81;
/** Opcodes from here on are those of control frames, which may come between the fragments of a message. */
const FIRST_CONTROL = 8;
const LONGEST_HEADER = 14;
const NOT_ASCII = 0x80808080 | 0;

export interface FrameHandler {
  /** Takes a whole text message. */
  readonly onText: (text: string) => void;
  /**
   * Takes bytes that are not read here, in order.
   * @returns true if they were read at once; else whatever follows in this chunk goes the same way, to stay in order
   */
  readonly onBytes: (bytes: Buffer) => boolean;
}

/** Reads what one peer sends. */
export class FrameReader {
  readonly #maxPayload: number;
  /** The bit of a frame's second byte as this peer must set it. */
  readonly #mask: number;
  readonly #handler: FrameHandler;
  /** How many bytes of a frame that is handed on are still to come. */
  #toCome = 0;
  /** A message has begun in fragments, and its last one is still to come. */
  #isFragmented = false;
  /** A header of which not all is here. */
  #header: Buffer | undefined;
  // Of the header that was read last.
  #payloadAt = 0;
  #payloadLength = 0;

  /**
   * @param peer a client masks its frames, and a server does not; a frame that is otherwise is handed on
   * @param maxPayload bytes; a frame with more is handed on
   */
  constructor(peer: 'client' | 'server', maxPayload: number, handler: FrameHandler) {
    this.#mask = peer === 'client' ? MASKED : 0;
    this.#maxPayload = maxPayload;
    this.#handler = handler;
  }

  /**
   * Reads the next bytes. A client's are unmasked in place.
   * @param quickly false: hand on all of them, and only keep track of where frames end
   */
  read(next: Buffer, quickly: boolean): void {
    const bytes = this.#header === undefined ? next : Buffer.concat([this.#header, next]);
    this.#header = undefined;
    let isQuick = quickly;
    /** Where what is to be handed on begins. */
    let from = 0;
    let at = this.#toCome;
    while (at < bytes.length) {
      if (!this.#readHeader(bytes, at)) {
        this.#header = Buffer.from(bytes.subarray(at));
        break;
      }
      const end = this.#payloadAt + this.#payloadLength;
      const first = bytes[at] ?? 0;
      if (isQuick && first === WHOLE_TEXT && this.#isSimple(bytes, at, end)) {
        if (from < at) isQuick = this.#handler.onBytes(bytes.subarray(from, at));
        const text = isQuick ? this.#textOf(bytes, this.#payloadAt, end) : undefined;
        from = text === undefined ? at : end;
        if (text !== undefined) this.#handler.onText(text);
      } else if ((first & 0x0f) < FIRST_CONTROL) this.#isFragmented = (first & FIN) === 0;
      at = end;
    }
    this.#toCome = Math.max(0, at - bytes.length);
    const to = Math.min(at, bytes.length);
    if (from < to) this.#handler.onBytes(bytes.subarray(from, to));
  }

  /** @returns false if not all of the header is here */
  #readHeader(bytes: Buffer, at: number): boolean {
    if (bytes.length - at < LONGEST_HEADER && bytes.length - at < headerLength(bytes, at)) return false;
    const length = (bytes[at + 1] ?? 0) & 0x7f;
    this.#payloadAt = at + headerLength(bytes, at);
    if (length < 126) this.#payloadLength = length;
    else if (length === 126) this.#payloadLength = bytes.readUInt16BE(at + 2);
    else this.#payloadLength = bytes.readUInt32BE(at + 2) * 2 ** 32 + bytes.readUInt32BE(at + 6);
    return true;
  }

  #isSimple(bytes: Buffer, at: number, end: number): boolean {
    return (
      end <= bytes.length &&
      !this.#isFragmented &&
      ((bytes[at + 1] ?? 0) & MASKED) === this.#mask &&
      this.#payloadLength <= this.#maxPayload
    );
  }

  /** @returns the text of a payload, or undefined, and the payload as it was, if that is not UTF-8 */
  #textOf(bytes: Buffer, from: number, to: number): string | undefined {
    return this.#mask === 0 ? plainText(bytes, from, to) : unmaskedText(bytes, from, to);
  }
}

/** Bytes of a header, as far as they can be told from those that are here. */
function headerLength(bytes: Buffer, at: number): number {
  const second = bytes[at + 1];
  if (second === undefined) return 2;
  const length = second & 0x7f;
  return (length < 126 ? 2 : length === 126 ? 4 : 10) + ((second & MASKED) === 0 ? 0 : 4);
}

function plainText(bytes: Buffer, from: number, to: number): string | undefined {
  const payload = bytes.subarray(from, to);
  if (isAscii(payload)) return bytes.toString('latin1', from, to);
  return isUtf8(payload) ? bytes.toString('utf8', from, to) : undefined;
}

/** Unmasks a payload in place. */
function unmaskedText(bytes: Buffer, from: number, to: number): string | undefined {
  if (unmask(bytes, from, to)) return bytes.toString('latin1', from, to);
  if (isUtf8(bytes.subarray(from, to))) return bytes.toString('utf8', from, to);
  unmask(bytes, from, to);
  return undefined;
}

/** Four bytes of a masking key, turned to where the payload's first whole word begins. */
const turned = new Uint8Array(4);
const turnedWord = new Int32Array(turned.buffer);
/** The words of the buffer that was unmasked last: a chunk holds many frames. */
let words: Int32Array = new Int32Array(0);

/** Applies the masking key, which lies before the payload. @returns whether what results is ASCII */
function unmask(bytes: Buffer, from: number, to: number): boolean {
  if (words.buffer !== bytes.buffer) words = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >> 2);
  const keyAt = from - 4;
  // Words lie at multiples of four bytes in the whole buffer.
  const shift = bytes.byteOffset & 3;
  const firstWord = Math.min(to, from + ((4 - ((from + shift) & 3)) & 3));
  const lastWord = firstWord + ((to - firstWord) & ~3);
  let seen = 0;
  for (let at = from; at < firstWord; at++)
    seen |= bytes[at] = (bytes[at] ?? 0) ^ (bytes[keyAt + ((at - from) & 3)] ?? 0);
  for (let i = 0; i < 4; i++) turned[i] = bytes[keyAt + ((firstWord - from + i) & 3)] ?? 0;
  const key = turnedWord[0] ?? 0;
  const endWord = (bytes.byteOffset + lastWord) >> 2;
  let seenWords = 0;
  for (let at = (bytes.byteOffset + firstWord) >> 2; at < endWord; at++)
    seenWords |= words[at] = (words[at] ?? 0) ^ key;
  for (let at = lastWord; at < to; at++) seen |= bytes[at] = (bytes[at] ?? 0) ^ (bytes[keyAt + ((at - from) & 3)] ?? 0);
  return (seen & 0x80) === 0 && (seenWords & NOT_ASCII) === 0;
}
