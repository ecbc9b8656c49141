/** TypeScript on worker threads. */

/** A variable, not a literal: this compiles, and runs, where tsx is not installed. */
const tsx: string = 'tsx/esm/api';
/** tsx by its name, as in `--import tsx/esm`, or by the path of its files; NODE_OPTIONS holds several options. */
const namesTsx = /(^|[\s"=/])tsx([\s"/]|$)/;

/**
 * Lets the calling worker thread import TypeScript modules where the process runs under tsx: a worker has to ask for that
 * itself (tsx 4.23).
 */
export async function allowTypeScript(): Promise<void> {
  if (![...process.execArgv, process.env.NODE_OPTIONS ?? ''].some((option) => namesTsx.test(option))) return;
  let api: { register(): unknown };
  try {
    api = await import(tsx);
  } catch {
    // Some other "tsx", or out of reach from here: loading TypeScript is then someone else's business.
    return;
  }
  api.register();
}
