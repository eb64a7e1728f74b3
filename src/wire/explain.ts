/** Why a take is answered as it is, in JSON: the limits of every IP that was considered, and sentences for people. */
import { z } from 'zod';
import {
  type Explained,
  type ExplainedIp,
  type Explanation,
  type Gauge,
  poolDenies,
  sentenceOf,
  sentenceOfIp,
  zoneOf,
} from '../warmup/explanation.ts';
import { STATUSES } from '../warmup/lifecycle.ts';
import { sendingHold } from '../warmup/progress.ts';
import { instant, instantOrNull, parse } from './parse.ts';
import { type AskedTake, IpQuotaShape, OneTake, readTakes, TakeAnswerShape } from './quota.ts';
import { HoldShape } from './shapes.ts';
import { holdOf } from './v1.ts';

const sends = (what: string) => z.number().int().min(-1).describe(`${what}; -1 is unlimited.`);
const at = (what: string) => z.iso.datetime({ offset: true }).nullable().describe(what);
const { day, hour, bucket } = IpQuotaShape.shape;
const waitMs = (what: string) => z.number().int().nonnegative().nullable().describe(what);

/** The same request as a take, one at a time. @throws WarmlineError `invalid` */
export function readExplain(body: unknown): AskedTake {
  parse(OneTake, body);
  return readTakes(body) as AskedTake;
}

export const EXPLAIN_BODY = OneTake;

const reading = {
  room: sends('Sends that it has room for now'),
  limit: sends('Of the limit that binds'),
  remaining: sends('What is left of it'),
  retryAfterMs: waitMs('Until it has room for the take if nobody else takes; `null` is never.'),
  roomAt: at('When that is.'),
  roomThen: sends('Sends that it then has room for').nullable(),
  day,
  hour,
};

export const ExplainedIpShape = z
  .strictObject({
    ip: z.string(),
    ipId: z.string(),
    status: z.enum(STATUSES).nullable().describe('`null` when the IP left a moment ago.'),
    hold: HoldShape.nullable().describe('What stops its mail.'),
    zone: z.string().describe('The time zone whose clock turns its days.'),
    granted: z.number().int().nonnegative().describe('Sends of this take that it would grant.'),
    binds: z
      .enum(['status', 'hold', 'unpublished', 'day', 'hour', 'burst', 'ceiling', 'pool'])
      .nullable()
      .describe('The limit that binds; `pool`: it has room, and its pool has not; `null` is none.'),
    ...reading,
    bucket,
    sentence: z.string().describe('The same for people, on the clock of its zone.'),
  })
  .meta({ id: 'ExplainedIp', description: 'An IP that a take considered.' });

export const ExplainAnswerShape = z
  .strictObject({
    at: z.iso.datetime({ offset: true }).describe('The instant of all that follows.'),
    sentence: z.string().describe('Why, for people.'),
    answer: TakeAnswerShape.describe('What the take would be answered; its receipts are empty.'),
    pool: z
      .strictObject({
        id: z.string(),
        name: z.string(),
        warmingShare: z.number(),
        used: z.number().int().nonnegative().describe('Its sends in this hour, where its share is bounded.'),
        warmingUsed: z.number().int().nonnegative().describe('Of these by warming IPs.'),
        warmingMay: z
          .number()
          .int()
          .nonnegative()
          .nullable()
          .describe('Most of this take for warming IPs while an active one has room; `null` is all.'),
        ceiling: z.strictObject(reading).nullable().describe('The limits of the pool itself.'),
      })
      .nullable()
      .describe('`null` when one IP was named, or any of the account will do.'),
    ipCount: z.number().int().nonnegative().describe('IPs that were to choose from.'),
    ips: z
      .array(ExplainedIpShape)
      .describe('The first 128 in the order of choice; then those without room, the soonest first.'),
  })
  .meta({ id: 'ExplainAnswer', description: 'Why a take is answered as it is.' });
export type ExplainAnswer = z.output<typeof ExplainAnswerShape>;

export function explainAnswerOf(
  explanation: Explanation,
  answer: z.output<typeof TakeAnswerShape>,
): ExplainAnswer {
  const { nowMs, pool, ipCount, ips } = explanation;
  return {
    at: instant(nowMs),
    sentence: sentenceOf(explanation),
    answer,
    pool: pool && {
      id: pool.id,
      name: pool.name,
      warmingShare: pool.warmingShare,
      used: pool.used,
      warmingUsed: pool.warmingUsed,
      warmingMay: pool.warmingMay,
      ceiling: pool.ceiling && readingOf(pool.ceiling, nowMs, true),
    },
    ipCount,
    ips: ips.map((ip) => explainedIpOf(explanation, ip)),
  };
}

function explainedIpOf(explanation: Explanation, ip: ExplainedIp): z.output<typeof ExplainedIpShape> {
  const { nowMs, verdict } = explanation;
  const { record, bucket } = ip;
  const isUnpublished = verdict.because?.code === 'unpublished';
  const binds = isUnpublished ? 'unpublished' : poolDenies(explanation, ip) ? 'pool' : ip.binds;
  const isOpen = ip.binds !== 'status';
  return {
    ip: ip.ip,
    ipId: ip.ipId,
    status: record?.status ?? null,
    hold: record && holdOf(sendingHold(record, nowMs)),
    zone: zoneOf(ip),
    granted: ip.granted,
    // What binds a count is never the reading of one IP.
    binds: binds === 'count' ? null : binds,
    ...readingOf(ip, nowMs, isOpen),
    bucket:
      bucket && isOpen
        ? { size: bucket.size, level: bucket.level, fullAt: instantOrNull(bucket.fullAtMs) }
        : null,
    sentence: sentenceOfIp(explanation, ip),
  };
}

const orUnlimited = (room: number) => (Number.isFinite(room) ? room : -1);

function readingOf(of: Explained, nowMs: number, isOpen: boolean) {
  const { roomAtMs } = of;
  return {
    room: orUnlimited(of.room),
    limit: of.limit,
    remaining: of.remaining,
    retryAfterMs: roomAtMs === null ? null : Math.max(0, roomAtMs - nowMs),
    roomAt: instantOrNull(roomAtMs),
    roomThen: roomAtMs === null ? null : orUnlimited(of.roomThen),
    day: windowOf(of.day, isOpen),
    hour: windowOf(of.hour, isOpen),
  };
}

const windowOf = ({ limit, used, fromMs, toMs }: Gauge, isOpen: boolean) => ({
  limit: isOpen ? (limit ?? -1) : 0,
  used,
  remaining: !isOpen ? 0 : limit === null ? -1 : Math.max(0, limit - used),
  from: toMs === 0 ? null : instant(fromMs),
  resetsAt: toMs === 0 ? null : instant(toMs),
});
