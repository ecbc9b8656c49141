/** Under which keys the store keeps what. Numbers are written so that the order of keys is that of numbers. */
import { createHash } from 'node:crypto';
import type { MissionState } from '../contract/types.js';
import type { Position } from './record.js';

const digits = (number: number, width: number): string => number.toString(16).padStart(width, '0');
const mission = (number: number): string => digits(number, 8);
const at = ({ stream, offset }: Position): string => `${digits(stream, 8)}/${digits(offset, 13)}`;
/** An id may be as long as a request allows; a key may not. */
const short = (id: string): string => createHash('sha256').update(id).digest('base64url');

/** What missions can be listed by. */
export type ListedBy =
  | { readonly by: 'all' }
  | { readonly by: 'state'; readonly is: MissionState }
  | { readonly by: 'executor' | 'session'; readonly is: string };

export const keys = {
  /** The version of this layout. */
  version: 'version',
  /** Up to where in each stream the heads are written. */
  checkpoint: 'checkpoint',
  /** The checkpoint that there was at that time, in milliseconds since the epoch: what lies before it is older. */
  time: (time: number) => `time/${digits(time, 12)}`,
  /** The highest number that a mission ever had, once that mission is deleted. */
  latest: 'latest',
  /** An executor's registration. */
  executor: (executorId: string) => `executor/${executorId}`,
  /** A mission's number, by its id. */
  number: (missionId: string) => `number/${short(missionId)}`,
  /** What was decided about a mission when it was created, by its number. */
  mission: (number: number) => `mission/${mission(number)}`,
  /** How it stands. */
  state: (number: number) => `state/${mission(number)}`,
  /** Where its latest event lies, as of the last checkpoint or its end. */
  head: (number: number) => `head/${mission(number)}`,
  /** Where every 64th of its events lies; without a mark, the prefix of them all. */
  mark: (number: number, mark?: number) => `mark/${mission(number)}/${mark === undefined ? '' : digits(mark, 8)}`,
  /** The lists it is in; without a number, the prefix of the list. */
  listed: (listed: ListedBy, number?: number) => {
    // Executors that register have short ids; a program may name any other.
    const isLong = listed.by === 'session' || (listed.by === 'executor' && listed.is.length > 64);
    const value = listed.by === 'all' ? '' : isLong ? short(listed.is) : listed.is;
    return `by-${listed.by}/${value}/${number === undefined ? '' : mission(number)}`;
  },
  /** Ended missions in the order of their ends, in milliseconds since the epoch; without a number, before all of then. */
  ended: (time: number, number?: number) => `ended/${digits(time, 12)}/${number === undefined ? '' : mission(number)}`,
  /** Records, as they were written. */
  log: (position: Position) => `log/${at(position)}`,
  /** A record that has outlived its part of the log; without a position, the prefix of all of that mission. */
  outlived: (number: number, position?: Position) =>
    `outlived/${mission(number)}/${position === undefined ? '' : at(position)}`,
  /** What comes after every key that begins so. */
  end: (prefix: string) => `${prefix}\u{10FFFF}`,
} as const;

/** Where all of a mission is, but for its events. */
export const keysOfMission = (
  number: number,
  { missionId, executorId, sessionId }: { missionId: string; executorId: string; sessionId?: string },
  state: MissionState,
): string[] => [
  keys.number(missionId),
  keys.mission(number),
  keys.state(number),
  keys.head(number),
  keys.listed({ by: 'all' }, number),
  keys.listed({ by: 'state', is: state }, number),
  keys.listed({ by: 'executor', is: executorId }, number),
  ...(sessionId === undefined ? [] : [keys.listed({ by: 'session', is: sessionId }, number)]),
];

/** The number at the end of a key. */
export const numberOf = (key: string): number => Number.parseInt(key.slice(key.lastIndexOf('/') + 1), 16);

/** The time in the key of an end or a checkpoint. */
export const timeOf = (key: string): number => Number.parseInt(key.split('/')[1] ?? '', 16);

/** The position in a key of the log. */
export function positionOf(key: string): Position {
  const [, stream = '', offset = ''] = key.split('/');
  return { stream: Number.parseInt(stream, 16), offset: Number.parseInt(offset, 16) };
}
