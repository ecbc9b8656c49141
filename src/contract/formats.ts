/**
 * The string formats of the contract: `uuid`, `date-time` and `uri`.
 *
 * JSON Schema names these formats and leaves their edges to the validator. The peers of Callboard validate with
 * ajv-formats in its full mode, so each function here accepts exactly what that one accepts: a value must not be
 * good on one side of the wire and bad on the other.
 */

const uuid = /^(?:urn:uuid:)?[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** The last UUID seen: an executor's events come in runs, and each carries its id. */
let lastUuid: string | undefined;

/** Whether `text` is a UUID of any version, in either case, with or without `urn:uuid:` before it (RFC 4122). */
export function isUuid(text: string): boolean {
  if (text === lastUuid) return true;
  if (!uuid.test(text)) return false;
  lastUuid = text;
  return true;
}

/** What nearly every peer sends, decided without capturing: capital letters, a whole offset, no 29 February. */
const plainDateTime =
  /^\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;
const dateTime =
  /^(\d{4})-(\d\d)-(\d\d)[t\s](?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d(?:\.\d+)?)(?:z|(?<sign>[+-])(?<offsetHours>\d\d)(?::?(?<offsetMinutes>\d\d))?)$/i;
const daysInMonth = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/**
 * Whether `text` is a date and time with an offset (RFC 3339, section 5.6): the day exists in its month, and a leap
 * second is allowed where one can be, at 23:59:60 UTC.
 */
export function isDateTime(text: string): boolean {
  if (plainDateTime.test(text)) return true;
  const match = dateTime.exec(text);
  if (!match?.groups) return false;
  const { hour, minute, second, sign, offsetHours = 0, offsetMinutes = 0 } = match.groups;
  return (
    dayExists(Number(match[1]), Number(match[2]), Number(match[3])) &&
    timeExists(Number(hour), Number(minute), Number(second), sign, Number(offsetHours), Number(offsetMinutes))
  );
}

function dayExists(year: number, month: number, day: number): boolean {
  const isLeapYear = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const last = month === 2 && isLeapYear ? 29 : (daysInMonth[month - 1] ?? 0);
  return day >= 1 && day <= last;
}

function timeExists(
  hour: number,
  minute: number,
  second: number,
  sign: string | undefined,
  offsetHours: number,
  offsetMinutes: number,
): boolean {
  if (offsetHours > 23 || offsetMinutes > 59) return false;
  if (hour <= 23 && minute <= 59 && second < 60) return true;
  const direction = sign === '-' ? -1 : 1;
  const utcMinute = minute - offsetMinutes * direction;
  const utcHour = hour - offsetHours * direction - (utcMinute < 0 ? 1 : 0);
  // -1 is 23 (or 59) of the day (or hour) before.
  return (utcHour === 23 || utcHour === -1) && (utcMinute === 59 || utcMinute === -1) && second < 61;
}

const uri = uriPattern();

/** Whether `text` is an absolute URI, its scheme included (RFC 3986, section 3; appendix A has the grammar). */
export function isUri(text: string): boolean {
  return uri.test(text);
}

/**
 * Puts the pattern of a URI together from the productions of RFC 3986, appendix A.
 * Two edges are those of ajv-formats: one slash before an authority will do, and a path without a slash in front must
 * not be empty.
 */
function uriPattern(): RegExp {
  const escaped = '%[0-9a-f]{2}';
  const userinfo = `(?:[a-z0-9\\-._~!$&'()*+,;=:]|${escaped})*`;
  const registeredName = `(?:[a-z0-9\\-._~!$&'()*+,;=]|${escaped})*`;
  const pathCharacter = `(?:[a-z0-9\\-._~!$&'()*+,;=:@]|${escaped})`;
  const queryOrFragment = `(?:[a-z0-9\\-._~!$&'()*+,;=:@/?]|${escaped})*`;

  const group = '[0-9a-f]{1,4}';
  const octet = '(?:25[0-5]|2[0-4]\\d|[01]?\\d\\d?)';
  const lastTwoGroups = `(?:${group}:${group}|(?:${octet}\\.){3}${octet})`;
  const upTo = (groups: number) => `(?:(?:${group}:){0,${groups}}${group})?`;
  const ipv6 = [
    `(?:${group}:){6}${lastTwoGroups}`,
    `::(?:${group}:){5}${lastTwoGroups}`,
    `${upTo(0)}::(?:${group}:){4}${lastTwoGroups}`,
    `${upTo(1)}::(?:${group}:){3}${lastTwoGroups}`,
    `${upTo(2)}::(?:${group}:){2}${lastTwoGroups}`,
    `${upTo(3)}::${group}:${lastTwoGroups}`,
    `${upTo(4)}::${lastTwoGroups}`,
    `${upTo(5)}::${group}`,
    `${upTo(6)}::`,
  ].join('|');
  const ipvFuture = "v[0-9a-f]+\\.[a-z0-9\\-._~!$&'()*+,;=:]+";

  // An IPv4 address needs no branch of its own: a registered name may look like one.
  const host = `(?:\\[(?:${ipv6}|${ipvFuture})\\]|${registeredName})`;
  const segments = `(?:/${pathCharacter}*)*`;
  const hierarchy = [
    `/?/(?:${userinfo}@)?${host}(?::\\d*)?${segments}`,
    `/(?:${pathCharacter}+${segments})?`,
    `${pathCharacter}+${segments}`,
  ].join('|');
  return new RegExp(`^[a-z][a-z0-9+\\-.]*:(?:${hierarchy})(?:\\?${queryOrFragment})?(?:#${queryOrFragment})?$`, 'i');
}
