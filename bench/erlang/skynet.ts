/** Erlang's part in `actor-skynet`: the same tree, of processes, on all schedulers. */
import type { ErlangModule } from '../actor-process.js';
import { measureFunction } from './measure.js';

export const skynet: ErlangModule = {
  name: 'skynet',
  // How many processes there may be: by default not a million.
  flags: ['+P', '4000000'],
  source: `
-module(skynet).
-export([main/1]).

main([Levels, Told]) ->
  grow(Levels - 1, Told),
  measure(fun() -> grow(Levels, Told) end).

grow(Levels, Told) ->
  start({self(), 0, round(math:pow(10, Levels))}, Told),
  receive Sum -> Sum end.

start(Part, 0) -> spawn(fun() -> take(Part, 0) end);
start(Part, 1) -> spawn(fun() -> receive Told -> take(Told, 1) end end) ! Part.

take({Parent, From, 1}, _) -> Parent ! From;
take({Parent, From, Size}, Told) ->
  Self = self(),
  Each = Size div 10,
  [start({Self, From + I * Each, Each}, Told) || I <- lists:seq(0, 9)],
  Parent ! sum(10, 0).

sum(0, Sum) -> Sum;
sum(Missing, Sum) -> receive Part -> sum(Missing - 1, Sum + Part) end.
${measureFunction}`,
};
