/**
 * Which day is it? Days are computed from the start and the wall clock of the IP's zone, never counted up by a job, so a
 * restart, a lost job or a week without a worker changes nothing.
 *
 * Day N begins at the start plus N-1 days on the wall clock, each reckoned from day 1 and not from the day before; or,
 * with `dayStartsAt` "04:00", at that local time, day 1 lasting to the first such time at least 12 hours away. So a day
 * may have 23, 25 or 23.5 hours. Hours are counted from the beginning of the day.
 */
import { DateTime, IANAZone } from 'luxon';
import { invalid } from './errors.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from './units.ts';

export type Calendar = {
  readonly startedAtMs: number;
  /** IANA name: `Europe/Berlin`. */
  readonly zone: string;
  /** `"start"`: days turn at the time of the start; `"HH:MM"`: at that local time. */
  readonly dayStartsAt: string;
};

/** The first turn of the day lies at least this far from the start; shorter and day 1 would hardly be a day. */
const SHORTEST_FIRST_DAY_MS = 12 * HOUR_MS;

/** @throws WarmlineError `invalid` (param `zone`) */
export function checkZone(zone: string): string {
  if (!IANAZone.isValidZone(zone)) {
    throw invalid('zone', `"${zone}" is not an IANA time zone (example: Europe/Berlin)`);
  }
  return zone;
}

/** @throws WarmlineError `invalid` (param `dayStartsAt`) */
export function checkDayStartsAt(value: string): string {
  if (value !== 'start' && !/^([01]\d|2[0-3]):[0-5]\d$/.test(value)) {
    throw invalid('dayStartsAt', `"${value}" is no time of day; give "start" or HH:MM (example: 04:00)`);
  }
  return value;
}

/** The instant at which calendar day `day` (1 is the day of the start) begins. Day 1 begins at the start itself. */
export function dayBeginsAt(calendar: Calendar, day: number): number {
  if (day <= 1) return calendar.startedAtMs;
  if (calendar.dayStartsAt === 'start') {
    return instantOfWall(wallOf(calendar.startedAtMs, calendar.zone) + (day - 1) * DAY_MS, calendar.zone);
  }
  return instantOfWall(firstTurnWall(calendar) + (day - 2) * DAY_MS, calendar.zone);
}

/** The calendar day in which an instant lies: the last one that has begun. 0 before the start. */
export function calendarDayAt(calendar: Calendar, nowMs: number): number {
  if (nowMs < calendar.startedAtMs) return 0;
  // A day is 23 to 25 hours long and the first at most 36, so the guess is at most a step or two off.
  let day = Math.max(1, Math.floor((nowMs - calendar.startedAtMs) / DAY_MS) + 1);
  while (dayBeginsAt(calendar, day + 1) <= nowMs) day += 1;
  while (day > 1 && dayBeginsAt(calendar, day) > nowMs) day -= 1;
  return day;
}

/**
 * How many days began after `fromMs` and before `toMs`, both ends left out: a day that turns at the very instant a hold
 * ends is not held, and one that turned at the instant it was placed had turned already.
 */
export function daysBegunBetween(calendar: Calendar, fromMs: number, toMs: number): number {
  if (toMs <= fromMs) return 0;
  // The start is no turn of a day, also when the clock went back behind it.
  return Math.max(0, calendarDayAt(calendar, toMs - 1) - Math.max(1, calendarDayAt(calendar, fromMs)));
}

function firstTurnWall(calendar: Calendar): number {
  const [hours, minutes] = calendar.dayStartsAt.split(':').map(Number) as [number, number];
  const startWall = wallOf(calendar.startedAtMs, calendar.zone);
  let turn = Math.floor(startWall / DAY_MS) * DAY_MS + hours * HOUR_MS + minutes * MINUTE_MS;
  while (instantOfWall(turn, calendar.zone) - calendar.startedAtMs < SHORTEST_FIRST_DAY_MS) turn += DAY_MS;
  return turn;
}

/** Offset of a zone from UTC at an instant, in milliseconds. */
function offsetMs(zone: string, atMs: number): number {
  if (zone === 'UTC') return 0;
  const day = Math.floor(atMs / DAY_MS);
  let days = offsetsByDay.get(zone);
  if (!days || days.size >= MOST_DAYS_REMEMBERED) {
    if (offsetsByDay.size >= MOST_ZONES_REMEMBERED) offsetsByDay.clear();
    days = new Map();
    offsetsByDay.set(zone, days);
  }
  let offset = days.get(day);
  if (offset === undefined) {
    // No zone changes its offset twice within two days: with the same at both ends of a day, it is that all day.
    const [first, last] = [offsetOf(zone, day * DAY_MS), offsetOf(zone, (day + 1) * DAY_MS - 1)];
    offset = first === last ? first : null;
    days.set(day, offset);
  }
  return offset ?? offsetOf(zone, atMs);
}

const offsetOf = (zone: string, atMs: number) => IANAZone.create(zone).offset(atMs) * MINUTE_MS;

/**
 * Zone -> days since 1970 in UTC -> the offset all day, `null` when it changes that day. Asking the time zone database costs
 * 10 us, and a tick asks some fifty times for each IP: 600 us that this makes 10.
 */
const offsetsByDay = new Map<string, Map<number, number | null>>();
const MOST_DAYS_REMEMBERED = 4_000;
const MOST_ZONES_REMEMBERED = 1_000;

/** What the clock on the wall shows at an instant, written as if that wall hung in UTC. */
const wallOf = (atMs: number, zone: string) => atMs + offsetMs(zone, atMs);

/**
 * The instant at which the wall clock of a zone shows `wallMs`. A time that comes twice is the earlier of the two; one
 * that is left out moves forward by the length of the gap (02:30 becomes 03:30 where clocks go from 2 to 3).
 */
export function instantOfWall(wallMs: number, zone: string): number {
  // No zone changes its offset twice within two days, so these are the only two offsets that can be in force.
  const before = wallMs - offsetMs(zone, wallMs - DAY_MS);
  const after = wallMs - offsetMs(zone, wallMs + DAY_MS);
  const valid = [before, after].filter((instant) => wallOf(instant, zone) === wallMs);
  return valid.length > 0 ? Math.min(...valid) : before;
}

/**
 * Reads a start as people write it: `2026-12-01`, `2026-12-01T10:00` on the wall clock of `zone`, or with an offset or Z.
 * @throws WarmlineError `invalid` (param `start`)
 */
export function parseStart(text: string, zone: string): number {
  const asWritten = DateTime.fromISO(text, { setZone: true, zone: 'UTC' });
  if (!asWritten.isValid || !/^\d{4}-\d{2}-\d{2}/.test(text)) {
    throw invalid('start', `"${text}" is no date and time (example: 2026-12-01T10:00)`);
  }
  const hasOffset = /T.*(Z|[+-]\d{2}(:?\d{2})?)$/i.test(text);
  return hasOffset ? asWritten.toMillis() : instantOfWall(asWritten.toMillis(), zone);
}
