/**
 * The hot path: take, peek and refund, one round trip each, on engine time. What is decided is decided in Lua; here the
 * request is turned into arguments and the answer into words.
 */
import { isIPv6 } from 'node:net';
import { invalid, notFound } from '../warmup/errors.ts';
import { unpackHot, unpackSent } from './hot-record.ts';
import { type AccountRef, accountKeys } from './keys.ts';
import type { Scripts } from './scripts.ts';

export type TakeRequest = {
  /** One IP, by its canonical address or its id. */
  ip?: string | undefined;
  /** A pool, by id or name. Neither: the default pool if there is one, else any IP of the account. */
  pool?: string | undefined;
  /** Sends wanted, 1 to 1 000 000; 1 unless said. */
  count?: number | undefined;
  /** Fewer are welcome. Otherwise all or nothing. */
  partial?: boolean | undefined;
  /** Only these IPs (addresses or ids, at most 100), for instance those that this host can bind. */
  among?: readonly string[] | undefined;
  family?: 4 | 6 | undefined;
};

export type BecauseCode =
  | 'status'
  | 'hold'
  | 'unpublished'
  | 'day'
  | 'hour'
  | 'burst'
  | 'ceiling'
  | 'count'
  | 'unreachable';

export type Grant = {
  ip: string;
  ipId: string;
  count: number;
  /** Names this grant for a refund; empty in a peek. */
  receipt: string;
  /** What EHLO should say, if the operator has said. */
  hostname: string | null;
  /** The local address to bind when it is not the IP itself. */
  bind: string | null;
};

export type TakeAnswer = {
  allowed: boolean;
  granted: Grant[];
  /** Of the limit that binds, in sends; -1 is unlimited. */
  limit: number;
  remaining: number;
  /** The earliest instant at which this same take would succeed if nobody else took; 0 now, `null` never. */
  retryAfterMs: number | null;
  resetAfterMs: number;
  because: null | { code: BecauseCode; scope: null; ipId: string | null; until: string | null };
};

export type RefundRequest = { receipt: string; count?: number | undefined };

export const MOST_SENDS_PER_TAKE = 1_000_000;
export const MOST_AMONG = 100;

export type Limiter = ReturnType<typeof createLimiter>;

export function createLimiter(scripts: Scripts, account: AccountRef) {
  const keys = accountKeys(account);
  /** An id is never reused and never changes its address, so this needs no expiry; it is bounded all the same. */
  const addressOfId = new Map<string, string>();

  async function take(request: TakeRequest, peek = false): Promise<TakeAnswer> {
    const count = checkCount(request.count ?? 1);
    const flags = [count, request.partial ? 1 : 0, peek ? 1 : 0];
    if (request.ip !== undefined) return takeFromIp(request.ip, flags, request);
    // An empty name is a mistake in a program, and must not become the default pool.
    if (request.pool === '')
      throw notFound('there is no pool without a name; name one, or leave pool out', 'pool');
    const among = request.among ? await Promise.all(checkAmong(request.among).map(addressOf)) : [];
    const reply = (await scripts.run('take-pool', [
      keys.account,
      keys.prefix,
      ...flags,
      request.pool ?? '',
      request.family ?? '',
      ...among,
    ])) as Reply;
    if (reply[0] === 'unknown pool') {
      throw notFound(
        `there is no pool "${request.pool}" in this account; take by its name or its id`,
        'pool',
      );
    }
    return answerOf(reply);
  }

  async function takeFromIp(ip: string, flags: number[], { family, pool }: TakeRequest): Promise<TakeAnswer> {
    if (pool !== undefined) throw invalid('pool', 'name an ip or a pool, not both');
    const address = await addressOf(ip);
    if (family !== undefined && (isIPv6(address) ? 6 : 4) !== family) {
      throw invalid(
        'family',
        `${address} is not an IPv${family} address; leave family out when an ip is named`,
      );
    }
    const id = ip.startsWith('ip_') ? ip : '';
    const reply = (await scripts.run('take-ip', [keys.hot(address), keys.prefix, ...flags, id])) as Reply;
    if (reply[0] !== 'unpublished') return answerOf(reply);
    return nothingPublished(id || address, address);
  }

  /** There is no hot record: an IP of this account that gives nothing, or none at all. */
  async function nothingPublished(ip: string, address: string): Promise<TakeAnswer> {
    const known = ip === address ? await scripts.redis.hget(keys.addresses, address) : ip;
    if (!known) throw notFound(`there is no IP ${ip} in this account`, 'ip');
    const holder = await scripts.redis.hget(keys.addresses, address);
    return {
      allowed: false,
      granted: [],
      limit: 0,
      remaining: 0,
      retryAfterMs: null,
      resetAfterMs: 0,
      because: { code: holder === known ? 'unpublished' : 'status', scope: null, ipId: known, until: null },
    };
  }

  /** @throws WarmlineError `not_found` for an id that this account never had. */
  async function addressOf(ip: string): Promise<string> {
    if (!ip.startsWith('ip_')) return isIPv6(ip) ? canonicalIpv6(ip) : ip;
    const known = addressOfId.get(ip);
    if (known) return known;
    const record = await scripts.redis.get(keys.ip(ip));
    if (!record) throw notFound(`there is no IP ${ip} in this account`, 'ip');
    const { address } = JSON.parse(record) as { address: string };
    if (addressOfId.size >= 100_000) addressOfId.clear();
    addressOfId.set(ip, address);
    return address;
  }

  /** Gives back what was not sent. Unknown or used receipts credit nothing. */
  async function refund(refunds: readonly RefundRequest[]): Promise<{ refunded: number }> {
    const args = await Promise.all(
      refunds.map(async ({ receipt, count }) => {
        const parsed = parseReceipt(receipt);
        if (count !== undefined && !(Number.isInteger(count) && count >= 1 && count <= parsed.count)) {
          throw invalid(
            'count',
            `count ${count} does not fit the receipt, which is for ${parsed.count}; give 1 to ${parsed.count}`,
          );
        }
        const { ipId, dayFromMs, hourFromMs, seq } = parsed;
        return [await addressOf(ipId), ipId, dayFromMs, hourFromMs, seq, count ?? parsed.count];
      }),
    );
    if (args.length === 0) return { refunded: 0 };
    const refunded = await scripts.run('refund', [keys.account, keys.prefix, ...args.flat()]);
    return { refunded: Number(refunded) };
  }

  /** The counter of one IP and what it sent, at one instant. `null` when nothing is published for the address. */
  async function look(address: string, ipId: string) {
    const [now, hot, hours, days] = (await scripts.runBuffer('read', [
      keys.hot(address),
      keys.sent(ipId),
    ])) as [number, Buffer | null, Buffer | null, Buffer | null];
    const sent = { hours: unpackSent(hours), days: unpackSent(days) };
    return { nowMs: Number(now), counter: hot ? unpackHot(hot) : null, sent };
  }

  return {
    take: (request: TakeRequest) => take(request),
    peek: (request: TakeRequest) => take(request, true),
    refund,
    look,
  };
}

type Reply = (string | number)[];

/** `ok, now, granted, limit, remaining, retryAt, resetsAt, binds, bindsUntil, ipId`, then six values for each grant. */
function answerOf(reply: Reply): TakeAnswer {
  const [, now, granted, limit, remaining, retryAt, resetsAt, binds, bindsUntil, ipId] = reply as [
    string,
    ...number[],
  ];
  const grants: Grant[] = [];
  for (let at = 10; at < reply.length; at += 6) {
    const [ip, count, receipt, id, hostname, bind] = reply.slice(at, at + 6).map(String) as [
      string,
      ...string[],
    ];
    grants.push({
      ip,
      ipId: id!,
      count: Number(count),
      receipt: receipt!,
      hostname: hostname || null,
      bind: bind || null,
    });
  }
  const nowMs = Number(now);
  return {
    allowed: Number(granted) > 0,
    granted: grants,
    limit: Number(limit),
    remaining: Number(remaining),
    retryAfterMs: Number(retryAt) === -1 ? null : Math.max(0, Number(retryAt) - nowMs),
    resetAfterMs: Math.max(0, Number(resetsAt) - nowMs),
    because: binds
      ? {
          code: String(binds) as BecauseCode,
          scope: null,
          ipId: ipId ? String(ipId) : null,
          until: Number(bindsUntil) === -1 ? null : new Date(Number(bindsUntil)).toISOString(),
        }
      : null,
  };
}

function checkCount(count: number): number {
  if (!Number.isInteger(count) || count < 1 || count > MOST_SENDS_PER_TAKE) {
    throw invalid('count', `count is ${count}; it must be a whole number from 1 to ${MOST_SENDS_PER_TAKE}`);
  }
  return count;
}

function checkAmong(among: readonly string[]): readonly string[] {
  if (among.length === 0 || among.length > MOST_AMONG) {
    throw invalid('among', `among has ${among.length} IPs; name 1 to ${MOST_AMONG}, or leave it out`);
  }
  return [...new Set(among)];
}

/** `<ipId>.<dayFromMs>.<hourFromMs>.<count>.<seq>` */
function parseReceipt(receipt: string) {
  const match = /^(ip_[0-9a-z]+)\.(\d{1,16})\.(\d{1,16})\.(\d{1,7})\.(\d{1,16})$/.exec(receipt);
  if (!match)
    throw invalid(
      'receipt',
      `"${receipt.slice(0, 100)}" is no receipt; give back the string that a take granted`,
    );
  const [, ipId, dayFromMs, hourFromMs, count, seq] = match as unknown as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  return {
    ipId,
    dayFromMs: Number(dayFromMs),
    hourFromMs: Number(hourFromMs),
    count: Number(count),
    seq: Number(seq),
  };
}

/**
 * IPv6 has many spellings and keys have one, RFC 5952. The URL parser of Node knows it, so that a sender needs no library;
 * only an IPv4 address in IPv6's clothes (::ffff:192.0.2.1) has to be undressed.
 */
function canonicalIpv6(address: string): string {
  if (address.includes('%')) return address; // names an interface of one machine; no account has such an address
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical);
  if (!mapped) return canonical;
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}
