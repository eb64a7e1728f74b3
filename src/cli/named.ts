/** What a person names on the command line: an IP by id or address, or a pool by id or name. */
import { isIP } from 'node:net';
import { canonicalAddress } from '../warmup/address.ts';

/** Digits and dots, or hex and colons: an address, if perhaps one with a mistake in it. */
const looksLikeAddress = (text: string) =>
  /^\d+(\.\d+)+$/.test(text) || /^[0-9a-f.]*:[0-9a-f:.]*:[0-9a-f:.]*$/i.test(text);

export const namesIp = (text: string) => text.startsWith('ip_') || isIP(text) !== 0 || looksLikeAddress(text);

/** @throws WarmlineError `invalid` for a malformed address */
export const ipPath = (text: string) =>
  `/v1/dedicated-ips/${encoded(text.startsWith('ip_') ? text : canonicalAddress(text))}`;

/** Half a character cannot be encoded, and is in no name. */
const encoded = (text: string) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'));

export const poolPath = (text: string) => `/v1/dedicated-ips/pools/${encoded(text)}`;

/** The path of whatever is named. */
export const pathOf = (text: string) => (namesIp(text) ? ipPath(text) : poolPath(text));
