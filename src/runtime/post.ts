/**
 * Sends a body to an address that somebody else has chosen. What a name stands for is looked up for this connection and
 * checked there, so that a name which means a public address when it is checked cannot mean a private one when it is used.
 * Redirects are not followed, and nothing of the answer is read but its status.
 */
import { type LookupAddress, lookup } from 'node:dns';
import { type RequestOptions, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

export type PostResult = {
  /** `null` when nothing was answered. */
  status: number | null;
  ms: number;
  /** Why it did not arrive, in a sentence without secrets; `null` when the status is 2xx. */
  error: string | null;
};

export type PostOptions = {
  headers: Readonly<Record<string, string>>;
  timeoutMs: number;
  allowPrivate: boolean;
  /** Ends it at once, as if nothing had been answered. */
  signal?: AbortSignal;
  /** How a name is looked up; for tests, which have no name server. */
  resolve?: typeof lookup;
};

/** One that anybody on the internet can be reached at; no private, loopback, link-local, multicast or mapped one. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== 'unicast') return false;
  // Of IPv6 only 2000::/3 is given to anybody; what once had a meaning elsewhere may still have one inside a network.
  return parsed.kind() === 'ipv4' || (parsed.toByteArray()[0]! & 0xe0) === 0x20;
}

/** Never rejects. */
export function post(url: string, body: string, options: PostOptions): Promise<PostResult> {
  const begunMs = performance.now();
  const { resolve: resolveName = lookup } = options;
  const { protocol, hostname } = new URL(url);
  const bare = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve) => {
    const end = (status: number | null, error: string | null) => {
      clearTimeout(timer);
      resolve({ status, error, ms: Math.round(performance.now() - begunMs) });
    };
    const timer = setTimeout(() => {
      sent.destroy();
      end(null, `no answer within ${options.timeoutMs / 1000} s`);
    }, options.timeoutMs);

    if (protocol === 'http:' && !options.allowPrivate) return end(null, 'events are only sent over https');
    // An address that is written out is not looked up.
    if (!options.allowPrivate && isIP(bare) !== 0 && !isPublicAddress(bare))
      return end(null, notPublic(bare));

    const request: RequestOptions = {
      method: 'POST',
      headers: { ...options.headers, 'content-length': Buffer.byteLength(body) },
      // A connection of its own: one that is kept was checked for an address that may mean another one by now.
      agent: false,
      lookup: options.allowPrivate ? (resolveName as LookupFunction) : lookupPublic(resolveName),
      ...(options.signal && { signal: options.signal }),
    };
    const sent = (protocol === 'https:' ? requestHttps : requestHttp)(url, request);
    sent.on('response', (response) => {
      const { statusCode: status = 0 } = response;
      // An answer has no end that we wait for.
      response.on('error', () => {}).destroy();
      const isGood = status >= 200 && status < 300;
      end(status, isGood ? null : status >= 300 && status < 400 ? REDIRECTED : `it answered ${status}`);
    });
    sent.on('error', (error: NodeJS.ErrnoException) => end(null, whyNot(error, bare)));
    sent.end(body);
  });
}

const REDIRECTED = 'it answered with a redirect, which is not followed; give the final URL';
const notPublic = (what: string) => `${what} is no public address`;

class NotPublic extends Error {}

/** Only public addresses of a name are left to connect to. */
const lookupPublic =
  (resolve: typeof lookup): LookupFunction =>
  (hostname, options, done) => {
    resolve(hostname, { ...options, all: true }, (error, found) => {
      if (error) return done(error, '', 0);
      const addresses = (found as LookupAddress[]).filter(({ address }) => isPublicAddress(address));
      const [first] = addresses;
      if (!first) return done(new NotPublic(notPublic(hostname)), '', 0);
      if (options.all) done(null, addresses);
      else done(null, first.address, first.family);
    });
  };

const SENTENCES: Record<string, (host: string) => string> = {
  ENOTFOUND: (host) => `there is no host ${host}`,
  EAI_AGAIN: (host) => `the name ${host} could not be looked up`,
  ECONNREFUSED: () => 'the connection was refused',
  ECONNRESET: () => 'the connection was closed without an answer',
  EHOSTUNREACH: () => 'the host cannot be reached',
  ENETUNREACH: () => 'the network cannot be reached',
  ETIMEDOUT: () => 'the connection was not answered',
};

function whyNot(error: NodeJS.ErrnoException, host: string): string {
  if (error instanceof NotPublic) return error.message;
  const { code = '' } = error;
  const known = SENTENCES[code]?.(host);
  if (known) return known;
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/.test(code)) return `its certificate is not trusted (${code})`;
  return `it could not be sent (${code || error.name})`;
}
