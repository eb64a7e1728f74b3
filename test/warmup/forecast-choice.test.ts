/** Which IPs of a pool carry a campaign, and what is said to hold it up: the cases in numbers. */
import { describe, expect, test } from 'vitest';
import { type CounterState, NEW_COUNTER } from '../../src/warmup/counter.ts';
import * as decide from '../../src/warmup/decide.ts';
import type { Ceiling, DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { type ForecastInput, type ForecastIp, forecastAtOnce } from '../../src/warmup/forecast.ts';
import type { Plan } from '../../src/warmup/plan.ts';
import { DAY_MS, HOUR_MS } from '../../src/warmup/units.ts';

const NOW = Date.UTC(2026, 2, 2, 9);
const planOf = (dailyLimit: number | null, hourlyCap: number | null): Plan => ({
  name: 'steady',
  days: Array.from({ length: 10 }, () => ({ dailyLimit, hourlyCap })),
});
const BY_DAY = planOf(50, null);
const BY_HOUR = planOf(null, 20);

function created(number: number, status: 'provisioning' | 'active') {
  const rest = { region: null, hostname: null, bind: null, leased: true };
  return decide.create({ id: `ip_${number}`, address: `10.0.0.${number}`, status, ...rest }, NOW, 'test').ip;
}
/** So many sends were counted in the running day and hour. */
const counted = (dayUsed: number, hourUsed: number): CounterState => ({
  ...{ ...NEW_COUNTER, dayFromMs: NOW, dayUsed, hourFromMs: NOW, hourUsed, atMs: NOW },
});
/** Days of an IP that never warmed up turn at midnight UTC. */
const countedActive = (dayUsed: number, hourUsed: number): CounterState => ({
  ...counted(dayUsed, hourUsed),
  dayFromMs: Date.UTC(2026, 2, 2),
});
const warming = (
  number: number,
  plan = BY_DAY,
  state = NEW_COUNTER,
  burst: number | null = null,
): ForecastIp => {
  const options = { zone: 'UTC', burst, dayStartsAt: 'start', startDay: 1 };
  return {
    ip: decide.startWarmup(created(number, 'provisioning'), plan, options, NOW, 'test').ip,
    plan,
    state,
  };
};
const active = (number: number, state = NEW_COUNTER, ceiling?: Ceiling): ForecastIp => {
  const ip = created(number, 'active');
  return { ip: ceiling ? decide.setCeiling(ip, ceiling, 'test').ip : ip, plan: null, state };
};
const held = (one: ForecastIp, untilMs: number): ForecastIp => {
  const request = { scope: 'ip', sending: true, advance: false, because: 'a test', by: 'test', untilMs };
  return { ...one, ip: decide.hold(one.ip, request, NOW).ip };
};
const forecastOf = (messages: number, ips: ForecastIp[], given: Partial<ForecastInput> = {}) =>
  forecastAtOnce({
    ...{ messages, nowMs: NOW, startMs: NOW, zone: 'UTC', ips, gate: null, planOfItself: BY_HOUR },
    ...given,
  });
const sendsOf = (...given: Parameters<typeof forecastOf>) =>
  forecastOf(...given).ips.map(({ sends }) => sends);

describe('first comes', () => {
  test('of warming IPs the one that has used the least of its day', () => {
    expect(sendsOf(40, [warming(1, BY_DAY, counted(10, 10)), warming(2, BY_DAY, counted(5, 5))])).toEqual([
      0, 40,
    ]);
  });

  test('or of its hour, where that is more', () => {
    const both = planOf(50, 20);
    // 10 of 50 and 8 of 20, against 15 of 50 and 2 of 20.
    expect(sendsOf(12, [warming(1, both, counted(10, 8)), warming(2, both, counted(15, 2))])).toEqual([
      0, 12,
    ]);
    // 15 of 50 and 2 of 20, against 14 of 50 and 7 of 20.
    expect(sendsOf(12, [warming(1, both, counted(15, 2)), warming(2, both, counted(14, 7))])).toEqual([
      12, 0,
    ]);
  });

  test('a warming IP before an active one, however much it has used', () => {
    expect(sendsOf(3, [active(1), warming(2, BY_DAY, counted(47, 47))])).toEqual([0, 3]);
  });

  test('of active IPs the one that has sent the least in its hour, and one without limits before one with', () => {
    const [busy, idle] = [countedActive(90, 30), countedActive(400, 20)];
    expect(sendsOf(70, [active(1, busy), active(2, idle)])).toEqual([0, 70]);
    const half = active(1, countedActive(50, 0), { perDay: 100, perHour: null });
    expect(sendsOf(70, [half, active(2, idle)])).toEqual([0, 70]);
    const capped = active(1, countedActive(50, 5), { perDay: null, perHour: 100 });
    const cappedLess = active(2, countedActive(50, 4), { perDay: null, perHour: 100 });
    expect(sendsOf(70, [capped, cappedLess])).toEqual([0, 70]);
  });

  test('of equals the lower address', () => {
    expect(sendsOf(20, [warming(2), warming(1)])).toEqual([0, 20]);
  });

  test('and what it cannot carry goes to the next', () => {
    expect(sendsOf(60, [warming(1, BY_DAY, counted(10, 10)), warming(2), active(3)])).toEqual([10, 50, 0]);
  });
});

describe("a pool's share for warming IPs", () => {
  const gate = (given: { hourMs?: number; used?: number; warmingUsed?: number } = {}) => ({
    ...{ warmingShare: 0.5, hourMs: NOW, used: 0, warmingUsed: 0, ceiling: null },
    ...given,
  });

  test('is of all that the pool sends in the hour', () => {
    // Half of 100 + 60, less the 40 that warming IPs have had.
    expect(sendsOf(60, [warming(1), active(2)], { gate: gate({ used: 100, warmingUsed: 40 }) })).toEqual([
      40, 20,
    ]);
    expect(sendsOf(60, [warming(1), active(2)], { gate: gate({ used: 0, warmingUsed: 90 }) })).toEqual([
      0, 60,
    ]);
  });

  test('begins afresh with the hour, and not when the clock went back', () => {
    const before = { used: 100, warmingUsed: 100, hourMs: NOW - HOUR_MS };
    expect(sendsOf(60, [warming(1), active(2)], { gate: gate(before) })).toEqual([30, 30]);
    const ahead = { used: 100, warmingUsed: 50, hourMs: NOW + HOUR_MS };
    expect(sendsOf(60, [warming(1), active(2)], { gate: gate(ahead) })).toEqual([30, 30]);
  });

  test('is shared by them in their order', () => {
    expect(sendsOf(60, [warming(1), warming(2), active(3)], { gate: gate() })).toEqual([30, 0, 30]);
    const nearlyFull = warming(1, BY_DAY, counted(0, 0));
    const ips = [nearlyFull, warming(2, BY_DAY, counted(1, 1)), active(3)];
    expect(sendsOf(160, ips, { gate: gate() })).toEqual([50, 30, 80]);
  });

  test('bounds nobody where no active IP has room', () => {
    expect(sendsOf(60, [warming(1), warming(2)], { gate: gate() })).toEqual([50, 10]);
    const full = active(3, countedActive(100, 100), { perDay: 100, perHour: null });
    expect(sendsOf(60, [warming(1), warming(2), full], { gate: gate() })).toEqual([50, 10, 0]);
  });

  test('counts what was sent in each hour for the next of its messages', () => {
    // In the first hour 20 of 20 + 20; the active IP has room for 20 an hour, so each hour is shared alike.
    const ips = [warming(1, BY_HOUR), active(2, NEW_COUNTER, { perDay: null, perHour: 20 })];
    const found = forecastOf(80, ips, { gate: gate() });
    expect(found.ips.map(({ sends }) => sends)).toEqual([40, 40]);
    expect(found.finishesAtMs).toBe(NOW + HOUR_MS);
  });
});

describe('what holds a day up', () => {
  const bindsOf = (...given: Parameters<typeof forecastOf>) =>
    forecastOf(...given).days.map(({ binds }) => binds);

  test('is the limit that its IPs waited for', () => {
    expect(bindsOf(60, [warming(1)])).toEqual(['day', null]);
    expect(bindsOf(50, [warming(1, BY_HOUR)])).toEqual(['hour']);
    expect(bindsOf(50, [warming(1, BY_HOUR, NEW_COUNTER, 1)])).toEqual(['burst']);
    expect(bindsOf(50, [warming(1, BY_HOUR, NEW_COUNTER, 20)])).toEqual(['hour']);
    expect(bindsOf(50, [active(1, NEW_COUNTER, { perDay: 40, perHour: null })])).toEqual(['ceiling', null]);
    expect(bindsOf(50, [warming(1)])).toEqual([null]);
  });

  test('is what they waited for longest: a hold of 5 hours, then a day of 19', () => {
    expect(bindsOf(51, [held(warming(1), NOW + 5 * HOUR_MS)])).toEqual(['day', null]);
    expect(bindsOf(50, [held(warming(1), NOW + 5 * HOUR_MS)])).toEqual(['hold']);
    expect(bindsOf(51, [held(warming(1), NOW + 20 * HOUR_MS)])).toEqual(['hold', 'day']);
  });

  test('is added up over the IPs', () => {
    const [one, other] = [held(warming(1), NOW + 20 * HOUR_MS), held(warming(2), NOW + 20 * HOUR_MS)];
    // A hold of 20 hours beside two days of 24, and two such holds beside one day.
    expect(bindsOf(151, [one, warming(2), warming(3)])).toEqual(['day', 'day']);
    expect(bindsOf(151, [one, other, warming(3)])).toEqual(['hold', 'day']);
  });

  test('is not what never sends, nor what came before the first message', () => {
    const never: ForecastIp = { ip: created(1, 'provisioning'), plan: null, state: NEW_COUNTER };
    expect(bindsOf(50, [never, warming(2)])).toEqual([null]);
    const startMs = NOW + 6 * HOUR_MS;
    expect(bindsOf(50, [held(warming(1), NOW + 5 * HOUR_MS)], { startMs })).toEqual([null]);
  });
});

describe('a day', () => {
  test('names what each IP carries, and counts them', () => {
    const { days } = forecastOf(120, [warming(1), warming(2)]);
    expect(days.map(({ sends, total, ipCount, byIp }) => [sends, total, ipCount, [...byIp]])).toEqual([
      [
        100,
        100,
        2,
        [
          ['10.0.0.1', 50],
          ['10.0.0.2', 50],
        ],
      ],
      [20, 120, 1, [['10.0.0.1', 20]]],
    ]);
    const [{ byIp }] = forecastOf(50, [warming(1, BY_HOUR)]).days as [(typeof days)[number]];
    expect([...byIp]).toEqual([['10.0.0.1', 50]]);
  });

  test('turns at midnight of the zone that was named', () => {
    const { days } = forecastOf(60, [warming(1)], { zone: 'Asia/Kolkata' });
    const midnight = Date.UTC(2026, 2, 1, 18, 30);
    expect(days.map(({ fromMs, toMs }) => [fromMs, toMs])).toEqual([
      [midnight, midnight + DAY_MS],
      [midnight + DAY_MS, midnight + 2 * DAY_MS],
    ]);
  });

  test('names no IP where there are more than a thousand', () => {
    const many = (count: number): ForecastIp[] =>
      Array.from({ length: count }, (_, index) => {
        const { ip, ...rest } = active(1);
        const named: DedicatedIp = { ...ip, id: `ip_${index}`, address: `10.1.${index >> 8}.${index & 255}` };
        return { ...rest, ip: named };
      });
    expect(forecastOf(7, many(1_000)).days[0]!.byIp.size).toBe(1);
    expect(forecastOf(7, many(1_001)).days[0]!.byIp.size).toBe(0);
  });
});
