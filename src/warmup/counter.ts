/**
 * The arithmetic of the limiter, pure: hard counts for the day and for the hour, and a token bucket. The scripts in
 * `src/redis/lua` do the same, operation for operation; one contract test runs both on the same histories.
 *
 * The bucket counts whole numbers in units of send x 3 600 000, so that "hourly cap a millisecond" is a whole number:
 *   level grows by elapsed ms x hourly cap; one send costs 3 600 000.
 * Without hourly caps the daily limit refills it over the length of the day: limit x 3 600 000 / (seconds x 1 000)
 * = limit x 3 600 / seconds units a millisecond, kept as a fraction and rounded down.
 */
import type { SendQuota, WindowLimits } from './quota.ts';
import { DAY_MS, HOUR_MS } from './units.ts';

/** What one send takes out of the bucket. */
export const SEND_UNITS = 3_600_000;
/** A bucket that is full whatever its size: the start, and the state in a window without a bucket. */
export const FULL = Number.MAX_SAFE_INTEGER;

/** What changes with every take. Instants in milliseconds of engine time, counts in sends. */
export type CounterState = {
  /** Beginning of the day that `dayUsed` counts; 0 before the first take. */
  dayFromMs: number;
  dayUsed: number;
  hourFromMs: number;
  hourUsed: number;
  /** Units in the bucket at `atMs`. */
  level: number;
  /**
   * The latest instant seen. Counts never go back behind it, so a clock that steps back refills nothing twice. (A hold goes
   * by the clock alone: it was placed on the clock as it is now.)
   */
  atMs: number;
  /** Counts the grants; part of a receipt. */
  seq: number;
};

export const NEW_COUNTER: CounterState = {
  dayFromMs: 0,
  dayUsed: 0,
  hourFromMs: 0,
  hourUsed: 0,
  level: FULL,
  atMs: 0,
  seq: 0,
};

type Window = { fromMs: number; toMs: number; limits: WindowLimits };
export type Binding = 'status' | 'hold' | 'day' | 'hour' | 'burst' | 'ceiling' | 'count';

/** The window in force at an instant: published ones, then days of 24 hours for ever. */
export function windowAt(quota: SendQuota, atMs: number): Window {
  if (atMs < quota.toMs) return { fromMs: quota.fromMs, toMs: quota.toMs, limits: quota.current };
  let fromMs = quota.toMs;
  for (const edge of quota.edgesMs) {
    if (atMs < edge) return { fromMs, toMs: edge, limits: quota.next };
    fromMs = edge;
  }
  fromMs += Math.floor((atMs - fromMs) / DAY_MS) * DAY_MS;
  return { fromMs, toMs: fromMs + DAY_MS, limits: quota.next };
}

/** Hours are counted from the beginning of the day; the last one may be shorter. */
const hourFrom = (window: Window, atMs: number) =>
  window.fromMs + Math.max(0, Math.floor((atMs - window.fromMs) / HOUR_MS)) * HOUR_MS;
const hourTo = (window: Window, atMs: number) => Math.min(hourFrom(window, atMs) + HOUR_MS, window.toMs);

/** Units that flow in within a part of a window. */
function refill(window: Window, startMs: number, endMs: number): number {
  const { hourlyCap } = window.limits;
  // An hour fills any bucket of an hourly cap; the clamp keeps the product far below 2^53 whatever the clock does.
  if (hourlyCap !== null) return Math.min(endMs - startMs, HOUR_MS) * hourlyCap;
  return flowed(window, endMs) - flowed(window, startMs);
}

/** A window has no length when the clock went back behind the start of a warm-up. */
const secondsOf = ({ fromMs, toMs }: Window) => Math.max(1, Math.ceil((toMs - fromMs) / 1000));

/**
 * What has flowed in since the beginning of a window at the rate of its daily limit. Rounded only here, so that many small
 * steps add up to exactly what one large step gives, and a wait that was told comes true to the millisecond.
 */
function flowed(window: Window, atMs: number): number {
  const seconds = secondsOf(window);
  const units = (window.limits.dailyLimit ?? 0) * 3600;
  const elapsed = Math.max(0, atMs - window.fromMs);
  return elapsed * Math.floor(units / seconds) + Math.floor((elapsed * (units % seconds)) / seconds);
}

/** The state at an instant: new windows opened, the bucket filled at the rate of the window in which the time passed. */
export function settle(state: CounterState, quota: SendQuota, nowMs: number): CounterState {
  const atMs = Math.max(nowMs, state.atMs);
  const window = windowAt(quota, atMs);
  const hour = hourFrom(window, atMs);
  // Longer than three days and every bucket is full: no need to walk the windows in between.
  let segmentMs = Math.min(atMs, Math.max(state.atMs, atMs - 3 * DAY_MS, quota.fromMs));
  let level = state.level;
  for (;;) {
    const passed = windowAt(quota, segmentMs);
    const endMs = Math.min(passed.toMs, atMs);
    const { burst } = passed.limits;
    level =
      burst === null
        ? FULL
        : Math.min(burst * SEND_UNITS, level === FULL ? FULL : level + refill(passed, segmentMs, endMs));
    if (endMs >= atMs) break;
    segmentMs = endMs;
  }
  const { burst } = window.limits;
  return {
    dayFromMs: window.fromMs,
    dayUsed: state.dayFromMs === window.fromMs ? state.dayUsed : 0,
    hourFromMs: hour,
    hourUsed: state.hourFromMs === hour ? state.hourUsed : 0,
    level: burst === null ? FULL : Math.min(level, burst * SEND_UNITS),
    atMs,
    seq: state.seq,
  };
}

/**
 * Redis may have forgotten what it granted before an instant. Every counter that was written since has reached `firstSeq`, so
 * one with a lower `seq` is from before, whatever the clocks say.
 */
export type Fence = { firstSeq: number; atMs: number };

/**
 * What was forgotten may have been granted on both sides of an hour's turn: shortly after it, the hour before is lost, too.
 * Without a bucket two whole caps may have gone around a turn, however long Redis was away since: then always.
 */
const TURN_MS = 60_000;

/** A counter as it was read, from before a fence or not: the rest of the hour that ran at the fence counts as used up. */
export function heedFence(state: CounterState, quota: SendQuota, fence: Fence | null): CounterState {
  if (fence === null || state.seq >= fence.firstSeq) return state;
  const { hourlyCap, burst } = windowAt(quota, fence.atMs).limits;
  const turnMs = hourlyCap !== null && burst === null ? HOUR_MS : TURN_MS;
  let fenced = settle(state, quota, fence.atMs - turnMs);
  if (hourTo(windowAt(quota, fenced.atMs), fenced.atMs) <= fence.atMs) fenced = useUp(fenced, quota);
  fenced = useUp(settle(fenced, quota, fence.atMs), quota);
  return { ...fenced, seq: fence.firstSeq };
}

/**
 * Of a settled counter. A plan without hourly caps loses the even share of an hour in its day, or what is in the bucket if that
 * is less.
 */
function useUp(state: CounterState, quota: SendQuota): CounterState {
  const { dailyLimit, hourlyCap, burst } = windowAt(quota, state.atMs).limits;
  let { level } = state;
  let sends = 0;
  if (hourlyCap !== null) {
    sends = Math.max(0, hourlyCap - state.hourUsed);
    if (burst !== null) level = 0;
  } else if (dailyLimit !== null) {
    sends = Math.ceil(dailyLimit / 24);
    if (burst !== null) {
      sends = Math.min(sends, Math.floor(level / SEND_UNITS));
      level -= sends * SEND_UNITS;
    }
  }
  const leftToday = dailyLimit === null ? sends : Math.max(0, dailyLimit - state.dayUsed);
  return {
    ...state,
    level,
    hourUsed: state.hourUsed + sends,
    dayUsed: state.dayUsed + Math.min(sends, leftToday),
  };
}

/** What a counter says at an instant about the limit that binds. */
export type Reading = {
  /** Sends that would be granted now; infinity is unlimited. */
  room: number;
  /** What stops more than `room`; `null` when nothing is limited. */
  binds: Binding | null;
  /** Of the limit that binds, in sends; -1 unlimited. */
  limit: number;
  remaining: number;
  /** When the limit that binds starts afresh (a bucket: when it is full). */
  resetsAtMs: number;
  state: CounterState;
};

/** The tightest of day, hour and bucket; of equals the one that frees last, since that is what is waited for. */
export function read(before: CounterState, quota: SendQuota, nowMs: number): Reading {
  const state = settle(before, quota, nowMs);
  const window = windowAt(quota, state.atMs);
  const { dailyLimit, hourlyCap, burst, dailyByCeiling, hourlyByCeiling } = window.limits;
  let best: Omit<Reading, 'state'> = {
    room: Number.POSITIVE_INFINITY,
    binds: null,
    limit: -1,
    remaining: -1,
    resetsAtMs: window.toMs,
  };
  if (dailyLimit !== null) {
    const room = Math.max(0, dailyLimit - state.dayUsed);
    best = {
      room,
      binds: dailyByCeiling ? 'ceiling' : 'day',
      limit: dailyLimit,
      remaining: room,
      resetsAtMs: window.toMs,
    };
  }
  if (hourlyCap !== null) {
    const room = Math.max(0, hourlyCap - state.hourUsed);
    if (room < best.room) {
      const resetsAtMs = hourTo(window, state.atMs);
      best = {
        room,
        binds: hourlyByCeiling ? 'ceiling' : 'hour',
        limit: hourlyCap,
        remaining: room,
        resetsAtMs,
      };
    }
  }
  if (burst !== null) {
    const room = Math.floor(state.level / SEND_UNITS);
    if (room < best.room) {
      const resetsAtMs = state.atMs + msUntil(window, state.atMs, burst * SEND_UNITS - state.level);
      best = { room, binds: 'burst', limit: burst, remaining: room, resetsAtMs };
    }
  }
  if (quota.gate === 'closed') best = { ...best, room: 0, limit: 0, remaining: 0, binds: 'status' };
  else if (nowMs < quota.heldUntilMs) best = { ...best, room: 0, limit: 0, remaining: 0, binds: 'hold' };
  return { ...best, state };
}

/** The fewest whole milliseconds from an instant in which `units` flow in, as if the window had no end. */
function msUntil(window: Window, atMs: number, units: number): number {
  if (units <= 0) return 0;
  const { hourlyCap, dailyLimit } = window.limits;
  if (hourlyCap !== null) return Math.ceil(units / hourlyCap);
  const seconds = secondsOf(window);
  const total = flowed(window, atMs) + units;
  let ms = Math.max(0, window.fromMs - atMs + Math.ceil((total / ((dailyLimit ?? 0) * 3600)) * seconds));
  // The quotient above is rounded; a step or two sets it right.
  while (flowed(window, atMs + ms) < total) ms += 1;
  while (ms > 0 && flowed(window, atMs + ms - 1) >= total) ms -= 1;
  return ms;
}

/** When the bucket of a settled counter is full if nobody takes; `null` without one. At the day's turn it may grow. */
export function fullAt(state: CounterState, quota: SendQuota): number | null {
  const window = windowAt(quota, state.atMs);
  const { burst } = window.limits;
  return burst === null ? null : state.atMs + msUntil(window, state.atMs, burst * SEND_UNITS - state.level);
}

const allows = (limits: WindowLimits, count: number) =>
  count <= (limits.dailyLimit ?? Number.POSITIVE_INFINITY) &&
  count <= (limits.hourlyCap ?? Number.POSITIVE_INFINITY) &&
  count <= (limits.burst ?? Number.POSITIVE_INFINITY);

/** Each step goes to the next instant before which nothing can help; a handful is the rule, and this many never needed. */
const MOST_STEPS = 64;

/**
 * The earliest instant at which `count` sends would be granted if nobody else took; `null` when that is never.
 * Each step waits for what surely has to pass first, so it never overshoots, and it ends only where the reading allows.
 */
export function roomAt(before: CounterState, quota: SendQuota, nowMs: number, count: number): number | null {
  if (quota.gate === 'closed' || quota.heldUntilMs === Number.POSITIVE_INFINITY) return null;
  let atMs = nowMs;
  let reading = read(before, quota, atMs);
  if (!allows(windowAt(quota, reading.state.atMs).limits, count) && !allows(quota.next, count)) return null;
  for (let step = 0; step < MOST_STEPS; step += 1) {
    if (reading.room >= count) return atMs;
    const { state } = reading;
    const window = windowAt(quota, state.atMs);
    const { dailyLimit, hourlyCap, burst } = window.limits;
    let waitMs = Math.max(atMs + 1, quota.heldUntilMs);
    if (!allows(window.limits, count)) waitMs = Math.max(waitMs, window.toMs);
    if (dailyLimit !== null && dailyLimit - state.dayUsed < count) waitMs = Math.max(waitMs, window.toMs);
    if (hourlyCap !== null && hourlyCap - state.hourUsed < count)
      waitMs = Math.max(waitMs, hourTo(window, state.atMs));
    if (burst !== null && state.level < count * SEND_UNITS) {
      const filledMs = state.atMs + msUntil(window, state.atMs, count * SEND_UNITS - state.level);
      waitMs = Math.max(waitMs, Math.min(filledMs, window.toMs));
    }
    atMs = waitMs;
    reading = read(state, quota, atMs);
  }
  return null;
}

/** The state after `count` sends were granted at the instant of a reading. */
export function charge(state: CounterState, count: number): CounterState {
  return {
    ...state,
    dayUsed: state.dayUsed + count,
    hourUsed: state.hourUsed + count,
    level: state.level === FULL ? FULL : state.level - count * SEND_UNITS,
    seq: state.seq + 1,
  };
}

/**
 * Gives back sends that were not made: to the day in the same day, to the hour in the same hour, to the bucket up to its
 * size. Whether a receipt was credited before is not known here.
 */
export function refund(
  before: CounterState,
  quota: SendQuota,
  nowMs: number,
  receipt: { dayFromMs: number; hourFromMs: number; count: number },
): { state: CounterState; refunded: number } {
  const state = settle(before, quota, nowMs);
  if (receipt.dayFromMs !== state.dayFromMs) return { state, refunded: 0 };
  const count = Math.min(receipt.count, state.dayUsed);
  const { burst } = windowAt(quota, state.atMs).limits;
  const sameHour = receipt.hourFromMs === state.hourFromMs;
  return {
    refunded: count,
    state: {
      ...state,
      dayUsed: state.dayUsed - count,
      hourUsed: sameHour ? Math.max(0, state.hourUsed - count) : state.hourUsed,
      level: burst === null ? FULL : Math.min(burst * SEND_UNITS, state.level + count * SEND_UNITS),
    },
  };
}
