import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BookedIp, checkBooks, noteGrant, noteRefund, noteSpent, openBooks } from './books.ts';
import { patternOf } from './keyspace.ts';
import { type Point, trendOf } from './verdict.ts';

// Who judges for half an hour must itself be tried: it sees a small leak, and no leak where there is noise.

const EVERY_MS = 10_000;
const tolerance = { share: 0.05, slack: 8 };
const points = (valueAt: (index: number) => number): Point[] =>
  Array.from({ length: 180 }, (_, index) => ({ atMs: index * EVERY_MS, value: valueAt(index) }));
const trend = (all: Point[]) => trendOf('memory', 'MB', all, tolerance);

describe('a trend', () => {
  test('of a megabyte a minute is growth', () => {
    const { flat, growth } = trend(points((index) => 150 + index / 6));
    expect(flat).toBe(false);
    expect(growth).toBeCloseTo(89 / 6, 1);
  });

  test('that ends in the first half is flat: caches fill', () => {
    expect(trend(points((index) => Math.min(300, 100 + index * 4))).flat).toBe(true);
  });

  test('of noise around one value is flat, also with a few values far away', () => {
    const noise = fc.array(fc.integer({ min: -20, max: 20 }), { minLength: 180, maxLength: 180 });
    fc.assert(
      fc.property(noise, fc.integer({ min: 91, max: 179 }), (shaken, spike) => {
        // Both ways alike, since chance may well draw a slope.
        const both = points((index) => 1_000 + shaken[index >> 1]! * (index % 2 === 0 ? 1 : -1));
        both[spike] = { ...both[spike]!, value: 100_000 };
        expect(Math.abs(trend(both).growth)).toBeLessThan(50);
      }),
    );
  });

  test('a small figure may shake by its slack', () => {
    expect(trend(points((index) => (index < 140 ? 10 : 15))).flat).toBe(true);
    expect(trend(points((index) => 10 + index * 0.2)).flat).toBe(false);
  });
});

describe('the books', () => {
  const HOUR_MS = 3_600_000;
  const dayMs = 0;
  const ip: BookedIp = {
    ipId: 'ip_1',
    leased: false,
    startedAtMs: dayMs,
    limitsOn: () => ({ dailyLimit: 50, hourlyCap: 20 }),
  };
  const granted = (count: number, hour = 0) => ({
    receipt: `ip_1.${dayMs}.${dayMs + hour * HOUR_MS}.${count}.1`,
    count,
  });
  const ledger = (...sends: number[]) => [
    { ipId: 'ip_1', hours: new Map(sends.map((count, hour) => [dayMs + hour * HOUR_MS, count])) },
  ];

  test('balance when Redis counts what was granted less what was credited', () => {
    const books = openBooks();
    noteGrant(books, granted(20));
    noteRefund(books, granted(20).receipt, 5, 1_000);
    expect(checkBooks(books, ledger(15), [ip])).toMatchObject({
      granted: 15,
      over: 0,
      unbalanced: 0,
      wrong: [],
    });
    expect(checkBooks(books, ledger(14), [ip])).toMatchObject({ unbalanced: 1 });
    expect(checkBooks(books, ledger(16), [ip])).toMatchObject({ unbalanced: 1 });
    expect(checkBooks(openBooks(), ledger(1), [ip])).toMatchObject({ unbalanced: 1 });
  });

  test('name what is over the cap of an hour, and over the limit of a day whose hours are within theirs', () => {
    const books = openBooks();
    noteGrant(books, granted(21));
    expect(checkBooks(books, ledger(21), [ip])).toMatchObject({ over: 1 });
    const spread = openBooks();
    for (const hour of [0, 1, 2]) noteGrant(spread, granted(17, hour));
    const check = checkBooks(spread, ledger(17, 17, 17), [ip]);
    expect(check).toMatchObject({ over: 1, unbalanced: 0 });
    expect(check.wrong).toEqual(['ip_1 sent 51 on warm-up day 1, the limit is 50']);
  });

  test('of leases may have more in Redis and never less; close to an edge nobody guesses the hour', () => {
    const leased = { ...ip, leased: true };
    const books = openBooks();
    noteSpent(books, 'ip_1', dayMs - 48 * HOUR_MS, dayMs + 1_000, 3);
    expect(checkBooks(books, ledger(5), [leased])).toMatchObject({ granted: 3, unbalanced: 0, unspent: 2 });
    expect(checkBooks(books, ledger(2), [leased])).toMatchObject({ unbalanced: 1 });
    noteSpent(books, 'ip_1', dayMs, dayMs + HOUR_MS - 10, 1);
    expect(checkBooks(books, ledger(4), [leased])).toMatchObject({ unbalanced: 0, unspent: 0 });
  });
});

test.each([
  ['warmline:{acct_default}:ip:ip_x1', 'warmline:{acct_*}:ip:*'],
  ['warmline:{acct_x9}:hot:10.0.0.1', 'warmline:{acct_*}:hot:*'],
  ['warmline:{acct_x9}:turn:all:4', 'warmline:{acct_*}:turn:*:*'],
  ['warmline:{inventory}:free-in:', 'warmline:{inventory}:free-in:*'],
  ['warmline:{queue}:tick:meta', 'warmline:{queue}:*'],
  ['warmline:{acct_x9}:surprise:1', 'unexpected'],
  ['warmline:{acct_x9}:', 'unexpected'],
  ['other', 'unexpected'],
])('the key %s is of the pattern %s', (key, pattern) => {
  expect(patternOf(key)).toBe(pattern);
});
