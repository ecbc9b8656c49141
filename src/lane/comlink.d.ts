/**
 * The ES module of comlink, which its package.json names for bundlers only. Node would load the CommonJS one for `comlink`,
 * and with it the parser for the exports of such: on each of a server's threads.
 */
declare module 'comlink/dist/esm/comlink.mjs' {
  export * from 'comlink';
}
