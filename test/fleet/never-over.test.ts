/**
 * Never over, whatever the fleet does: holds and resumes, releases and restores, pools, days in odd zones, a worker that is
 * late or does not come at all. Each grant is written down with the receipt's instant and summed up by the record's own days.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as ips from '../../src/fleet/ips.ts';
import * as pools from '../../src/fleet/pools.ts';
import { tick } from '../../src/fleet/tick.ts';
import { calendarDayAt, dayBeginsAt } from '../../src/warmup/calendar.ts';
import type { DedicatedIp, Warmup } from '../../src/warmup/dedicated-ip.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';
import { buildPlan } from '../../src/warmup/plan.ts';
import { warmupDayAt } from '../../src/warmup/progress.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { holdsFor } from '../support/drawn.ts';
import { bookOf, type Fleet, startFleet, table } from '../support/fleet.ts';

// Three days before clocks change in Berlin.
const START = Date.UTC(2026, 2, 26, 13, 30);
const book = bookOf(
  table('daily', 'daily', [5, 9, 20, 45, 100]),
  table('hourly', 'hourly', [2, 4, 7, 12, 30]),
);
let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ clock: START, book });
});
afterAll(() => fleet.stop());

const start = fc.record({
  plan: fc.constantFrom('daily', 'hourly', 'daily+hourly'),
  zone: fc.constantFrom('UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'Asia/Kolkata'),
  dayStartsAt: fc.constantFrom('start', '04:00', '02:30'),
  burst: fc.option(fc.integer({ min: 1, max: 9 }), { nil: null }),
  startDay: fc.constantFrom(1, 1, 1, 2, 4),
});
const STEPS = [
  'take',
  'take',
  'take',
  'takePool',
  'refund',
  'hold',
  'holdPool',
  'resume',
  'resumePool',
  'release',
  'restore',
  'clock',
  'clock',
  'clock',
  'late',
  'late',
  'tick',
  'join',
  'leave',
] as const;
const step = fc.record({
  do: fc.constantFrom(...STEPS),
  which: fc.nat({ max: 1 }),
  count: fc.integer({ min: 1, max: 30 }),
  sending: fc.boolean(),
  advance: fc.boolean(),
  ms: fc.oneof(
    fc.integer({ min: 1, max: 90 * MINUTE_MS }),
    fc.integer({ min: HOUR_MS, max: 12 * HOUR_MS }),
    fc.integer({ min: HOUR_MS, max: 3 * DAY_MS }),
  ),
  open: fc.boolean(),
});

test('no IP ever gives more than the limit of its day or the cap of its hour, in any random life', async () => {
  let granted = 0;
  let days = 0;
  const life = async (
    starts: Parameters<typeof ips.startWarmup>[2][],
    steps: (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
  ) => {
    await fleet.reset();
    const { tenant, limiter } = fleet;
    await pools.createPool(tenant, { name: 'pool' });
    const ids: string[] = [];
    for (const request of starts) ids.push((await fleet.warming(request)).id);
    const sent: { id: string; atMs: number; count: number; receipt: string }[] = [];

    const checkLimits = async () => {
      const nowMs = await fleet.now();
      for (const id of ids) {
        const ip = await ips.getIp(tenant, id);
        if (ip.status !== 'warming') continue;
        const { warmup } = ip as DedicatedIp & { warmup: Warmup };
        const day = calendarDayAt(warmup, nowMs);
        const fromMs = dayBeginsAt(warmup, day);
        const hourMs = fromMs + Math.floor((nowMs - fromMs) / HOUR_MS) * HOUR_MS;
        const plan = buildPlan(warmup.plan, book);
        const reached = Math.min(warmupDayAt({ ...ip, warmup }, nowMs), plan.days.length);
        const { dailyLimit, hourlyCap } = plan.days[reached - 1]!;
        const since = (edgeMs: number) =>
          sent
            .filter((one) => one.id === id && one.atMs >= edgeMs)
            .reduce((sum, { count }) => sum + count, 0);
        expect(since(fromMs)).toBeLessThanOrEqual(dailyLimit ?? Number.POSITIVE_INFINITY);
        expect(since(hourMs)).toBeLessThanOrEqual(hourlyCap ?? Number.POSITIVE_INFINITY);
        days = Math.max(days, day);
      }
    };

    for (const one of steps) {
      const id = ids[one.which % ids.length]!;
      const untilMs = one.open ? null : (await fleet.now()) + one.ms;
      const hold = { sending: one.sending, advance: one.advance || !one.sending, because: 'a test', untilMs };
      const steps = {
        take: async () => limiter.take({ ip: id, count: one.count, partial: true }),
        takePool: async () => limiter.take({ pool: 'pool', count: one.count, partial: true }),
        refund: async () => {
          const grant = sent[one.count % Math.max(1, sent.length)];
          if (grant) grant.count -= (await limiter.refund([{ receipt: grant.receipt }])).refunded;
        },
        hold: async () => ips.holdIp(tenant, id, hold),
        holdPool: async () => pools.holdPool(tenant, 'pool', hold),
        resume: async () => ips.resumeIp(tenant, id),
        resumePool: async () => pools.resumePool(tenant, 'pool'),
        release: async () => ips.releaseIp(tenant, id),
        restore: async () => ips.restoreIp(tenant, id),
        join: async () => pools.addIpToPool(tenant, 'pool', id),
        leave: async () => pools.removeIpFromPool(tenant, 'pool', id),
        clock: async () => fleet.advance({ ms: one.ms }),
        late: async () => fleet.advance({ ms: one.ms, work: false }),
        tick: async () => tick(fleet.engine),
      };
      const result = await steps[one.do]().catch((error: unknown) => {
        if (!(error instanceof WarmlineError)) throw error;
      });
      if (result && 'granted' in result) {
        const atMs = await fleet.now();
        for (const { ipId, count, receipt } of result.granted) {
          sent.push({ id: ipId, atMs, count, receipt });
          granted += count;
        }
      }
      await checkLimits();
    }
  };
  const twoStarts = fc.array(start, { minLength: 1, maxLength: 2 });
  const history = fc.array(step, { minLength: 1, maxLength: 80, size: 'max' });
  await holdsFor(fc.asyncProperty(twoStarts, history, life), 60);
  expect(granted).toBeGreaterThan(100);
  expect(days).toBeGreaterThan(3);
});
