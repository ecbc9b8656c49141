/** What the load generators, as programs, have in common: the lines they print, and how they end. */
import { Agent } from 'node:http';

/** The means of a load generator. */
export interface Means {
  agent: Agent;
  /** Tells whoever looks on how far it has come. */
  progress(text: string): void;
}

const print = (line: object) => console.log(JSON.stringify(line));

/** Runs `work` and prints its result; exit code 1 and one line on stderr where it throws. */
export async function runClientProgram(work: (means: Means) => Promise<object>): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  try {
    const result = await work({ agent, progress: (text) => print({ kind: 'progress', text }) });
    agent.destroy();
    print({ kind: 'result', result });
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
