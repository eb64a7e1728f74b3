/** A plan joins schedules: the tightest limit binds, the first one named sets the length. */
import { expect, test } from 'vitest';
import fourteenDay from '../../schedules/fourteen-day.ts';
import { defineSchedule } from '../../schedules/schedule.ts';
import sendgridHourly from '../../schedules/sendgrid-hourly.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';
import { buildPlan, DEFAULT_PLAN, limitsOn, Plan, planDigest, tighter } from '../../src/warmup/plan.ts';

const gentle = defineSchedule({
  id: 'gentle',
  title: 'Two days',
  source: 'made up for a test',
  daily: [
    { day: 1, dailyLimit: 60 },
    { day: 2, dailyLimit: 70 },
  ],
});
const book = new Map([fourteenDay, sendgridHourly, gentle].map((schedule) => [schedule.id, schedule]));

test('the default plan has the daily limits of one table and the hourly caps of the other', () => {
  const plan = buildPlan(DEFAULT_PLAN, book);
  expect(plan.name).toBe('fourteen-day+sendgrid-hourly');
  expect(plan.days).toHaveLength(14);
  expect([1, 7, 14].map((day) => limitsOn(plan, day))).toEqual([
    { dailyLimit: 50, hourlyCap: 20 },
    { dailyLimit: 5_000, hourlyCap: 151 },
    { dailyLimit: null, hourlyCap: 1_587 },
  ]);
  expect(Plan.parse(plan)).toEqual(plan);
});

test('the schedule named first sets the length, and a shorter one repeats its last row', () => {
  const plan = buildPlan('sendgrid-hourly+gentle', book);
  expect(plan.days).toHaveLength(42);
  expect(limitsOn(plan, 42)).toEqual({ dailyLimit: 70, hourlyCap: 19_601_056 });
  expect(buildPlan('gentle+sendgrid-hourly', book).days).toHaveLength(2);
});

test('of two tables of one kind the tighter row binds, day by day', () => {
  expect(buildPlan('fourteen-day+gentle', book).days.slice(0, 3)).toEqual([
    { dailyLimit: 50, hourlyCap: null },
    { dailyLimit: 70, hourlyCap: null },
    { dailyLimit: 70, hourlyCap: null },
  ]);
});

test('past its end the last row of a plan repeats', () => {
  expect(limitsOn(buildPlan('gentle', book), 99)).toEqual({ dailyLimit: 70, hourlyCap: null });
});

test.each([
  [
    'an unknown schedule',
    'fast',
    'plan "fast": there is no schedule "fast"; known are fourteen-day, gentle, sendgrid-hourly',
  ],
  ['no name', '', 'plan "": there is no schedule ""'],
  ['a plus too many', 'gentle+', 'plan "gentle+": there is no schedule ""'],
  ['one schedule twice', 'gentle+gentle', 'plan "gentle+gentle" names a schedule twice'],
  ['a word that every object has', 'constructor', 'there is no schedule "constructor"'],
])('%s is refused', (_, name, sentence) => {
  expect(() => buildPlan(name, book)).toThrow(sentence);
  expect(() => buildPlan(name, book)).toThrow(expect.objectContaining({ code: 'invalid', param: 'plan' }));
  expect(() => buildPlan(name, book)).toThrow(WarmlineError);
});

test('null is unlimited wherever two limits meet', () => {
  expect([tighter(null, null), tighter(null, 5), tighter(5, null), tighter(5, 3)]).toEqual([null, 5, 5, 3]);
});

test('the digest names the rows: the same for the same, another for any other', () => {
  const plan = buildPlan('gentle', book);
  expect(planDigest(plan)).toMatch(/^[0-9a-f]{16}$/);
  expect(planDigest(structuredClone(plan))).toBe(planDigest(plan));
  const edited = { ...plan, days: plan.days.map((day) => ({ ...day, dailyLimit: day.dailyLimit! + 1 })) };
  expect(planDigest(edited)).not.toBe(planDigest(plan));
});

test('an unknown schedule tells programs which are known, in order', () => {
  const book = new Map([sendgridHourly, fourteenDay].map((schedule) => [schedule.id, schedule]));
  const refused = (() => {
    try {
      return buildPlan('fast', book);
    } catch (error) {
      return error;
    }
  })();
  expect((refused as WarmlineError).details).toEqual({ known: ['fourteen-day', 'sendgrid-hourly'] });
});
