/** IP addresses and ranges in one canonical form: dotted IPv4 without leading zeros, IPv6 as RFC 5952 writes it. */
import { isIP, isIPv4 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { invalid } from './errors.ts';

/** A range larger than this (a /20, an IPv6 /116) is a slip of the pen and not an inventory. */
export const MOST_ADDRESSES_AT_ONCE = 4096;

const SENDS_NO_MAIL = new Set(['unspecified', 'broadcast', 'multicast']);

/** No address is longer, in any spelling. */
const LONGEST_SHOWN = 60;
const shown = (text: string) =>
  text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN - 1)}…`;

/** @throws WarmlineError `invalid` */
export function canonicalAddress(text: string, param = 'ip'): string {
  const spelt = text.trim();
  // isIP is strict (no octal, no hex, no leading zeros); zone ids name an interface of one machine, not an address.
  if (isIP(spelt) === 0 || spelt.includes('%')) {
    throw invalid(param, `"${shown(text)}" is not an IP address (examples: 203.0.113.7, 2001:db8::5)`);
  }
  const address = ipaddr.process(spelt);
  if (SENDS_NO_MAIL.has(address.range())) {
    throw invalid(param, `${spelt} is a ${address.range()} address; mail cannot be sent from it`);
  }
  return address.kind() === 'ipv6' ? (address as ipaddr.IPv6).toRFC5952String() : address.toString();
}

/** Addresses as texts that sort by value: IPv4 before IPv6, all of a family equally long. */
export function sortableAddress(canonical: string): string {
  const bytes = ipaddr.parse(canonical).toByteArray();
  return `${bytes.length === 4 ? 4 : 6}${Buffer.from(bytes).toString('hex')}`;
}

/** The address that sorts so. */
export function addressOfSortable(sortable: string): string {
  const address = ipaddr.fromByteArray([...Buffer.from(sortable.slice(1), 'hex')]);
  return address.kind() === 'ipv6' ? (address as ipaddr.IPv6).toRFC5952String() : address.toString();
}

/** The addresses of a list of addresses and CIDR ranges, each once. @throws WarmlineError `invalid` (param `addresses`) */
export function expandAddresses(texts: readonly string[]): string[] {
  const all = new Set<string>();
  for (const text of texts) {
    for (const address of text.includes('/') ? expandRange(text) : [canonicalAddress(text, 'addresses')]) {
      if (all.has(address)) throw invalid('addresses', `${address} is named twice; name each address once`);
      all.add(address);
      if (all.size > MOST_ADDRESSES_AT_ONCE) throw tooMany(texts.join(' '));
    }
  }
  return [...all];
}

const tooMany = (text: string) =>
  invalid(
    'addresses',
    `${text} is more than ${MOST_ADDRESSES_AT_ONCE} addresses; add them in smaller ranges`,
  );

function expandRange(text: string): string[] {
  const [base = '', bits = '', ...rest] = text.trim().split('/');
  const width = isIPv4(base) ? 32 : 128;
  if (isIP(base) === 0 || rest.length > 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > width) {
    throw invalid(
      'addresses',
      `"${text}" is not a range of addresses (examples: 203.0.113.0/28, 2001:db8::/124)`,
    );
  }
  if (width - Number(bits) > Math.log2(MOST_ADDRESSES_AT_ONCE)) throw tooMany(text);
  const size = 2 ** (width - Number(bits));
  const bytes = ipaddr.parse(base).toByteArray();
  const first = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  if (first % BigInt(size) !== 0n) {
    const network = fromNumber(first - (first % BigInt(size)), bytes.length);
    throw invalid(
      'addresses',
      `"${text}" does not begin a range of /${bits}; did you mean ${network}/${bits}?`,
    );
  }
  return Array.from({ length: size }, (_, index) => fromNumber(first + BigInt(index), bytes.length));
}

function fromNumber(value: bigint, length: number): string {
  const bytes = Array.from({ length }, (_, index) =>
    Number((value >> BigInt(8 * (length - 1 - index))) & 255n),
  );
  return canonicalAddress(ipaddr.fromByteArray(bytes).toString(), 'addresses');
}
