/** What is published for an IP: its windows, and which limits are in force in them. */
import { describe, expect, test } from 'vitest';
import { create, release, startWarmup } from '../../src/warmup/decide.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import type { Plan } from '../../src/warmup/plan.ts';
import { completesAt } from '../../src/warmup/progress.ts';
import { sendQuotaFor } from '../../src/warmup/quota.ts';
import { DAY_MS, HOUR_MS } from '../../src/warmup/units.ts';

const START = Date.UTC(2026, 11, 1, 10);
const daily: Plan = {
  name: 'daily',
  days: [100, 200, 300].map((dailyLimit) => ({ dailyLimit, hourlyCap: null })),
};
const hourly: Plan = { name: 'hourly', days: [20, 40].map((hourlyCap) => ({ dailyLimit: null, hourlyCap })) };

function provisioned(): DedicatedIp {
  const names = { id: 'ip_1', address: '203.0.113.7', region: null, hostname: null, bind: null };
  return create({ ...names, leased: true, status: 'provisioning' }, START, 'test').ip;
}
const warming = (plan: Plan, burst: number | null = null): DedicatedIp =>
  startWarmup(provisioned(), plan, { zone: 'UTC', burst, dayStartsAt: 'start', startDay: 1 }, START, 'test')
    .ip;

describe('windows', () => {
  test('the current day, the next one, and the ends of a week of days behind it', () => {
    const quota = sendQuotaFor(warming(daily), daily, START + DAY_MS + HOUR_MS);
    expect(quota).toMatchObject({
      gate: 'warming',
      heldUntilMs: 0,
      fromMs: START + DAY_MS,
      toMs: START + 2 * DAY_MS,
    });
    expect(quota.edgesMs).toEqual([3, 4, 5, 6, 7, 8, 9].map((days) => START + days * DAY_MS));
  });

  test('a status that gives no mail closes the gate', () => {
    expect(sendQuotaFor(provisioned(), null, START).gate).toBe('closed');
    const { ip } = release(warming(daily), DAY_MS, START, 'test');
    expect(sendQuotaFor(ip, daily, START).gate).toBe('closed');
  });
});

describe('limits', () => {
  test('the last day of the plan goes on until the worker has lifted it', () => {
    const ip = warming(daily);
    expect(sendQuotaFor(ip, daily, START + 2 * DAY_MS)).toMatchObject({
      current: { dailyLimit: 300 },
      next: { dailyLimit: 300 },
    });
    expect(sendQuotaFor(ip, daily, START + 9 * DAY_MS).current.dailyLimit).toBe(300);
  });

  test('the bucket holds an hourly cap, or what the start named if that is less', () => {
    const burstOf = (ip: DedicatedIp, plan: Plan) => sendQuotaFor(ip, plan, START).current.burst;
    expect(burstOf(warming(hourly), hourly)).toBe(20);
    expect(burstOf(warming(hourly, 7), hourly)).toBe(7);
    expect(burstOf(warming(hourly, 500), hourly)).toBe(20);
    // Without hourly caps there is one only where one was named, and never larger than a day.
    expect(burstOf(warming(daily), daily)).toBeNull();
    expect(burstOf(warming(daily, 7), daily)).toBe(7);
    expect(burstOf(warming(daily, 500), daily)).toBe(100);
  });

  test('an active IP has neither limits nor a bucket of its own', () => {
    const ip: DedicatedIp = { ...warming(daily, 7), status: 'active' };
    expect(sendQuotaFor(ip, daily, START).current).toEqual({
      ...{ dailyLimit: null, hourlyCap: null, burst: null },
      ...{ dailyByCeiling: false, hourlyByCeiling: false },
    });
    const never: DedicatedIp = { ...provisioned(), status: 'active' };
    expect(sendQuotaFor(never, null, START).current.dailyLimit).toBeNull();
  });

  test.each([
    [{ perDay: null, perHour: null }, 20, false, null, false],
    [{ perDay: null, perHour: 20 }, 20, false, null, false],
    [{ perDay: null, perHour: 5 }, 5, true, null, false],
    [{ perDay: 30, perHour: 25 }, 20, false, 30, true],
  ])(
    'a ceiling %j binds where it is tighter',
    (ceiling, hourlyCap, hourlyByCeiling, dailyLimit, dailyByCeiling) => {
      expect(sendQuotaFor({ ...warming(hourly), ceiling }, hourly, START).current).toEqual({
        ...{ hourlyCap, hourlyByCeiling, dailyLimit, dailyByCeiling },
        burst: hourlyCap,
      });
    },
  );
});

test('only a warm-up that goes on has an end', () => {
  const ip = warming(daily);
  expect(completesAt(ip, START)).toBe(START + 3 * DAY_MS);
  expect(completesAt({ ...ip, status: 'active' }, START)).toBeNull();
  expect(completesAt(provisioned(), START)).toBeNull();
});
