/** nact's part in `actor-pingpong`: the same two players. */
import { dispatch, type Ref, spawn, start, stop } from 'nact';
import { measure, print, programValues } from '../actor-program.js';

interface Introduction {
  opponent: Ref<ToPlayer>;
  over(received: number): void;
}
type ToPlayer = Introduction | 'over' | number;
type Player = Partial<Introduction> & { received: number };

const { messages, warmup } = programValues('messages', 'warmup');
const system = start();

const receive = (state: Player, message: ToPlayer): Player => {
  if (typeof message === 'object') return { ...message, received: 0 };
  const { opponent, over } = state;
  if (opponent === undefined) return state;
  if (typeof message === 'number') {
    state.received++;
    if (message > 0) {
      dispatch(opponent, message - 1);
      return state;
    }
    dispatch(opponent, 'over');
  }
  over?.(state.received);
  return state;
};

const ping: Ref<ToPlayer> = spawn(system, receive, 'ping', { initialState: { received: 0 } });
const pong: Ref<ToPlayer> = spawn(system, receive, 'pong', { initialState: { received: 0 } });

/** Lets a ball be received so often, and resolves with how often it was. */
const play = (receptions: number): Promise<number> =>
  new Promise((resolve) => {
    const counts: number[] = [];
    const over = (received: number): void => {
      if (counts.push(received) === 2) resolve(counts.reduce((sum, count) => sum + count));
    };
    dispatch(ping, { opponent: pong, over });
    dispatch(pong, { opponent: ping, over });
    dispatch(ping, receptions - 1);
  });

await play(warmup);
print(await measure(() => play(messages)));
stop(system);
