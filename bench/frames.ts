/** Client frames of the executor's WebSocket, encoded and masked before the clock starts, so that sending is only copying. */
import { randomBytes } from 'node:crypto';

/** The flood counts each mission's events in `data.iteration` modulo this; at least the 50 that a server keeps. */
export const iterationRing = 256;

const chunkSize = 64 * 1024;

/** Whole rounds of frames to be written in one go; a round has one frame for each mission. */
export interface Chunk {
  bytes: Buffer;
  /** Where each round ends in `bytes`. */
  roundEnds: number[];
}

/**
 * One text frame as a client sends it (RFC 6455 section 5.2): final, masked with a random key.
 *
 * @param text at most 64 KiB of UTF-8
 */
export function clientFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  if (payload.length > 0xffff) throw new RangeError('clientFrame takes at most 64 KiB');
  const extended = payload.length > 125;
  const head = Buffer.alloc(extended ? 4 : 2);
  head[0] = 0x81;
  head[1] = 0x80 | (extended ? 126 : payload.length);
  if (extended) head.writeUInt16BE(payload.length, 2);
  const key = randomBytes(4);
  const masked = payload.map((byte, index) => byte ^ (key[index & 3] ?? 0));
  return Buffer.concat([head, key, masked]);
}

/** The frames of one event for each mission, back to back. */
export function eventFrames(executorId: string, missionIds: string[], event: string, data: object): Buffer {
  const ts = new Date().toISOString();
  const frames = missionIds.map((mission_id) =>
    clientFrame(JSON.stringify({ event, executor_id: executorId, mission_id, ts, data })),
  );
  return Buffer.concat(frames);
}

/**
 * A flood of `mission.progress` for one connection: `iterationRing` rounds in chunks of about 64 KiB, to be sent over and
 * over. Each event is about 250 bytes of JSON.
 */
export function progressChunks(executorId: string, missionIds: string[]): Chunk[] {
  const chunks: Chunk[] = [];
  let rounds: Buffer[] = [];
  let size = 0;
  for (let iteration = 0; iteration < iterationRing; iteration++) {
    const data = { phase: 'build', iteration, tokens_used: 40_000, summary: 'tests run', pct_complete: 40 };
    const round = eventFrames(executorId, missionIds, 'mission.progress', data);
    rounds.push(round);
    size += round.length;
    if (size < chunkSize && iteration < iterationRing - 1) continue;
    let end = 0;
    const roundEnds = rounds.map((bytes) => {
      end += bytes.length;
      return end;
    });
    chunks.push({ bytes: Buffer.concat(rounds), roundEnds });
    rounds = [];
    size = 0;
  }
  return chunks;
}
