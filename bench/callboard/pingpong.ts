/** Callboard's part in `actor-pingpong`: both players in the calling thread or, with `threads` 1, one of them on another. */
import { type Behaviour, createSystem, type Ref } from '../../src/actor/index.js';
import { measure, print, programValues } from '../actor-program.js';
import player, { playerModule, type ToPlayer } from './player.js';

type Referee = { counts: number[]; over: (received: number) => void };

/** Adds up what the two players received. */
const referee: Behaviour<number, Referee, Referee['over']> = {
  name: 'referee',
  start: (over) => ({ counts: [], over }),
  receive(state, count) {
    const [first] = state.counts;
    if (first === undefined) state.counts.push(count);
    else state.over(first + count);
    return state;
  },
};

const { messages, warmup, threads } = programValues('messages', 'warmup', 'threads');
const system = createSystem({ threads });
const ping = system.spawn(player, undefined);
const pong =
  threads === 0 ? system.spawn(player, undefined) : system.spawnOnThread<typeof player>(playerModule, undefined);

/** Lets a ball be received so often, and resolves with how often it was. */
const play = (receptions: number): Promise<number> =>
  new Promise((over) => {
    const judge = system.spawn(referee, over);
    const introduce = (to: Ref<ToPlayer>, opponent: Ref<ToPlayer>) => system.tell(to, { opponent, referee: judge });
    introduce(ping, pong);
    introduce(pong, ping);
    system.tell(ping, receptions - 1);
  });

await play(warmup);
print(await measure(() => play(messages)));
await system.close();
