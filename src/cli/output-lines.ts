/** The lines of a command's output, fit to be shown and sent, whatever it writes. */
import { stripVTControlCharacters } from 'node:util';

/** Characters of a line that are shown, and that are looked at for it: some may be escape sequences. */
const MAX_SHOWN = 1_000;
const MAX_READ = 4_000;
/** Characters without a line break after which they count as a line all the same. */
const MAX_LINE = 64 * 1024;
/** Milliseconds of silence after which a line without an end may be a prompt, behind which the command waits. */
const SILENCE = 200;

/** A line without escape sequences and control characters, at most 1,000 characters long. */
export function cleaned(line: string): string {
  const read = line.slice(0, MAX_READ);
  // Most lines have none, and a command may write millions of them.
  const plain = read.includes('\x1b') ? stripVTControlCharacters(read) : read;
  // A cut may have left half of a pair of surrogates, which is no text either.
  return plain
    .slice(0, MAX_SHOWN)
    .replaceAll(/[\p{Cc}\p{Cs}]+/gu, ' ')
    .trimEnd();
}

/** Takes output as it comes, and gives its lines, those that are not empty. A carriage return ends a line, too. */
export class OutputLines {
  readonly #onLine: (line: string) => void;
  readonly #isPrompt: ((line: string) => boolean) | undefined;
  #rest = '';
  #silence: NodeJS.Timeout | undefined;

  /** @param isPrompt whether the beginning of a line is a line by itself, where nothing follows it for a while */
  constructor(onLine: (line: string) => void, isPrompt?: (line: string) => boolean) {
    this.#onLine = onLine;
    this.#isPrompt = isPrompt;
  }

  add(output: string): void {
    clearTimeout(this.#silence);
    const [first = '', ...lines] = output.split(/\r\n|[\r\n]/);
    this.#rest += first;
    for (const line of lines) {
      this.#give();
      this.#rest = line;
    }
    while (this.#rest.length > MAX_LINE) {
      const beyond = this.#rest.slice(MAX_LINE);
      this.#give();
      this.#rest = beyond;
    }
    if (this.#isPrompt !== undefined && this.#rest !== '')
      this.#silence = setTimeout(() => {
        if (this.#isPrompt?.(cleaned(this.#rest))) this.#give();
      }, SILENCE);
  }

  /** No more comes: what is left is a line. */
  end(): void {
    clearTimeout(this.#silence);
    this.#give();
  }

  #give(): void {
    const line = cleaned(this.#rest);
    this.#rest = '';
    if (line !== '') this.#onLine(line);
  }
}
