/** The quota API in JSON: what a sender may ask, and what a look at a quota shows. */
import { z } from 'zod';
import { canonicalAddress } from '../warmup/address.ts';
import { fullAt, read, roomAt, SEND_UNITS, windowAt } from '../warmup/counter.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';
import { invalid } from '../warmup/errors.ts';
import { sendingHold } from '../warmup/progress.ts';
import { HOUR_MS } from '../warmup/units.ts';
import { flag, instant, instantOrNull, list, matching, oneOf, text, wholeNumber } from './parse.ts';
import { type Counted, holdOf } from './v1.ts';

const MOST_SENDS = 1_000_000;
const MOST_AMONG = 100;
const MOST_REFUNDS = 1_000;

const domain = () => matching(/^[^\s@]{1,253}$/, 'a domain (example: example.com)');

const TakeBody = z
  .strictObject({
    ip: text(100).optional(),
    pool: text(200).optional(),
    count: wholeNumber(1, MOST_SENDS).optional(),
    partial: flag().optional(),
    among: list(text(100), MOST_AMONG, 'IPs').optional(),
    family: z.literal([4, 6], { error: 'must be 4 or 6' }).optional(),
    // Reserved: what they say is checked, and does not limit anything yet.
    to: domain().optional(),
    provider: text(64).optional(),
    from: domain().optional(),
    class: oneOf(['transactional', 'bulk']).optional(),
    tenant: text().optional(),
    attempt: wholeNumber(1, MOST_SENDS).optional(),
    key: text().optional(),
  })
  .prefault({});
export const TAKE_BODY = TakeBody;

/** What the limiter is asked, with every address in its one form. */
export function takeRequestOf({ ip, pool, count, partial, among, family }: z.output<typeof TakeBody>) {
  if (ip !== undefined && pool !== undefined) throw invalid('pool', 'name an ip or a pool, not both');
  if (ip !== undefined && among !== undefined) {
    throw invalid('among', 'among narrows the choice of a pool; leave it out when an ip is named');
  }
  return {
    ip: ip === undefined ? undefined : idOrAddress(ip, 'ip'),
    pool,
    count,
    partial,
    among: among?.map((one, index) => idOrAddress(one, `among.${index}`)),
    family,
  };
}

export const idOrAddress = (named: string, param: string) =>
  named.startsWith('ip_') ? named : canonicalAddress(named, param);

export const REFUND_BODY = z.strictObject({
  refunds: list(
    z.strictObject({ receipt: text(300), count: wholeNumber(1, MOST_SENDS).optional() }),
    MOST_REFUNDS,
    'refunds',
  ),
});

/** The quota of one IP as it stands: nothing is taken by looking. */
export function ipQuotaOf(ip: DedicatedIp, counted: Counted) {
  const { nowMs, counter } = counted;
  const hold = holdOf(sendingHold(ip, nowMs));
  const named = { ipId: ip.id, ip: ip.address, status: ip.status, hold };
  if (!counter) {
    const nothing = { limit: 0, used: 0, remaining: 0, from: null, resetsAt: null };
    const because = ip.status === 'released' ? 'status' : 'unpublished';
    return {
      ...named,
      allowed: false,
      binds: because,
      limit: 0,
      remaining: 0,
      retryAfterMs: null,
      resetAfterMs: 0,
      day: nothing,
      hour: nothing,
      bucket: null,
      next: null,
    };
  }
  const { quota } = counter;
  const { state, room, binds, limit, remaining, resetsAtMs } = read(counter.state, quota, nowMs);
  const window = windowAt(quota, state.atMs);
  const open = quota.gate !== 'closed';
  const count = (most: number | null, used: number, fromMs: number, toMs: number) => ({
    limit: open ? (most ?? -1) : 0,
    used,
    remaining: !open ? 0 : most === null ? -1 : Math.max(0, most - used),
    from: instant(fromMs),
    resetsAt: instant(toMs),
  });
  const { dailyLimit, hourlyCap, burst } = window.limits;
  const hourToMs = Math.min(state.hourFromMs + HOUR_MS, window.toMs);
  const next = windowAt(quota, window.toMs).limits;
  const retryAtMs = roomAt(counter.state, quota, nowMs, 1);
  return {
    ...named,
    allowed: room >= 1,
    binds,
    limit,
    remaining,
    retryAfterMs: retryAtMs === null ? null : Math.max(0, retryAtMs - nowMs),
    resetAfterMs: Math.max(0, resetsAtMs - nowMs),
    day: count(dailyLimit, state.dayUsed, state.dayFromMs, window.toMs),
    hour: count(hourlyCap, state.hourUsed, state.hourFromMs, hourToMs),
    bucket:
      burst === null || !open
        ? null
        : {
            size: burst,
            level: Math.floor(state.level / SEND_UNITS),
            fullAt: instantOrNull(fullAt(state, quota)),
          },
    next: open
      ? { from: instant(window.toMs), dailyLimit: next.dailyLimit ?? -1, hourlyCap: next.hourlyCap ?? -1 }
      : null,
  };
}

export type IpQuota = ReturnType<typeof ipQuotaOf>;

/** The sums of a pool. One IP without a limit makes the pool unlimited. */
export function sumOf(ips: readonly IpQuota[]) {
  const add = (numbers: number[]) => (numbers.includes(-1) ? -1 : numbers.reduce((sum, one) => sum + one, 0));
  const open = ips.filter(({ binds }) => binds !== 'status' && binds !== 'hold' && binds !== 'unpublished');
  const window = (name: 'day' | 'hour') => ({
    limit: add(open.map((ip) => ip[name].limit)),
    used: add(ips.map((ip) => ip[name].used)),
    remaining: add(open.map((ip) => ip[name].remaining)),
  });
  return { remaining: add(open.map(({ remaining }) => remaining)), day: window('day'), hour: window('hour') };
}

/** Of a pool: its sums and each of its IPs. */
export type PoolQuota = ReturnType<typeof sumOf> & {
  poolId: string;
  name: string;
  allowed: boolean;
  retryAfterMs: number | null;
  resetAfterMs: number;
  because: { code: string; ipId: string | null; until: string | null } | null;
  ips: IpQuota[];
};
