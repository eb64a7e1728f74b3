/**
 * The arithmetic of the limiter against a model that was written apart from it and in another way: the model keeps every
 * grant with its instant and sums them up again each time, and fills its bucket one millisecond after the other. What
 * both agree on for hundreds of random histories is what the design promises.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type CounterState,
  charge,
  NEW_COUNTER,
  read,
  refund,
  roomAt,
  SEND_UNITS,
  settle,
  windowAt,
} from '../../src/warmup/counter.ts';
import type { SendQuota, WindowLimits } from '../../src/warmup/quota.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { drawn } from '../support/drawn.ts';

const T0 = Date.UTC(2026, 2, 27, 9, 0, 0);

// ---- what is drawn

const orNull = <T>(arb: fc.Arbitrary<T>) => fc.option(arb, { nil: null, freq: 4 });

const byTheHour: fc.Arbitrary<WindowLimits> = fc
  .record({
    dailyLimit: orNull(fc.integer({ min: 1, max: 150 })),
    hourlyCap: fc.integer({ min: 1, max: 60 }),
  })
  .chain((limits) =>
    fc.integer({ min: 1, max: limits.hourlyCap }).map((burst) => ({ ...limits, burst, ...NO_CEILING })),
  );
const withoutBucket: fc.Arbitrary<WindowLimits> = orNull(fc.integer({ min: 1, max: 150 })).map(
  (dailyLimit) => ({
    dailyLimit,
    hourlyCap: null,
    burst: null,
    ...NO_CEILING,
  }),
);
const byTheDay: fc.Arbitrary<WindowLimits> = fc
  .integer({ min: 1, max: 100_000 })
  .chain((dailyLimit) =>
    fc
      .integer({ min: 1, max: dailyLimit })
      .map((burst) => ({ dailyLimit, hourlyCap: null, burst, ...NO_CEILING })),
  );
const NO_CEILING = { dailyByCeiling: false, hourlyByCeiling: false };
const exactLimits = fc.oneof({ weight: 3, arbitrary: byTheHour }, { weight: 1, arbitrary: withoutBucket });

/** Windows far shorter than a day, so that a history of a few hours crosses edges, whole hours and broken hours. */
const quotaOf = (
  limits: fc.Arbitrary<WindowLimits>,
  lengths: fc.Arbitrary<number>,
): fc.Arbitrary<SendQuota> =>
  fc
    .record({ current: limits, next: limits, lengths: fc.array(lengths, { minLength: 3, maxLength: 5 }) })
    .map(({ current, next, lengths: [first, ...others] }) => {
      let edge = T0 + first!;
      return {
        gate: 'warming',
        heldUntilMs: 0,
        fromMs: T0,
        toMs: edge,
        current,
        next,
        edgesMs: others.map((length) => (edge += length)),
      };
    });
const shortWindows = fc.integer({ min: 5 * MINUTE_MS, max: 150 * MINUTE_MS });

type Step = { kind: 'take' | 'takeAll' | 'refund' | 'back'; ms: number; count: number; which: number };
const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('take', 'take', 'takeAll', 'refund', 'back'),
  ms: fc.oneof(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 12 * MINUTE_MS })),
  count: fc.integer({ min: 1, max: 40 }),
  which: fc.nat(),
});
const history = fc.array(step, { minLength: 1, maxLength: 25 });

// ---- the model

type Grant = { atMs: number; count: number; refunded: number };

class Model {
  readonly grants: Grant[] = [];
  private readonly quota: SendQuota;
  private nowMs = T0;
  private level = Number.POSITIVE_INFINITY;

  constructor(quota: SendQuota) {
    this.quota = quota;
    this.goTo(T0);
  }

  /** All windows up to ten days after the last edge, written down one after the other. */
  windows() {
    const edges = [this.quota.fromMs, this.quota.toMs, ...this.quota.edgesMs];
    for (let extra = 0; extra < 10; extra += 1) edges.push(edges.at(-1)! + DAY_MS);
    return edges.slice(1).map((toMs, index) => ({
      fromMs: edges[index]!,
      toMs,
      limits: index === 0 ? this.quota.current : this.quota.next,
    }));
  }

  window(atMs: number) {
    return this.windows().find(({ toMs }) => atMs < toMs)!;
  }

  /** Goes to an instant, a millisecond at a time; never back. */
  goTo(atMs: number): void {
    const windows = this.windows();
    while (this.nowMs < atMs) {
      const { toMs, limits } = windows.find((window) => this.nowMs < window.toMs)!;
      const { burst, hourlyCap } = limits;
      const endMs = Math.min(atMs, toMs);
      for (; this.nowMs < endMs; this.nowMs += 1) {
        this.level =
          burst === null ? Number.POSITIVE_INFINITY : Math.min(burst * 3_600_000, this.level + hourlyCap!);
      }
    }
    const { burst } = this.window(this.nowMs).limits;
    this.level = burst === null ? Number.POSITIVE_INFINITY : Math.min(burst * 3_600_000, this.level);
  }

  private sum(fromMs: number, toMs: number): number {
    return this.grants
      .filter(({ atMs }) => atMs >= fromMs && atMs < toMs)
      .reduce((total, { count, refunded }) => total + count - refunded, 0);
  }

  usedInDay(atMs: number): number {
    const { fromMs, toMs } = this.window(atMs);
    return this.sum(fromMs, toMs);
  }

  hour(atMs: number): [number, number] {
    let { fromMs } = this.window(atMs);
    const { toMs } = this.window(atMs);
    while (fromMs + HOUR_MS <= atMs) fromMs += HOUR_MS;
    return [fromMs, Math.min(toMs, fromMs + HOUR_MS)];
  }

  usedInHour(atMs: number): number {
    return this.sum(...this.hour(atMs));
  }

  room(): number {
    const { dailyLimit, hourlyCap } = this.window(this.nowMs).limits;
    return Math.max(
      0,
      Math.min(
        dailyLimit === null ? Number.POSITIVE_INFINITY : dailyLimit - this.usedInDay(this.nowMs),
        hourlyCap === null ? Number.POSITIVE_INFINITY : hourlyCap - this.usedInHour(this.nowMs),
        Math.floor(this.level / 3_600_000),
      ),
    );
  }

  take(count: number): void {
    this.grants.push({ atMs: this.nowMs, count, refunded: 0 });
    this.level -= count * 3_600_000;
  }

  /** A whole grant comes back, if its day still runs; the hour forgets it only while it is the same hour. */
  refund(grant: Grant): boolean {
    if (this.window(grant.atMs).fromMs !== this.window(this.nowMs).fromMs) return false;
    grant.refunded = grant.count;
    const { burst } = this.window(this.nowMs).limits;
    if (burst !== null) this.level = Math.min(burst * 3_600_000, this.level + grant.count * 3_600_000);
    return true;
  }
}

describe('a random history', () => {
  test('gives the same room as the model at every step, and is never over in any day or hour', () => {
    fc.assert(
      fc.property(quotaOf(exactLimits, shortWindows), history, (quota, steps) => {
        const model = new Model(quota);
        let state: CounterState = NEW_COUNTER;
        let nowMs = T0;
        const receipts: { dayFromMs: number; hourFromMs: number; count: number; grant: Grant }[] = [];
        for (const { kind, ms, count, which } of steps) {
          // The clock steps back behind what the counter has seen; the model just stands still.
          if (kind === 'back') {
            state = settle(state, quota, nowMs);
            expect(read(state, quota, nowMs - ms).room).toBe(model.room());
            state = settle(state, quota, nowMs - ms);
            continue;
          }
          nowMs += ms;
          model.goTo(nowMs);
          const reading = read(state, quota, nowMs);
          expect(reading.room).toBe(model.room());
          expect(reading.state.dayUsed).toBe(model.usedInDay(nowMs));
          expect(reading.state.hourUsed).toBe(model.usedInHour(nowMs));
          if (kind === 'refund') {
            const receipt = receipts.splice(which % Math.max(1, receipts.length), 1)[0];
            if (!receipt) continue;
            const back = refund(state, quota, nowMs, receipt);
            expect(back.refunded > 0).toBe(model.refund(receipt.grant));
            state = back.state;
            const { burst } = windowAt(quota, nowMs).limits;
            if (burst !== null) expect(state.level).toBeLessThanOrEqual(burst * SEND_UNITS);
            expect(state.dayUsed).toBeGreaterThanOrEqual(0);
            expect(state.hourUsed).toBeGreaterThanOrEqual(0);
            continue;
          }
          const wanted = kind === 'takeAll' && Number.isFinite(reading.room) ? reading.room : count;
          if (wanted === 0 || wanted > reading.room) continue;
          state = charge(reading.state, wanted);
          model.take(wanted);
          const { dayFromMs, hourFromMs } = state;
          receipts.push({ dayFromMs, hourFromMs, count: wanted, grant: model.grants.at(-1)! });
        }
        for (const { atMs } of model.grants) {
          const { dailyLimit, hourlyCap } = model.window(atMs).limits;
          if (dailyLimit !== null) expect(model.usedInDay(atMs)).toBeLessThanOrEqual(dailyLimit);
          if (hourlyCap !== null) expect(model.usedInHour(atMs)).toBeLessThanOrEqual(hourlyCap);
        }
      }),
      drawn(250),
    );
  });

  test('with the daily limit as the rate: never over, and the bucket gives no more than the rate', () => {
    fc.assert(
      fc.property(
        quotaOf(byTheDay, fc.integer({ min: HOUR_MS, max: 36 * HOUR_MS })),
        history,
        (quota, steps) => {
          let state: CounterState = NEW_COUNTER;
          let nowMs = T0;
          const grants: [atMs: number, count: number][] = [];
          for (const { ms, count } of steps) {
            nowMs += ms * 20;
            const reading = read(state, quota, nowMs);
            const wanted = count % 2 === 0 ? reading.room : Math.min(reading.room, count);
            if (wanted === 0) continue;
            state = charge(reading.state, wanted);
            grants.push([nowMs, wanted]);
          }
          for (const [atMs] of grants) {
            const { fromMs, toMs, limits } = windowAt(quota, atMs);
            const inDay = grants.filter(([at]) => at >= fromMs && at <= atMs);
            const sent = inDay.reduce((sum, [, count]) => sum + count, 0);
            expect(sent).toBeLessThanOrEqual(limits.dailyLimit!);
            // Counted from the first grant of the day: a full bucket, and what flowed in since.
            const [firstMs] = inDay[0]!;
            const flowed = ((atMs - firstMs) * limits.dailyLimit!) / (toMs - fromMs);
            expect(sent).toBeLessThanOrEqual(limits.burst! + flowed + 1e-6);
          }
        },
      ),
      drawn(250),
    );
  });
});

describe('roomAt', () => {
  /** A counter in the middle of a history, at the instant it was last charged. */
  const charged = (quota: SendQuota, steps: Step[]) => {
    let state: CounterState = NEW_COUNTER;
    let nowMs = T0;
    for (const { ms, count, kind } of steps) {
      nowMs += ms;
      const reading = read(state, quota, nowMs);
      const wanted = kind === 'takeAll' && Number.isFinite(reading.room) ? reading.room : count;
      state = wanted > 0 && wanted <= reading.room ? charge(reading.state, wanted) : reading.state;
    }
    return { state, nowMs };
  };
  const anyQuota = quotaOf(
    fc.oneof(byTheHour, withoutBucket, byTheDay),
    fc.oneof(shortWindows, fc.integer({ min: 23 * HOUR_MS, max: 36 * HOUR_MS })),
  );
  const held = fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    { weight: 2, arbitrary: fc.integer({ min: T0, max: T0 + 3 * DAY_MS }) },
    { weight: 1, arbitrary: fc.constant(Number.POSITIVE_INFINITY) },
  );

  test('names the first millisecond with room, and none before it has any', () => {
    fc.assert(
      fc.property(
        anyQuota,
        held,
        history,
        fc.integer({ min: 1, max: 120 }),
        (drawn, heldUntilMs, steps, count) => {
          const { state, nowMs } = charged(drawn, steps);
          const quota = { ...drawn, heldUntilMs };
          const atMs = roomAt(state, quota, nowMs, count);
          if (atMs !== null) {
            expect(read(state, quota, atMs).room).toBeGreaterThanOrEqual(count);
            if (atMs > nowMs) expect(read(state, quota, atMs - 1).room).toBeLessThan(count);
          }
          // Looked at where anything can change: at edges, at hours, and between; up to four days after the last edge.
          const endMs = quota.edgesMs.at(-1)! + 4 * DAY_MS;
          const until = atMs ?? endMs;
          for (let edgeMs = T0; edgeMs < until; edgeMs = windowAt(quota, edgeMs).toMs) {
            for (let lookMs = edgeMs; lookMs < windowAt(quota, edgeMs).toMs; lookMs += 10 * MINUTE_MS) {
              if (lookMs >= nowMs && lookMs < until)
                expect(read(state, quota, lookMs).room).toBeLessThan(count);
            }
            const lastMs = windowAt(quota, edgeMs).toMs - 1;
            if (lastMs >= nowMs && lastMs < until)
              expect(read(state, quota, lastMs).room).toBeLessThan(count);
          }
        },
      ),
      drawn(300),
    );
  });

  test('is null where the status forbids it, whatever comes', () => {
    const limits = { dailyLimit: 50, hourlyCap: 20, burst: 20, ...NO_CEILING };
    const quota: SendQuota = {
      gate: 'closed',
      heldUntilMs: 0,
      fromMs: T0,
      toMs: T0 + DAY_MS,
      current: limits,
      next: limits,
      edgesMs: [],
    };
    expect(roomAt(NEW_COUNTER, quota, T0, 1)).toBeNull();
    expect(roomAt(NEW_COUNTER, { ...quota, gate: 'warming' }, T0, 21)).toBeNull();
    expect(roomAt(NEW_COUNTER, { ...quota, gate: 'warming' }, T0, 20)).toBe(T0);
  });
});

describe('settling', () => {
  const days = fc.integer({ min: 23 * HOUR_MS, max: 25 * HOUR_MS });

  test('in one go equals settling in many small steps, days long', () => {
    const jump = fc.oneof(fc.integer({ min: 0, max: HOUR_MS }), fc.integer({ min: 0, max: 3 * DAY_MS }));
    const jumps = fc.array(jump, { maxLength: 8 });
    fc.assert(
      fc.property(
        quotaOf(exactLimits, days),
        fc.integer({ min: 1, max: 60 }),
        jumps,
        (quota, count, waits) => {
          const start = read(NEW_COUNTER, quota, T0);
          const before = charge(start.state, Math.min(count, start.room));
          let state = before;
          let nowMs = T0;
          for (const wait of waits) {
            for (let leftMs = wait; leftMs > 0; leftMs -= 17 * MINUTE_MS) {
              nowMs += Math.min(leftMs, 17 * MINUTE_MS);
              state = settle(state, quota, nowMs);
            }
            expect(state).toEqual(settle(before, quota, nowMs));
          }
        },
      ),
      drawn(150),
    );
  });

  test('at the rate of a day, many small steps lose less than one unit each and gain nothing', () => {
    const waits = fc.array(fc.integer({ min: 1, max: HOUR_MS }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(quotaOf(byTheDay, days), waits, (quota, steps) => {
        const start = read(NEW_COUNTER, quota, T0);
        const before = charge(start.state, start.room);
        let state = before;
        let nowMs = T0;
        steps.forEach((ms, index) => {
          nowMs += ms;
          state = settle(state, quota, nowMs);
          const atOnce = settle(before, quota, nowMs).level;
          expect(state.level).toBeLessThanOrEqual(atOnce);
          expect(state.level).toBeGreaterThanOrEqual(atOnce - 2 * (index + 1));
        });
      }),
      drawn(150),
    );
  });

  test('a clock that went back behind the start of a warm-up fills no bucket', () => {
    const limits = { dailyLimit: 100, hourlyCap: null, burst: 10, ...NO_CEILING };
    // What is published then is a day without length, and the days that follow it.
    const quota: SendQuota = {
      ...{ gate: 'warming', heldUntilMs: 0, fromMs: T0, toMs: T0, current: limits, next: limits },
      edgesMs: [T0 + DAY_MS],
    };
    const spent = {
      ...NEW_COUNTER,
      dayFromMs: T0,
      dayUsed: 10,
      hourFromMs: T0,
      hourUsed: 10,
      level: 0,
      atMs: T0 - HOUR_MS,
    };
    expect(settle(spent, quota, T0 - MINUTE_MS).level).toBe(0);
    expect(read(spent, quota, T0 - MINUTE_MS)).toMatchObject({ room: 0, binds: 'burst' });
    expect(roomAt(spent, quota, T0 - MINUTE_MS, 1)).toBe(T0 + DAY_MS / 100);
  });

  test('a clock that steps back refills nothing, neither then nor when it comes forward again', () => {
    fc.assert(
      fc.property(
        quotaOf(exactLimits, shortWindows),
        fc.array(fc.integer({ min: -2 * HOUR_MS, max: 0 }), { maxLength: 10 }),
        fc.integer({ min: 0, max: HOUR_MS }),
        (quota, backs, forwardMs) => {
          const atMs = T0 + 20 * MINUTE_MS;
          const start = read(NEW_COUNTER, quota, atMs);
          const before = charge(start.state, Number.isFinite(start.room) ? start.room : 5);
          const wandered = backs.reduce((state, ms) => settle(state, quota, atMs + ms), before);
          expect(wandered).toEqual(before);
          expect(settle(wandered, quota, atMs + forwardMs)).toEqual(settle(before, quota, atMs + forwardMs));
        },
      ),
      drawn(150),
    );
  });
});

describe('a refund', () => {
  const limits = { dailyLimit: 50, hourlyCap: 20, burst: 20, ...NO_CEILING };
  const quota: SendQuota = {
    gate: 'warming',
    heldUntilMs: 0,
    fromMs: T0,
    toMs: T0 + DAY_MS,
    current: limits,
    next: limits,
    edgesMs: [],
  };
  const taken = charge(read(NEW_COUNTER, quota, T0).state, 20);
  const receipt = { dayFromMs: T0, hourFromMs: T0, count: 20 };

  test.each([
    [
      'in the same hour gives back to day, hour and bucket',
      10 * MINUTE_MS,
      20,
      { dayUsed: 0, hourUsed: 0, room: 20 },
    ],
    ['in the next hour gives back to the day', HOUR_MS, 20, { dayUsed: 0, hourUsed: 0, room: 20 }],
    ['on the next day gives back nothing', DAY_MS, 0, { dayUsed: 0, hourUsed: 0, room: 20 }],
  ])('%s', (_, afterMs, refunded, expected) => {
    const back = refund(taken, quota, T0 + afterMs, receipt);
    const { room, state } = read(back.state, quota, T0 + afterMs);
    expect({ refunded: back.refunded, dayUsed: state.dayUsed, hourUsed: state.hourUsed, room }).toEqual({
      refunded,
      ...expected,
    });
  });

  test('never lifts above the limit: a receipt for more than was used credits what was used', () => {
    const back = refund(taken, quota, T0, { ...receipt, count: 500 });
    expect(back.refunded).toBe(20);
    expect(back.state.dayUsed).toBe(0);
    expect(back.state.level).toBe(20 * SEND_UNITS);
  });
});
