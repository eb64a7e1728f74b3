/** Facts that hold for every plan and in every zone of the world. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BadSchedule, defineSchedule, limitsOf, type WarmupSchedule } from '../../schedules/schedule.ts';
import { type Calendar, calendarDayAt, dayBeginsAt, daysBegunBetween } from '../../src/warmup/calendar.ts';
import { buildPlan, limitsOn, planDigest, tighter } from '../../src/warmup/plan.ts';
import { projectPlan } from '../../src/warmup/projection.ts';
import { DAY_MS, HOUR_MS } from '../../src/warmup/units.ts';
import { drawn } from '../support/drawn.ts';

/** All that this Node knows, with those that have left out days, or are off by parts of an hour. */
const ZONES = [
  ...new Set([
    ...Intl.supportedValuesOf('timeZone'),
    ...['Pacific/Apia', 'Pacific/Kwajalein', 'Pacific/Kiritimati', 'Australia/Lord_Howe', 'Antarctica/Troll'],
    ...['Asia/Kathmandu', 'Pacific/Chatham', 'America/St_Johns', 'Africa/Casablanca', 'UTC', 'Etc/GMT+12'],
  ]),
];

const instant = fc.integer({ min: Date.UTC(1990, 0, 1), max: Date.UTC(2037, 0, 1) });
const turn = fc.oneof(
  fc.constant('start'),
  fc
    .tuple(fc.nat(23), fc.nat(59))
    .map((clock) => clock.map((part) => String(part).padStart(2, '0')).join(':')),
);

test.each([ZONES.length])(
  'in all %d zones the day of an instant is the last that has begun, and no day begins before the one before it',
  () => {
    const drawnOf = fc.tuple(
      instant,
      turn,
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 0, max: 25 * HOUR_MS }),
    );
    for (const zone of ZONES) {
      fc.assert(
        fc.property(drawnOf, ([startedAtMs, dayStartsAt, day, afterMs]) => {
          const calendar: Calendar = { startedAtMs, zone, dayStartsAt };
          const [from, to] = [dayBeginsAt(calendar, day), dayBeginsAt(calendar, day + 1)];
          expect(to).toBeGreaterThanOrEqual(from);
          expect(to - from).toBeLessThanOrEqual(2 * DAY_MS);
          const atMs = from + afterMs;
          const found = calendarDayAt(calendar, atMs);
          expect(dayBeginsAt(calendar, found)).toBeLessThanOrEqual(atMs);
          expect(dayBeginsAt(calendar, found + 1)).toBeGreaterThan(atMs);
          expect(daysBegunBetween(calendar, startedAtMs, atMs + 1)).toBe(found - 1);
        }),
        drawn(4),
      );
    }
  },
);

const rising = fc
  .tuple(fc.array(fc.integer({ min: 1, max: 1_000_000_000 }), { minLength: 1, maxLength: 60 }), fc.nat(3))
  .map(([limits, unlimited]) => [
    ...limits.sort((a, b) => a - b),
    ...Array.from({ length: unlimited }, () => null),
  ]);

const tableOf = (
  id: string,
  kind: 'daily' | 'hourly',
  limits: readonly (number | null)[],
): WarmupSchedule => {
  const about = { id, title: id, source: 'drawn' };
  return kind === 'daily'
    ? { ...about, daily: limits.map((dailyLimit, index) => ({ day: index + 1, dailyLimit })) }
    : { ...about, hourly: limits.map((hourlyCap, ageDays) => ({ ageDays, hourlyCap })) };
};
const orMore = (limit: number | null) => limit ?? Number.POSITIVE_INFINITY;

test('the limits of a plan never fall, are never above one of its schedules, and go on past its end', () => {
  fc.assert(
    fc.property(rising, rising, rising, (one, two, three) => {
      const schedules = [
        tableOf('a', 'daily', one),
        tableOf('b', 'hourly', two),
        tableOf('c', 'daily', three),
      ];
      const book = new Map(schedules.map((schedule) => [schedule.id, defineSchedule(schedule)]));
      const plan = buildPlan('a+b+c', book);
      expect(plan.days).toHaveLength(one.length);
      for (let day = 1; day <= one.length + 5; day += 1) {
        const [now, next] = [limitsOn(plan, day), limitsOn(plan, day + 1)];
        expect(orMore(next.dailyLimit)).toBeGreaterThanOrEqual(orMore(now.dailyLimit));
        expect(orMore(next.hourlyCap)).toBeGreaterThanOrEqual(orMore(now.hourlyCap));
        const at = (limits: (number | null)[]) =>
          limits[Math.min(Math.min(day, one.length), limits.length) - 1]!;
        expect(now.dailyLimit).toBe(tighter(at(one), at(three)));
        expect(now.hourlyCap).toBe(at(two));
      }
      expect(planDigest(buildPlan('a+b+c', book))).toBe(planDigest(plan));
    }),
    drawn(100),
  );
});

test('a table is taken as it is, or refused: one that falls, has a gap, or a limit that is none', () => {
  const limits = fc.array(
    fc.oneof(fc.integer({ min: -2, max: 20 }), fc.constantFrom(null, 0.5, Number.NaN, 2e9)),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(limits, fc.constantFrom<('daily' | 'hourly')[]>('daily', 'hourly'), (given, kind) => {
      const table = tableOf('x', kind, given);
      const isGood =
        given.length > 0 &&
        given.every((limit) => limit === null || (Number.isInteger(limit) && limit >= 1 && limit <= 1e9)) &&
        given.every((limit, index) => index === 0 || orMore(limit) >= orMore(given[index - 1]!));
      if (isGood) expect(limitsOf(defineSchedule(table)).map(({ limit }) => limit)).toEqual(given);
      else expect(() => defineSchedule(table)).toThrow(BadSchedule);
    }),
    drawn(500),
  );
});

test('days of a projection follow each other without a gap, and what can be sent is at most each limit', () => {
  fc.assert(
    fc.property(
      rising,
      rising,
      instant,
      fc.constantFrom(...ZONES),
      turn,
      (one, two, startedAtMs, zone, dayStartsAt) => {
        const schedules = [tableOf('a', 'daily', one.slice(0, 15)), tableOf('b', 'hourly', two)];
        const plan = buildPlan('a+b', new Map(schedules.map((schedule) => [schedule.id, schedule])));
        const { days, completesAtMs } = projectPlan({ plan, calendar: { startedAtMs, zone, dayStartsAt } });
        expect(days[0]!.beginsAtMs).toBe(startedAtMs);
        expect(days.at(-1)!.endsAtMs).toBe(completesAtMs);
        let total: number | null = 0;
        for (const [index, day] of days.entries()) {
          if (index > 0) expect(day.beginsAtMs).toBe(days[index - 1]!.endsAtMs);
          expect(orMore(day.sendable)).toBeLessThanOrEqual(orMore(day.dailyLimit));
          if (day.hourlyCap !== null) {
            const hours = Math.ceil((day.endsAtMs - day.beginsAtMs) / HOUR_MS);
            expect(day.sendable).toBeLessThanOrEqual(hours * day.hourlyCap);
          }
          total = total === null || day.sendable === null ? null : total + day.sendable;
          expect(day.cumulative).toBe(total);
        }
      },
    ),
    drawn(60),
  );
});
