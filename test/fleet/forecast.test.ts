/**
 * Forecast against truth, on the test clock: what is forecast now is what really leaves when the clock goes on hour by hour,
 * everything that the limiter grants is taken, and the worker does its work. The finish within one hour, the days to the send.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { forecastCampaign } from '../../src/fleet/forecast.ts';
import * as ips from '../../src/fleet/ips.ts';
import * as pools from '../../src/fleet/pools.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { drawn } from '../support/drawn.ts';
import { bookOf, type Fleet, MONDAY, startFleet, table } from '../support/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    book: bookOf(
      table('steep', 'hourly', [20, 40, 80, 160, 320]),
      table('ten-days', 'daily', [50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, null]),
    ),
  });
});
afterAll(() => fleet.stop());

/** Hour by hour: at its beginning, and what has flowed in until it ends. */
const byTheHour = (nowMs: number) => (nowMs % HOUR_MS === 0 ? HOUR_MS - 1 : 1);
const byTheMinute = () => MINUTE_MS;

/** Sends as much as there is room for, again and again, until all of it has left. */
async function sendAll(messages: number, pool: string, wait: (nowMs: number) => number, days: number) {
  const byDay = new Map<string, number>();
  let left = messages;
  const until = (await fleet.now()) + days * DAY_MS;
  for (;;) {
    const nowMs = await fleet.now();
    while (left > 0) {
      const { granted } = await fleet.limiter.take({ pool, count: Math.min(left, 1_000_000), partial: true });
      if (granted.length === 0) break;
      const sends = granted.reduce((sum, { count }) => sum + count, 0);
      const date = new Date(nowMs).toISOString().slice(0, 10);
      byDay.set(date, (byDay.get(date) ?? 0) + sends);
      left -= sends;
    }
    if (left === 0 || nowMs >= until) return { byDay, finishedAtMs: nowMs, left };
    await fleet.advance({ ms: wait(nowMs) });
  }
}

const daysOf = (days: readonly { fromMs: number; sends: number }[]) =>
  new Map(
    days
      .filter(({ sends }) => sends > 0)
      .map(({ fromMs, sends }) => [new Date(fromMs).toISOString().slice(0, 10), sends]),
  );

describe('forecast against truth', () => {
  test("the demo's campaign: two IPs in Berlin over the change of the clocks, and one that is active under a ceiling", async () => {
    await fleet.reset();
    await fleet.setClock(Date.parse('2026-03-20T09:00:00Z'));
    const pool = await pools.createPool(fleet.tenant, { name: 'demo' });
    for (let index = 0; index < 2; index += 1) {
      const { id } = await fleet.warming({ zone: 'Europe/Berlin' });
      await pools.addIpToPool(fleet.tenant, pool.id, id);
    }
    const warm = await fleet.bring({ status: 'active' });
    await ips.setCeiling(fleet.tenant, warm.id, { perDay: 1_000 });
    await pools.addIpToPool(fleet.tenant, pool.id, warm.id);

    const messages = 150_000;
    const told = await forecastCampaign(fleet.tenant, { messages, pool: 'demo', zone: 'UTC' });
    const truth = await sendAll(messages, pool.id, byTheHour, 16);
    expect(truth.left).toBe(0);
    expect(Math.abs(told.forecast.finishesAtMs! - truth.finishedAtMs)).toBeLessThanOrEqual(HOUR_MS);
    expect(daysOf(told.forecast.days)).toEqual(truth.byDay);
    expect(told.forecast.ips.reduce((sum, { sends }) => sum + sends, 0)).toBe(messages);
    if (process.env.SHOW) {
      console.log(new Date(told.forecast.finishesAtMs!), new Date(truth.finishedAtMs), truth.byDay);
    }
  }, 60_000);

  test('in the middle of everything: half used hours, holds, drips, ceilings, shares and different days', async () => {
    await fleet.reset();
    await fleet.setClock(MONDAY);
    const pool = await pools.createPool(fleet.tenant, {
      name: 'mixed',
      warmingShare: 0.5,
      ceiling: { perDay: null, perHour: 700 },
    });
    const join = async (id: string) => void (await pools.addIpToPool(fleet.tenant, pool.id, id));
    await join((await fleet.warming({ plan: 'steep' })).id);
    await fleet.advance({ ms: 17 * MINUTE_MS });
    await join((await fleet.warming({ plan: 'ten-days+steep', zone: 'Asia/Kolkata', burst: 5 })).id);
    await fleet.advance({ hours: 30 });
    const held = await fleet.warming({ plan: 'ten-days', zone: 'America/New_York', dayStartsAt: '04:00' });
    await join(held.id);
    const untilMs = (await fleet.now()) + 50 * HOUR_MS;
    await ips.holdIp(fleet.tenant, held.id, { sending: true, advance: true, because: 'a test', untilMs });
    const warm = await fleet.bring({ status: 'active' });
    await ips.setCeiling(fleet.tenant, warm.id, { perHour: 30 });
    await join(warm.id);
    await join((await fleet.bring()).id); // never started
    await fleet.limiter.take({ pool: pool.id, count: 25 });
    await fleet.advance({ ms: 23 * MINUTE_MS });

    const messages = 20_000;
    const told = await forecastCampaign(fleet.tenant, { messages, pool: 'mixed', zone: 'UTC' });
    const truth = await sendAll(messages, pool.id, byTheMinute, 14);
    expect(truth.left).toBe(0);
    if (process.env.SHOW) {
      console.log(new Date(told.forecast.finishesAtMs!), new Date(truth.finishedAtMs));
      console.log(daysOf(told.forecast.days), truth.byDay);
    }
    expect(Math.abs(told.forecast.finishesAtMs! - truth.finishedAtMs)).toBeLessThanOrEqual(HOUR_MS);
    for (const [date, sends] of truth.byDay) {
      expect(Math.abs((daysOf(told.forecast.days).get(date) ?? 0) - sends), date).toBeLessThanOrEqual(
        sends / 100,
      );
    }
    expect(told.forecast.ips.filter(({ never }) => never === 'status')).toHaveLength(1);
  }, 120_000);

  const some = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
  const life = fc.record({
    share: fc.constantFrom(1, 0.5, 0),
    perHour: some(fc.integer({ min: 30, max: 200 })),
    ips: fc.array(
      fc.record({
        isActive: fc.constantFrom(false, false, true),
        plan: fc.constantFrom('steep', 'ten-days', 'ten-days+steep'),
        zone: fc.constantFrom('UTC', 'Asia/Kolkata', 'America/New_York'),
        burst: some(fc.integer({ min: 3, max: 20 })),
        laterMs: fc.integer({ min: 0, max: 3 * HOUR_MS }),
        ceiling: fc.integer({ min: 5, max: 60 }),
        heldMs: some(fc.integer({ min: HOUR_MS, max: 20 * HOUR_MS })),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    taken: fc.integer({ min: 1, max: 30 }),
    messages: fc.integer({ min: 50, max: 300 }),
  });

  test('any small fleet: the finish within the hour, and the days within what a minute lets in', async () => {
    await fc.assert(
      fc.asyncProperty(life, async ({ share, perHour, ips: drawn, taken, messages }) => {
        await fleet.reset();
        await fleet.setClock(MONDAY);
        const ceiling = { perDay: null, perHour };
        const pool = await pools.createPool(fleet.tenant, { name: 'any', warmingShare: share, ceiling });
        for (const { isActive, plan, zone, burst, laterMs, ceiling: perHour, heldMs } of drawn) {
          await fleet.advance({ ms: laterMs });
          const { id } = isActive
            ? await fleet.bring({ status: 'active' })
            : await fleet.warming({ plan, zone, burst });
          if (isActive) await ips.setCeiling(fleet.tenant, id, { perHour });
          const untilMs = (await fleet.now()) + (heldMs ?? 0);
          const request = { sending: true, advance: true, because: 'a test', untilMs };
          if (heldMs !== null) await ips.holdIp(fleet.tenant, id, request);
          await pools.addIpToPool(fleet.tenant, pool.id, id);
        }
        await fleet.limiter.take({ pool: pool.id, count: taken, partial: true });
        const told = await forecastCampaign(fleet.tenant, { messages, pool: 'any', zone: 'UTC' });
        const truth = await sendAll(messages, pool.id, byTheMinute, 20);
        const finishesAtMs = told.forecast.finishesAtMs ?? Number.NaN;
        expect(Math.abs(finishesAtMs - truth.finishedAtMs)).toBeLessThanOrEqual(HOUR_MS);
        let total = 0;
        for (const { fromMs, total: toldTotal } of told.forecast.days) {
          total += truth.byDay.get(new Date(fromMs).toISOString().slice(0, 10)) ?? 0;
          expect(Math.abs(toldTotal - total)).toBeLessThanOrEqual(Math.max(5, messages / 100));
        }
      }),
      // The same few each time, since one that takes weeks of minutes takes minutes; `RUNS=120` draws new ones.
      drawn(4),
    );
  }, 300_000);
});
