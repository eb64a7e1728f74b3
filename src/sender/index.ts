/**
 * For mail senders in Node: ask before every message, over Redis directly.
 *
 *     const sender = await createSender({ redisUrl, account: 'default' });
 *     const { allowed, granted, retryAfterMs } = await sender.take({ pool: 'marketing', count: 3 });
 *
 * Over quota is an answer and not an error. Whatever is granted counts as sent; what was not sent after all is given back
 * with `refund`.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Grant, TakeAnswer } from '../redis/answer.ts';
import { connect, type RedisTls } from '../redis/connect.ts';
import { createDemand, NO_DEMAND } from '../redis/demand.ts';
import { resolveAccount, runsOnTestClock } from '../redis/directory.ts';
import { createLimiter, type RefundRequest, type TakeRequest } from '../redis/limiter.ts';
import { createScripts } from '../redis/scripts.ts';
import { WarmlineError } from '../warmup/errors.ts';
import { type ClockMoves, followClock } from './clock-moves.ts';
import { type Lease, type LeaseOptions, SendLease, Turn } from './lease.ts';

export type { BecauseCode, Grant, TakeAnswer } from '../redis/answer.ts';
export type { RedisTls } from '../redis/connect.ts';
export type { RefundRequest, TakeRequest } from '../redis/limiter.ts';
export type { Lease, LeasedIp, LeaseOptions, LeaseStats } from './lease.ts';
export { WarmlineError };

export type SenderOptions = {
  /** `redis://[[user]:password@]host:port`, or `rediss://` for TLS: the Redis that the worker publishes to. */
  redisUrl: string;
  /** For `rediss://`: the CA of the server, a certificate and its key, each as the text of its PEM file. */
  tls?: RedisTls;
  /** Name or id of the account whose IPs are used. @default "default" */
  account?: string;
  /** Say so to use a database on a test clock; without it such a database is refused, since its quotas mean nothing. */
  testClock?: boolean;
  /**
   * What to answer while Redis cannot be reached. `deny`: nothing is sent. `allow-active`: IPs that were last seen active
   * and without limits go on, uncounted; everything else is denied.
   * @default "deny"
   */
  whenUnreachable?: 'deny' | 'allow-active';
  /**
   * Tell Redis every ten seconds what was wanted, granted and denied, so that the pages, the metrics and the command line
   * can show it. Counting costs next to nothing.
   * @default true
   */
  countDemand?: boolean;
};

export type Sender = {
  /**
   * Takes sends: `{ ip }`, `{ pool }` or neither (the default pool, else any IP of the account).
   * @throws WarmlineError `not_found` for an unknown IP or pool, `invalid` for a count that is none
   */
  take(request?: TakeRequest): Promise<TakeAnswer>;
  /** The answer that this take would get now; nothing is counted and receipts are empty. */
  peek(request?: TakeRequest): Promise<TakeAnswer>;
  /** Gives back what was granted but not sent; each receipt counts once. */
  refund(refunds: RefundRequest | readonly RefundRequest[]): Promise<{ refunded: number }>;
  /**
   * Takes sends ahead, to be spent here without a round trip: a hundred times as many decisions a second, as exact. For
   * whoever sends much; what is held when the process is killed is lost for that hour.
   * @throws WarmlineError `invalid`
   */
  lease(options?: LeaseOptions): Lease;
  /** Gives back what its leases hold, and hangs up. */
  close(): Promise<void>;
};

/** Redis answers, but cannot decide at the moment; nothing was counted. */
const CANNOT_DECIDE = /^(LOADING|READONLY|MISCONF|OOM|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|NOREPLICAS|BUSY)\b/;
const RETRY_UNREACHABLE_MS = 1_000;

/** @throws when Redis cannot be reached at the start, the account is unknown, or the clocks do not match */
export async function createSender(options: SenderOptions): Promise<Sender> {
  const {
    redisUrl,
    tls,
    account: name = 'default',
    testClock = false,
    whenUnreachable = 'deny',
    countDemand = true,
  } = options;
  const redis = await connect(redisUrl, { tls });
  try {
    const onTestClock = await runsOnTestClock(redis);
    if (onTestClock !== testClock) {
      throw new Error(
        onTestClock
          ? 'this database runs on a test clock, so its quotas say nothing about real mail; pass testClock: true to use it in a test'
          : 'testClock is set, but this database runs on the real clock; leave testClock out',
      );
    }
    const account = await resolveAccount(redis, name);
    if (!account)
      throw new Error(`there is no account "${name}" in this Redis; was the worker ever started on it?`);
    const unlimited = rememberUnlimited();
    const allowActive = whenUnreachable === 'allow-active';
    const scripts = createScripts(redis, { testClock });
    const demand = countDemand ? createDemand(scripts, account) : null;
    const limiter = createLimiter(scripts, account, {
      demand: demand ?? NO_DEMAND,
      async recover(request, error) {
        if (!isUnreachable(error)) throw error;
        // Who asks again and again without a pause would keep the connection from coming back.
        await nextTurn();
        // The outcome of a take whose connection broke is unknown: it counts as spent, and is not tried again.
        return (allowActive && unlimited.grant(request)) || unreachable();
      },
    });
    const leases = new Set<SendLease>();
    const turn = new Turn();
    let moves: ClockMoves | null = null;

    return {
      take(request = {}) {
        const taken = limiter.take(request);
        if (!allowActive) return taken;
        return taken.then((answer) => {
          if (answer.because?.code !== 'unreachable') unlimited.see(request, answer);
          return answer;
        });
      },
      async peek(request = {}) {
        try {
          return await limiter.peek(request);
        } catch (error) {
          if (!isUnreachable(error)) throw error;
          return unreachable();
        }
      },
      refund: (refunds) => limiter.refund(Array.isArray(refunds) ? refunds : [refunds as RefundRequest]),
      lease(leaseOptions = {}) {
        if (testClock) moves ??= followClock(redis, leases);
        const lease: SendLease = new SendLease(limiter, leaseOptions, {
          turn,
          isUnreachable,
          allowActive,
          ready: moves?.heard ?? null,
          demand: demand ?? NO_DEMAND,
          onClose: () => leases.delete(lease),
        });
        leases.add(lease);
        if (moves?.isNear) void lease.giveAllBack();
        return lease;
      },
      async close() {
        await Promise.all([...leases].map((lease) => lease.close()));
        moves?.close();
        await demand?.handIn();
        await redis.quit().catch(() => redis.disconnect());
      },
    };
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}

function isUnreachable(error: unknown): boolean {
  if (error instanceof WarmlineError || error instanceof TypeError || !(error instanceof Error)) return false;
  return error.name === 'ReplyError' ? CANNOT_DECIDE.test(error.message) : true;
}

const unreachable = (): TakeAnswer => ({
  allowed: false,
  granted: [],
  limit: 0,
  remaining: 0,
  retryAfterMs: RETRY_UNREACHABLE_MS,
  resetAfterMs: RETRY_UNREACHABLE_MS,
  because: { code: 'unreachable', scope: null, ipId: null, until: null },
});

/** As many requests (an IP, a pool) as one process may remember an unlimited IP for. */
const MOST_REMEMBERED = 10_000;

/** For each kind of request the IP that was last granted without any limit. */
function rememberUnlimited() {
  const lastSeen = new Map<string, Grant>();
  const keyOf = ({ ip, pool, among, family }: TakeRequest) => JSON.stringify([ip, pool, among, family]);
  return {
    see(request: TakeRequest, answer: TakeAnswer): void {
      const [first] = answer.granted;
      const key = keyOf(request);
      if (first && answer.limit === -1) {
        if (lastSeen.size >= MOST_REMEMBERED) lastSeen.clear();
        lastSeen.set(key, first);
      } else if (!answer.allowed || first?.ipId === lastSeen.get(key)?.ipId) {
        lastSeen.delete(key);
      }
    },
    grant(request: TakeRequest): TakeAnswer | null {
      const seen = lastSeen.get(keyOf(request));
      if (!seen) return null;
      const granted = [{ ...seen, count: request.count ?? 1, receipt: '' }];
      return {
        allowed: true,
        granted,
        limit: -1,
        remaining: -1,
        retryAfterMs: 0,
        resetAfterMs: 0,
        because: null,
      };
    },
  };
}
