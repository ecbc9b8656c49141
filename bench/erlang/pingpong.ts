/** Erlang's part in `actor-pingpong`: the same two players, as processes, on one scheduler. */
import type { ErlangModule } from '../actor-process.js';
import { measureFunction } from './measure.js';

export const pingpong: ErlangModule = {
  name: 'pingpong',
  flags: ['+S', '1'],
  source: `
-module(pingpong).
-export([main/1]).

main([Messages, Warmup]) ->
  play(Warmup),
  measure(fun() -> play(Messages) end).

play(Receptions) ->
  Referee = self(),
  Ping = spawn(fun() -> meet(Referee) end),
  Pong = spawn(fun() -> meet(Referee) end),
  Ping ! {opponent, Pong},
  Pong ! {opponent, Ping},
  Ping ! Receptions - 1,
  receive {received, One} -> receive {received, Two} -> One + Two end end.

meet(Referee) -> receive {opponent, Opponent} -> player(Opponent, Referee, 0) end.

player(Opponent, Referee, Received) ->
  receive
    0 -> Opponent ! over, Referee ! {received, Received + 1};
    over -> Referee ! {received, Received};
    Left -> Opponent ! Left - 1, player(Opponent, Referee, Received + 1)
  end.
${measureFunction}`,
};
