/** What a scenario is. Each lives in a file of its own, exports one description, and is listed in main.ts. */

/** A whole number that a flag of the same name sets. */
export interface Parameter {
  help: string;
  default: number;
  /** The value of a smoke run. */
  smoke: number;
  /** Default: 1. */
  lowest?: number;
}

/** A run's surroundings. */
export interface Surroundings {
  /** Tiny: outcomes are checked, times are neither judged nor printed. */
  smoke: boolean;
  /** Measure this running server, and nothing else. */
  url: URL | undefined;
  /** Prints a line of the report. */
  print(line: string): void;
  /** Shows what is going on, on a terminal only; the next line takes its place. */
  progress(line: string): void;
}

/** A scenario; `Name` are the names of its parameters. */
export interface Scenario<Name extends string = string> {
  name: string;
  /** What it shows, in a sentence. */
  shows: string;
  parameters: Record<Name, Parameter>;
  /**
   * Drives it and prints its report.
   *
   * @returns the figures, as JSON
   * @throws where an outcome (a count, a state) is not what it must be
   */
  run(values: Record<Name, number>, surroundings: Surroundings): Promise<object>;
}
