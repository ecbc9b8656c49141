/** Writes more into a journal than fits: on a thread of its own. */
import { workerData } from 'node:worker_threads';
import { JournalWriter } from '#src/store/journal.js';
import type { Position } from '#src/store/record.js';

const writer = new JournalWriter(workerData);
let before: Position | undefined;
for (let count = 0; count < 5_000; count++) {
  before = { stream: writer.stream, offset: writer.event(1, count, before, String(count)) };
  writer.publish();
}
