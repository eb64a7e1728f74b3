/** The quota API in JSON: what a sender may ask, and what a look at a quota shows. */
import { z } from 'zod';
import { canonicalAddress } from '../warmup/address.ts';
import { fullAt, read, roomAt, SEND_UNITS, windowAt } from '../warmup/counter.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';
import { invalid } from '../warmup/errors.ts';
import { STATUSES } from '../warmup/lifecycle.ts';
import { sendingHold } from '../warmup/progress.ts';
import { HOUR_MS } from '../warmup/units.ts';
import { flag, instant, instantOrNull, list, matching, oneOf, text, wholeNumber } from './parse.ts';
import { HoldShape } from './shapes.ts';
import { type Counted, holdOf } from './v1.ts';

const MOST_SENDS = 1_000_000;
const MOST_AMONG = 100;
const MOST_REFUNDS = 1_000;

const domain = () => matching(/^[^\s@]{1,253}$/, 'a domain (example: example.com)');

const TakeBody = z
  .strictObject({
    ip: text(100).optional().describe('One IP, by address or id.'),
    pool: text(200).optional().describe('A pool, by id or name; neither is the default pool, else any IP.'),
    count: wholeNumber(1, MOST_SENDS).optional().describe('How many sends; 1 unless said.'),
    partial: flag().optional().describe('Fewer are welcome; otherwise all or nothing.'),
    among: list(text(100), MOST_AMONG, 'IPs').optional().describe('Only these IPs, by address or id.'),
    family: z.literal([4, 6], { error: 'must be 4 or 6' }).optional().describe('Only IPv4, or only IPv6.'),
    // Reserved: what they say is checked, and does not limit anything yet.
    to: domain().optional().describe("Reserved: the recipient's domain."),
    provider: text(64).optional().describe('Reserved: the mailbox provider.'),
    from: domain().optional().describe("Reserved: the sender's domain."),
    class: oneOf(['transactional', 'bulk']).optional().describe('Reserved: the kind of mail.'),
    tenant: text().optional().describe('Reserved: whose mail it is.'),
    attempt: wholeNumber(1, MOST_SENDS).optional().describe('Reserved: which try this is.'),
    key: text().optional().describe('Reserved: names this take.'),
  })
  .prefault({})
  .meta({ id: 'TakeRequest', description: 'What a sender asks before it sends.' });
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
    z.strictObject({
      receipt: text(300).describe('What the take granted it with.'),
      count: wholeNumber(1, MOST_SENDS).optional().describe('How many were not sent; all unless said.'),
    }),
    MOST_REFUNDS,
    'refunds',
  ),
});

const sends = (what: string) => z.number().int().min(-1).describe(`${what}; -1 is unlimited.`);
const waitMs = (what: string) => z.number().int().nonnegative().describe(what);
const retryAfterMs = waitMs('When this would succeed if nobody else took; `null` is never.').nullable();
const resetAfterMs = waitMs('Until the limit that binds begins anew.');
const at = () => z.iso.datetime({ offset: true });
const allowed = (what: string) => z.boolean().describe(what);

const BecauseShape = z
  .strictObject({
    code: z
      .enum(['status', 'hold', 'unpublished', 'day', 'hour', 'burst', 'ceiling', 'count'])
      .describe('The status, a hold, nothing published, a limit, or a count that never fits.'),
    scope: z.null(),
    ipId: z.string().nullable(),
    until: at().nullable(),
  })
  .meta({ id: 'Because', description: 'What denied it, or a part of it.' });

export const TakeAnswerShape = z
  .strictObject({
    allowed: allowed('Anything was granted.'),
    granted: z.array(
      z.strictObject({
        ip: z.string().describe('The address to send from.'),
        ipId: z.string(),
        count: z.number().int().positive(),
        receipt: z.string().describe('Names this grant for a refund.'),
        hostname: z.string().nullable().describe('What EHLO should say.'),
        bind: z.string().nullable().describe('The local address to bind when it is another one.'),
      }),
    ),
    limit: sends('Of the limit that binds'),
    remaining: sends('What is left of it'),
    retryAfterMs,
    resetAfterMs,
    because: BecauseShape.nullable(),
  })
  .meta({
    id: 'TakeAnswer',
    description: 'What was granted; being over quota is an answer and no error.',
    examples: [
      {
        allowed: true,
        granted: [
          {
            ip: '203.0.113.7',
            ipId: 'ip_xxxxx',
            count: 1,
            receipt: '...',
            hostname: 'mta7.example.com',
            bind: null,
          },
        ],
        limit: 50,
        remaining: 49,
        retryAfterMs: 0,
        resetAfterMs: 86400000,
        because: null,
      },
    ],
  });

export const RefundAnswerShape = z
  .strictObject({ refunded: z.number().int().nonnegative().describe('How many sends were credited.') })
  .meta({ id: 'RefundAnswer' });

const WindowShape = z
  .strictObject({
    limit: sends('Most sends in it'),
    used: z.number().int().nonnegative(),
    remaining: sends('What is left of it'),
    from: at().nullable(),
    resetsAt: at().nullable(),
  })
  .meta({ id: 'QuotaWindow', description: 'A day or an hour of an IP.' });

export const IpQuotaShape = z
  .strictObject({
    ipId: z.string(),
    ip: z.string(),
    status: z.enum(STATUSES),
    hold: HoldShape.nullable(),
    allowed: allowed('One send would be granted now.'),
    binds: z.string().nullable().describe('Which limit binds; `null` is none.'),
    limit: sends('Of the limit that binds'),
    remaining: sends('What is left of it'),
    retryAfterMs,
    resetAfterMs,
    day: WindowShape,
    hour: WindowShape,
    bucket: z
      .strictObject({
        size: z.number().int(),
        level: z.number().int(),
        fullAt: at().nullable(),
      })
      .nullable(),
    next: z
      .strictObject({
        from: at(),
        dailyLimit: sends('Most sends in it'),
        hourlyCap: sends('In an hour of it'),
      })
      .nullable()
      .describe('The window after this one.'),
  })
  .meta({ id: 'IpQuota', description: 'The quota of one IP as it stands.' });

const sumShape = z.strictObject({
  limit: sends('Most sends in it'),
  used: z.number().int().nonnegative(),
  remaining: sends('What is left of it'),
});

export const PoolQuotaShape = z
  .strictObject({
    poolId: z.string(),
    name: z.string(),
    allowed: allowed('One send would be granted now.'),
    retryAfterMs,
    resetAfterMs,
    because: BecauseShape.nullable(),
    remaining: sends('What all its IPs have left now'),
    day: sumShape,
    hour: sumShape,
    ips: z.array(IpQuotaShape),
  })
  .meta({ id: 'PoolQuota', description: 'The sums of a pool, and each of its IPs.' });

/** The quota of one IP as it stands: nothing is taken by looking. */
export function ipQuotaOf(ip: DedicatedIp, counted: Counted): z.output<typeof IpQuotaShape> {
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

export type IpQuota = z.output<typeof IpQuotaShape>;

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
export type PoolQuota = z.output<typeof PoolQuotaShape>;
