/**
 * Values to hold schemas against: ones that fit a published shape, and ones that only nearly do.
 */
import fc from 'fast-check';
import { codePoints } from '../code-points.js';
import { published, type Shape } from './published.js';

const uuids = fc.oneof(
  fc.uuid(),
  fc.uuid().map((id) => id.toUpperCase()),
  fc.uuid().map((id) => `urn:uuid:${id}`),
);

const digits = (last: number) => fc.integer({ min: 0, max: last }).map((n) => String(n).padStart(2, '0'));

/** Date-times whose parts are often just out of range, around leap days and leap seconds above all. */
export const dateTimes = fc
  .tuple(
    fc.constantFrom('2026', '2024', '2000', '1900', '0000', '9999'),
    fc.oneof(digits(13), fc.constant('02')),
    fc.oneof(digits(32), fc.constantFrom('28', '29', '30', '31')),
    fc.constantFrom('T', 't', ' ', '\n', '_', ''),
    fc.oneof(digits(25), fc.constant('23')),
    fc.oneof(digits(61), fc.constant('59')),
    fc.oneof(digits(61), fc.constant('60')),
    fc.constantFrom('', '.5', '.123', '.', ',5', '.99999999999999999999'),
    fc.oneof(
      fc.constantFrom('Z', 'z', '', '+00', '+0530', '-08:00', '+24:00', '+01:60', '+1', '−08:00'),
      fc.tuple(fc.constantFrom('+', '-'), digits(24), digits(60)).map(([sign, h, m]) => `${sign}${h}:${m}`),
    ),
  )
  .map(([year, month, day, t, hour, minute, second, fraction, offset]) => {
    return `${year}-${month}-${day}${t}${hour}:${minute}:${second}${fraction}${offset}`;
  });

const uriParts = {
  scheme: fc.constantFrom('http:', 'wss:', 'a+b-c.d:', 'HTTP:', '1a:', ':', '', 'h ttp:', 'urn:'),
  slashes: fc.constantFrom('//', '/', '', '///'),
  user: fc.constantFrom('', 'u@', 'u:p@', '%41@', '%4@', '@', 'u@v@'),
  host: fc.oneof(
    fc.constantFrom('localhost', '127.0.0.1', '999.1.1.1', 'a"b', 'a b', '', 'ü.de', '%zz', '[v1.x]', '[v.x]', '[]'),
    fc.ipV6().map((ip) => `[${ip}]`),
    fc.constantFrom(
      '[::1]',
      '[1::]',
      '[::]',
      '[1:2:3:4:5:6:7:8]',
      '[1:2:3:4:5:6:7::]',
      '[1:2]',
      '[::1.2.3.4]',
      '[::g]',
    ),
  ),
  port: fc.constantFrom('', ':', ':80', ':8a', ':99999'),
  path: fc.constantFrom('', '/', '/a/b', '//', '/a b', '/%20', '/%2', '/ä', '/a:b@c', '/[x]', "/!$&'()*+,;=", '/"'),
  query: fc.constantFrom('', '?', '?a=b', '?a?b/', '?"', '? ', '?[a]'),
  fragment: fc.constantFrom('', '#', '#f', '#a#b', '#/x?y'),
};

/** URIs of good and bad parts. */
export const uris = fc
  .record(uriParts)
  .map((p) => p.scheme + p.slashes + p.user + p.host + p.port + p.path + p.query + p.fragment);

/** Not of `fc.webUrl`, which makes the table that code-points.ts does without. */
const goodUris = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('http://', 'https://', 'wss://u:p@'),
      fc.domain(),
      fc.constantFrom('', ':8080'),
      fc.array(fc.constantFrom('/', '/a', '/%C3%A4', '/-._~', "/!$&'()*+,;=:@")).map((path) => path.join('')),
      fc.constantFrom('', '?', '?a=b&c=%20', '?/?'),
      fc.constantFrom('', '#', '#f', '#/?%41'),
    )
    .map((parts) => parts.join('')),
  fc.constant('ws://[::1]:80/x'),
);

const capabilities = fc.oneof(
  fc.constantFrom('resumable', 'hitl', 'multi-tenant', 'runtime:codex', 'runtime:custom:mine', 'platform:linux/x64'),
  fc.constantFrom('isolation:vm', 'isolation:none', 'isolation:a_b-9', 'x-a:b:c', 'x-gpu', 'runtime:claude-code'),
);

/** Strings that are capabilities, or nearly: every beginning with every middle and every end. */
export const nearCapabilities: string[] = [];
for (const start of ['', 'isolation:', 'runtime:', 'runtime:custom:', 'platform:', 'x-', 'X-', 'resumable', 'hitl']) {
  for (const middle of 'vm vmx codex codexx a A 9 custom: custom:a a/b a/bc a/9b a/b/c -a multi-tenant'.split(' ')) {
    for (const end of ['', '\n', ' ', ':', '-', '_', 'ſ', '/x']) nearCapabilities.push(start + middle + end);
  }
}

/** Texts at the edge of some shape. */
const edgeTexts = [
  ...['', 'a', ' ', '\n', '💥', '\ud83d', 'null', '0', '__proto__', '1.0.0', '1.0.00', 'resumable', 'x-gpu', 'X-gpu'],
  ...['x'.repeat(64), 'x'.repeat(65), '💥'.repeat(64), '💥'.repeat(65)],
  ...['x'.repeat(128), 'x'.repeat(129), '💥'.repeat(128), '💥'.repeat(129), `${'💥'.repeat(127)}xy`],
  ...['done', 'running', 'Running', 'mission.started', 'operator', 'timeout', 'paused', 'assigned'],
  ...['3f2b6c1e-8a4d-4f6b-9c2e-1d5a7b8c9d0e', 'urn:uuid:3F2B6C1E-8A4D-0000-0000-1D5A7B8C9D0E', '3f2b6c1e'],
  ...['2026-01-31T12:00:00Z', '2026-01-31', '2026-02-29T12:00:00Z', 'http://a/', 'ws://[::1]:80', '//a/', 'a b:c'],
];

/** Values at the edge of some shape: each is tried in every field. */
export const edges: unknown[] = [
  ...edgeTexts,
  ...[null, true, false, [], {}, [[]], [null], ['a', 'a'], ['hitl', 'hitl'], ['hitl', 'resumable'], { length: 1 }],
  ...[0, -0, 1, -1, 0.5, 1.5, 99.9, 100, 100.5, 101, 1e21, 1e300, -1e300, 5e-324, -5e-324, 2 ** 53],
];

const nearText: fc.Arbitrary<unknown> = fc.oneof(
  fc.string({ unit: codePoints }),
  uuids,
  fc.uuid().map((id) => id.slice(1)),
  fc.uuid().map((id) => `${id}\n`),
  dateTimes,
  uris,
  goodUris,
  capabilities,
  fc.constantFrom(...nearCapabilities),
);

const junk: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: nearText },
  { weight: 6, arbitrary: fc.constantFrom(...edges) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
);

const samples: Record<string, fc.Arbitrary<unknown>> = {
  uuid: uuids,
  'date-time': fc.constantFrom('2026-01-31T12:00:00Z', '2024-02-29t23:59:60.5z', '2026-12-31 00:00:00.000001+05:30'),
  uri: goodUris,
};

/** Values that fit a published shape. */
export function fitting(shape: Shape): fc.Arbitrary<unknown> {
  if (shape.$ref) {
    const named = published[shape.$ref.replace('#/$defs/', '')];
    if (!named) throw new Error(`no published shape ${shape.$ref}`);
    return fitting(named);
  }
  if (shape === published.capability) return capabilities;
  if (shape.oneOf) return fc.oneof(...shape.oneOf.map(fitting));
  if (shape.const !== undefined) return fc.constant(shape.const);
  if (shape.enum) return fc.constantFrom(...shape.enum);
  switch (shape.type) {
    case 'string': {
      if (shape.format) return samples[shape.format] ?? fc.constant('');
      return fc.string({ unit: 'grapheme', minLength: shape.minLength ?? 0, maxLength: 20 });
    }
    case 'integer':
      return fc.oneof(fc.constantFrom(0, -0, 1e21), fc.nat());
    case 'number':
      return fc.constantFrom(0, 0.5, 100);
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'array': {
      const items = fitting(shape.items ?? {});
      if (shape.uniqueItems) return fc.uniqueArray(items, { maxLength: 4 });
      return fc.array(items, { maxLength: 3 });
    }
    default: {
      if (shape.additionalProperties) return fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 3 });
      const fields = Object.entries(shape.properties ?? {}).map(([key, field]) => [key, fitting(field)] as const);
      return fc.record(Object.fromEntries(fields), { requiredKeys: shape.required ?? [] });
    }
  }
}

type Change = { kind: 'replace' | 'drop' | 'add' | 'repeat' | 'edit'; at: number; junk: unknown; key: string };

const changes: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom('replace', 'drop', 'add', 'repeat', 'edit'),
  at: fc.nat(),
  junk,
  key: fc.constantFrom(
    ...['toString', 'constructor', '__proto__', 'hasOwnProperty', 'valueOf', 'extra', '', '0'],
    ...['state', 'reason', 'mission_id', 'data', 'executor_id', 'name', 'long_running', 'grpc', 'error'],
  ),
});

/** Values that fit a shape but for one or two changes, values that fit it, and values that have nothing to do with it. */
export function nearly(shape: Shape): fc.Arbitrary<unknown> {
  const fits = fitting(shape);
  return fc.oneof(
    { weight: 2, arbitrary: fits },
    { weight: 8, arbitrary: fc.tuple(fits, changes).map(([value, change]) => changed(value, change)) },
    {
      weight: 3,
      arbitrary: fc.tuple(fits, changes, changes).map(([value, one, two]) => changed(changed(value, one), two)),
    },
    { weight: 2, arbitrary: junk },
  );
}

type Slot = { holder: Map<string, unknown> | unknown[]; key: string | number; value: unknown };

/** `value` with one change at one of its places, chosen by `change.at`. `value` itself stays as it is. */
function changed(value: unknown, change: Change): unknown {
  // Objects are Maps meanwhile, so that `__proto__` is a key like any other.
  const root = [toMaps(value)];
  const slots: Slot[] = [];
  collect(root, slots);
  const slot = slots[change.at % slots.length];
  if (!slot) return value;
  const { holder, key } = slot;
  const put = (next: unknown) =>
    Array.isArray(holder) ? holder.splice(Number(key), 1, next) : holder.set(`${key}`, next);
  if (change.kind === 'drop' && holder instanceof Map) holder.delete(`${key}`);
  else if (change.kind === 'add' && slot.value instanceof Map) slot.value.set(change.key, change.junk);
  else if (change.kind === 'repeat' && Array.isArray(slot.value))
    slot.value.push(...slot.value.slice(0, 1), change.junk);
  else if (change.kind === 'edit' && typeof slot.value === 'string') put(edited(slot.value, change));
  else put(toMaps(change.junk));
  return fromMaps(root[0]);
}

function edited(text: string, { at, key }: Change): string {
  const index = at % (text.length + 1);
  return at % 2
    ? text.slice(0, index) + text.slice(index + 1)
    : text.slice(0, index) + key.slice(0, 1) + text.slice(index);
}

function collect(holder: Slot['holder'], slots: Slot[]): void {
  for (const [key, value] of holder.entries()) {
    slots.push({ holder, key, value });
    if (value instanceof Map || Array.isArray(value)) collect(value, slots);
  }
}

function toMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toMaps);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([key, item]) => [key, toMaps(item)]));
}

function fromMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromMaps);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([key, item]) => [key, fromMaps(item)]));
}
