/**
 * The send quota of one IP: what the worker publishes and the limiter obeys. Explicit windows, so that a sender needs no
 * calendar: the current day and the next one with their limits, and the edges of the days of a week. Past the last
 * limits they repeat, past the last edge windows of 24 hours go on: never more, never zero.
 */
import { calendarDayAt, dayBeginsAt } from './calendar.ts';
import { calendarOf, type DedicatedIp } from './dedicated-ip.ts';
import { type Limits, limitsOn, type Plan, tighter } from './plan.ts';
import { sendingHold, warmupDayAt } from './progress.ts';

/** Limits in sends as the counter reads them; `null` is unlimited, and for `burst` no bucket. */
export type WindowLimits = {
  readonly dailyLimit: number | null;
  readonly hourlyCap: number | null;
  readonly burst: number | null;
  /** The operator's ceiling, and not the plan, is what sets this limit. */
  readonly dailyByCeiling: boolean;
  readonly hourlyByCeiling: boolean;
};

export type SendQuota = {
  /** `closed`: the status gives no mail. `warming` and `active` are the two classes by which a pool chooses. */
  readonly gate: 'closed' | 'warming' | 'active';
  /** Mail is held until this instant: 0 not at all, infinity until somebody resumes it. */
  readonly heldUntilMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly current: WindowLimits;
  /** In force from `toMs` on. */
  readonly next: WindowLimits;
  /** Ends of the windows after the current one. */
  readonly edgesMs: readonly number[];
};

/** The edges of a week: a worker that is down for longer than that costs the daylight-saving hour, and nothing else. */
const EDGES_AHEAD = 7;

const UNLIMITED: Limits = { dailyLimit: null, hourlyCap: null };

/** What an IP may send once it is active, before its ceiling: everything. One function, so that a glide can follow. */
export const allowanceWhenActive = (): Limits => UNLIMITED;

/** The quota of an IP at an instant. `plan` is the plan in force at its start, `null` for an IP that never warmed up. */
export function sendQuotaFor(ip: DedicatedIp, plan: Plan | null, nowMs: number): SendQuota {
  const calendar = calendarOf(ip);
  const day = calendarDayAt(calendar, nowMs);
  const fromMs = dayBeginsAt(calendar, day);
  const toMs = dayBeginsAt(calendar, day + 1);
  const hold = sendingHold(ip, nowMs);
  return {
    gate: ip.status === 'warming' || ip.status === 'active' ? ip.status : 'closed',
    heldUntilMs: hold ? (hold.untilMs ?? Number.POSITIVE_INFINITY) : 0,
    fromMs,
    toMs,
    current: windowLimits(ip, limitsAt(ip, plan, nowMs)),
    next: windowLimits(ip, limitsAt(ip, plan, toMs)),
    edgesMs: Array.from({ length: EDGES_AHEAD }, (_, i) => dayBeginsAt(calendar, day + 2 + i)),
  };
}

/**
 * The plan's limits at an instant. After the last day of a warm-up the limits of that day go on: what lifts them is the
 * worker, when it has made the IP active, and never a window that was published ahead.
 */
function limitsAt(ip: DedicatedIp, plan: Plan | null, atMs: number): Limits {
  if (ip.status !== 'warming' || !ip.warmup || !plan) return allowanceWhenActive();
  return limitsOn(plan, Math.min(warmupDayAt({ ...ip, warmup: ip.warmup }, atMs), ip.warmup.totalDays));
}

function windowLimits(ip: DedicatedIp, limits: Limits): WindowLimits {
  const dailyLimit = tighter(limits.dailyLimit, ip.ceiling.perDay);
  const hourlyCap = tighter(limits.hourlyCap, ip.ceiling.perHour);
  return {
    dailyLimit,
    hourlyCap,
    burst: burstOf(ip, dailyLimit, hourlyCap),
    dailyByCeiling: dailyLimit !== limits.dailyLimit,
    hourlyByCeiling: hourlyCap !== limits.hourlyCap,
  };
}

/**
 * The size of the bucket: the whole hourly cap unless the start of the warm-up named a smaller one. Without hourly caps
 * there is a bucket only if a burst was named; it refills the daily limit over the day. An active IP has no burst of its
 * own any more.
 */
function burstOf(ip: DedicatedIp, dailyLimit: number | null, hourlyCap: number | null): number | null {
  const named = ip.status === 'warming' ? (ip.warmup?.burst ?? null) : null;
  if (hourlyCap !== null) return Math.min(named ?? hourlyCap, hourlyCap);
  if (dailyLimit !== null && named !== null) return Math.min(named, dailyLimit);
  return null;
}
