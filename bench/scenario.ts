/** What a scenario is. Each lives in a file of its own, exports one description, and is listed in scenarios.ts. */
import type { Report } from './report.js';

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
  /** Shows what is going on, on a terminal only; the next line takes its place. */
  progress(line: string): void;
}

/** A scenario; `Name` are the names of its parameters. */
export interface Scenario<Name extends string = string> {
  name: string;
  /** What it shows, in a sentence. */
  shows: string;
  parameters: Record<Name, Parameter>;
  /** Whether it can measure a running server of the contract, `Surroundings.url`. Default: false. */
  takesUrl?: boolean;
  /**
   * Drives it. A smoke run checks the same outcomes, and its figures are not looked at.
   *
   * @throws where an outcome (a count, a state) is not what it must be
   */
  run(values: Record<Name, number>, surroundings: Surroundings): Promise<Report>;
}
