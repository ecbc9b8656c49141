/** When an executor that is not connected is dialled: a pure thing, so that it can be tested as one. */

/** Milliseconds in which an executor may dial by itself. */
const MOMENT = 2_000;
/** Milliseconds in which an executor that has dialled by itself may do so again, at the least. */
const RETURN = 8_000;
/** The longest wait after a dial that has failed, in milliseconds. */
export const LONGEST_WAIT = 30_000;

/**
 * Milliseconds to wait before the next dial: 2 to 3 s for the first one; then from 1 to 2 s, doubled after each failure,
 * up to 15 to 30 s. Chance spreads those that were lost at once.
 * @param failures dials that have failed since a connection stood; Infinity after a refusal that is for good
 * @param random from 0 to below 1
 */
export function waitBeforeDial(failures: number, random: number): number {
  if (failures === 0) return MOMENT * (1 + random / 2);
  return (Math.min(LONGEST_WAIT, 1_000 * 2 ** failures) / 2) * (1 + random);
}

/**
 * Milliseconds to wait before an executor is dialled that had dialled by itself and was lost: 8 to 16 s. It knows the way:
 * most are back by then, and those that do not listen are spared a dial each, however many were lost at once.
 * @param random from 0 to below 1
 */
export const waitForReturn = (random: number): number => RETURN * (1 + random);
