/** How Callboard closes an executor's WebSocket: the codes of the contract. */

/** It was deregistered, or whoever runs Callboard's registry shuts that down. */
export const NORMAL = 1000;
/** Callboard stops. */
export const GOING_AWAY = 1001;
/** It has sent little but invalid frames. */
export const POLICY_VIOLATION = 1008;
/** The part of Callboard that held the connection started again: connect anew. */
export const SERVICE_RESTART = 1012;
/** Its token is wrong, or not valid any more. From an executor that was dialled: it does not want that token. */
export const BAD_TOKEN = 4001;
/** A newer connection of the same executor has taken its place. */
export const REPLACED = 4002;
