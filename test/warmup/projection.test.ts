/**
 * What the dry run promises, against the limiter: a sender who takes whenever there is room, walked through every day of
 * a warm-up with the quotas that the worker would publish, ends each day at exactly the number in the table.
 */
import { describe, expect, test } from 'vitest';
import fourteenDay from '../../schedules/fourteen-day.ts';
import { defineSchedule } from '../../schedules/schedule.ts';
import sendgridHourly from '../../schedules/sendgrid-hourly.ts';
import { type Calendar, dayBeginsAt, parseStart } from '../../src/warmup/calendar.ts';
import {
  type CounterState,
  charge,
  NEW_COUNTER,
  read,
  roomAt,
  settle,
  windowAt,
} from '../../src/warmup/counter.ts';
import { create, startWarmup } from '../../src/warmup/decide.ts';
import { buildPlan, type Plan } from '../../src/warmup/plan.ts';
import { projectPlan } from '../../src/warmup/projection.ts';
import { sendQuotaFor } from '../../src/warmup/quota.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';

const steep = defineSchedule({
  id: 'steep',
  title: 'Three days, the last without a limit',
  source: 'made up for a test',
  hourly: [
    { ageDays: 0, hourlyCap: 1 },
    { ageDays: 1, hourlyCap: 97 },
    { ageDays: 2, hourlyCap: null },
  ],
});
const flat = defineSchedule({
  id: 'flat',
  title: 'A cap of 100 for five days',
  source: 'made up for a test',
  hourly: Array.from({ length: 5 }, (_, ageDays) => ({ ageDays, hourlyCap: 100 })),
});
const book = new Map([fourteenDay, sendgridHourly, steep, flat].map((schedule) => [schedule.id, schedule]));
const plan = (name: string) => buildPlan(name, book);
const calendar = (start: string, zone: string, dayStartsAt = 'start'): Calendar => ({
  startedAtMs: parseStart(start, zone),
  zone,
  dayStartsAt,
});

/**
 * Sends each day of a warm-up all that the limiter gives. One at a time where a day is small; of big days as many at once
 * as still fit into the hour, then half as many, down to one: what is left over then is less than one send.
 */
function walk(given: Plan, days: Calendar): (number | null)[] {
  const { zone, dayStartsAt, startedAtMs } = days;
  const address = { id: 'ip_1', address: '203.0.113.7', region: null, hostname: null, bind: null };
  const created = create({ ...address, leased: true, status: 'provisioning' }, startedAtMs, 'test');
  const options = { zone, dayStartsAt, burst: null, startDay: 1 };
  const { ip } = startWarmup(created.ip, given, options, startedAtMs, 'test');

  const sent: (number | null)[] = [];
  let counter: CounterState = NEW_COUNTER;
  let nowMs = startedAtMs;
  for (const [index, { dailyLimit, hourlyCap }] of given.days.entries()) {
    if (dayBeginsAt(days, index + 2) === dayBeginsAt(days, index + 1)) {
      sent.push(0); // the zone left this day out
      continue;
    }
    const quota = sendQuotaFor(ip, given, nowMs);
    let sends = 0;
    const limited = dailyLimit !== null || hourlyCap !== null;
    for (let hourMs = quota.fromMs; limited && hourMs < quota.toMs; hourMs += HOUR_MS) {
      const endMs = Math.min(hourMs + HOUR_MS, quota.toMs);
      let atMs = hourMs;
      let chunk = 2 ** Math.max(0, Math.floor(Math.log2((hourlyCap ?? dailyLimit!) / 64)));
      while (chunk >= 1) {
        const roomMs = roomAt(counter, quota, atMs, chunk);
        if (roomMs === null || roomMs >= endMs) {
          chunk = Math.floor(chunk / 2);
          continue;
        }
        counter = charge(read(counter, quota, roomMs).state, chunk);
        atMs = roomMs;
        sends += chunk;
      }
    }
    sent.push(limited ? sends : null);
    counter = settle(counter, quota, quota.toMs);
    nowMs = quota.toMs;
  }
  return sent;
}

describe('a sender who takes whenever there is room ends each day at exactly what was projected', () => {
  const both = 'fourteen-day+sendgrid-hourly';
  test.each([
    ['in UTC', both, calendar('2026-12-01T10:00', 'UTC')],
    ['by hourly caps alone, all 42 days', 'sendgrid-hourly', calendar('2026-12-01T10:00', 'UTC')],
    ['by daily limits alone', 'fourteen-day', calendar('2026-12-01T10:00', 'UTC')],
    ['over the change to summer time', both, calendar('2026-03-20T10:00', 'Europe/Berlin')],
    ['over the change to winter time', 'sendgrid-hourly', calendar('2026-10-12T10:00', 'Europe/Berlin')],
    ['over a day of 23.5 hours', 'sendgrid-hourly', calendar('2026-09-25T10:00', 'Australia/Lord_Howe')],
    ['over a day of 24.5 hours', both, calendar('2026-03-27T10:00', 'Australia/Lord_Howe')],
    ['a day of 23.5 hours under both', both, calendar('2026-09-25T10:00', 'Australia/Lord_Howe')],
    ['in a half-hour zone', both, calendar('2026-12-01T10:00', 'Asia/Kolkata')],
    ['turning at 04:00, day 1 of 12 hours', both, calendar('2026-12-01T16:00', 'UTC', '04:00')],
    [
      'turning at 04:00, day 1 of 17.5 hours',
      'sendgrid-hourly',
      calendar('2026-12-01T10:30', 'Europe/Berlin', '04:00'),
    ],
    [
      'turning at 04:00, day 1 of almost 36 hours',
      both,
      calendar('2026-12-01T16:01', 'Asia/Kolkata', '04:00'),
    ],
    [
      'turning at 04:00 on Lord Howe',
      'sendgrid-hourly',
      calendar('2026-03-28T10:10', 'Australia/Lord_Howe', '04:00'),
    ],
    [
      'started a millisecond before the hour',
      both,
      { ...calendar('2026-12-01T16:00', 'UTC', '04:00'), startedAtMs: Date.UTC(2026, 11, 1, 9, 59, 59, 999) },
    ],
    ['where Samoa left a day out', both, calendar('2011-12-27T10:00', 'Pacific/Apia')],
    ['up to no limit at all', 'steep', calendar('2026-12-01T10:07', 'UTC', '04:00')],
  ])('%s (%s)', (_, name, days) => {
    const given = plan(name);
    expect(walk(given, days)).toEqual(
      projectPlan({ plan: given, calendar: days }).days.map(({ sendable }) => sendable),
    );
  });
});

test('in days of whole hours, sendable is the smaller of daily limit and cap x hours', () => {
  for (const name of ['fourteen-day', 'sendgrid-hourly', 'fourteen-day+sendgrid-hourly']) {
    for (const start of ['2026-03-20T10:00', '2026-10-20T10:00']) {
      for (const { dailyLimit, hourlyCap, beginsAtMs, endsAtMs, sendable } of projectPlan({
        plan: plan(name),
        calendar: calendar(start, 'Europe/Berlin'),
      }).days) {
        const byHour =
          hourlyCap === null ? Number.POSITIVE_INFINITY : (hourlyCap * (endsAtMs - beginsAtMs)) / HOUR_MS;
        const most = Math.min(dailyLimit ?? Number.POSITIVE_INFINITY, byHour);
        expect(sendable ?? Number.POSITIVE_INFINITY).toBe(most);
      }
    }
  }
});

test('a partial last hour has the full cap: day 1 of 17.5 hours has 18 of them', () => {
  const given = calendar('2026-12-01T10:30', 'Europe/Berlin', '04:00');
  expect(projectPlan({ plan: plan('sendgrid-hourly'), calendar: given }).days[0]!.sendable).toBe(18 * 20);
});

test('a day of 23 hours has 23 of them', () => {
  const { days } = projectPlan({
    plan: plan('flat'),
    calendar: calendar('2026-03-27T10:00', 'Europe/Berlin'),
  });
  expect(days.map(({ sendable }) => sendable)).toEqual([2_400, 2_300, 2_400, 2_400, 2_400]);
});

test('what binds is told for each day, and the sum runs along until there is no limit', () => {
  const { days, completesAtMs } = projectPlan({
    plan: plan('fourteen-day+sendgrid-hourly'),
    calendar: calendar('2026-12-01T10:00', 'UTC'),
  });
  expect(days.map(({ binds }) => binds)).toEqual([...Array(6).fill('day'), ...Array(8).fill('hour')]);
  expect(days.at(-1)).toMatchObject({
    warmupDay: 14,
    dailyLimit: null,
    sendable: 38_088,
    cumulative: 125_504,
  });
  expect(completesAtMs).toBe(days.at(-1)!.endsAtMs);

  const alone = projectPlan({
    plan: plan('fourteen-day'),
    calendar: calendar('2026-12-01T10:00', 'UTC'),
  }).days;
  expect(alone.slice(-2)).toMatchObject([
    { binds: 'day', sendable: 150_000, cumulative: 399_400 },
    { binds: null, sendable: null, cumulative: null, carried: null, overflow: null },
  ]);
});

describe('with a volume', () => {
  const days = calendar('2026-12-01T10:00', 'UTC');
  const project = (name: string, volume: number, ips?: number, on = days) =>
    projectPlan({ plan: plan(name), calendar: on, volume, ips });

  test.each([
    ['one IP never carries 100 000 by both tables', 'fourteen-day+sendgrid-hourly', 100_000, 1, null],
    ['by daily limits alone it does on day 12', 'fourteen-day', 100_000, 1, 12],
    ['ten IPs by day 10', 'fourteen-day+sendgrid-hourly', 99_120, 10, 10],
    ['and one message more waits for day 11', 'fourteen-day+sendgrid-hourly', 99_121, 10, 11],
    ['a trickle fits at once', 'fourteen-day', 50, 1, 1],
    ['without a limit everything fits', 'fourteen-day', 1_000_000_000, 1, 14],
  ])('%s', (_, name, volume, ips, expected) => {
    const { fitsFromDay, days: rows } = project(name, volume, ips);
    expect(fitsFromDay).toBe(expected);
    for (const { carried, overflow, sendable } of rows) {
      expect(carried! + overflow!).toBe(volume);
      if (sendable !== null) expect(carried).toBe(Math.min(volume, ips * sendable));
    }
  });

  test('a day of 23 hours that falls short again puts it off', () => {
    const berlin = calendar('2026-03-27T10:00', 'Europe/Berlin');
    expect(project('flat', 2_350, 1, berlin).fitsFromDay).toBe(3);
    expect(project('flat', 2_350, 1, berlin).days.map(({ overflow }) => overflow)).toEqual([0, 50, 0, 0, 0]);
  });
});

test('a published window gives what the day of the projection says', () => {
  const given = plan('sendgrid-hourly');
  const days = calendar('2026-12-01T10:00', 'UTC');
  const created = create(
    {
      id: 'ip_1',
      address: '203.0.113.7',
      region: null,
      hostname: null,
      bind: null,
      leased: true,
      status: 'provisioning',
    },
    days.startedAtMs,
    'test',
  );
  const { ip } = startWarmup(
    created.ip,
    given,
    { ...days, burst: null, startDay: 1 },
    days.startedAtMs,
    'test',
  );
  for (const row of projectPlan({ plan: given, calendar: days }).days) {
    const window = windowAt(sendQuotaFor(ip, given, row.beginsAtMs), row.beginsAtMs);
    expect(window).toMatchObject({
      fromMs: row.beginsAtMs,
      toMs: row.endsAtMs,
      limits: { dailyLimit: row.dailyLimit, hourlyCap: row.hourlyCap },
    });
  }
});
