/** What the Erlang modules share: a stopwatch that prints what `measurement` in actor-program.ts describes. */
export const measureFunction = String.raw`
measure(Work) ->
  {Cpu, _} = statistics(runtime),
  Start = erlang:monotonic_time(microsecond),
  Outcome = Work(),
  Micros = erlang:monotonic_time(microsecond) - Start,
  {CpuAfter, _} = statistics(runtime),
  io:format("{\"seconds\":~f,\"cpuSeconds\":~f,\"outcome\":~b}~n", [Micros / 1.0e6, (CpuAfter - Cpu) / 1.0e3, Outcome]).
`;
