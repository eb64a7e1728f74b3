/** The quota API in JSON: what a sender may ask, and what a look at a quota shows. */
import { z } from 'zod';
import { canonicalAddress } from '../warmup/address.ts';
import { fullAt, read, roomAt, SEND_UNITS, windowAt } from '../warmup/counter.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';
import { invalid } from '../warmup/errors.ts';
import { STATUSES } from '../warmup/lifecycle.ts';
import { sendingHold } from '../warmup/progress.ts';
import { HOUR_MS } from '../warmup/units.ts';
import { ErrorAnswer } from './errors.ts';
import { flag, instant, instantOrNull, list, matching, oneOf, parse, text, wholeNumber } from './parse.ts';
import { HoldShape } from './shapes.ts';
import { type Counted, holdOf } from './v1.ts';

const MOST_SENDS = 1_000_000;
const MOST_AMONG = 100;
const MOST_REFUNDS = 1_000;
const MOST_TAKES = 1_000;
/** The most IPs that one take is spread over. */
const WIDEST_TAKE = 128;
/** Over how many IPs the takes of a batch may be spread together: 100 takes of any count fit, or 1 000 of 12 sends each. */
const WIDEST_BATCH = 100 * WIDEST_TAKE;

const domain = () => matching(/^[^\s@]{1,253}$/, 'a domain (example: example.com)');

const Take = z.strictObject({
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
});
type Take = z.output<typeof Take>;

export const OneTake = Take.prefault({}).meta({
  id: 'TakeRequest',
  description: 'What a sender asks before it sends.',
});
export const ManyTakes = z
  .strictObject({
    takes: list(OneTake, MOST_TAKES, 'takes').describe(
      `Each as it would be asked alone. What is not left to one \`ip\` may be spread over as many IPs as it has sends, at most ${WIDEST_TAKE}; over at most ${WIDEST_BATCH} in all.`,
    ),
  })
  .meta({ id: 'TakeBatchRequest', description: 'Many takes at once.' });

/** One take or many. It describes them; who parses says which of the two it is, so that a mistake is told of that one. */
export const TAKE_BODY = z.union([OneTake, ManyTakes]);

/** What the limiter is asked, with every address in its one form. */
export type AskedTake = ReturnType<typeof takeRequestOf>;

/** @throws WarmlineError `invalid`, and then nothing may be taken */
export function readTakes(body: unknown): AskedTake | AskedTake[] {
  if (isObject(body) && Object.hasOwn(body, 'takes')) return readBatch(body);
  return takeRequestOf(isUsualTake(body) ? body : parse(OneTake, body));
}

function readBatch(body: Record<string, unknown>): AskedTake[] {
  const { takes } = isUsualBatch(body) ? body : parse(ManyTakes, body);
  let width = 0;
  return takes.map((take, index) => {
    if (take.ip === undefined) width += Math.min(take.count ?? 1, WIDEST_TAKE);
    if (width > WIDEST_BATCH) {
      throw invalid(
        `takes.${index}`,
        `the takes of one request may be spread over ${WIDEST_BATCH} IPs in all; ask in several requests, or name the IPs`,
      );
    }
    return takeRequestOf(take, `takes.${index}.`);
  });
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isUsualBatch = (body: Record<string, unknown>): body is { takes: Take[] } =>
  Object.keys(body).length === 1 &&
  Array.isArray(body.takes) &&
  body.takes.length >= 1 &&
  body.takes.length <= MOST_TAKES &&
  body.takes.every(isUsualTake);

/**
 * Is this what senders ask all day? Then it need not be shown to the schema, which takes longer than the rest of the request.
 * Whatever is not, right or wrong, is the schema's to judge: nothing is refused here, and nothing let through that it would
 * refuse.
 */
function isUsualTake(value: unknown): value is Take {
  if (!isObject(value)) return false;
  for (const name in value) {
    const given = value[name];
    switch (name) {
      case 'ip':
        if (!isText(given, 100)) return false;
        break;
      case 'pool':
        if (!isText(given, 200)) return false;
        break;
      case 'count':
        if (!Number.isInteger(given) || (given as number) < 1 || (given as number) > MOST_SENDS) return false;
        break;
      case 'partial':
        if (typeof given !== 'boolean') return false;
        break;
      case 'among':
        if (!Array.isArray(given) || given.length < 1 || given.length > MOST_AMONG) return false;
        if (!given.every((one) => isText(one, 100))) return false;
        break;
      case 'family':
        if (given !== 4 && given !== 6) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

const isText = (value: unknown, most: number) =>
  typeof value === 'string' && value.length >= 1 && value.length <= most;

function takeRequestOf({ ip, pool, count, partial, among, family }: Take, at = '') {
  if (ip !== undefined && pool !== undefined) throw invalid(`${at}pool`, 'name an ip or a pool, not both');
  if (ip !== undefined && among !== undefined) {
    throw invalid(`${at}among`, 'among narrows the choice of a pool; leave it out when an ip is named');
  }
  return {
    ip: ip === undefined ? undefined : idOrAddress(ip, `${at}ip`),
    pool,
    count,
    partial,
    among: among?.map((one, index) => idOrAddress(one, `${at}among.${index}`)),
    family,
  };
}

/** An IPv4 address that mail can be sent from, in the form in which nearly all come, which is its canonical one. */
const PLAIN_IPV4 = /^(?:22[0-3]|2[01]\d|1\d\d|[1-9]\d?)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;

export const idOrAddress = (named: string, param: string) =>
  named.startsWith('ip_') || PLAIN_IPV4.test(named) ? named : canonicalAddress(named, param);

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

/** In the same order: the answer of each take, or why it alone was refused. */
export const TakeAnswersShape = z
  .strictObject({ answers: z.array(z.union([TakeAnswerShape, ErrorAnswer])) })
  .meta({
    id: 'TakeBatchAnswer',
    description: 'The answer of each take, in the order in which they were asked.',
  });

/** To one take, or to many. */
export const TAKE_ANSWER = z.union([TakeAnswerShape, TakeAnswersShape]);

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
