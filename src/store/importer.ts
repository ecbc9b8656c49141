import * as v from 'valibot';
import type { Engine } from './engine.js';
import { type Counts, EXPORT_VERSION, type ExportLine, headingSchema, lineSchema } from './export-lines.js';
import { createJournal, JournalWriter } from './journal.js';
import { keptExecutorSchema, keptMissionSchema, keptStateSchema } from './kept.js';
import { Reader } from './reader.js';
import { type Position, recordSize } from './record.js';
import { nextStream, Writer } from './writer.js';

/** What is wrong with a file that is to be imported; `message` begins with the number of the line. */
export class ImportError extends Error {
  override readonly name = 'ImportError';
}

/** The mission whose events are being read. */
interface CurrentMission {
  readonly number: number;
  readonly missionId: string;
  readonly state: string;
  events: number;
  latest: Position | undefined;
}

/** Bytes of a journal. It is written and read by the same thread, so it is emptied before it can be full. */
const JOURNAL = 16 * 1024 * 1024;
/** What may have been read since it was emptied. A line is no shorter than what becomes of it in the journal. */
const MOST_HELD = JOURNAL / 4;

/** Fills an empty store with what an `Exporter` has written. */
export class Importer {
  /** What was read so far. */
  readonly counts: Counts = { executors: 0, missions: 0, events: 0 };
  readonly #writer: Writer;
  readonly #journal: JournalWriter;
  readonly #reader: Reader;
  readonly #executorIds = new Set<string>();
  /** Of missions that the reader cannot see yet. */
  readonly #missionIds = new Set<string>();
  #held = 0;
  #lines = 0;
  #mission: CurrentMission | undefined;
  #hasEnded = false;

  constructor(engine: Engine) {
    const shared = createJournal(nextStream(engine), JOURNAL);
    this.#writer = new Writer(engine, [shared]);
    this.#journal = new JournalWriter(shared);
    this.#reader = new Reader(engine);
  }

  /** Takes in the next line. @throws ImportError, StorageError */
  line(bytes: Uint8Array): void {
    this.#lines++;
    if (this.#hasEnded) throw this.#error('nothing may come after the line of type "end"');
    const value = this.#parse(bytes);
    if (this.#lines === 1) {
      this.#checkHeading(value);
      return;
    }
    if (this.#held + bytes.length > MOST_HELD) this.#flush();
    this.#held += bytes.length;
    const parsed = v.safeParse(lineSchema, value, { abortEarly: true });
    if (parsed.success) this.#take(parsed.output);
    else throw this.#error(saying(parsed.issues[0]));
  }

  /** Takes note that there are no more lines. @throws ImportError, StorageError */
  close(): void {
    if (!this.#hasEnded) {
      throw new ImportError(
        `line ${this.#lines + 1}: missing, as is one of type "end": it was cut off, so export again`,
      );
    }
    this.#journal.publish();
    this.#writer.close();
  }

  #take(line: ExportLine): void {
    switch (line.type) {
      case 'executor':
        if (this.#executorIds.has(line.executorId)) throw this.#error(`executor ${line.executorId} was there before`);
        this.#executorIds.add(line.executorId);
        this.#writer.order({ type: 'executor', executor: v.parse(keptExecutorSchema, line) });
        this.counts.executors++;
        break;
      case 'mission':
        this.#endMission();
        this.#beginMission(line);
        break;
      case 'event':
        this.#event(line.missionId, line.text);
        break;
      case 'end':
        this.#endMission();
        this.#hasEnded = true;
    }
  }

  #beginMission(line: ExportLine & { type: 'mission' }): void {
    const { missionId, createdAt } = line;
    if (this.#missionIds.has(missionId) || this.#reader.find(missionId) !== undefined)
      throw this.#error('a mission of that missionId was there before');
    this.#missionIds.add(missionId);
    const number = ++this.counts.missions;
    const mission = v.parse(keptMissionSchema, line);
    const state = JSON.stringify(v.parse(keptStateSchema, line));
    this.#checkSize(state);
    this.#mission = { number, missionId, state, events: 0, latest: undefined };
    this.#writer.order({
      type: 'mission',
      number,
      mission,
      state: { state: 'queued', updatedAt: createdAt, events: 0 },
    });
  }

  /** The state comes after the events, as in life: of a mission that is over, the writer need remember nothing. */
  #endMission(): void {
    if (this.#mission !== undefined) this.#journal.state(this.#mission.number, this.#mission.state);
    this.#mission = undefined;
  }

  #event(missionId: string, text: string): void {
    const mission = this.#mission;
    if (mission?.missionId !== missionId) throw this.#error('an event must follow its mission');
    this.#checkSize(text);
    const offset = this.#journal.event(mission.number, mission.events++, mission.latest, text);
    mission.latest = { stream: this.#journal.stream, offset };
    this.counts.events++;
  }

  #flush(): void {
    this.#journal.publish();
    this.#writer.flush();
    this.#missionIds.clear();
    this.#held = 0;
  }

  #parse(bytes: Uint8Array): unknown {
    try {
      return JSON.parse(decoder.decode(bytes));
    } catch {
      throw this.#error('not JSON in UTF-8'); // The parser's own words would quote the text, tokens included.
    }
  }

  #checkHeading(value: unknown): void {
    const heading = v.safeParse(headingSchema, value);
    if (!heading.success) throw this.#error('not the first line of what callboard export writes');
    const { version } = heading.output;
    if (version !== EXPORT_VERSION)
      throw this.#error(`version ${version}, where this Callboard reads ${EXPORT_VERSION}: use the one that wrote it`);
  }

  #checkSize(text: string): void {
    const size = recordSize(Buffer.byteLength(text));
    if (size > this.#journal.largest)
      throw this.#error(`more than the ${this.#journal.largest} bytes that are kept of one thing`);
  }

  #error(what: string): ImportError {
    return new ImportError(`line ${this.#lines}: ${what}`);
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Where it is and what, and not what stands there: that may be long, or a secret. */
function saying(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue);
  const what = issue.message.replace(/ but received .*/s, '');
  return path === null ? what : `${path}: ${what}`;
}
