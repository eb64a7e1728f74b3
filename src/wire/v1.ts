/**
 * The v1 dialect (`/v1/dedicated-ips`) in JSON: camelCase, instants in ISO 8601, unlimited is -1. Records come in as the
 * engine keeps them and go out as clients read them; what clients ask for is parsed here.
 */
import { z } from 'zod';
import { checkDayStartsAt, checkZone } from '../warmup/calendar.ts';
import { type CounterState, settle, windowAt } from '../warmup/counter.ts';
import type { Change } from '../warmup/decide.ts';
import type { DedicatedIp, Hold } from '../warmup/dedicated-ip.ts';
import { WarmlineError } from '../warmup/errors.ts';
import { STATUSES } from '../warmup/lifecycle.ts';
import { limitsOn, type Plan } from '../warmup/plan.ts';
import { completesAt, isHeld, sendingHold, warmupDayAt } from '../warmup/progress.ts';
import type { SendQuota } from '../warmup/quota.ts';
import {
  anyText,
  flag,
  instant,
  instantMs,
  instantOrNull,
  matching,
  oneOf,
  share,
  text,
  texts,
  wholeNumber,
  wholeNumberText,
} from './parse.ts';
import type {
  ChangeShape,
  HoldShape,
  IpShape,
  LedgerShape,
  PoolShape,
  ScheduleShape,
  WarmupShape,
} from './shapes.ts';

// ---- what clients ask for

const MOST_PER_PAGE = 100;
const MOST_CHANGES_PER_PAGE = 1_000;
/** A bucket counts in sends x 3 600 000 and must stay below 2^53. */
const MOST_SENDS = 1_000_000_000;

/** For calls that need no body: SDKs send none, and name the content type all the same. */
export const NoBody = z.strictObject({}).optional();

export const PageQuery = z.strictObject({
  limit: wholeNumberText(1, MOST_PER_PAGE).default(MOST_PER_PAGE).describe('How many a page has at most.'),
  cursor: text(200).optional().describe('The `nextCursor` of the page before.'),
});

export const ListIpsQuery = PageQuery.extend({
  status: oneOf(STATUSES).optional().describe('Only those in this status.'),
  pool: text(200).optional().describe('Only those of this pool, by its id or its name.'),
  address: text(100).optional().describe('Only the one with this address, in any spelling.'),
  label: matching(/^[^:]{1,63}(:[\s\S]{0,256})?$/, 'a label (examples: team:billing, team)')
    .optional()
    .describe('Only those with this label, as `key:value`; `key` alone is any value.'),
});

/** `team:billing`; the value may hold colons itself. */
export function labelWanted(label: string): (labels: Readonly<Record<string, string>>) => boolean {
  const [, key, value] = /^([^:]+)(?::([\s\S]*))?$/.exec(label) ?? [];
  return (labels) => Object.hasOwn(labels, key!) && (value === undefined || labels[key!] === value);
}

const STREAM_ID = /^\d{1,16}(-\d{1,16})?$/;

export const ChangesQuery = z.strictObject({
  since: z
    .union([matching(STREAM_ID, 'an id'), instantMs()], {
      error: ({ input }) =>
        `is ${JSON.stringify(String(input).slice(0, 60))}; it must be the id of a change, or an instant (example: 2026-01-10T10:00:00Z)`,
    })
    .optional()
    .describe(
      'The id of the last change that you have seen, or an instant; the oldest that is kept unless said.',
    ),
  limit: wholeNumberText(1, MOST_CHANGES_PER_PAGE)
    .default(MOST_PER_PAGE)
    .describe('How many a page has at most.'),
  cursor: matching(STREAM_ID, 'the nextCursor of the page before')
    .optional()
    .describe('The `nextCursor` of the page before.'),
});

const StartBody = z
  .strictObject({
    plan: anyText('the name of a plan (example: fourteen-day+sendgrid-hourly)')
      .optional()
      .describe('Schedules enforced together, joined with +; the tightest limit binds.'),
    zone: anyText('an IANA time zone (example: Europe/Berlin)')
      .optional()
      .describe('Whose clock turns the days; UTC unless said.'),
    burst: wholeNumber(1, MOST_SENDS)
      .nullable()
      .optional()
      .describe('Most sends at once; 1 is an even drip, `null` the whole hourly cap.'),
    dayStartsAt: anyText('"start" or HH:MM (example: 04:00)')
      .optional()
      .describe('When a day turns: `start`, or a time of day.'),
    startDay: wholeNumber(1, 400).optional().describe('The warm-up day to begin with.'),
  })
  .optional();
export const START_BODY = StartBody;

/** What only looks wrong once it is read as a zone or a time; checked also where a start changes nothing. */
export function checkStart(body: z.output<typeof StartBody>) {
  if (body?.zone !== undefined) checkZone(body.zone);
  if (body?.dayStartsAt !== undefined) checkDayStartsAt(body.dayStartsAt);
  return body ?? {};
}

export const HoldBody = z
  .strictObject({
    sending: flag().default(true).describe('No mail.'),
    advance: flag().default(true).describe('No progress: the warm-up day stays.'),
    because: text(500).default('no reason was given').describe('Why; it goes into the log and the stream.'),
    until: instantMs().nullable().default(null).describe('Until when; `null` is until somebody resumes it.'),
  })
  .prefault({});

const ceilingLimit = () => wholeNumber(1, MOST_SENDS).nullable().optional();
/** `null` lifts a limit; one that is not named stays as it is. */
const CeilingChange = z.strictObject({ perDay: ceilingLimit(), perHour: ceilingLimit() });

const PatchIpBody = z.strictObject({
  hostname: text(253).nullable().optional().describe('What EHLO says; `null` is nothing.'),
  bind: text(100)
    .nullable()
    .optional()
    .describe('The local address to bind behind a NAT; `null` is the address itself.'),
  labels: texts()
    .optional()
    .describe('Names and values of your own, at most 20; they replace all that it has.'),
  ceiling: CeilingChange.nullable()
    .optional()
    .describe("The operator's own limit; `null` lifts one or both, and one that is not named stays."),
});
export const PATCH_IP_BODY = PatchIpBody;

/** What a PATCH asks for, as far as it asks. */
export function ipUpdateOf({ hostname, bind, labels, ceiling }: z.output<typeof PatchIpBody>) {
  if ([hostname, bind, labels, ceiling].every((one) => one === undefined)) {
    throw new WarmlineError('invalid', 'there is nothing to change; give hostname, bind, labels or ceiling');
  }
  const { perDay, perHour } = ceiling ?? {};
  return {
    hostname,
    bind,
    labels,
    ceiling:
      ceiling === null
        ? { perDay: null, perHour: null }
        : ceiling && {
            ...(perDay === undefined ? {} : { perDay }),
            ...(perHour === undefined ? {} : { perHour }),
          },
  };
}

const poolName = () => anyText('a text of 1 to 64 characters').describe('1 to 64 characters, unique.');
const isDefault = () => flag().optional().describe('Mail that names no pool goes here, and new IPs join it.');

export const CreatePoolBody = z.strictObject({
  name: poolName(),
  isDefault: isDefault(),
  warmingShare: share()
    .optional()
    .describe('The part of an hour that warming IPs may carry while an active one has room; 1 unless said.'),
  ceiling: CeilingChange.nullable()
    .optional()
    .transform((given) => ({ perDay: given?.perDay ?? null, perHour: given?.perHour ?? null }))
    .describe('What all its IPs together may send at most.'),
});

const PatchPoolBody = z.strictObject({ name: poolName().optional(), isDefault: isDefault() });
export const PATCH_POOL_BODY = PatchPoolBody;

export function poolUpdateOf(body: z.output<typeof PatchPoolBody>) {
  if (body.name === undefined && body.isDefault === undefined) {
    throw new WarmlineError('invalid', 'there is nothing to change; give name or isDefault');
  }
  return body;
}

/** `ipId` may be an address too. */
export const AddIpBody = z.strictObject({ ipId: text(100).describe('The id of an IP, or its address.') });

// ---- what they get

const orUnlimited = (limit: number | null) => limit ?? -1;

/** What was counted for one IP, at one instant. `counter` is `null` when nothing is published for it. */
export type Counted = {
  nowMs: number;
  counter: { state: CounterState; quota: SendQuota } | null;
  sent: { hours: Sent[]; days: Sent[] };
};
type Sent = { fromMs: number; sends: number };

/** @param plan the rows in force since the start of its warm-up; `null` leaves the schedule out, as in lists */
export function ipOf(ip: DedicatedIp, counted: Counted, plan: Plan | null = null): z.output<typeof IpShape> {
  const { nowMs } = counted;
  return {
    id: ip.id,
    ipAddress: ip.address,
    status: ip.status,
    poolId: ip.pools.at(-1) ?? null,
    poolIds: ip.pools,
    hold: holdOf(shownHold(ip, nowMs)),
    holds: holdsOf(ip, nowMs).flatMap((hold) => holdOf(hold) ?? []),
    warmup: warmupOf(ip, counted),
    ...(ip.warmup && plan ? { warmingSchedule: scheduleOf(plan) } : {}),
    ceiling: ip.ceiling,
    region: ip.region,
    hostname: ip.hostname,
    bind: ip.bind,
    leased: ip.leased,
    labels: ip.labels,
    cooldown: ip.cooldown && { since: instant(ip.cooldown.sinceMs), until: instant(ip.cooldown.untilMs) },
    sendingVolume: sentInAll(counted),
    lastUsedAt: instantOrNull(lastUsedMs(counted)),
    createdAt: instant(ip.createdAtMs),
    updatedAt: instant(ip.updatedAtMs),
  };
}

const holdsOf = (ip: DedicatedIp, nowMs: number) => ip.holds.filter((hold) => isHeld(hold, nowMs));

/** Of several holds the one that matters most: what stops mail, and stops it longest. */
const shownHold = (ip: DedicatedIp, nowMs: number) => sendingHold(ip, nowMs) ?? holdsOf(ip, nowMs)[0] ?? null;

export function holdOf(hold: Hold | null): z.output<typeof HoldShape> | null {
  if (!hold) return null;
  const { sending, advance, because, by, scope } = hold;
  return {
    sending,
    advance,
    because,
    by,
    scope,
    since: instant(hold.sinceMs),
    until: instantOrNull(hold.untilMs),
  };
}

function warmupOf(ip: DedicatedIp, counted: Counted): z.output<typeof WarmupShape> {
  const { warmup } = ip;
  const day = dayReached(ip, counted.nowMs);
  return {
    progress: progressOf(ip, day),
    currentDay: day,
    ...today(ip, counted),
    startedAt: instantOrNull(warmup?.startedAtMs),
    completesAt: instantOrNull(completesAt(ip, counted.nowMs)),
    completedAt: instantOrNull(warmup?.completedAtMs),
    totalDays: warmup?.totalDays ?? null,
    plan: warmup?.plan ?? null,
    zone: warmup?.zone ?? null,
    burst: warmup?.burst ?? null,
    dayStartsAt: warmup?.dayStartsAt ?? null,
    startDay: warmup ? startDayOf(warmup) : null,
  };
}

/** The day of a warm-up that runs or was broken off by a release; `null` when there is none. */
function dayReached(ip: DedicatedIp, nowMs: number): number | null {
  const { warmup } = ip;
  if (!warmup || warmup.completedAtMs !== null) return null;
  const atMs = ip.status === 'warming' ? nowMs : (warmup.pausedAtMs ?? ip.statusSinceMs);
  return Math.min(warmupDayAt({ ...ip, warmup }, atMs), warmup.totalDays);
}

function progressOf(ip: DedicatedIp, day: number | null): number {
  if (day !== null && ip.warmup) return share2(day, ip.warmup.totalDays);
  return ip.status === 'active' || ip.warmup?.completedAtMs || ip.cooldown?.from === 'active' ? 1 : 0;
}

/** To two decimals, as the published table has it: 1/14 is 0.07. */
const share2 = (day: number, totalDays: number) => Math.round((day / totalDays) * 100) / 100;

const startDayOf = ({ adjustments, startedAtMs }: NonNullable<DedicatedIp['warmup']>) =>
  1 + (adjustments[0]?.atMs === startedAtMs ? Math.max(0, adjustments[0].days) : 0);

/** What the limiter goes by at this instant, and not what the plan would say: the two differ while the worker is late. */
function today(ip: DedicatedIp, { nowMs, counter }: Counted) {
  const sends = ip.status === 'warming' || ip.status === 'active';
  const state = counter && settle(counter.state, counter.quota, nowMs);
  const usedToday = state?.dayUsed ?? 0;
  if (!sends || !counter || !state || counter.quota.gate === 'closed') {
    return { currentDailyLimit: 0, currentHourlyLimit: 0, usedToday, remainingToday: 0 };
  }
  const { dailyLimit, hourlyCap } = windowAt(counter.quota, state.atMs).limits;
  return {
    currentDailyLimit: orUnlimited(dailyLimit),
    currentHourlyLimit: orUnlimited(hourlyCap),
    usedToday,
    remainingToday: dailyLimit === null ? -1 : Math.max(0, dailyLimit - usedToday),
  };
}

/** All days that are kept, the running one with them: it is filed only when the next one begins. */
const sentInAll = ({ counter, sent }: Counted) =>
  sent.days.reduce((sum, { sends }) => sum + sends, 0) + (counter?.state.dayUsed ?? 0);

/** To the hour; of mail that is older than two days, to the day. */
function lastUsedMs({ counter, sent }: Counted): number | null {
  if (counter && counter.state.hourUsed > 0) return counter.state.hourFromMs;
  return (
    (sent.hours.findLast(({ sends }) => sends > 0) ?? sent.days.findLast(({ sends }) => sends > 0))?.fromMs ??
    null
  );
}

/** The whole table of a plan, day by day. */
export function scheduleOf(plan: Plan): z.output<typeof ScheduleShape> {
  const totalDays = plan.days.length;
  return {
    totalDays,
    days: plan.days.map((_, index) => {
      const { dailyLimit, hourlyCap } = limitsOn(plan, index + 1);
      return {
        day: index + 1,
        dailyLimit: orUnlimited(dailyLimit),
        hourlyCap: orUnlimited(hourlyCap),
        cumulativeProgress: share2(index + 1, totalDays),
      };
    }),
  };
}

/** What was sent by day and by hour, the running ones with it; oldest first. */
export function ledgerOf(ip: DedicatedIp, { counter, sent }: Counted): z.output<typeof LedgerShape> {
  const running = (fromMs = 0, sends = 0) => (sends > 0 ? [{ fromMs, sends }] : []);
  const { state } = counter ?? {};
  const rows = (entries: Sent[]) => entries.map(({ fromMs, sends }) => ({ from: instant(fromMs), sends }));
  return {
    ipId: ip.id,
    ip: ip.address,
    days: rows([...sent.days, ...running(state?.dayFromMs, state?.dayUsed)]),
    hours: rows([...sent.hours, ...running(state?.hourFromMs, state?.hourUsed)]),
  };
}

type PoolRecord = {
  id: string;
  name: string;
  isDefault: boolean;
  ipCount: number;
  warmingShare: number;
  ceiling: DedicatedIp['ceiling'];
  hold: Hold | null;
  createdAtMs: number;
  updatedAtMs: number;
};

export function poolOf(pool: PoolRecord, nowMs: number): z.output<typeof PoolShape> {
  const { id, name, isDefault, ipCount, warmingShare, ceiling, hold } = pool;
  return {
    id,
    name,
    isDefault,
    ipCount,
    warmingShare,
    ceiling,
    hold: hold && isHeld(hold, nowMs) ? holdOf(hold) : null,
    createdAt: instant(pool.createdAtMs),
    updatedAt: instant(pool.updatedAtMs),
  };
}

/** One line of what the engine did by itself. A hold in it is written as everywhere else. */
export function changeOf(change: Change & { ip: string; address: string }) {
  return { ip: change.address, ipId: change.ip, ...whatChanged(change) };
}

function whatChanged({ what, from, to, because, by }: Change) {
  const shownValue = (value: unknown) => (what === 'hold' ? holdOf(value as Hold | null) : value);
  return { what, from: shownValue(from), to: shownValue(to), because, by };
}

/** A change as the account's stream keeps it; one of a pool names no IP. */
export type KeptChange = Change & { id: string; at: string; ipId?: string; address?: string };

export const keptChangeOf = (change: KeptChange): z.output<typeof ChangeShape> => ({
  id: change.id,
  at: instant(Date.parse(change.at)),
  ip: change.address ?? null,
  ipId: change.ipId ?? null,
  ...whatChanged(change),
});

/** One page of a list. */
export const page = <Row>(data: Row[], nextCursor: string | null) => ({
  data,
  hasMore: nextCursor !== null,
  nextCursor,
});
