/**
 * Where a request comes from. Behind a proxy that is trusted, that is what the proxy says; nobody else is believed.
 */
import { BlockList, isIP } from 'node:net';

/** A request, such as `node:http` has it. */
interface Request {
  readonly socket: { readonly remoteAddress?: string | undefined };
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

type Family = 'ipv4' | 'ipv6';

const RANGE = /^([^/\s]+)(?:\/(\d{1,3}))?$/;
/** A port, which some proxies write after the address, and the brackets that an IPv6 address then has. */
const WITH_PORT = /^(?:\[([^\]]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d+)?$/;

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether this is an IP address, or a range of them in CIDR notation. */
export const isAddressRange = (text: string): boolean => rangeOf(text) !== undefined;

/**
 * A set of addresses.
 * @param ranges addresses and CIDR ranges: `127.0.0.1`, `10.0.0.0/8`, `fd00::/8`
 * @throws RangeError naming the first that is neither
 */
export function addressSet(ranges: readonly string[]): BlockList {
  const set = new BlockList();
  for (const text of ranges) {
    const range = rangeOf(text);
    if (range === undefined) throw new RangeError(`${JSON.stringify(text)} is not an IP address or CIDR range`);
    set.addSubnet(range.address, range.prefix, range.family);
  }
  return set;
}

/**
 * Whether a request comes from this machine: from a loopback address or over a Unix socket. Where its peer is trusted,
 * what counts is the rightmost address of `X-Forwarded-For` that is not: to the left of it anything may be made up.
 */
export function isLocal({ socket, headers }: Request, trusted: BlockList): boolean {
  // A Unix socket has no address; nor has a socket that is gone, and nobody hears what it is answered.
  if (socket.remoteAddress === undefined) return true;
  const forwarded = [headers['x-forwarded-for'] ?? []].flat().join(',');
  const hops = forwarded === '' ? [] : forwarded.split(',');
  let address = addressOf(socket.remoteAddress);
  for (let hop = hops.pop(); hop !== undefined && has(trusted, address); hop = hops.pop()) address = addressOf(hop);
  return has(loopback, address);
}

function rangeOf(text: string): { address: string; prefix: number; family: Family } | undefined {
  const [, address = '', digits] = RANGE.exec(text) ?? [];
  const family = familyOf(address);
  if (family === undefined || address.includes('%')) return undefined;
  const bits = family === 'ipv4' ? 32 : 128;
  const prefix = digits === undefined ? bits : Number(digits);
  return prefix <= bits ? { address, prefix, family } : undefined;
}

function addressOf(text: string): string {
  const [, inBrackets, beforePort] = WITH_PORT.exec(text.trim()) ?? [];
  // A zone (`fe80::1%eth0`) is no part of the address.
  return (inBrackets ?? beforePort ?? text.trim()).replace(/%.*$/, '');
}

/** What is no address is in no set. An IPv4 address that is written as IPv6 (`::ffff:127.0.0.1`) is the same address. */
function has(set: BlockList, address: string): boolean {
  const family = familyOf(address);
  return family !== undefined && set.check(address, family);
}

const familyOf = (address: string): Family | undefined =>
  new Map<number, Family>([
    [4, 'ipv4'],
    [6, 'ipv6'],
  ]).get(isIP(address));
