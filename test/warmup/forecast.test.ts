/** The forecast by itself: it agrees with the dry run, keeps the rules of pools, and takes no step for a message. */
import { describe, expect, test } from 'vitest';
import fourteenDay from '../../schedules/fourteen-day.ts';
import sendgridHourly from '../../schedules/sendgrid-hourly.ts';
import { NEW_COUNTER } from '../../src/warmup/counter.ts';
import * as decide from '../../src/warmup/decide.ts';
import { type ForecastInput, type ForecastIp, forecast, forecastAtOnce } from '../../src/warmup/forecast.ts';
import { buildPlan, type Plan } from '../../src/warmup/plan.ts';
import { projectPlan } from '../../src/warmup/projection.ts';
import { sendQuotaFor } from '../../src/warmup/quota.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';

const book = new Map([fourteenDay, sendgridHourly].map((schedule) => [schedule.id, schedule]));
const NOW = Date.UTC(2026, 2, 2, 9);
const planOfItself = buildPlan('sendgrid-hourly', book);

function created(number: number, status: 'provisioning' | 'active' = 'provisioning') {
  const address = `10.0.${number >> 8}.${number & 255}`;
  const rest = { region: null, hostname: null, bind: null, leased: true };
  return decide.create({ id: `ip_${number}`, address, status, ...rest }, NOW, 'test').ip;
}
function warming(
  number: number,
  plan: Plan,
  given: Partial<decide.StartOptions> = {},
  atMs = NOW,
): ForecastIp {
  const options = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay: 1, ...given };
  return {
    ip: decide.startWarmup(created(number), plan, options, atMs, 'test').ip,
    plan,
    state: NEW_COUNTER,
  };
}
const active = (number: number): ForecastIp => ({
  ip: created(number, 'active'),
  plan: null,
  state: NEW_COUNTER,
});
const forecastOf = (given: Partial<ForecastInput>) =>
  forecastAtOnce({
    ...{ messages: 1_000, nowMs: NOW, startMs: NOW, zone: 'UTC', ips: [], gate: null, planOfItself },
    ...given,
  });

describe('it agrees with the dry run', () => {
  test.each([
    ['fourteen-day', 'UTC', 1],
    ['fourteen-day+sendgrid-hourly', 'Europe/Berlin', 2],
    ['sendgrid-hourly', 'Australia/Lord_Howe', 3],
    ['sendgrid-hourly', 'America/New_York', 1],
  ])('%s in %s over %d IPs: the same day, and the same sends on each', (name, zone, count) => {
    const plan = buildPlan(name, book);
    const ips = Array.from({ length: count }, (_, index) => warming(index, plan, { zone }));
    const calendar = { startedAtMs: NOW, zone, dayStartsAt: 'start' };
    const { days } = projectPlan({ plan, calendar });
    // The clocks of Lord Howe change by half an hour in the night after day 34, those of New York after day 6.
    const told = [1, 2, 6, 7, 13, 14, 34, 35, 42];
    const whole = days.filter(({ sendable, warmupDay }) => sendable !== null && told.includes(warmupDay));
    for (const { warmupDay, cumulative, endsAtMs } of whole) {
      // All that can leave until this day ends: the last message leaves on this day, and one more on the next.
      const messages = count * cumulative!;
      const done = forecastOf({ messages, ips, zone });
      expect(done.finishesAtMs, `day ${warmupDay}`).toBeLessThan(endsAtMs);
      expect(done.finishesAtMs).toBeGreaterThanOrEqual(days[warmupDay - 1]!.beginsAtMs);
      const oneMore = forecastOf({ messages: messages + 1, ips, zone }).finishesAtMs! - endsAtMs;
      expect(oneMore).toBeGreaterThanOrEqual(0);
      expect(oneMore).toBeLessThan(MINUTE_MS);
    }
  });

  test('where the bucket drips, a day has at most one send less for each hour', () => {
    const plan = buildPlan('sendgrid-hourly', book);
    const { finishesAtMs } = forecastOf({ messages: 480, ips: [warming(1, plan, { burst: 1 })] });
    expect(finishesAtMs! - NOW).toBeGreaterThan(23 * HOUR_MS);
    expect(finishesAtMs! - NOW).toBeLessThanOrEqual(24 * HOUR_MS);
  });
});

describe('it goes by the rules', () => {
  const plan = buildPlan('fourteen-day', book);

  test('warming IPs carry what they may, and an active one the rest at once', () => {
    const found = forecastOf({ messages: 1_000, ips: [active(1), warming(2, plan), warming(3, plan)] });
    expect(found.finishesAtMs).toBe(NOW);
    expect(found.ips.map(({ sends }) => sends)).toEqual([900, 50, 50]);
  });

  test('a share bounds the warming ones while an active one has room', () => {
    const gate = { warmingShare: 0.05, hourMs: 0, used: 0, warmingUsed: 0, ceiling: null };
    const found = forecastOf({ messages: 1_000, gate, ips: [active(1), warming(2, plan), warming(3, plan)] });
    expect(found.ips.map(({ sends }) => sends)).toEqual([950, 50, 0]);
  });

  test("a pool's ceiling is what binds, hour by hour", () => {
    const quota = {
      ...sendQuotaFor(created(9, 'active'), null, NOW),
      current: { dailyLimit: null, hourlyCap: 100, burst: null, dailyByCeiling: true, hourlyByCeiling: true },
    };
    const ceiling = { state: NEW_COUNTER, quota: { ...quota, next: quota.current } };
    const gate = { warmingShare: 1, hourMs: 0, used: 0, warmingUsed: 0, ceiling };
    const found = forecastOf({ messages: 1_050, gate, ips: [active(1), warming(2, plan)] });
    expect(found.finishesAtMs).toBe(NOW + 10 * HOUR_MS);
    expect(found.days[0]!.binds).toBe('pool');
    expect(found.ips.map(({ sends }) => sends)).toEqual([1_000, 50]);
    expect(ceiling.state).toBe(NEW_COUNTER);
  });

  test('a hold stops mail until its end, and for ever without one', () => {
    const { ip, ...rest } = warming(1, plan);
    const request = { scope: 'ip', sending: true, advance: false, because: 'a test', by: 'test' };
    const until = { ...rest, ip: decide.hold(ip, { ...request, untilMs: NOW + 5 * HOUR_MS }, NOW).ip };
    expect(forecastOf({ messages: 50, ips: [until] }).finishesAtMs).toBe(NOW + 5 * HOUR_MS);
    const forGood = { ...rest, ip: decide.hold(ip, { ...request, untilMs: null }, NOW).ip };
    const found = forecastOf({ messages: 50, ips: [forGood] });
    expect(found).toMatchObject({ finishesAtMs: null, sent: 0, days: [] });
    expect(found.ips[0]!.never).toBe('hold');
  });

  test('an IP that is not started sends nothing, and one that starts by itself does', () => {
    const provisioned = { ip: created(1), plan: null, state: NEW_COUNTER };
    expect(forecastOf({ messages: 5, ips: [provisioned] }).ips[0]!.never).toBe('status');
    const byItself = { ...provisioned, ip: { ...created(1), autoWarmup: true } };
    expect(forecastOf({ messages: 21, ips: [byItself] }).finishesAtMs).toBe(NOW + HOUR_MS);
  });

  test('when the warm-up is over the rest leaves at once, and a later start finds a later day', () => {
    const found = forecastOf({ messages: 10_000_000, ips: [warming(1, plan)] });
    expect(found.finishesAtMs).toBe(NOW + 13 * DAY_MS);
    expect(found.days).toHaveLength(14);
    expect(found.days.at(-1)!.total).toBe(10_000_000);
    const startMs = NOW + 5 * DAY_MS + 30 * MINUTE_MS;
    expect(forecastOf({ messages: 2_500, startMs, ips: [warming(1, plan)] }).finishesAtMs).toBe(startMs);
    expect(forecastOf({ messages: 2_501, startMs, ips: [warming(1, plan)] }).finishesAtMs).toBe(
      NOW + 6 * DAY_MS,
    );
  });

  test('what was used already is not there again', () => {
    const one = warming(1, plan);
    const state = { ...NEW_COUNTER, dayFromMs: NOW, dayUsed: 50, hourFromMs: NOW, hourUsed: 50, atMs: NOW };
    expect(forecastOf({ messages: 100, ips: [{ ...one, state }] }).finishesAtMs).toBe(NOW + DAY_MS);
  });

  test('without an IP it says so', () => {
    expect(forecastOf({ ips: [] })).toMatchObject({ finishesAtMs: null, sent: 0, days: [], ips: [] });
  });
});

test('whoever walks ahead may stop, and hears how far it came', () => {
  const plan = buildPlan('sendgrid-hourly', book);
  const ips = Array.from({ length: 20 }, (_, index) => warming(index, plan, {}, NOW - index * 7 * MINUTE_MS));
  const input = { messages: 1e12, nowMs: NOW, startMs: NOW, zone: 'UTC', ips, gate: null, planOfItself };
  const walk = forecast(input);
  expect(walk.next(false).done).toBe(false);
  expect(walk.next(false).done).toBe(false);
  const stopped = walk.next(true);
  if (!stopped.done) throw new Error('it went on');
  const { finishesAtMs, sent, untilMs, days } = stopped.value;
  expect(finishesAtMs).toBeNull();
  expect(untilMs).toBeGreaterThan(NOW);
  expect(untilMs).toBeLessThan(NOW + DAY_MS);
  expect(days.at(-1)).toMatchObject({ total: sent, ipCount: 20 });
});

test('12 million messages over 100 IPs that started at 100 different times: a few steps for each IP and hour', () => {
  const plan = buildPlan('fourteen-day+sendgrid-hourly', book);
  const ips = Array.from({ length: 100 }, (_, index) =>
    warming(index, plan, {}, NOW - index * 7 * MINUTE_MS),
  );
  const input = {
    messages: 12_000_000,
    nowMs: NOW,
    startMs: NOW,
    zone: 'UTC',
    ips,
    gate: null,
    planOfItself,
  };
  const walk = forecast(input);
  let pauses = 0;
  let step = walk.next();
  for (; !step.done; step = walk.next()) pauses += 1;
  expect(step.value.finishesAtMs).toBeGreaterThan(NOW + 12 * DAY_MS);
  // It pauses after 200 steps. All of them wait for 13 days or so, and each hour has a look and a grant, some of them twice.
  const hours = ((step.value.finishesAtMs! - NOW) / HOUR_MS) * ips.length;
  expect(pauses * 200).toBeGreaterThan(hours);
  expect(pauses * 200).toBeLessThan(8 * hours);
});
