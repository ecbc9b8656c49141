import type { Engine } from './engine.js';
import { type Counts, EXPORT_VERSION } from './export-lines.js';
import { headsSince } from './heads.js';
import { Reader } from './reader.js';
import { EVENTS_PER_MARK } from './record.js';

/** Writes out all that a store holds, as the lines that export-lines.ts describes. */
export class Exporter {
  /** What was written so far. */
  readonly counts: Counts = { executors: 0, missions: 0, events: 0 };
  /** The number of the mission that was written last, and of the last one that will be. */
  number = 0;
  readonly latest: number;
  readonly #engine: Engine;
  readonly #reader: Reader;

  /** @param engine sees one moment of the store, however long it takes to write it out */
  constructor(engine: Engine) {
    this.#engine = engine;
    this.#reader = new Reader(engine);
    this.latest = this.#reader.latest();
  }

  /** Each ends in a line feed. */
  *lines(): Iterable<string> {
    yield line({ type: 'callboard', version: EXPORT_VERSION });
    for (const executor of this.#reader.executors()) {
      yield line({ type: 'executor', ...executor });
      this.counts.executors++;
    }
    const { heads } = headsSince(this.#engine);
    for (let number = 1; number <= this.latest; number++) {
      const found = this.#reader.mission(number);
      this.number = number;
      if (found === undefined) continue;
      const { mission, state } = found;
      yield line({ type: 'mission', ...mission, ...state });
      const start = `{"type":"event","missionId":${JSON.stringify(mission.missionId)},"text":`;
      const head = heads.get(number) ?? this.#reader.head(number);
      // From mark to mark, for a chain of events is followed backwards.
      for (let after = 0; after < (head?.count ?? 0); after += EVENTS_PER_MARK) {
        for (const text of this.#reader.history(number, after, EVENTS_PER_MARK, head).texts) {
          yield `${start}${JSON.stringify(text)}}\n`;
          this.counts.events++;
        }
      }
      this.counts.missions++;
    }
    yield line({ type: 'end' });
  }
}

const line = (value: object): string => `${JSON.stringify(value)}\n`;
