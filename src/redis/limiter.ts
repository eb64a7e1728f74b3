/**
 * The hot path: take, peek and refund, on engine time. What is decided is decided in Lua; here a request is checked, turned
 * into arguments, and the answer into words. Takes of many callers share a call (`coalescer.ts`).
 */
import { isIPv6 } from 'node:net';
import { invalid, notFound } from '../warmup/errors.ts';
import {
  answerOf,
  MOST_SENDS_PER_TAKE,
  type Part,
  ReplyReader,
  type TakeAnswer,
  type Verdict,
} from './answer.ts';
import { createCoalescer, type Recover } from './coalescer.ts';
import { type Demand, type Named, NO_DEMAND } from './demand.ts';
import { unpackFence, unpackHot, unpackSent } from './hot-record.ts';
import { type AccountRef, accountKeys } from './keys.ts';
import { parseReceipt } from './receipt.ts';
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

export type LeaseCall = {
  /** An id that no other lease has. */
  holder: string;
  /** `begin`: a take of a holder that is new; `join`: only be counted among the holders; `end`: be counted no more. */
  verb: 'take' | 'begin' | 'join' | 'end';
  /** Most sends that are of use, and fewest, from one IP. */
  want: number;
  least: number;
  /** Since the holder was last given any. */
  waitedMs: number;
  target: Pick<TakeRequest, 'ip' | 'pool' | 'family'>;
  /** What was taken ahead and not used. Each is credited once, and in the order of their `seq`. */
  returns: readonly Part[];
};

/** For each part of the verdict the time until its hour ends. */
export type LeaseReply = { verdict: Verdict | null; hourEndsInMs: number[] };

export type RefundRequest = { receipt: string; count?: number | undefined };

export const MOST_AMONG = 100;

export type Limiter = ReturnType<typeof createLimiter>;

export type LimiterOptions = {
  /** `false`: each take is a call of its own. @default true */
  coalesce?: boolean;
  /** What is answered to a take that could not be made; throws what it is rejected with. */
  recover?: Recover<TakeRequest>;
  /** Where what is wanted is summed up. @default nowhere */
  demand?: Pick<Demand, 'note' | 'noteAnswer' | 'tallyOf'>;
};

const rethrow: Recover<TakeRequest> = (_, error) => {
  throw error;
};

export function createLimiter(
  scripts: Scripts,
  account: AccountRef,
  { coalesce = true, recover: recoverAsTold = rethrow, demand = NO_DEMAND }: LimiterOptions = {},
) {
  const keys = accountKeys(account);
  /** An id is never reused and never changes its address, so this needs no expiry; it is bounded all the same. */
  const addressOfId = new Map<string, string>();
  const coalescer = createCoalescer<TakeRequest>(scripts, keys, {
    unknown: async (request) => noted(request, await unknown(request)),
    recover,
    demand,
    coalesce,
  });

  /** What became of a take that no call answered is wanted all the same. */
  async function recover(request: TakeRequest, error: unknown): Promise<TakeAnswer> {
    return noted(request, await recoverAsTold(request, error));
  }

  function noted(request: TakeRequest, answer: TakeAnswer): TakeAnswer {
    demand.noteAnswer(demand.tallyOf(namedBy(request)), request.count ?? 1, answer);
    return answer;
  }

  const namedBy = ({ ip, pool = '' }: Pick<TakeRequest, 'ip' | 'pool'>): Named =>
    ip === undefined ? `pool ${pool}` : `ip ${isIPv6(ip) ? canonicalIpv6(ip) : ip}`;

  function take(request: TakeRequest): Promise<TakeAnswer> {
    return new Promise((resolve, reject) => {
      if (!enqueue(request, resolve, reject)) resolve(takeAndRecover(request));
    });
  }

  /** Many takes in one turn, each with its own outcome; as `take` for each, in a third of the time. */
  function takeAll(requests: readonly TakeRequest[]): Promise<(TakeAnswer | Error)[]> {
    return new Promise((resolve) => {
      const outcomes = new Array<TakeAnswer | Error>(requests.length);
      let left = requests.length;
      if (left === 0) resolve(outcomes);
      for (const [index, request] of requests.entries()) {
        const settle = (outcome: TakeAnswer | Error | Promise<TakeAnswer>) => {
          if (outcome instanceof Promise) return void outcome.then(settle, settle);
          if (outcomes[index]) return;
          outcomes[index] = outcome;
          left -= 1;
          if (left === 0) resolve(outcomes);
        };
        if (!enqueue(request, settle, settle)) settle(takeAndRecover(request));
      }
    });
  }

  /** By far the most are for one IP, or for one pool: they go without a check that is not needed. */
  function enqueue(
    request: TakeRequest,
    resolve: (answer: TakeAnswer | Promise<TakeAnswer>) => void,
    reject: (error: Error) => void,
  ): boolean {
    const { ip, count = 1, pool, family, among } = request;
    if (!Number.isInteger(count) || count < 1 || count > MOST_SENDS_PER_TAKE || among !== undefined)
      return false;
    if (ip === undefined) {
      if (pool === '' || request.partial === true) return false;
      coalescer.takeFromPool(pool ?? '', String(family ?? ''), count, request, resolve, reject);
      return true;
    }
    if (pool !== undefined || family !== undefined) return false;
    const knownAddress = addressOfId.get(ip);
    if (knownAddress === undefined && !IPV4.test(ip)) return false;
    coalescer.takeFromIp(knownAddress ?? ip, knownAddress && ip, count, request, resolve, reject);
    return true;
  }

  const takeAndRecover = (request: TakeRequest) =>
    takeWithCare(request).catch((error) => recover(request, error));

  async function takeWithCare(request: TakeRequest, peek = false): Promise<TakeAnswer> {
    const count = checkCount(request.count ?? 1);
    const how = peek ? (request.partial ? 'peek-partial' : 'peek') : request.partial ? 'partial' : '';
    let reply: Buffer | null;
    if (request.ip !== undefined) {
      const { address, id } = await checkIp(request.ip, request);
      if (!peek) {
        return new Promise((resolve, reject) => {
          coalescer.takeFromIp(address, id, count, request, resolve, reject);
        });
      }
      reply = await scripts.runPacked('take-ip', [keys.hot(address), count, how, ...(id ? [id] : [])]);
    } else {
      // An empty name is a mistake in a program, and must not become the default pool.
      if (request.pool === '')
        throw notFound('there is no pool without a name; name one, or leave pool out', 'pool');
      const among = request.among ? await Promise.all(checkAmong(request.among).map(addressOf)) : [];
      const { pool = '', family = '' } = request;
      reply = await scripts.runPacked('take-pool', [
        keys.account,
        keys.prefix,
        count,
        how,
        pool,
        family,
        ...among,
      ]);
    }
    const answer =
      reply === null ? await unknown(request) : answerOf(new ReplyReader(reply).answer(count), peek);
    return peek ? answer : noted(request, answer);
  }

  async function checkIp(
    ip: string,
    { family, pool }: TakeRequest,
  ): Promise<{ address: string; id?: string }> {
    if (pool !== undefined) throw invalid('pool', 'name an ip or a pool, not both');
    const address = await addressOf(ip);
    if (family !== undefined && (isIPv6(address) ? 6 : 4) !== family) {
      throw invalid(
        'family',
        `${address} is not an IPv${family} address; leave family out when an ip is named`,
      );
    }
    return ip.startsWith('ip_') ? { address, id: ip } : { address };
  }

  /** Nothing is published: there is no such pool, an IP of this account that gives nothing, or none at all. */
  async function unknown(request: TakeRequest): Promise<TakeAnswer> {
    const { ip, pool } = request;
    if (ip === undefined) {
      throw notFound(`there is no pool "${pool}" in this account; take by its name or its id`, 'pool');
    }
    const address = await addressOf(ip);
    const holder = await scripts.redis.hget(keys.addresses, address);
    const known = ip.startsWith('ip_') ? ip : holder;
    if (!known) throw notFound(`there is no IP ${ip} in this account`, 'ip');
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

  /** Takes sends ahead for a holder, and takes back what it did not use. `null`: no such pool, or nothing is published. */
  async function lease(call: LeaseCall): Promise<LeaseReply | null> {
    const { holder, verb, want, least, waitedMs, target, returns } = call;
    const returned = await Promise.all(
      returns.map(async ({ ip, dayFromMs, hourFromMs, seq, sends }) => [
        await addressOf(ip.ip),
        ip.ipId,
        dayFromMs,
        hourFromMs,
        seq,
        sends,
      ]),
    );
    const named =
      target.ip === undefined
        ? ['pool', target.pool ?? '', target.family ?? '']
        : ['ip', await addressOf(target.ip), target.ip.startsWith('ip_') ? target.ip : ''];
    const reply = await scripts.runPacked('lease', [
      keys.account,
      keys.prefix,
      holder,
      verb,
      want,
      least,
      Math.floor(waitedMs),
      ...named,
      ...returned.flat(),
    ]);
    if (reply === null) return null;
    if (reply.length === 0) return { verdict: null, hourEndsInMs: [] };
    const reader = new ReplyReader(reply);
    const verdict = reader.answer(want);
    return { verdict, hourEndsInMs: verdict.parts.map(() => reader.double()) };
  }

  /** The counter of one IP and what it sent, at one instant. `null` when nothing is published for the address. */
  async function look(address: string, ipId: string) {
    const [now, hot, hours, days, fence] = (await scripts.runBuffer('read', [
      keys.hot(address),
      keys.sent(ipId),
      keys.fence,
    ])) as [number, Buffer | null, Buffer | null, Buffer | null, Buffer | null];
    const sent = { hours: unpackSent(hours), days: unpackSent(days) };
    return { nowMs: Number(now), counter: hot && unpackHot(hot, unpackFence(fence)), sent };
  }

  return {
    take,
    takeAll,
    peek: (request: TakeRequest) => takeWithCare(request, true),
    refund,
    lease,
    unknown,
    namedBy,
    look,
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

/** Canonical as it is, whatever stands in it: nothing is published under a number above 255. */
const IPV4 = /^\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}$/;

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
