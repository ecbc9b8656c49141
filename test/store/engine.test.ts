import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Engine, MAX_KEY_BYTES, type RangeOptions } from '#src/store/engine.js';
import { openLmdb } from '#src/store/lmdb-engine.js';
import { MemoryEngine } from '#src/store/memory-engine.js';
import { newFolder } from '../folder.js';
import { bytes, entriesOf, openFor, put, textOf } from './engines.js';

/** The test on both engines. */
function testBoth(name: string, run: (engine: Engine) => void): void {
  test(`${name}: in memory`, () => run(new MemoryEngine()));
  test(`${name}: LMDB`, (t) => run(openFor(t, newFolder())));
}

type Changes = Map<string, Uint8Array | undefined>;

/** What an engine is to do, said as plainly as can be. */
class Model {
  #entries = new Map<string, string>([['version', Buffer.from('1').toString('hex')]]);

  get(key: string): string | undefined {
    return this.#entries.get(key);
  }

  commit(changes: Changes): void {
    for (const [key, value] of changes) {
      if (value === undefined) this.#entries.delete(key);
      else this.#entries.set(key, Buffer.from(value).toString('hex'));
    }
  }

  range(from: string, to: string, { reverse, limit }: RangeOptions): [string, string][] {
    const compare = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
    const found = [...this.#entries].filter(([key]) => compare(from, key) <= 0 && compare(key, to) < 0);
    found.sort(([a], [b]) => compare(a, b));
    return (reverse ? found.reverse() : found).slice(0, limit);
  }
}

// Few different characters, so that keys meet; of one to four bytes, and such as sort differently as UTF-16.
const text = fc.string({
  unit: fc.constantFrom('a', 'b', '/', '\0', '\x1f', 'é', '\uffff', '\u{10000}'),
  maxLength: 5,
});
const key = fc.oneof(
  { weight: 20, arbitrary: text.filter((some) => some !== '') },
  { weight: 1, arbitrary: text.map((some) => some.padEnd(MAX_KEY_BYTES - 20, 'k')) },
);
const bound = fc.oneof(text, key);
const value = fc.oneof(
  { weight: 8, arbitrary: fc.uint8Array({ maxLength: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 20_000 }).map((size) => new Uint8Array(size).fill(size)) },
);
const changes = fc.uniqueArray(fc.tuple(key, fc.option(value, { nil: undefined })), { selector: ([some]) => some });
const rangeOptions = fc.record({ reverse: fc.boolean(), limit: fc.nat(10) }, { requiredKeys: [] });
const step = fc.oneof(
  changes.map((list) => ({ do: 'commit' as const, changes: new Map(list) })),
  key.map((some) => ({ do: 'get' as const, key: some })),
  fc.tuple(bound, bound, rangeOptions).map(([from, to, options]) => ({ do: 'range' as const, from, to, options })),
  fc.constant({ do: 'refresh' as const }),
  fc.constant({ do: 'reopen' as const }),
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test('both engines answer whatever is done as a plain list of entries does', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => checkSteps(steps)),
    { numRuns: 60 },
  );
});

function checkSteps(steps: Step[]): void {
  const folder = newFolder();
  const model = new Model();
  const memory = new MemoryEngine();
  let lmdb = openLmdb(folder);
  try {
    for (const next of steps) {
      for (const engine of [memory, lmdb]) {
        if (next.do === 'commit') engine.commit(next.changes);
        if (next.do === 'refresh') engine.refresh();
        if (next.do === 'get') assert.equal(hexOf(engine.get(next.key)), model.get(next.key));
        if (next.do === 'range') {
          const { from, to, options } = next;
          assert.deepEqual(entriesOf(engine, from, to, options), model.range(from, to, options));
        }
      }
      if (next.do === 'commit') model.commit(next.changes);
      if (next.do === 'reopen') {
        lmdb.close();
        lmdb = openLmdb(folder);
      }
    }
    for (const engine of [memory, lmdb]) assert.deepEqual(entriesOf(engine), model.range('', '\u{10ffff}', {}));
  } finally {
    lmdb.close();
  }
}

function hexOf(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value).toString('hex');
}

testBoth('a key that is empty or too long is refused before anything is written', (engine) => {
  const tooLong = 'é'.repeat(MAX_KEY_BYTES / 2 + 1);
  for (const bad of ['', tooLong]) {
    const both: Changes = new Map([
      ['good', bytes('1')],
      [bad, bytes('2')],
    ]);
    assert.throws(() => engine.commit(both), RangeError);
    assert.throws(() => engine.get(bad), RangeError);
  }
  assert.equal(engine.get('good'), undefined);
  assert.throws(() => entriesOf(engine, tooLong), RangeError);
  assert.throws(() => entriesOf(engine, '', tooLong), RangeError);
});

testBoth('the longest key is as good as any', (engine) => {
  const longest = 'é'.repeat(MAX_KEY_BYTES / 2);
  put(engine, { [longest]: 'far' });
  assert.equal(textOf(engine, longest), 'far');
  assert.deepEqual(
    entriesOf(engine, longest).map(([key]) => key),
    [longest],
  );
});

testBoth('a range that has begun goes on showing what was there, and may be left half-way', (engine) => {
  put(engine, { a: '1', b: '2', c: '3' });
  const seen: string[] = [];
  for (const { key, value } of engine.range('a', 'd')) {
    seen.push(`${key}${Buffer.from(value)}`);
    if (key === 'a') put(engine, { b: 'new', c: undefined, d: '4' });
    engine.refresh();
    assert.equal(textOf(engine, 'b'), 'new');
  }
  assert.deepEqual(seen, ['a1', 'b2', 'c3']);
  for (const { key } of engine.range('a', 'e')) if (key === 'b') break;
  assert.equal(textOf(engine, 'd'), '4');
});

testBoth('a value is a copy of what was committed, of memory shared by threads too', (engine) => {
  for (const value of [new Uint8Array(new SharedArrayBuffer(3)), Buffer.alloc(3)]) {
    value.fill(7);
    engine.commit(new Map([['k', value]]));
    value.fill(8);
    assert.equal(hexOf(engine.get('k')), '070707');
    put(engine, { k: undefined });
  }
});

testBoth('values of many megabytes are kept whole', (engine) => {
  const sizes = [2 ** 20, 17 * 2 ** 20, 40 * 2 ** 20];
  engine.commit(new Map(sizes.map((size) => [`${size}`.padStart(9, '0'), new Uint8Array(size).fill(size >> 20)])));
  const found = Array.from(engine.range('0', '9'), ({ value }) => [value.length, value[0], value.at(-1)]);
  assert.deepEqual(found, [
    [2 ** 20, 1, 1],
    [17 * 2 ** 20, 17, 17],
    [40 * 2 ** 20, 40, 40],
  ]);
  assert.equal(engine.get('041943040')?.at(-1), 40);
  assert.equal(engine.get('001048576')?.length, 2 ** 20);
});

testBoth('its size is that of what it holds, and shrinks with it', (engine) => {
  const before = engine.size;
  engine.commit(new Map([['k', new Uint8Array(100_000)]]));
  const full = engine.size;
  assert.ok(full >= before + 100_000 && full < before + 150_000, `${before} to ${full}`);
  put(engine, { k: undefined });
  assert.ok(engine.size < before + 50_000, `${engine.size}`);
});
