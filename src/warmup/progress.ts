/**
 * Which warm-up day has an IP reached? The days since its start, plus one, plus its adjustments, less the days that
 * began while progress stood still. Nothing is counted up, so it can be asked for any instant, also one to come.
 */
import { calendarDayAt, dayBeginsAt, daysBegunBetween } from './calendar.ts';
import { type Adjustment, calendarOf, type DedicatedIp, type Hold, type Warmup } from './dedicated-ip.ts';

/** The warm-up day at an instant, counted from 1, past the end of the plan too (then the warm-up is over). */
export function warmupDayAt(ip: DedicatedIp & { warmup: Warmup }, nowMs: number): number {
  const { warmup } = ip;
  const corrected = warmup.adjustments.reduce((sum, { days }) => sum + days, 0);
  return Math.max(1, calendarDayAt(warmup, nowMs) + corrected - daysStoodStill(ip, nowMs));
}

export const isHeld = (hold: Hold, nowMs: number) => hold.untilMs === null || nowMs < hold.untilMs;

/** The hold that stops mail at an instant, if one does; of several the one that lasts longest. */
export function sendingHold(ip: DedicatedIp, nowMs: number): Hold | null {
  return longest(ip.holds.filter((hold) => hold.sending && isHeld(hold, nowMs)));
}

const endOf = (hold: Hold) => hold.untilMs ?? Number.POSITIVE_INFINITY;
const longest = (holds: Hold[]) =>
  holds.reduce<Hold | null>((best, hold) => (best === null || endOf(hold) > endOf(best) ? hold : best), null);

/** Until when progress stands still: `null` when it moves, infinity when nobody has said. */
function pausedUntilMs(ip: DedicatedIp): number | null {
  if (ip.warmup?.pausedAtMs == null) return null;
  if (ip.status === 'cooldown') return Number.POSITIVE_INFINITY;
  const hold = longest(ip.holds.filter(({ advance }) => advance));
  return hold ? endOf(hold) : ip.warmup.pausedAtMs;
}

function daysStoodStill(ip: DedicatedIp & { warmup: Warmup }, nowMs: number): number {
  const until = pausedUntilMs(ip);
  if (until === null || ip.warmup.pausedAtMs === null) return 0;
  // A day that begins at this very instant has begun (+1 ms); one that begins when the hold ends is not held.
  return daysBegunBetween(ip.warmup, ip.warmup.pausedAtMs, Math.min(until, nowMs + 1));
}

/**
 * Brings the pause in line with what holds the IP now: starts it, or ends it and writes the days that stood still as one
 * adjustment. Holds that are over are dropped; when nothing changes, the record itself is the answer. To be called before and after any change of holds or status; `before` is
 * the record whose holds and status kept it still until now.
 */
export function settlePause(ip: DedicatedIp, nowMs: number, before: DedicatedIp = ip): DedicatedIp {
  const holds = ip.holds.filter((hold) => isHeld(hold, nowMs));
  const dropped = holds.length === ip.holds.length ? ip : { ...ip, holds };
  if (!ip.warmup) return dropped;
  const warmup = ip.warmup;
  const standsStill =
    ip.status === 'cooldown' || (ip.status === 'warming' && holds.some((hold) => hold.advance));
  if (standsStill && warmup.pausedAtMs !== null) return dropped;
  if (standsStill) return { ...dropped, warmup: { ...warmup, pausedAtMs: nowMs } };
  if (warmup.pausedAtMs === null) return dropped;

  const days = daysStoodStill({ ...before, warmup }, nowMs);
  const adjustment: Adjustment = { atMs: nowMs, days: -days, because: 'progress was on hold', by: 'engine' };
  return {
    ...dropped,
    warmup: {
      ...warmup,
      pausedAtMs: null,
      adjustments: days === 0 ? warmup.adjustments : [...warmup.adjustments, adjustment],
    },
  };
}

/** When the next day of an IP begins. */
export function nextDayAt(ip: DedicatedIp, nowMs: number): number {
  const calendar = calendarOf(ip);
  return dayBeginsAt(calendar, calendarDayAt(calendar, nowMs) + 1);
}

/** When the warm-up will be over if nothing holds it from now on; `null` when there is none or it stands still for good. */
export function completesAt(ip: DedicatedIp, nowMs: number): number | null {
  if (ip.status !== 'warming' || !ip.warmup) return null;
  const until = pausedUntilMs(ip);
  if (until === Number.POSITIVE_INFINITY) return null;
  const movesFromMs = Math.max(nowMs, until ?? 0);
  const calendarDay = calendarDayAt(ip.warmup, movesFromMs);
  const warmupDay = warmupDayAt({ ...ip, warmup: ip.warmup }, movesFromMs);
  return dayBeginsAt(ip.warmup, calendarDay + Math.max(1, ip.warmup.totalDays + 1 - warmupDay));
}
