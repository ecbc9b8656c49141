/** Where missions' latest events lie, as far as that is only in the log: their heads are written at checkpoints. */
import type { Engine } from './engine.js';
import { type Head, readCheckpoint } from './kept.js';
import { keys, positionOf } from './keys.js';
import { records, STATE } from './record.js';

/**
 * The heads of missions that have events in the log after the last checkpoint, by the missions' numbers; and the highest
 * number there, also of a mission whose creation was lost in a crash: it is not to be given to another.
 */
export function headsSince(engine: Engine): { readonly heads: Map<number, Head>; readonly highest: number } {
  const heads = new Map<number, Head>();
  const checkpoint = readCheckpoint(engine.get(keys.checkpoint));
  const latest = Math.max(0, ...checkpoint.keys());
  const from = [...checkpoint].map(([stream, offset]) => ({ stream, offset }));
  // Streams that began after it; those that ended before it are done with.
  const ranges = [
    ...from.map((position) => [keys.log(position), keys.log({ stream: position.stream + 1, offset: 0 })] as const),
    [keys.log({ stream: latest + 1, offset: 0 }), keys.end('log/')] as const,
  ];
  for (const [start, end] of ranges)
    for (const { key, value } of engine.range(start, end)) {
      const { stream, offset } = positionOf(key);
      for (const { mission, ordinal, at } of records(value))
        if (ordinal !== STATE) heads.set(mission, { position: { stream, offset: offset + at }, count: ordinal + 1 });
    }
  let highest = 0;
  for (const number of heads.keys()) highest = Math.max(highest, number);
  // Some missions were deleted; and those whose creation was not kept will never be created.
  for (const number of heads.keys()) if (engine.get(keys.state(number)) === undefined) heads.delete(number);
  return { heads, highest };
}
