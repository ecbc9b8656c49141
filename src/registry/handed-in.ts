/**
 * The WebSockets that programs hand in. Their methods are the program's code: it may throw, and it may call back into the
 * registry, so it does not run inside an actor.
 */
import type { ConnectionMessage } from '../../actors/messages.js';
import type { Behaviour } from '../actor/index.js';
import type { WebSocketConn } from '../contract/index.js';

const OPEN = 1;

interface HandedIn {
  readonly wsConn: WebSocketConn;
  /** Does something soon, when no actor is running. */
  readonly outside: (act: () => void) => void;
}

/** Stands for such a WebSocket among the actors. */
export const handedInConnection: Behaviour<ConnectionMessage, HandedIn, HandedIn> = {
  name: 'handed-in-connection',
  start: (handedIn) => handedIn,
  receive(handedIn, message) {
    const { wsConn, outside } = handedIn;
    if (message.type === 'push') outside(() => void send(wsConn, () => message.text));
    else outside(() => close(wsConn, message.code, message.reason));
    return handedIn;
  },
};

/** @returns whether an open connection took it; also false if there is no such text to send */
export function send(wsConn: WebSocketConn, text: () => string): boolean {
  try {
    if (wsConn.readyState !== OPEN) return false;
    wsConn.send(text());
    return true;
  } catch {
    return false;
  }
}

export function close(wsConn: WebSocketConn, code: number, reason: string): void {
  try {
    wsConn.close(code, reason);
  } catch {
    // It was closed already.
  }
}
