/** Erlang's part in `actor-spawn`: idle processes. */
import type { ErlangModule } from '../actor-process.js';
import { measureFunction } from './measure.js';

export const spawn: ErlangModule = {
  name: 'idle',
  flags: ['+P', '4000000'],
  source: String.raw`
-module(idle).
-export([main/1]).

main([Actors]) ->
  stop_all(start_all(Actors)),
  Before = erlang:memory(total),
  io:format("{\"started\":"),
  Others = erlang:system_info(process_count),
  measure(fun() -> put(pids, start_all(Actors)), erlang:system_info(process_count) - Others end),
  io:format(",\"bytes\":~b,\"stopped\":", [erlang:memory(total) - Before]),
  measure(fun() -> stop_all(get(pids)), erlang:system_info(process_count) - Others end),
  io:format("}~n").

start_all(Actors) -> [spawn(fun() -> receive stop -> ok end end) || _ <- lists:seq(1, Actors)].

stop_all(Pids) -> 
  [Pid ! stop || Pid <- Pids],
  [gone(Pid) || Pid <- Pids].

gone(Pid) ->
  case is_process_alive(Pid) of
    true -> erlang:yield(), gone(Pid);
    false -> ok
  end.
${measureFunction}`,
};
