/** What a counter says to whoever asks, in numbers that can be reckoned by hand: the limit that binds, and until when. */
import { describe, expect, test } from 'vitest';
import {
  type CounterState,
  charge,
  FULL,
  fullAt,
  NEW_COUNTER,
  read,
  refund,
  roomAt,
  SEND_UNITS,
  settle,
} from '../../src/warmup/counter.ts';
import type { SendQuota, WindowLimits } from '../../src/warmup/quota.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';

const DAY_FROM = Date.UTC(2026, 2, 27, 9);
const DAY_TO = DAY_FROM + DAY_MS;
/** Half past the third hour of the day. */
const NOW = DAY_FROM + 2.5 * HOUR_MS;

const limitsOf = (limits: Partial<WindowLimits>): WindowLimits => ({
  ...{ dailyLimit: null, hourlyCap: null, burst: null, dailyByCeiling: false, hourlyByCeiling: false },
  ...limits,
});
const quotaOf = (limits: Partial<WindowLimits>, more: Partial<SendQuota> = {}): SendQuota => ({
  ...{ gate: 'warming', heldUntilMs: 0, fromMs: DAY_FROM, toMs: DAY_TO, edgesMs: [] },
  ...{ current: limitsOf(limits), next: limitsOf(limits) },
  ...more,
});
const stateOf = (state: Partial<CounterState>): CounterState => ({
  ...NEW_COUNTER,
  ...{ dayFromMs: DAY_FROM, hourFromMs: DAY_FROM + 2 * HOUR_MS, atMs: NOW },
  ...state,
});
const used = (dayUsed: number, hourUsed: number, sendsInBucket?: number) =>
  stateOf({
    dayUsed,
    hourUsed,
    ...(sendsInBucket === undefined ? {} : { level: sendsInBucket * SEND_UNITS }),
  });
const said = (state: CounterState, quota: SendQuota, nowMs = NOW) => {
  const { state: _, ...reading } = read(state, quota, nowMs);
  return reading;
};
const BOTH = { dailyLimit: 50, hourlyCap: 20 };

describe('a reading', () => {
  test('of what is unlimited', () => {
    expect(said(used(7, 3), quotaOf({}))).toEqual({
      ...{ room: Number.POSITIVE_INFINITY, binds: null, limit: -1, remaining: -1, resetsAtMs: DAY_TO },
    });
  });

  test('names the day until its end, and the hour until its own', () => {
    expect(said(used(41, 3), quotaOf(BOTH))).toEqual({
      ...{ room: 9, binds: 'day', limit: 50, remaining: 9, resetsAtMs: DAY_TO },
    });
    expect(said(used(31, 3), quotaOf(BOTH))).toEqual({
      ...{ room: 17, binds: 'hour', limit: 20, remaining: 17, resetsAtMs: DAY_FROM + 3 * HOUR_MS },
    });
  });

  test('of equals names the one that is over last', () => {
    expect(said(used(33, 3), quotaOf(BOTH))).toMatchObject({ binds: 'day', resetsAtMs: DAY_TO });
    expect(said(used(4, 13, 7), quotaOf({ ...BOTH, burst: 10 }))).toMatchObject({ room: 7, binds: 'hour' });
  });

  test('names the ceiling where it is that which is tighter', () => {
    expect(said(used(41, 3), quotaOf({ ...BOTH, dailyByCeiling: true }))).toMatchObject({ binds: 'ceiling' });
    expect(said(used(4, 3), quotaOf({ ...BOTH, hourlyByCeiling: true }))).toMatchObject({ binds: 'ceiling' });
    expect(said(used(4, 3), quotaOf({ ...BOTH, dailyByCeiling: true }))).toMatchObject({ binds: 'hour' });
  });

  test('of more than the limit has no room, and not less than none', () => {
    expect(said(used(60, 3), quotaOf(BOTH))).toMatchObject({ room: 0, remaining: 0 });
    expect(said(used(4, 25), quotaOf(BOTH))).toMatchObject({ room: 0, remaining: 0 });
  });

  test('of a bucket says when it is full, to the millisecond', () => {
    // 20 an hour: one send each three minutes; 6.5 of 10 are in it.
    const quota = quotaOf({ ...BOTH, burst: 10 });
    const state = used(4, 3, 6.5);
    const fullMs = NOW + 3.5 * 3 * MINUTE_MS;
    expect(said(state, quota)).toEqual({
      ...{ room: 6, binds: 'burst', limit: 10, remaining: 6, resetsAtMs: fullMs },
    });
    expect(fullAt(state, quota)).toBe(fullMs);
    expect(settle(state, quota, fullMs).level).toBe(10 * SEND_UNITS);
    expect(settle(state, quota, fullMs - 1).level).toBeLessThan(10 * SEND_UNITS);
  });

  test.each<[binds: string, quota: Partial<SendQuota>]>([
    ['status', { gate: 'closed' }],
    ['status', { gate: 'closed', heldUntilMs: NOW + 1 }],
    ['hold', { heldUntilMs: NOW + 1 }],
    ['hold', { heldUntilMs: Number.POSITIVE_INFINITY }],
  ])('that is stopped by its %s: nothing, whatever is left', (binds, more) => {
    const quota = quotaOf(BOTH, more);
    expect(said(used(41, 3), quota)).toEqual({ room: 0, binds, limit: 0, remaining: 0, resetsAtMs: DAY_TO });
  });

  test('at the end of a hold is free of it', () => {
    expect(said(used(41, 3), quotaOf(BOTH, { heldUntilMs: NOW }))).toMatchObject({ room: 9, binds: 'day' });
  });
});

describe('when a bucket is full', () => {
  test('it is at once, and there is no such instant without one', () => {
    expect(fullAt(used(4, 3, 10), quotaOf({ ...BOTH, burst: 10 }))).toBe(NOW);
    expect(fullAt(used(4, 3), quotaOf(BOTH))).toBeNull();
  });

  test.each([1, 7, 50, 999, 100_000])(
    'that a day of %i refills: neither a millisecond early nor late',
    (dailyLimit) => {
      const quota = quotaOf({ dailyLimit, burst: dailyLimit });
      for (const share of [0, 0.25, 0.9]) {
        const state = stateOf({ level: Math.floor(share * dailyLimit * SEND_UNITS) });
        const fullMs = fullAt(state, quota)!;
        // The rate goes on past the day's end as if the day had none, so the next day is one of the same length.
        const endless = {
          ...quota,
          toMs: DAY_FROM + 3 * DAY_MS,
          current: limitsOf({ dailyLimit: dailyLimit * 3, burst: dailyLimit }),
        };
        expect(settle(state, endless, fullMs).level).toBe(dailyLimit * SEND_UNITS);
        expect(settle(state, endless, fullMs - 1).level).toBeLessThan(dailyLimit * SEND_UNITS);
      }
    },
  );
});

describe('the instant with room', () => {
  test('is now where there is room, else the end of what is in the way', () => {
    expect(roomAt(used(4, 3), quotaOf(BOTH), NOW, 17)).toBe(NOW);
    expect(roomAt(used(4, 3), quotaOf(BOTH), NOW, 18)).toBe(DAY_FROM + 3 * HOUR_MS);
    expect(roomAt(used(31, 3), quotaOf(BOTH), NOW, 20)).toBe(DAY_TO);
    expect(roomAt(used(4, 3, 2), quotaOf({ ...BOTH, burst: 10 }), NOW, 3)).toBe(NOW + 3 * MINUTE_MS);
    expect(roomAt(used(4, 3), quotaOf(BOTH, { heldUntilMs: NOW + 5 }), NOW, 1)).toBe(NOW + 5);
  });

  test.each<[what: string, quota: SendQuota, count: number]>([
    ['more than a day has', quotaOf({ dailyLimit: 50 }), 51],
    ['more than an hour has', quotaOf(BOTH), 21],
    ['more than the bucket holds', quotaOf({ ...BOTH, burst: 10 }), 11],
    ['an IP that gives no mail', quotaOf(BOTH, { gate: 'closed' }), 1],
    ['a hold without an end', quotaOf(BOTH, { heldUntilMs: Number.POSITIVE_INFINITY }), 1],
  ])('is never: %s', (_, quota, count) => {
    expect(roomAt(used(0, 0), quota, NOW, count)).toBeNull();
  });

  test('of what only the next day allows is its beginning', () => {
    expect(
      roomAt(used(0, 0), quotaOf(BOTH, { next: limitsOf({ dailyLimit: 500, hourlyCap: 200 }) }), NOW, 100),
    ).toBe(DAY_TO);
  });
});

test('a grant is counted in day, hour and bucket, and numbered', () => {
  expect(charge(used(4, 3, 9), 2)).toEqual({ ...used(6, 5, 7), seq: 1 });
  expect(charge({ ...used(4, 3), seq: 41 }, 2)).toEqual({ ...used(6, 5), level: FULL, seq: 42 });
});

describe('a refund', () => {
  const receipt = (hour: number, count: number) => ({
    ...{ dayFromMs: DAY_FROM, hourFromMs: DAY_FROM + hour * HOUR_MS, count },
  });
  test('of this hour is credited to all three, of an earlier one not to the hour', () => {
    const quota = quotaOf({ ...BOTH, burst: 10 });
    expect(refund(used(4, 3, 5), quota, NOW, receipt(2, 2))).toEqual({ refunded: 2, state: used(2, 1, 7) });
    expect(refund(used(4, 3, 5), quota, NOW, receipt(1, 2))).toEqual({ refunded: 2, state: used(2, 3, 7) });
  });
  test('without a bucket fills none, and one that is full is not overfilled', () => {
    expect(refund(used(4, 3), quotaOf(BOTH), NOW, receipt(2, 2)).state.level).toBe(FULL);
    expect(refund(used(4, 3, 9), quotaOf({ ...BOTH, burst: 10 }), NOW, receipt(2, 2)).state.level).toBe(
      10 * SEND_UNITS,
    );
  });
  test('of a day that is over credits nothing', () => {
    const old = { dayFromMs: DAY_FROM - DAY_MS, hourFromMs: DAY_FROM - HOUR_MS, count: 2 };
    expect(refund(used(4, 3, 5), quotaOf({ ...BOTH, burst: 10 }), NOW, old).refunded).toBe(0);
  });
});
