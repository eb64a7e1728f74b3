import { describe, expect, test } from 'vitest';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { clockTime, counted, grouped, lasting, timeAndWait } from '../../src/warmup/words.ts';

test.each([
  [0, '0'],
  [999, '999'],
  [1_000, '1,000'],
  [123_456, '123,456'],
  [19_601_056, '19,601,056'],
])('%d is written %s', (value, text) => {
  expect(grouped(value)).toBe(text);
});

test('one is one, and none are many', () => {
  expect([0, 1, 2, 1_000].map((count) => counted(count, 'IP'))).toEqual([
    '0 IPs',
    '1 IP',
    '2 IPs',
    '1,000 IPs',
  ]);
  expect(counted(2, 'is held', 'are held')).toBe('2 are held');
  expect(counted(1, 'is held', 'are held')).toBe('1 is held');
});

test.each([
  [0, '0 s'],
  [-5_000, '0 s'],
  [1, '1 s'],
  [1_000, '1 s'],
  [1_001, '2 s'],
  [59_000, '59 s'],
  [59_001, '1 min'],
  [MINUTE_MS + 1_000, '1 min 1 s'],
  [HOUR_MS, '1 h'],
  [HOUR_MS + 1_000, '1 h'],
  [90 * MINUTE_MS, '1 h 30 min'],
  [23 * HOUR_MS + 59 * MINUTE_MS + 59_000, '23 h 59 min'],
  [DAY_MS, '1 d'],
  [DAY_MS + HOUR_MS - 1_000, '1 d'],
  [25 * HOUR_MS + 30 * MINUTE_MS, '1 d 1 h'],
  [40 * DAY_MS + 5 * HOUR_MS, '40 d 5 h'],
])('%d ms last %s', (ms, text) => {
  expect(lasting(ms)).toBe(text);
});

describe('an instant on the clock of a zone', () => {
  const now = Date.UTC(2026, 10, 24, 9, 30);

  test.each([
    ['today', Date.UTC(2026, 10, 24, 10, 0), 'UTC', '10:00'],
    ['to the second where there are some', Date.UTC(2026, 10, 24, 10, 0, 20), 'UTC', '10:00:20'],
    ['never early', Date.UTC(2026, 10, 24, 10, 0, 20, 1), 'UTC', '10:00:21'],
    ['on the wall of the zone', Date.UTC(2026, 10, 24, 10, 0), 'Europe/Berlin', '11:00'],
    ['tomorrow there, though not here', Date.UTC(2026, 10, 24, 15, 0), 'Asia/Tokyo', 'Wed 25 Nov 00:00'],
    ['on another day', Date.UTC(2026, 11, 1, 0, 0), 'UTC', 'Tue 1 Dec 00:00'],
    ['of the same date a month later', Date.UTC(2026, 11, 24, 10, 0), 'UTC', 'Thu 24 Dec 10:00'],
    ['in another year', Date.UTC(2027, 0, 5, 7, 5, 9), 'UTC', 'Tue 5 Jan 2027 07:05:09'],
  ])('%s', (_, at, zone, text) => {
    expect(clockTime(at, now, zone)).toBe(text);
  });

  test('with the wait until then', () => {
    expect(timeAndWait(now + 24 * MINUTE_MS, now, 'Europe/Berlin')).toBe('10:54 (in 24 min)');
  });
});
