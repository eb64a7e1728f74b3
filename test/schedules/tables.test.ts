/** The published tables, number by number, and the checks that every table has to pass. */
import { describe, expect, test } from 'vitest';
import fourteenDay from '../../schedules/fourteen-day.ts';
import { BadSchedule, defineSchedule, limitsOf, type WarmupSchedule } from '../../schedules/schedule.ts';
import sendgridHourly from '../../schedules/sendgrid-hourly.ts';

test('fourteen-day is the table of the documentation', () => {
  expect(limitsOf(fourteenDay)).toEqual(
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 40_000, 70_000, 100_000, 150_000, null].map(
      (limit, index) => ({ number: index + 1, limit }),
    ),
  );
});

test('sendgrid-hourly is the page of SendGrid: 20 x 1.4^age, but for its two misprints', () => {
  const rows = limitsOf(sendgridHourly);
  expect(rows).toHaveLength(42);
  expect(rows.filter(({ number, limit }) => limit !== Math.round(20 * 1.4 ** number))).toEqual([
    { number: 12, limit: 1_000 },
    { number: 18, limit: 8_583 },
  ]);
  expect(rows.at(-1)).toEqual({ number: 41, limit: 19_601_056 });
});

describe('a table is refused', () => {
  const heading = { id: 'mine', title: 'Mine', source: 'made up for a test' };
  const daily = (...rows: [day: number, dailyLimit: number | null][]): WarmupSchedule => ({
    ...heading,
    daily: rows.map(([day, dailyLimit]) => ({ day, dailyLimit })),
  });
  const hourly = (...rows: [ageDays: number, hourlyCap: number | null][]): WarmupSchedule => ({
    ...heading,
    hourly: rows.map(([ageDays, hourlyCap]) => ({ ageDays, hourlyCap })),
  });
  const many = Array.from({ length: 401 }, (_, index): [number, number] => [index + 1, 50]);

  test.each([
    ['without rows', daily(), 'it has no rows; give at least one day'],
    ['with more than 400', daily(...many), 'it has 401 rows; at most 400 are allowed'],
    ['with a gap', daily([1, 50], [3, 100]), 'row 2 has day 3 where day 2 is due'],
    ['with a day twice', daily([1, 50], [1, 100]), 'row 2 has day 1 where day 2 is due'],
    ['whose days begin at 0', daily([0, 50]), 'row 1 has day 0 where day 1 is due'],
    ['whose ages begin at 1', hourly([1, 20]), 'row 1 has ageDays 1 where ageDays 0 is due'],
    ['with a limit of 0', daily([1, 0]), 'day 1 has daily limit 0; it must be a whole number from 1'],
    ['with a limit below 0', daily([1, -1]), 'day 1 has daily limit -1; it must be a whole number from 1'],
    ['with half a send', hourly([0, 1.5]), 'ageDays 0 has hourly cap 1.5; it must be a whole number from 1'],
    ['with NaN', daily([1, Number.NaN]), 'day 1 has daily limit NaN'],
    ['with more than the bucket can count', daily([1, 1_000_000_001]), 'a whole number from 1 to 1000000000'],
    ['that falls', daily([1, 500], [2, 400]), 'daily limit must not fall: day 2 has 400 after 500'],
    ['that falls back from unlimited', hourly([0, null], [1, 20]), 'ageDays 1 has 20 after unlimited'],
    [
      'with an id in capitals',
      { ...daily([1, 50]), id: 'Mine' },
      'schedule "Mine": an id is 1 to 64 lower-case',
    ],
    ['with a plus in its id', { ...daily([1, 50]), id: 'a+b' }, 'schedule "a+b": an id is'],
    ['whose rows are no list', { ...daily(), daily: {} as never }, 'its rows are no list of rows'],
    ['with a row that is none', { ...daily(), daily: [null] as never }, 'its rows are no list of rows'],
    ['without an id', { ...daily([1, 50]), id: '' }, 'schedule "": an id is'],
    ['with a dash at the end', { ...daily([1, 50]), id: 'mine-' }, 'schedule "mine-": an id is'],
    ['with 65 letters', { ...daily([1, 50]), id: 'a'.repeat(65) }, 'an id is 1 to 64'],
  ])('%s', (_, schedule, sentence) => {
    expect(() => defineSchedule(schedule)).toThrow(BadSchedule);
    expect(() => defineSchedule(schedule)).toThrow(sentence);
  });

  test('but not one that stays level, ends unlimited, or has a single row', () => {
    for (const good of [daily([1, 50], [2, 50], [3, null], [4, null]), hourly([0, null]), daily([1, 1])]) {
      expect(defineSchedule(good)).toBe(good);
    }
  });
});
