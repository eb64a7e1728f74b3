/** What the v1 dialect answers, as schemas: the types of what is built in `v1.ts`, and what `/openapi.json` shows. */
import { z } from 'zod';
import { STATUSES } from '../warmup/lifecycle.ts';

const at = (description: string) => z.iso.datetime({ offset: true }).describe(description);
const atOrNever = (description: string) => z.iso.datetime({ offset: true }).nullable().describe(description);
const count = (description: string) => z.number().int().nonnegative().describe(description);
/** -1 is unlimited. */
const limit = (description: string) => z.number().int().min(-1).describe(`${description}; -1 is unlimited.`);
const text = (description: string) => z.string().describe(description);
const textOrNone = (description: string) => z.string().nullable().describe(description);

const EXAMPLE_AT = '2025-01-10T10:00:00Z';

export const HoldShape = z
  .strictObject({
    sending: z.boolean().describe('No mail.'),
    advance: z.boolean().describe('No progress: the warm-up day stays.'),
    because: text('Why, in the words of who held it.'),
    by: text('Who held it.'),
    scope: text('`ip`, `account`, or the id of the pool whose hold this is.'),
    since: at('Since when.'),
    until: atOrNever('Until when; `null` is until somebody resumes it.'),
  })
  .meta({ id: 'Hold', description: 'A stop beside the status: no mail, or no progress, or both.' });

export const AccountHoldShape = z
  .strictObject({ hold: HoldShape.nullable().describe('What stops the account; `null` is nothing.') })
  .meta({ id: 'AccountHold', description: 'The stop of the whole account.' });

export const AccountHoldChangeShape = AccountHoldShape.extend({
  changed: z.number().int().nonnegative().describe('IPs that were changed by it.'),
}).meta({
  id: 'AccountHoldChange',
  description: 'The stop of the whole account, and how many IPs it changed.',
});

export const CeilingShape = z
  .strictObject({
    perDay: z.number().int().positive().nullable().describe('Most sends in a day; `null` is no limit.'),
    perHour: z.number().int().positive().nullable().describe('Most sends in an hour; `null` is no limit.'),
  })
  .meta({ id: 'Ceiling', description: "An operator's own limit, binding in every status." });

export const ScheduleShape = z
  .strictObject({
    totalDays: count('How many days the warm-up has.'),
    days: z.array(
      z.strictObject({
        day: z.number().int().positive().describe('The warm-up day, from 1.'),
        dailyLimit: limit('Most sends on this day'),
        hourlyCap: limit('Most sends in an hour of this day'),
        cumulativeProgress: z.number().min(0).max(1).describe('How much is done on this day, 0 to 1.'),
      }),
    ),
  })
  .meta({ id: 'WarmingSchedule', description: 'The whole table of the plan that this IP goes by.' });

export const WarmupShape = z
  .strictObject({
    progress: z.number().min(0).max(1).describe('0 before the start, 1 when active.'),
    currentDay: z.number().int().positive().nullable().describe('The warm-up day, from 1.'),
    currentDailyLimit: limit('Most sends today'),
    currentHourlyLimit: limit('Most sends in this hour'),
    usedToday: count('Sends counted today.'),
    remainingToday: limit('Sends left today'),
    startedAt: atOrNever('When the warm-up began.'),
    completesAt: atOrNever('When it will be over, if nothing holds it.'),
    completedAt: atOrNever('When it was over.'),
    totalDays: z.number().int().positive().nullable().describe('How many days the plan has.'),
    plan: textOrNone('The schedules enforced together, joined with +.'),
    zone: textOrNone('The IANA time zone whose clock turns the days.'),
    burst: z.number().int().positive().nullable().describe('Most sends at once; `null` is the hourly cap.'),
    dayStartsAt: textOrNone('When a day turns: `start`, or a time of day.'),
    startDay: z.number().int().positive().nullable().describe('The warm-up day it began with.'),
  })
  .meta({ id: 'Warmup', description: 'How far the warm-up is, and what it allows now.' });

export const IpShape = z
  .strictObject({
    id: text('Never reused.'),
    ipAddress: text('IPv4, or IPv6 as RFC 5952 writes it.'),
    status: z.enum(STATUSES).describe('Where it is in its life.'),
    poolId: textOrNone('The pool it was put in last.'),
    poolIds: z.array(z.string()).describe('All its pools, in the order in which it joined them.'),
    hold: HoldShape.nullable().describe('Of its holds the one that matters most.'),
    holds: z.array(HoldShape).describe('All holds in force.'),
    warmup: WarmupShape,
    warmingSchedule: ScheduleShape.optional().describe('Once started; never in lists.'),
    ceiling: CeilingShape,
    region: textOrNone('Where the operator said it is.'),
    hostname: textOrNone('What EHLO says.'),
    bind: textOrNone('The local address to bind when it is another one.'),
    leased: z.boolean().describe('From the inventory of the operator, and goes back there.'),
    labels: z.record(z.string(), z.string()).describe('Names and values of your own.'),
    cooldown: z
      .strictObject({ since: at('Since when.'), until: at('Until when.') })
      .nullable()
      .describe('While it rests after its release.'),
    sendingVolume: count('Sends counted in all days that are kept.'),
    lastUsedAt: atOrNever('The hour of the last send.'),
    createdAt: at('When the account got it.'),
    updatedAt: at('When its record was changed last.'),
  })
  .meta({
    id: 'DedicatedIp',
    description: 'An address held by an account.',
    examples: [
      {
        id: 'ip_xxxxx',
        ipAddress: '10.123.45.67',
        status: 'warming',
        poolId: null,
        poolIds: [],
        hold: null,
        holds: [],
        warmup: {
          progress: 0.5,
          currentDay: 7,
          currentDailyLimit: 5000,
          currentHourlyLimit: 295,
          usedToday: 0,
          remainingToday: 5000,
          startedAt: EXAMPLE_AT,
          completesAt: '2025-01-24T10:00:00Z',
          completedAt: null,
          totalDays: 14,
          plan: 'fourteen-day+sendgrid-hourly',
          zone: 'UTC',
          burst: null,
          dayStartsAt: 'start',
          startDay: 1,
        },
        ceiling: { perDay: null, perHour: null },
        region: null,
        hostname: 'mta7.example.com',
        bind: null,
        leased: true,
        labels: { team: 'billing' },
        cooldown: null,
        sendingVolume: 4400,
        lastUsedAt: '2025-01-16T09:00:00Z',
        createdAt: EXAMPLE_AT,
        updatedAt: EXAMPLE_AT,
      },
    ],
  });

export const PoolShape = z
  .strictObject({
    id: text('Never reused.'),
    name: text('1 to 64 characters, unique in the account.'),
    isDefault: z.boolean().describe('Mail that names no pool goes here, and new IPs join it.'),
    ipCount: count('How many IPs it has.'),
    warmingShare: z
      .number()
      .min(0)
      .max(1)
      .describe('The part of an hour that warming IPs may carry while an active one has room.'),
    ceiling: CeilingShape,
    hold: HoldShape.nullable(),
    createdAt: at('When it was made.'),
    updatedAt: at('When its record was changed last.'),
  })
  .meta({
    id: 'Pool',
    description: 'A name for a group of IPs.',
    examples: [
      {
        id: 'pool_xxxxx',
        name: 'Transactional',
        isDefault: true,
        ipCount: 0,
        warmingShare: 1,
        ceiling: { perDay: null, perHour: null },
        hold: null,
        createdAt: EXAMPLE_AT,
        updatedAt: EXAMPLE_AT,
      },
    ],
  });

const sentFrom = z.strictObject({ from: at('When the day or hour began.'), sends: count('Sends counted.') });

export const LedgerShape = z
  .strictObject({
    ipId: z.string(),
    ip: z.string(),
    days: z.array(sentFrom).describe('Days with sends, oldest first.'),
    hours: z.array(sentFrom).describe('Hours with sends, of the last 48, oldest first.'),
  })
  .meta({ id: 'Ledger', description: 'What was sent from one IP, by day and by hour.' });

const changeFields = {
  what: text('What changed: `status`, `hold`, `plan`, `ceiling`, `pool` and so on.'),
  from: z.unknown().describe('What it was.'),
  to: z.unknown().describe('What it is.'),
  because: text('Why.'),
  by: text('Who did it.'),
};

/** One change of the account's stream. */
export const ChangeShape = z
  .strictObject({
    id: text('Its place in the stream; give the last one that you have seen back as `since`.'),
    at: at('When, on engine time.'),
    ip: textOrNone('The address; `null` where no IP is concerned.'),
    ipId: textOrNone('The IP; `null` where none is concerned.'),
    ...changeFields,
  })
  .meta({
    id: 'Change',
    description: 'Who changed what, from what to what, and why.',
    examples: [
      {
        id: '1736503200000-0',
        at: EXAMPLE_AT,
        ip: '10.123.45.67',
        ipId: 'ip_xxxxx',
        what: 'status',
        from: 'provisioning',
        to: 'warming',
        because: 'the warm-up was started',
        by: 'api',
      },
    ],
  });

/** What the engine did by itself while a test clock moved. */
export const ClockChangeShape = z
  .strictObject({ ip: z.string(), ipId: z.string(), ...changeFields })
  .meta({ id: 'EngineChange', description: 'What the engine did while the clock moved.' });

/** One page of a list. */
export const pageShape = <Row extends z.ZodType>(id: string, row: Row) =>
  z
    .strictObject({
      data: z.array(row),
      hasMore: z.boolean().describe('There is another page.'),
      nextCursor: textOrNone('Give it back as `cursor` to get the next page; `null` at the end.'),
    })
    .meta({ id, description: 'One page of a list.' });

export const IpPage = pageShape('DedicatedIpPage', IpShape);
export const PoolPage = pageShape('PoolPage', PoolShape);

export const ChangePage = z
  .strictObject({
    ...pageShape('ChangesOnly', ChangeShape).shape,
    gap: z
      .boolean()
      .describe('Changes before the first one here were dropped: the stream keeps about 100 000.'),
  })
  .meta({ id: 'ChangePage', description: 'One page of the stream, oldest first.' });
