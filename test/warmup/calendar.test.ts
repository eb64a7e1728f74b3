/** When a day turns: the edges of the calendar by hand, and what holds in every zone by property. */
import fc from 'fast-check';
import { DateTime } from 'luxon';
import { describe, expect, test } from 'vitest';
import {
  type Calendar,
  calendarDayAt,
  checkDayStartsAt,
  checkZone,
  dayBeginsAt,
  daysBegunBetween,
  instantOfWall,
  parseStart,
} from '../../src/warmup/calendar.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { drawn } from '../support/drawn.ts';

const calendar = (start: string, zone: string, dayStartsAt = 'start'): Calendar => ({
  startedAtMs: parseStart(start, zone),
  zone,
  dayStartsAt,
});
const iso = (atMs: number) => new Date(atMs).toISOString().replace(/:00\.000Z$/, 'Z');

describe('a start is read on the wall clock of the zone', () => {
  test.each([
    ['an ordinary time', '2026-12-01T10:00', 'Europe/Berlin', '2026-12-01T09:00Z'],
    ['a date is its midnight', '2026-12-01', 'Europe/Berlin', '2026-11-30T23:00Z'],
    ['with Z', '2026-12-01T10:00Z', 'Europe/Berlin', '2026-12-01T10:00Z'],
    ['with an offset', '2026-12-01T10:00+05:30', 'Europe/Berlin', '2026-12-01T04:30Z'],
    ['with an offset without a colon', '2026-12-01T10:00-0800', 'UTC', '2026-12-01T18:00Z'],
    ['a missing hour moves forward by the gap', '2026-03-29T02:30', 'Europe/Berlin', '2026-03-29T01:30Z'],
    ['the last minute before the gap', '2026-03-29T01:59', 'Europe/Berlin', '2026-03-29T00:59Z'],
    ['an hour that comes twice is the earlier', '2026-10-25T02:30', 'Europe/Berlin', '2026-10-25T00:30Z'],
    ['its second coming, by its offset', '2026-10-25T02:30+01:00', 'Europe/Berlin', '2026-10-25T01:30Z'],
    ['a half hour left out', '2026-10-04T02:15', 'Australia/Lord_Howe', '2026-10-03T15:45Z'],
    ['a half hour that comes twice', '2026-04-05T01:45', 'Australia/Lord_Howe', '2026-04-04T14:45Z'],
    ['a half-hour zone', '2026-06-01T12:00', 'Asia/Kolkata', '2026-06-01T06:30Z'],
    ['a 45-minute zone', '2026-06-01T12:00', 'Asia/Kathmandu', '2026-06-01T06:15Z'],
    ['midnight left out', '2024-09-08T00:00', 'America/Santiago', '2024-09-08T04:00Z'],
    ['a whole day left out', '2011-12-30T10:00', 'Pacific/Apia', '2011-12-30T20:00Z'],
    ['a leap day', '2028-02-29T10:00', 'UTC', '2028-02-29T10:00Z'],
  ])('%s', (_, text, zone, expected) => {
    expect(iso(parseStart(text, zone))).toBe(expected);
  });

  test.each([
    '',
    'tomorrow',
    '2026-13-01',
    '2026-02-30',
    '2027-02-29',
    '2026-12-01T25:00',
    '10:00',
    '20261201x',
    '1764583200000',
  ])('%j is refused with its value', (text) => {
    expect(() => parseStart(text, 'UTC')).toThrow(`"${text}" is no date and time`);
  });
});

test.each(['Berlin', '', 'Europe/Nowhere', 'local', 'system'])('the zone %j is refused', (zone) => {
  expect(() => checkZone(zone)).toThrow('is not an IANA time zone (example: Europe/Berlin)');
});
test.each(['4:00', '24:00', '04:60', '04:00:00', 'noon', ''])(
  'the turn of the day %j is refused',
  (value) => {
    expect(() => checkDayStartsAt(value)).toThrow('give "start" or HH:MM');
  },
);

describe('the edges of days', () => {
  test.each<[name: string, calendar: Calendar, day: number, beginsAt: string, hours: number]>([
    ['into summer time: 23 hours', calendar('2026-03-27T10:00', 'Europe/Berlin'), 2, '2026-03-28T09:00Z', 23],
    [
      'the day after keeps the clock',
      calendar('2026-03-27T10:00', 'Europe/Berlin'),
      3,
      '2026-03-29T08:00Z',
      24,
    ],
    [
      'out of summer time: 25 hours',
      calendar('2026-10-24T10:00', 'Europe/Berlin'),
      1,
      '2026-10-24T08:00Z',
      25,
    ],
    [
      'a turn inside the gap moves forward',
      calendar('2026-03-28T02:30', 'Europe/Berlin'),
      2,
      '2026-03-29T01:30Z',
      23,
    ],
    ['and is back the day after', calendar('2026-03-28T02:30', 'Europe/Berlin'), 3, '2026-03-30T00:30Z', 24],
    [
      'a turn that comes twice is the earlier',
      calendar('2026-10-24T02:30', 'Europe/Berlin'),
      2,
      '2026-10-25T00:30Z',
      25,
    ],
    [
      'half an hour shorter',
      calendar('2026-10-03T10:00', 'Australia/Lord_Howe'),
      1,
      '2026-10-02T23:30Z',
      23.5,
    ],
    [
      'half an hour longer',
      calendar('2026-04-04T10:00', 'Australia/Lord_Howe'),
      1,
      '2026-04-03T23:00Z',
      24.5,
    ],
    ['a zone without changes', calendar('2026-03-27T10:00', 'Asia/Kathmandu'), 3, '2026-03-29T04:15Z', 24],
    [
      'before the day that Samoa left out',
      calendar('2011-12-28T10:00', 'Pacific/Apia'),
      2,
      '2011-12-29T20:00Z',
      24,
    ],
    [
      'the day that Samoa left out has no length',
      calendar('2011-12-28T10:00', 'Pacific/Apia'),
      3,
      '2011-12-30T20:00Z',
      0,
    ],
    [
      'and the day after begins at once',
      calendar('2011-12-28T10:00', 'Pacific/Apia'),
      4,
      '2011-12-30T20:00Z',
      24,
    ],
    ['over a leap day', calendar('2028-02-28T10:00', 'UTC'), 2, '2028-02-29T10:00Z', 24],
    ['into March', calendar('2028-02-28T10:00', 'UTC'), 3, '2028-03-01T10:00Z', 24],
    [
      'turn at 04:00, 18 h away',
      calendar('2026-12-01T10:00', 'Europe/Berlin', '04:00'),
      1,
      '2026-12-01T09:00Z',
      18,
    ],
    ['then at that time', calendar('2026-12-01T10:00', 'Europe/Berlin', '04:00'), 2, '2026-12-02T03:00Z', 24],
    [
      'exactly 12 h away is far enough',
      calendar('2026-12-01T16:00', 'UTC', '04:00'),
      1,
      '2026-12-01T16:00Z',
      12,
    ],
    [
      'a minute less is not',
      calendar('2026-12-01T16:01', 'UTC', '04:00'),
      1,
      '2026-12-01T16:01Z',
      35 + 59 / 60,
    ],
    [
      '12 h on the wall, 11 really: not',
      calendar('2026-03-28T16:00', 'Europe/Berlin', '04:00'),
      1,
      '2026-03-28T15:00Z',
      35,
    ],
    ['a start at the very turn', calendar('2026-12-01T04:00', 'UTC', '04:00'), 1, '2026-12-01T04:00Z', 24],
    ['a turn in the gap', calendar('2026-03-28T10:00', 'Europe/Berlin', '02:30'), 2, '2026-03-29T01:30Z', 23],
  ])('%s', (_, given, day, beginsAt, hours) => {
    expect(iso(dayBeginsAt(given, day))).toBe(beginsAt);
    expect((dayBeginsAt(given, day + 1) - dayBeginsAt(given, day)) / HOUR_MS).toBeCloseTo(hours, 9);
  });

  test('each is reckoned from day 1: a turn moved by the gap does not move those after it', () => {
    const given = calendar('2026-03-20T02:30', 'Europe/Berlin');
    const clocks = [9, 10, 11].map((day) =>
      DateTime.fromMillis(dayBeginsAt(given, day), given).toFormat('dd HH:mm'),
    );
    expect(clocks).toEqual(['28 02:30', '29 03:30', '30 02:30']);
  });

  test('a day turns at its first millisecond', () => {
    const given = calendar('2026-12-01T10:00', 'Europe/Berlin');
    const turn = dayBeginsAt(given, 5);
    expect([turn - 1, turn].map((atMs) => calendarDayAt(given, atMs))).toEqual([4, 5]);
    expect(calendarDayAt(given, given.startedAtMs - 1)).toBe(0);
  });

  test.each([
    ['both ends are left out', 0, 1, 0],
    ['a millisecond more and the turn is between', 0, 1.1, 1],
    ['from just before a turn to just after', 0.9, 1.1, 1],
    ['from the turn itself: it had turned', 1, 1.5, 0],
    ['three days', 0.5, 3.5, 3],
    ['backwards', 2, 1, 0],
    ['over the start, which is no turn, when the clock went back behind it', -0.5, 0.5, 0],
    ['from before the start to day 2', -0.5, 1.5, 1],
  ])('days begun between: %s', (_, fromDays, toDays, expected) => {
    const given = calendar('2026-12-01T00:00', 'UTC');
    const at = (days: number) => given.startedAtMs + Math.round(days * DAY_MS);
    expect(daysBegunBetween(given, at(fromDays), at(toDays))).toBe(expected);
  });
});

describe('in every zone', () => {
  const ORDINARY = [
    'UTC',
    'Europe/Berlin',
    'America/New_York',
    'America/St_Johns',
    'Asia/Kathmandu',
    'Australia/Lord_Howe',
    'Pacific/Auckland',
    'Pacific/Chatham',
  ];
  const ODD = [
    'Pacific/Apia',
    'Pacific/Kiritimati',
    'Africa/Casablanca',
    'Asia/Pyongyang',
    'America/Caracas',
    'Antarctica/Troll',
    'Pacific/Kwajalein',
  ];
  const time = fc.tuple(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }));
  const turn = time.map(
    ([hour, minute]) => `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`,
  );
  // From 1990 on: within it lie the day that Samoa left out (2011), the one of Kwajalein (1993) and of Kiritimati (1995).
  const start = fc.integer({ min: Date.UTC(1990, 0, 1), max: Date.UTC(2037, 0, 1) });
  const calendars = (zones: string[]): fc.Arbitrary<Calendar> =>
    fc.record({
      startedAtMs: start,
      zone: fc.constantFrom(...zones),
      dayStartsAt: fc.oneof(fc.constant('start'), turn),
    });
  const day = fc.integer({ min: 1, max: 400 });

  test('edges never fall', () => {
    fc.assert(
      fc.property(calendars([...ORDINARY, ...ODD]), day, (given, n) => {
        for (let i = n; i < n + 10; i += 1) {
          expect(dayBeginsAt(given, i + 1)).toBeGreaterThanOrEqual(dayBeginsAt(given, i));
        }
      }),
      drawn(200),
    );
  });

  test('calendarDayAt is the inverse of dayBeginsAt', () => {
    fc.assert(
      fc.property(
        calendars([...ORDINARY, ...ODD]),
        day,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (given, n, part) => {
          const beginsAtMs = dayBeginsAt(given, n);
          const endsAtMs = dayBeginsAt(given, n + 1);
          if (endsAtMs === beginsAtMs) return; // a day that the zone left out: nothing lies in it
          const within = Math.min(endsAtMs - 1, Math.floor(beginsAtMs + part * (endsAtMs - beginsAtMs)));
          for (const atMs of [beginsAtMs, within, endsAtMs - 1]) expect(calendarDayAt(given, atMs)).toBe(n);
        },
      ),
      drawn(200),
    );
  });

  test('days are 23 to 25 hours long in ordinary zones, the first one 12 to 37', () => {
    fc.assert(
      fc.property(calendars(ORDINARY), day, (given, n) => {
        const hours = (dayBeginsAt(given, n + 1) - dayBeginsAt(given, n)) / HOUR_MS;
        const first = n === 1 && given.dayStartsAt !== 'start';
        expect(hours).toBeGreaterThanOrEqual(first ? 12 : 23);
        expect(hours).toBeLessThanOrEqual(first ? 37 : 25);
      }),
      drawn(200),
    );
  });

  test('a wall time that exists is shown by the clock at its instant; luxon agrees where it is unambiguous', () => {
    fc.assert(
      fc.property(fc.constantFrom(...ORDINARY), start, (zone, anyMs) => {
        const instant = Math.floor(anyMs / MINUTE_MS) * MINUTE_MS;
        const { year, month, day: date, hour, minute, offset } = DateTime.fromMillis(instant, { zone });
        const found = instantOfWall(instant + offset * MINUTE_MS, zone);
        expect(found).toBeLessThanOrEqual(instant);
        expect(DateTime.fromMillis(found, { zone }).toObject()).toMatchObject({
          year,
          month,
          day: date,
          hour,
          minute,
        });
        const possible = DateTime.fromMillis(instant, { zone }).getPossibleOffsets();
        expect(found).toBe(Math.min(...possible.map((one) => one.toMillis())));
      }),
      drawn(200),
    );
  });
});
