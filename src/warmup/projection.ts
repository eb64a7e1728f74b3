/**
 * What a plan will really let an IP send, day by day, before anyone starts it. The numbers are not computed beside the
 * limiter but walked with its own arithmetic (`counter.ts`), as a sender who takes every send as soon as there is room
 * would walk it; so the dry run cannot promise what the limiter then refuses.
 *
 * In words: the smaller of the daily limit and the hourly cap x the hours of the day, a partial last hour counting as a
 * whole one. Only where such a short hour meets a bucket that is not full (a day of 23.5 hours on Lord Howe Island) is it
 * less, since the bucket fills by one hourly cap an hour.
 */
import { type Calendar, dayBeginsAt } from './calendar.ts';
import { type CounterState, charge, NEW_COUNTER, read, roomAt, settle } from './counter.ts';
import { type Limits, limitsOn, type Plan } from './plan.ts';
import type { SendQuota } from './quota.ts';
import { HOUR_MS } from './units.ts';

/** One day of a projection. Counts are in sends for one IP; `null` is unlimited. */
export type ProjectedDay = {
  /** Counted from 1. */
  warmupDay: number;
  beginsAtMs: number;
  endsAtMs: number;
  dailyLimit: number | null;
  hourlyCap: number | null;
  /** Which of the two ends the sending of the day; `null` when nothing is limited. */
  binds: 'day' | 'hour' | null;
  /** The most that one IP can send in this day. */
  sendable: number | null;
  /** The most that one IP can have sent by the end of this day. */
  cumulative: number | null;
  /** What all new IPs together carry of a day's traffic, and what has to go elsewhere; `null` when no volume was given. */
  carried: number | null;
  overflow: number | null;
};

export type Projection = {
  days: ProjectedDay[];
  completesAtMs: number;
  /** The warm-up day from which on all of the volume fits; `null`: not within the plan, or no volume was given. */
  fitsFromDay: number | null;
};

export type ProjectionInput = {
  plan: Plan;
  calendar: Calendar;
  /** Messages a day, to see how much of them the new IPs carry. */
  volume?: number | undefined;
  /** How many new IPs share the volume; 1 unless said. */
  ips?: number | undefined;
};

export function projectPlan({ plan, calendar, volume, ips = 1 }: ProjectionInput): Projection {
  let counter = NEW_COUNTER;
  let cumulative: number | null = 0;
  const days = plan.days.map((_, index): ProjectedDay => {
    const warmupDay = index + 1;
    const limits = limitsOn(plan, warmupDay);
    const beginsAtMs = dayBeginsAt(calendar, warmupDay);
    const endsAtMs = dayBeginsAt(calendar, warmupDay + 1);
    const sent = sendAll(counter, quotaOf(limits, limitsOn(plan, warmupDay + 1), beginsAtMs, endsAtMs));
    counter = sent.counter;
    cumulative = cumulative === null || sent.sends === null ? null : cumulative + sent.sends;
    return {
      warmupDay,
      beginsAtMs,
      endsAtMs,
      ...limits,
      binds: bindingOf(limits, sent.sends),
      sendable: sent.sends,
      cumulative,
      ...shareOf(volume, ips, sent.sends),
    };
  });
  return {
    days,
    completesAtMs: dayBeginsAt(calendar, plan.days.length + 1),
    fitsFromDay: fitsFrom(days),
  };
}

/**
 * Sends as much as a day gives. Four takes an hour stand for millions of single ones: what is there at once, half of what
 * is still missing as soon as it has flowed in, the other half, and whatever there is in the last millisecond of the
 * hour. In halves, because a bucket that was left to fill to the brim would spill the fraction of a millisecond.
 */
function sendAll(before: CounterState, quota: SendQuota): { counter: CounterState; sends: number | null } {
  const { fromMs, toMs } = quota;
  const { dailyLimit, hourlyCap } = quota.current;
  if (dailyLimit === null && hourlyCap === null) return { counter: settle(before, quota, toMs), sends: null };

  let counter = before;
  let sends = 0;
  const takeAllAt = (atMs: number) => {
    const { room, state } = read(counter, quota, atMs);
    counter = room > 0 ? charge(state, room) : state;
    sends += room;
  };
  for (let hourMs = fromMs; hourMs < toMs && sends !== dailyLimit; hourMs += HOUR_MS) {
    const lastMs = Math.min(hourMs + HOUR_MS, toMs) - 1;
    takeAllAt(hourMs);
    for (const parts of [2, 1]) {
      const missing = Math.min(
        (dailyLimit ?? Number.POSITIVE_INFINITY) - counter.dayUsed,
        (hourlyCap ?? Number.POSITIVE_INFINITY) - counter.hourUsed,
      );
      if (missing === 0) break;
      const filledMs = roomAt(counter, quota, hourMs, Math.ceil(missing / parts));
      takeAllAt(Math.min(filledMs ?? lastMs, lastMs));
    }
  }
  // What flows in until the day turns flows in at this day's rate, and goes along into the next one.
  return { counter: settle(counter, quota, toMs), sends };
}

/** One day as the worker publishes it for an IP without hold and ceiling, the bucket as big as the hourly cap. */
function quotaOf(today: Limits, tomorrow: Limits, fromMs: number, toMs: number): SendQuota {
  const window = (limits: Limits) => ({
    ...limits,
    burst: limits.hourlyCap,
    dailyByCeiling: false,
    hourlyByCeiling: false,
  });
  return {
    gate: 'warming',
    heldUntilMs: 0,
    fromMs,
    toMs,
    current: window(today),
    next: window(tomorrow),
    edgesMs: [],
  };
}

function bindingOf({ dailyLimit, hourlyCap }: Limits, sends: number | null): ProjectedDay['binds'] {
  if (sends === null) return null;
  return hourlyCap === null || sends === dailyLimit ? 'day' : 'hour';
}

function shareOf(volume: number | undefined, ips: number, sends: number | null) {
  if (volume === undefined) return { carried: null, overflow: null };
  const carried = sends === null ? volume : Math.min(volume, ips * sends);
  return { carried, overflow: volume - carried };
}

/** From here on nothing overflows any more: a day of 23 hours later on does not fall back behind it. */
function fitsFrom(days: ProjectedDay[]): number | null {
  const lastShort = days.findLastIndex(({ overflow }) => overflow !== 0);
  return days[lastShort + 1]?.warmupDay ?? null;
}
