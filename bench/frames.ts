/** Client frames of the executor's WebSocket, encoded and masked before the clock starts, so that sending is only copying. */

const chunkSize = 64 * 1024;

/** Whole rounds of frames to be written in one go; a round has one frame for each mission of a connection. */
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
  const length = Buffer.byteLength(text);
  if (length > 0xffff) throw new RangeError('clientFrame takes at most 64 KiB');
  const keyAt = length > 125 ? 4 : 2;
  const frame = Buffer.allocUnsafe(keyAt + 4 + length);
  frame[0] = 0x81;
  frame[1] = 0x80 | (length > 125 ? 126 : length);
  if (length > 125) frame.writeUInt16BE(length, 2);
  // It is there for proxies that cache; on one machine, nobody has to be unable to guess it.
  frame.writeUInt32BE(Math.floor(Math.random() * 2 ** 32), keyAt);
  frame.write(text, keyAt + 4);
  for (let index = 0; index < length; index++) {
    const at = keyAt + 4 + index;
    frame[at] = (frame[at] ?? 0) ^ (frame[keyAt + (index & 3)] ?? 0);
  }
  return frame;
}

/** The frames of one event for each mission, back to back. */
export function eventFrames(executorId: string, missionIds: string[], event: string, data: object): Buffer {
  const ts = new Date().toISOString();
  const frames = missionIds.map((mission_id) =>
    clientFrame(JSON.stringify({ event, executor_id: executorId, mission_id, ts, data })),
  );
  return Buffer.concat(frames);
}

/** Rounds of `mission.progress` for one connection, counted in `data.iteration`. Each event is about 250 bytes of JSON. */
export function progressRounds(executorId: string, missionIds: string[], count: number): Buffer[] {
  return Array.from({ length: count }, (_, iteration) => {
    const data = { phase: 'build', iteration, tokens_used: 40_000, summary: 'tests run', pct_complete: 40 };
    return eventFrames(executorId, missionIds, 'mission.progress', data);
  });
}

/** Puts rounds together into chunks of about 64 KiB. */
export function chunksOf(rounds: readonly Buffer[]): Chunk[] {
  const chunks: Chunk[] = [];
  let gathered: Buffer[] = [];
  let roundEnds: number[] = [];
  let size = 0;
  for (const [index, round] of rounds.entries()) {
    gathered.push(round);
    size += round.length;
    roundEnds.push(size);
    if (size < chunkSize && index < rounds.length - 1) continue;
    chunks.push({ bytes: Buffer.concat(gathered), roundEnds });
    gathered = [];
    roundEnds = [];
    size = 0;
  }
  return chunks;
}
