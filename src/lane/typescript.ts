/** TypeScript on worker threads. */

/** A variable, not a literal: this compiles, and runs, where tsx is not installed. */
const tsx: string = 'tsx/esm/api';
/** tsx by its name, as in `--import tsx/esm`, or by the path of its files; NODE_OPTIONS holds several options. */
const namesTsx = /(^|[\s"=/])tsx([\s"/]|$)/;

/** The folder that holds this package's own modules. */
const home = new URL('../../', import.meta.url).href;

/**
 * Lets the calling worker thread import a module that may be TypeScript, or import some, where the process runs under tsx:
 * a worker has to ask for that itself (tsx 4.23). It is asked for only then: it doubles the time in which a thread starts.
 *
 * @param module its URL
 */
export async function allowTypeScript(module: string): Promise<void> {
  if (import.meta.url.endsWith('.js') && module.startsWith(home)) return;
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
