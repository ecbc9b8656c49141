/** The queries of the lists, which are Callboard's own, beyond the contract. */
import * as v from 'valibot';
import { executorIdSchema, missionStateSchema, nonEmptyStringSchema, tsSchema } from './fields.js';
import { check, closedObject, type Issue } from './shape.js';

/** Entries of a page, where the query does not say, and at most. */
const PAGE = 100;
const MOST = 1_000;

/** A whole number in decimal digits, as a query has it. */
const wholeNumber = (min: number, max: number) =>
  v.pipe(
    v.string(),
    v.check(
      (text) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max,
      `must be a whole number from ${min} to ${max}`,
    ),
  );

const limitSchema = v.exactOptional(wholeNumber(1, MOST));
const countSchema = v.exactOptional(wholeNumber(0, 999_999_999_999_999));

/** `GET /api/v1/missions` */
const missionsQuerySchema = closedObject({
  state: v.exactOptional(missionStateSchema),
  executor_id: v.exactOptional(executorIdSchema),
  session_id: v.exactOptional(nonEmptyStringSchema),
  /** Created at that time or later. */
  since: v.exactOptional(tsSchema),
  limit: limitSchema,
  /** Where the page before ended. */
  cursor: countSchema,
});

/** `GET /api/v1/missions/:id/events` */
const eventsQuerySchema = closedObject({
  /** How many events to leave out: those that have been read. */
  after: countSchema,
  limit: limitSchema,
});

/** `GET /api/v1/hitl` */
const questionsQuerySchema = closedObject({
  executor_id: v.exactOptional(executorIdSchema),
  limit: limitSchema,
  /** Where the page before ended: when that question was asked, and the number of its mission. */
  cursor: v.exactOptional(v.pipe(v.string(), v.regex(/^\d{1,15}-\d{1,15}$/, 'must be the next_cursor of a page'))),
});

/** The query with its numbers as such, and its defaults. */
export type MissionsQuery = Omit<v.InferOutput<typeof missionsQuerySchema>, 'limit' | 'cursor'> & {
  readonly limit: number;
  readonly cursor: number;
};
export interface EventsQuery {
  readonly after: number;
  readonly limit: number;
}

export interface QuestionsQuery {
  /** Whose they are. Default: everyone's */
  readonly executor_id?: string;
  readonly limit: number;
  readonly cursor: { readonly at: number; readonly number: number };
}

type Parsed<Query> = { readonly ok: true; readonly query: Query } | { readonly ok: false; readonly issues: Issue[] };

/** Reads the query of a list of missions: 100 of them, from the first one on, unless it says something else. */
export function parseMissionsQuery(input: Readonly<Record<string, string>>): Parsed<MissionsQuery> {
  const checked = check(missionsQuerySchema, input);
  if (!checked.ok) return checked;
  const { limit = PAGE, cursor = 0, ...filter } = checked.value;
  return { ok: true, query: { ...filter, limit: Number(limit), cursor: Number(cursor) } };
}

/** Reads the query of a mission's events: 100 of them, from the first one on, unless it says something else. */
export function parseEventsQuery(input: Readonly<Record<string, string>>): Parsed<EventsQuery> {
  const checked = check(eventsQuerySchema, input);
  if (!checked.ok) return checked;
  const { after = 0, limit = PAGE } = checked.value;
  return { ok: true, query: { after: Number(after), limit: Number(limit) } };
}

/** Reads the query of the open questions: 100 of them, from the oldest on, unless it says something else. */
export function parseQuestionsQuery(input: Readonly<Record<string, string>>): Parsed<QuestionsQuery> {
  const checked = check(questionsQuerySchema, input);
  if (!checked.ok) return checked;
  const { limit = PAGE, cursor = '0-0', ...filter } = checked.value;
  const [at, number] = cursor.split('-');
  return { ok: true, query: { ...filter, limit: Number(limit), cursor: { at: Number(at), number: Number(number) } } };
}
