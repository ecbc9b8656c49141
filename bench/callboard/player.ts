/** An actor that returns a ball until it has been returned often enough, and counts. */
import type { Behaviour, Ref } from '../../src/actor/index.js';

/** The module of this behaviour, for spawning it on a thread. */
export const playerModule = new URL(import.meta.url);

export type ToPlayer = { readonly opponent: Ref<ToPlayer>; readonly referee: Ref<number> } | 'over' | ReturnsLeft;
type ReturnsLeft = number;

interface Player {
  opponent: Ref<ToPlayer> | undefined;
  referee: Ref<number> | undefined;
  received: number;
}

const player: Behaviour<ToPlayer, Player> = {
  name: 'player',
  start: () => ({ opponent: undefined, referee: undefined, received: 0 }),
  receive(state, message, context) {
    if (typeof message === 'object') return { ...message, received: 0 };
    const { opponent, referee } = state;
    if (opponent === undefined || referee === undefined) return state;
    if (typeof message === 'number') {
      state.received++;
      if (message > 0) {
        context.tell(opponent, message - 1);
        return state;
      }
      context.tell(opponent, 'over');
    }
    context.tell(referee, state.received);
    return state;
  },
};
export default player;
