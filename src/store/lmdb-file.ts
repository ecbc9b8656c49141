/**
 * A look at a file before LMDB gets it. LMDB maps the file into memory and trusts it: a process that reads beyond the
 * end of one that was cut short dies of SIGBUS. The layout is that of LMDB's format 2 on machines that put the lowest
 * byte first, which are all that its npm package has binaries for.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const MAGIC = 0xbeefc0de;
const FORMAT = 2;
const META_FLAG = 0x08;
const META_BYTES = 168;
const PAGE_HEADER_BYTES = 24;
const NODE_HEADER_BYTES = 8;
const BRANCH_FLAG = 0x01;
const LEAF_FLAG = 0x02;
const BIG_VALUE_FLAG = 0x01;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;

/** What one of the two pages at the file's start says: they take turns, and the one of the later commit is valid. */
interface Meta {
  pageSize: number;
  /** Pages that were ever given out. */
  pageCount: number;
  transaction: bigint;
  /** The pages that the two trees (of free pages, of records) start at. */
  roots: bigint[];
}

/**
 * What is wrong with the file, for an error's message; undefined if nothing is found, or if the file is empty, which is
 * what LMDB makes a new store of. It reads two pages; all of the tree only if the file is shorter than it says, as it
 * may be: pages that were given out and freed in one transaction were never written.
 * @throws if it cannot be read
 */
export function findDamage(path: string): string | undefined {
  const file = openSync(path, 'r');
  try {
    if (fstatSync(file).size === 0) return undefined;
    for (;;) {
      const meta = latestMeta(file);
      if (meta === undefined) return 'it is no LMDB file';
      // Only now: where somebody writes, the file has grown before that page says so.
      const length = fstatSync(file).size;
      const damage = damageOf(file, length, meta);
      // Pages of a tree that is not the latest any more may have been used again meanwhile.
      if (damage === undefined || latestMeta(file)?.transaction === meta.transaction) return damage;
    }
  } finally {
    closeSync(file);
  }
}

function damageOf(file: number, length: number, meta: Meta): string | undefined {
  try {
    const isWhole = meta.pageCount * meta.pageSize <= length || isReachable(file, length, meta);
    return isWhole ? undefined : 'its end is missing';
  } catch (error) {
    if (error instanceof RangeError) return 'its pages make no sense'; // They point to bytes beyond their own end.
    throw error;
  }
}

function latestMeta(file: number): Meta | undefined {
  const first = readMeta(file, 0);
  const second = first && readMeta(file, first.pageSize);
  return first && second && (first.transaction > second.transaction ? first : second);
}

function readMeta(file: number, position: number): Meta | undefined {
  const bytes = Buffer.alloc(META_BYTES);
  if (readSync(file, bytes, 0, META_BYTES, position) < META_BYTES) return undefined;
  if ((bytes.readUInt16LE(18) & META_FLAG) === 0) return undefined;
  if (bytes.readUInt32LE(24) !== MAGIC || bytes.readUInt32LE(28) !== FORMAT) return undefined;
  const pageSize = bytes.readUInt32LE(48);
  if (pageSize < META_BYTES || pageSize > 0x10000) return undefined;
  return {
    pageSize,
    pageCount: Number(bytes.readBigUInt64LE(144)) + 1,
    transaction: bytes.readBigUInt64LE(152),
    roots: [bytes.readBigUInt64LE(88), bytes.readBigUInt64LE(136)],
  };
}

/** True if all pages of the trees are within the file's length. */
function isReachable(file: number, length: number, { pageSize, roots }: Meta): boolean {
  const page = Buffer.alloc(pageSize);
  const toVisit = roots.filter((root) => root !== NO_PAGE);
  let visits = Math.ceil(length / pageSize); // More of them than pages would be going round in circles.
  for (let number = toVisit.pop(); number !== undefined; number = toVisit.pop()) {
    const position = Number(number) * pageSize;
    if (position + pageSize > length || visits-- === 0) return false;
    readSync(file, page, 0, pageSize, position);
    const flags = page.readUInt16LE(18);
    for (const node of nodesOf(page)) {
      if (flags & BRANCH_FLAG) {
        toVisit.push(childOf(node));
      } else if (flags & LEAF_FLAG && node.readUInt16LE(4) & BIG_VALUE_FLAG) {
        if (endOfBigValue(node) * BigInt(pageSize) > length) return false;
      }
    }
  }
  return true;
}

function* nodesOf(page: Buffer): Iterable<Buffer> {
  const end = PAGE_HEADER_BYTES + page.readUInt16LE(20);
  for (let at = PAGE_HEADER_BYTES; at < end; at += 2) yield page.subarray(PAGE_HEADER_BYTES + page.readUInt16LE(at));
}

function childOf(node: Buffer): bigint {
  return BigInt(node.readUInt32LE(0)) | (BigInt(node.readUInt16LE(4)) << 32n);
}

/** The number of the page after a value that has pages of its own. */
function endOfBigValue(node: Buffer): bigint {
  const value = NODE_HEADER_BYTES + node.readUInt16LE(6);
  return node.readBigUInt64LE(value) + node.readBigUInt64LE(value + 16);
}
