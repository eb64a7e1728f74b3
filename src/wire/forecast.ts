/** When will a campaign be done, in JSON: what may be asked, and the days, IPs and comparisons of the answer. */
import { DateTime } from 'luxon';
import { z } from 'zod';
import { checkZone } from '../warmup/calendar.ts';
import type { Forecast, ForecastBinding, ForecastDay } from '../warmup/forecast.ts';
import { STATUSES } from '../warmup/lifecycle.ts';
import { MINUTE_MS } from '../warmup/units.ts';
import { clockTime, counted, grouped, lasting, timeAndWait } from '../warmup/words.ts';
import { anyText, instant, instantMs, instantOrNull, parse, text, wholeNumber } from './parse.ts';

const MOST_MESSAGES = 1_000_000_000_000;
const MOST_ADDED = 1_000;
/** The IPs that carry the most are told of one by one. */
const MOST_IPS_TOLD = 128;

export const ForecastBody = z
  .strictObject({
    messages: wholeNumber(1, MOST_MESSAGES).describe('Sends of the campaign: one for each recipient.'),
    pool: text(200)
      .optional()
      .describe('A pool, by id or name; else the default pool, else all IPs of the account.'),
    start: instantMs().optional().describe('When the first message is offered; now unless said.'),
    zone: anyText('an IANA time zone')
      .optional()
      .describe('Whose midnights part the days; unless said that of the IPs, if they have one.'),
    addIps: wholeNumber(1, MOST_ADDED)
      .optional()
      .describe('Compare: with so many new IPs, whose warm-up starts today.'),
    plan: anyText('a plan, schedules joined with +')
      .optional()
      .describe('Compare: the IPs that warm up go on by this plan, at the day that they have reached.'),
  })
  .meta({ id: 'ForecastRequest' });

/** @throws WarmlineError `invalid` */
export function readForecast(body: unknown) {
  const { start, zone, ...rest } = parse(ForecastBody, body);
  return { ...rest, startMs: start, zone: zone === undefined ? undefined : checkZone(zone) };
}

const at = (what: string) => z.iso.datetime({ offset: true }).describe(what);
const sends = (what: string) => z.number().int().nonnegative().describe(what);
const binds = z
  .enum(['hold', 'day', 'hour', 'burst', 'ceiling', 'pool'])
  .nullable()
  .describe('What held it up most; `null`: nothing did.');

const outcome = {
  finishesAt: at('When the last message leaves; `null`: not before `until`.').nullable(),
  sent: sends('Messages that leave until then.'),
  until: at('What comes later was not looked at.'),
};

export const ForecastShape = z
  .strictObject({
    at: at('The instant of what this begins with.'),
    sentence: z.string().describe('For people.'),
    assumes: z.string().describe('What has to be so for this to come true.'),
    messages: sends('As asked.'),
    start: at('When the first message is offered.'),
    zone: z.string(),
    pool: z.strictObject({ id: z.string(), name: z.string() }).nullable(),
    ...outcome,
    days: z.array(
      z
        .strictObject({
          date: z.iso.date(),
          from: at('Midnight in the zone.'),
          to: at('The next one.'),
          sends: sends('Messages that leave on this day.'),
          total: sends('By the end of it.'),
          binds,
          ipCount: sends('IPs that carry them.'),
          ips: z
            .array(z.strictObject({ ip: z.string(), sends: sends('Over this IP.') }))
            .describe('Those of `ips`; none where there are more than 1000 IPs in all.'),
        })
        .meta({ id: 'ForecastDay' }),
    ),
    ips: z
      .array(
        z
          .strictObject({
            ip: z.string(),
            ipId: z.string(),
            status: z.enum(STATUSES).describe('Now.'),
            sends: sends('Over this IP in all.'),
            never: z
              .enum(['status', 'hold'])
              .nullable()
              .describe('Why it sends nothing and will not by itself; `null` where it may.'),
          })
          .meta({ id: 'ForecastIp' }),
      )
      .describe(`At most ${MOST_IPS_TOLD}: those that carry the most, also in \`days\`.`),
    ipCount: sends('All of them.'),
    variants: z
      .array(
        z
          .strictObject({
            addIps: sends('New IPs whose warm-up starts today.'),
            plan: z.string().nullable().describe('Another plan for those that warm up.'),
            ...outcome,
            soonerMs: z
              .number()
              .int()
              .nullable()
              .describe('Than without; negative is later, `null` not known.'),
            sentence: z.string(),
          })
          .meta({ id: 'ForecastVariant' }),
      )
      .describe('What else could be done.'),
  })
  .meta({ id: 'Forecast', description: 'When a campaign is done, and what would change it.' });
export type ForecastAnswer = z.output<typeof ForecastShape>;

export const ASSUMES =
  'Mail is offered as fast as quota allows, nobody else sends over these IPs, and holds without an end stay.';

type Told = {
  nowMs: number;
  startMs: number;
  zone: string;
  messages: number;
  pool: { id: string; name: string } | null;
  forecast: Forecast;
  variants: readonly { addIps: number; plan: string | null; forecast: Forecast }[];
};

export function forecastAnswerOf(told: Told): ForecastAnswer {
  const { nowMs, startMs, zone, messages, pool, forecast, variants } = told;
  const most = forecast.ips.toSorted((a, b) => b.sends - a.sends).slice(0, MOST_IPS_TOLD);
  const shown = new Set(most.map(({ ip }) => ip.address));
  return {
    at: instant(nowMs),
    sentence: sentenceOf(told),
    assumes: ASSUMES,
    messages,
    start: instant(startMs),
    zone,
    pool: pool && { id: pool.id, name: pool.name },
    ...outcomeOf(forecast),
    days: forecast.days.map((day) => dayOf(day, zone, shown)),
    ips: most.map(({ ip, sends, never }) => ({
      ...{ ip: ip.address, ipId: ip.id, status: ip.status },
      ...{ sends, never },
    })),
    ipCount: forecast.ips.length,
    variants: variants.map((variant) => ({
      addIps: variant.addIps,
      plan: variant.plan,
      ...outcomeOf(variant.forecast),
      soonerMs: soonerMs(forecast, variant.forecast),
      sentence: sentenceOfVariant(told, variant),
    })),
  };
}

const outcomeOf = ({ finishesAtMs, sent, untilMs }: Forecast) => ({
  finishesAt: instantOrNull(finishesAtMs),
  sent,
  until: instant(untilMs),
});

function dayOf(
  { fromMs, toMs, sends, total, binds, ipCount, byIp }: ForecastDay,
  zone: string,
  shown: Set<string>,
) {
  return {
    date: DateTime.fromMillis(fromMs, { zone }).toISODate()!,
    from: instant(fromMs),
    to: instant(toMs),
    ...{ sends, total, binds, ipCount },
    ips: [...byIp]
      .filter(([ip]) => shown.has(ip))
      .sort((a, b) => b[1] - a[1])
      .map(([ip, sends]) => ({ ip, sends })),
  };
}

function soonerMs(base: Forecast, other: Forecast): number | null {
  if (base.finishesAtMs === null || other.finishesAtMs === null) return null;
  return base.finishesAtMs - other.finishesAtMs;
}

const BY: Record<ForecastBinding, string> = {
  hold: 'a hold',
  day: 'the daily limit',
  hour: 'the hourly cap',
  burst: 'the burst',
  ceiling: 'a ceiling',
  pool: 'the ceiling of the pool',
};

function sentenceOf({ nowMs, startMs, zone, messages, forecast }: Told): string {
  const { finishesAtMs, sent, ips, untilMs, days } = forecast;
  const used = ips.filter(({ sends }) => sends > 0).length;
  const held = ips.filter(({ never }) => never !== null).length;
  const idle =
    held === 0 ? '' : ` ${counted(held, 'IP')} ${held === 1 ? 'sends' : 'send'} nothing: ${whyIdle(ips)}.`;
  const many = counted(messages, 'message');
  if (ips.length === 0) return `There is no IP, so none of ${many} can leave.`;
  if (finishesAtMs === null && sent === 0) return `None of ${many} can leave.${idle}`;
  if (finishesAtMs === null) {
    return `${grouped(sent)} of ${many} leave until ${clockTime(untilMs, nowMs, zone)}, over ${counted(used, 'IP')}, and further no forecast looks.${idle}`;
  }
  if (finishesAtMs === startMs) {
    const when = startMs === nowMs ? 'at once' : `at ${timeAndWait(startMs, nowMs, zone)}`;
    return `All of ${many} can leave ${when}, over ${counted(used, 'IP')}.${idle}`;
  }
  const tightest = tally(days);
  return `The last of ${many} leaves ${timeAndWait(toTheMinute(finishesAtMs), nowMs, zone)}, over ${counted(used, 'IP')}; ${tightest ? `${BY[tightest]} holds it up most` : 'nothing holds it up'}.${idle}`;
}

const toTheMinute = (ms: number) => Math.ceil(ms / MINUTE_MS) * MINUTE_MS;

/** What bound on most days. */
function tally(days: readonly ForecastDay[]): ForecastBinding | null {
  const counts = new Map<ForecastBinding, number>();
  for (const { binds } of days) if (binds) counts.set(binds, (counts.get(binds) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}

function whyIdle(ips: Forecast['ips']): string {
  const statuses = new Set(ips.flatMap(({ ip, never }) => (never === 'status' ? [ip.status] : [])));
  const held = ips.some(({ never }) => never === 'hold') ? ['held until somebody resumes it'] : [];
  return [...statuses, ...held].join(', ');
}

function sentenceOfVariant({ nowMs, zone, forecast: base }: Told, variant: Told['variants'][number]): string {
  const { addIps, plan, forecast } = variant;
  const more = addIps === 0 ? [] : [`${counted(addIps, 'more IP')}`];
  const by = plan === null ? [] : [`plan ${plan}`];
  const with_ = `With ${[...more, ...by].join(' and ')}`;
  if (forecast.finishesAtMs === null) return `${with_}: not done either, ${grouped(forecast.sent)} leave.`;
  const when = clockTime(toTheMinute(forecast.finishesAtMs), nowMs, zone);
  const sooner = soonerMs(base, forecast);
  if (sooner === null) return `${with_}: done ${when}.`;
  const change =
    sooner === 0 ? 'no sooner' : `${lasting(Math.abs(sooner))} ${sooner > 0 ? 'earlier' : 'later'}`;
  return `${with_}: ${change}, ${when}.`;
}
