/**
 * How a value from outside is held against a schema: closed objects, lists, and one `check` that answers with the
 * value or with what is wrong with it.
 *
 * The builders are valibot's own schemas with the edges of JSON Schema: an array is no object, a field must be the
 * object's own, and a list of half a million wrong items is reported by its first one.
 */
import * as v from 'valibot';

/** One thing that is wrong with a value: where (`data.state`; empty for the value itself), and what. */
export type Issue = { path: string; message: string };

/** What `check` answers: the value, now of the schema's type, or what is wrong with it. */
export type Checked<T> = { ok: true; value: T } | { ok: false; issues: Issue[] };

/** Values quoted in a path or a message are cut here, in characters: a peer chooses them. */
const maxIssueText = 200;

const abortEarly = { abortEarly: true };

/**
 * `v.is` for one schema, with its pipe and the commonest types unrolled: together with `closedObject` that takes the
 * validation of an event (a `mission.progress` of 270 bytes) from 0.73 to 0.2 µs.
 */
function quickTest(schema: v.GenericSchema): (value: unknown) => boolean {
  if (isOptional(schema)) return quickTest(schema.wrapped);
  if (isPipe(schema)) {
    const [first, ...rest] = schema.pipe;
    return rest.filter(isValidation).map(quickAction).reduce(both, quickTest(first));
  }
  if (isLiteral(schema)) return (value) => value === schema.literal;
  if (schema.type === 'number') return (value) => typeof value === 'number' && !Number.isNaN(value);
  if (schema.type === 'string') return (value) => typeof value === 'string';
  return (value) => v.is(schema, value);
}

const both =
  (first: (value: unknown) => boolean, second: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    first(value) && second(value);

/** One validation of a pipe, of a value that has the type it needs. Most of valibot's are a function, or a bound. */
function quickAction(action: v.BaseValidation<unknown, unknown, v.BaseIssue<unknown>>): (value: unknown) => boolean {
  const requirement: unknown = 'requirement' in action ? action.requirement : undefined;
  if (typeof requirement === 'function') return (value) => requirement(value) === true;
  if (typeof requirement === 'number') {
    if (action.type === 'min_value') return (value) => typeof value === 'number' && value >= requirement;
    if (action.type === 'max_value') return (value) => typeof value === 'number' && value <= requirement;
    if (action.type === 'min_length') return (value) => typeof value === 'string' && value.length >= requirement;
  }
  return (value) => !action['~run']({ typed: true, value }, abortEarly).issues;
}

/**
 * An object with these fields and no others (`additionalProperties: false`).
 *
 * @param entries schema of each field; `v.exactOptional(...)` for those that may be absent
 */
export function closedObject<const E extends v.ObjectEntries>(entries: E) {
  const schema = v.strictObject(entries, describeObjectIssue);
  const fields = new Map(
    Object.entries<v.GenericSchema>(entries).map(([key, field]) => [
      key,
      { key, isRequired: !isOptional(field), fits: quickTest(field) },
    ]),
  );
  const required = [...fields.values()].filter((field) => field.isRequired).length;
  /** The fields in the order of the last value: the next one probably has the same. */
  const order = [...fields.values()];

  // Every event passes here: what fits is not copied, nor asked for fields that it does not have.
  function fits(value: unknown): value is v.InferOutput<typeof schema> {
    // Only of a plain object does `for in` tell the own fields.
    if (!isObject(value) || Object.getPrototypeOf(value) !== Object.prototype) return false;
    let missing = required;
    let place = 0;
    for (const key in value) {
      let field = order[place];
      if (field?.key !== key) {
        field = fields.get(key);
        if (field === undefined) return false;
        order[place] = field;
      }
      place++;
      if (!field.fits(value[key])) return false;
      if (field.isRequired) missing--;
    }
    return missing === 0;
  }

  const run: (typeof schema)['~run'] = ({ value }, config) => {
    if (fits(value)) return { typed: true, value };
    // valibot tells what is wrong; it would take arrays and inherited fields, so it gets neither.
    return schema['~run']({ value: isObject(value) ? Object.fromEntries(ownFields(entries, value)) : null }, config);
  };
  return { ...schema, '~run': run };
}

/** An object with any fields, such as `metadata`. */
export function anyObject() {
  const schema = v.record(v.string(), v.unknown(), 'must be an object');
  const run: (typeof schema)['~run'] = ({ value }, config) =>
    isObject(value) ? { typed: true, value } : schema['~run']({ value: null }, config);
  return { ...schema, '~run': run };
}

/** A list of which every item fits `item`. Only the first wrong item is reported. */
export function list<const S extends v.GenericSchema>(item: S) {
  const schema = v.array(item);
  const run: (typeof schema)['~run'] = (dataset, config) => schema['~run'](dataset, { ...config, abortEarly: true });
  return { ...schema, '~run': run };
}

/** A list of strings in which no two are the same (`uniqueItems`). */
export function uniqueList<const S extends v.GenericSchema<string>>(item: S) {
  return v.pipe(
    list(item),
    v.check((items) => new Set(items).size === items.length, 'must not hold the same item twice'),
    v.metadata({ uniqueItems: true }),
  );
}

/**
 * Holds `input` against `schema`. Never throws, whatever `input` does when it is read.
 *
 * A field whose value is `undefined` counts as absent: JSON has no such value, and programs in the same process write
 * optional fields that way.
 *
 * @param lenient leaves unknown fields out of the returned value; otherwise (the default) they are issues
 * @returns `input` itself where it fits as it is, else a copy
 */
export function check<const S extends v.GenericSchema>(
  schema: S,
  input: unknown,
  lenient = false,
): Checked<v.InferOutput<S>> {
  try {
    if (v.is(schema, input)) return { ok: true, value: input };
    const parsed = v.safeParse(schema, clean(schema, input, lenient));
    if (parsed.success) return { ok: true, value: parsed.output };
    return { ok: false, issues: parsed.issues.map(toIssue) };
  } catch {
    return { ok: false, issues: [{ path: '', message: 'could not be read' }] };
  }
}

/** A copy of `value` without `undefined` fields and, when lenient, without the fields that `schema` does not name. */
function clean(schema: v.GenericSchema, value: unknown, lenient: boolean): unknown {
  if (isOptional(schema)) return clean(schema.wrapped, value, lenient);
  if (isList(schema)) return Array.isArray(value) ? value.map((item) => clean(schema.item, item, lenient)) : value;
  if (!isClosedObject(schema) || !isObject(value)) return value;
  const fields: [string, unknown][] = [];
  for (const [key, field] of ownFields(schema.entries, value)) {
    const entry = Object.hasOwn(schema.entries, key) ? schema.entries[key] : undefined;
    if (entry && field !== undefined) fields.push([key, clean(entry, field, lenient)]);
    if (!entry && !lenient) fields.push([key, field]);
  }
  return Object.fromEntries(fields);
}

/**
 * The fields of `value` that `entries` names, and the first that it does not: one is enough to refuse the value, and a
 * peer may send a hundred thousand.
 */
function ownFields(entries: v.ObjectEntries, value: Record<string, unknown>): [string, unknown][] {
  const fields: [string, unknown][] = [];
  let hasUnknown = false;
  for (const key of Object.keys(value)) {
    const isUnknown = !Object.hasOwn(entries, key);
    if (!isUnknown || !hasUnknown) fields.push([key, value[key]]);
    hasUnknown ||= isUnknown;
  }
  return fields;
}

function isOptional(schema: v.GenericSchema): schema is v.ExactOptionalSchema<v.GenericSchema, undefined> {
  return schema.type === 'exact_optional';
}

/** The contract's pipes hold a schema, then checks and metadata; nothing that changes the value. */
function isPipe(
  schema: v.GenericSchema,
): schema is v.GenericSchema & { pipe: readonly [v.GenericSchema, ...v.GenericPipeItem[]] } {
  return 'pipe' in schema;
}

function isValidation(item: v.GenericPipeItem): item is v.BaseValidation<unknown, unknown, v.BaseIssue<unknown>> {
  return item.kind === 'validation';
}

function isLiteral(schema: v.GenericSchema): schema is v.LiteralSchema<string, undefined> {
  return schema.type === 'literal';
}

function isList(schema: v.GenericSchema): schema is v.ArraySchema<v.GenericSchema, undefined> {
  return schema.type === 'array';
}

function isClosedObject(
  schema: v.GenericSchema,
): schema is v.StrictObjectSchema<Record<string, v.GenericSchema>, undefined> {
  return schema.type === 'strict_object';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describeObjectIssue(issue: v.StrictObjectIssue): string {
  if (issue.path?.[0].origin !== 'key') return 'must be an object';
  return issue.expected === 'never' ? 'is not a known field' : 'is required';
}

function toIssue(issue: v.BaseIssue<unknown>): Issue {
  return { path: shorten(v.getDotPath(issue) ?? ''), message: shorten(issue.message) };
}

function shorten(text: string): string {
  return text.length > maxIssueText ? `${text.slice(0, maxIssueText)}…` : text;
}
