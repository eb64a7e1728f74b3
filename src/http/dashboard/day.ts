/** One day of an IP: what the plan let through and what was sent. */
import { dayBeginsAt, daysBegunBetween } from '../../warmup/calendar.ts';
import { calendarOf, type DedicatedIp, type Warmup } from '../../warmup/dedicated-ip.ts';
import { limitsOn, type Plan } from '../../warmup/plan.ts';
import { warmupDayAt } from '../../warmup/progress.ts';
import { HOUR_MS } from '../../warmup/units.ts';
import type { Counted } from '../../wire/v1.ts';

/** An IP with what was counted of it, read at one instant. */
export type Looked = { ip: DedicatedIp; counted: Counted; plan: Plan | null };

export type Day = {
  fromMs: number;
  toMs: number;
  /** `null`: it was not warming then, as far as is known now. */
  warmupDay: number | null;
  dailyLimit: number | null;
  hourlyCap: number | null;
  /** The most that the limits let through in all of it; `null` is unlimited. */
  sendable: number | null;
  sent: number;
};

/** A day of an IP, counted from the day of its start, with what the plan says of it. */
export function dayOf({ ip, counted, plan }: Looked, calendarDay: number): Day {
  const calendar = calendarOf(ip);
  const [fromMs, toMs] = [dayBeginsAt(calendar, calendarDay), dayBeginsAt(calendar, calendarDay + 1)];
  const { counter, sent } = counted;
  const running = counter?.state.dayFromMs === fromMs ? counter.state.dayUsed : 0;
  const filed = sent.days.find((one) => one.fromMs === fromMs)?.sends ?? 0;
  const { warmup } = ip;
  const ended = warmup?.completedAtMs ?? null;
  const isWarming = warmup !== null && plan !== null && (ended === null || fromMs < ended);
  const warmupDay = isWarming
    ? Math.min(warmupDayAt({ ...ip, warmup: asOf(warmup, fromMs) }, fromMs), warmup.totalDays)
    : null;
  const { dailyLimit, hourlyCap } =
    warmupDay !== null && plan ? limitsOn(plan, warmupDay) : { dailyLimit: null, hourlyCap: null };
  const byHour = hourlyCap === null ? null : hourlyCap * Math.ceil((toMs - fromMs) / HOUR_MS);
  const sendable = dailyLimit === null ? byHour : byHour === null ? dailyLimit : Math.min(dailyLimit, byHour);
  return { fromMs, toMs, warmupDay, dailyLimit, hourlyCap, sendable, sent: Math.max(running, filed) };
}

/**
 * The record has each correction at the instant at which it was made. One for days that stood still was made when they were
 * over, so before it, as many of them count as had begun by then.
 */
function asOf(warmup: Warmup, atMs: number): Warmup {
  const adjustments = warmup.adjustments.map((one) => {
    if (one.atMs <= atMs) return one;
    return { ...one, days: Math.min(0, one.days + daysBegunBetween(warmup, atMs, one.atMs + 1)) };
  });
  return { ...warmup, adjustments };
}
