/** A line on a terminal that says how far something is. */

/** What is counted, and in which words. */
export interface Counted {
  /** Behind the number: `missions`. */
  readonly unit: string;
  /** A number in its words. Default: with commas between the thousands. */
  shown?(count: number): string;
}

/** What it is shown on. */
export interface Screen {
  readonly isTTY?: boolean;
  readonly columns: number;
  write(text: string): unknown;
}

/** Milliseconds between two of its pictures. */
const REDRAWN_AFTER = 100;
const BAR = 24;

/** Shows nothing where the stream is no terminal. */
export class Progress {
  readonly #stream: Screen | undefined;
  readonly #counted: Counted;
  readonly #all: number | undefined;
  readonly #start = performance.now();
  #drawn = Number.NEGATIVE_INFINITY;

  /** @param all undefined where it is not known */
  constructor(stream: Screen, counted: Counted, all: number | undefined) {
    this.#stream = stream.isTTY ? stream : undefined;
    this.#counted = counted;
    this.#all = all;
  }

  /** Cheap enough to be told often. */
  show(done: number): void {
    const now = performance.now();
    if (this.#stream === undefined || now - this.#drawn < REDRAWN_AFTER) return;
    this.#drawn = now;
    const line = progressLine(this.#counted, done, this.#all, (now - this.#start) / 1000);
    this.#stream.write(`\r\x1b[K${line.slice(0, this.#stream.columns - 1)}`);
  }

  /** Takes the line away. */
  clear(): void {
    this.#stream?.write('\r\x1b[K');
  }
}

/** `[######                  ]  25%  1,000 of 4,000 missions, 500 per second, 6 s left` */
export function progressLine(
  { unit, shown = inThousands }: Counted,
  done: number,
  all: number | undefined,
  seconds: number,
): string {
  const rate = seconds > 0 ? done / seconds : 0;
  const speed = `${shown(Math.round(rate))} per second`;
  if (all === undefined) return `${shown(done)} ${unit}, ${speed}`;
  const share = all === 0 ? 1 : Math.min(1, done / all);
  const bar = '#'.repeat(Math.floor(share * BAR)).padEnd(BAR);
  const percent = `${Math.floor(share * 100)}%`.padStart(4);
  const left = rate > 0 ? `, ${duration(Math.max(0, all - done) / rate)} left` : '';
  return `[${bar}] ${percent}  ${shown(done)} of ${shown(all)} ${unit}, ${speed}${left}`;
}

const inThousands = (count: number): string => count.toLocaleString('en');

/** `45 s`, `2 min 5 s` or `3 h 20 min`. */
function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
