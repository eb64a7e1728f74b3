/** What may have been forgotten counts as used up: the cases in numbers, without a Redis. */
import { describe, expect, test } from 'vitest';
import { type CounterState, heedFence, NEW_COUNTER, read, SEND_UNITS } from '../../src/warmup/counter.ts';
import type { SendQuota, WindowLimits } from '../../src/warmup/quota.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';

const DAY_FROM = Date.UTC(2026, 2, 27, 9);
const NO_CEILING = { dailyByCeiling: false, hourlyByCeiling: false };

const quotaOf = (limits: Omit<WindowLimits, keyof typeof NO_CEILING>): SendQuota => ({
  gate: 'warming',
  heldUntilMs: 0,
  fromMs: DAY_FROM,
  toMs: DAY_FROM + DAY_MS,
  current: { ...limits, ...NO_CEILING },
  next: { ...limits, ...NO_CEILING },
  edgesMs: [],
});
const byTheHour = quotaOf({ dailyLimit: 50, hourlyCap: 20, burst: 20 });
const withoutBucket = quotaOf({ dailyLimit: 50, hourlyCap: 20, burst: null });
const byTheDay = quotaOf({ dailyLimit: 480, hourlyCap: null, burst: null });
const dripping = quotaOf({ dailyLimit: 480, hourlyCap: null, burst: 5 });

/** 3 sends in the hour that begins at `hour`, 4 in the day, half a bucket. */
const stateAt = (hour: number, level = 10): CounterState => ({
  ...NEW_COUNTER,
  dayFromMs: DAY_FROM,
  dayUsed: 4,
  hourFromMs: DAY_FROM + hour * HOUR_MS,
  hourUsed: 3,
  level: level * SEND_UNITS,
  atMs: DAY_FROM + hour * HOUR_MS + 30 * MINUTE_MS,
  seq: 7,
});
const fenceAt = (hour: number, minutes: number) => ({
  firstSeq: 1_000,
  atMs: DAY_FROM + hour * HOUR_MS + minutes * MINUTE_MS,
});

describe('a counter from before the fence', () => {
  test('has the rest of its hour used up, the day with it, and an empty bucket', () => {
    expect(heedFence(stateAt(2), byTheHour, fenceAt(2, 40))).toEqual({
      dayFromMs: DAY_FROM,
      dayUsed: 4 + 17,
      hourFromMs: DAY_FROM + 2 * HOUR_MS,
      hourUsed: 20,
      level: 0,
      atMs: DAY_FROM + 2 * HOUR_MS + 40 * MINUTE_MS,
      seq: 1_000,
    });
  });

  test('has the whole cap of an hour used up that began since', () => {
    expect(heedFence(stateAt(2), byTheHour, fenceAt(5, 40))).toMatchObject({
      dayUsed: 4 + 20,
      hourFromMs: DAY_FROM + 5 * HOUR_MS,
      hourUsed: 20,
      level: 0,
    });
  });

  test('within a minute of the turn loses the hour before as well, and not later', () => {
    // 17 of the hour before and all 20 of this one.
    expect(heedFence(stateAt(2), byTheHour, fenceAt(3, 0.999))).toMatchObject({
      dayUsed: 4 + 17 + 20,
      hourUsed: 20,
    });
    expect(heedFence(stateAt(2), byTheHour, fenceAt(3, 1))).toMatchObject({
      dayUsed: 4 + 20,
      hourUsed: 20,
    });
    // One that was written in this hour has lost nothing of the hour before.
    const early = { ...stateAt(3), atMs: DAY_FROM + 3 * HOUR_MS + 100 };
    expect(heedFence(early, byTheHour, fenceAt(3, 0.999))).toMatchObject({ dayUsed: 4 + 17, hourUsed: 20 });
  });

  test('without a bucket loses the hour before however late it is', () => {
    expect(heedFence(stateAt(2), withoutBucket, fenceAt(3, 59))).toMatchObject({
      dayUsed: 4 + 17 + 20,
      hourUsed: 20,
    });
    expect(heedFence(stateAt(2), withoutBucket, fenceAt(6, 30))).toMatchObject({
      dayUsed: 4 + 40,
      hourUsed: 20,
    });
    // One that was written in this hour has lost nothing of the hour before.
    expect(heedFence(stateAt(3), withoutBucket, fenceAt(3, 40))).toMatchObject({ dayUsed: 4 + 17 });
  });

  test('never uses more of its day than there is', () => {
    const nearlyDone = { ...stateAt(2), dayUsed: 45 };
    expect(heedFence(nearlyDone, byTheHour, fenceAt(2, 40))).toMatchObject({ dayUsed: 50, hourUsed: 20 });
    const over = { ...stateAt(2), dayUsed: 60, hourUsed: 25 };
    expect(heedFence(over, byTheHour, fenceAt(2, 40))).toMatchObject({ dayUsed: 60, hourUsed: 25 });
  });

  test('with an hourly cap alone counts the sends of its day, too', () => {
    const hourly = quotaOf({ dailyLimit: null, hourlyCap: 20, burst: 20 });
    expect(heedFence(stateAt(2), hourly, fenceAt(2, 40))).toMatchObject({ dayUsed: 4 + 17, hourUsed: 20 });
  });

  test('with a daily limit alone loses a twenty-fourth of it, or what is in its bucket', () => {
    expect(heedFence(stateAt(2), byTheDay, fenceAt(2, 40))).toMatchObject({
      dayUsed: 4 + 20,
      hourUsed: 3 + 20,
    });
    expect(
      heedFence(stateAt(2), quotaOf({ dailyLimit: 50, hourlyCap: null, burst: null }), fenceAt(2, 40)),
    ).toMatchObject({ dayUsed: 4 + 3 });
    // Two sends are there; what flowed in until the fence is 480 / 24 / 6 in ten minutes, and fits in beside them.
    const { dayUsed, level } = heedFence(stateAt(2, 2), dripping, fenceAt(2, 40));
    expect(dayUsed).toBe(4 + 5);
    expect(level).toBe(0);
    const half = heedFence(stateAt(2, 1.5), dripping, { ...fenceAt(2, 30) });
    expect(half.dayUsed).toBe(4 + 1);
    expect(half.level).toBe(SEND_UNITS / 2);
  });

  test('without any limit stays as it was', () => {
    const free = quotaOf({ dailyLimit: null, hourlyCap: null, burst: null });
    expect(heedFence(stateAt(2), free, fenceAt(2, 40))).toMatchObject({
      dayUsed: 4,
      hourUsed: 3,
      seq: 1_000,
    });
  });

  test('gives nothing until the next hour, and then what has flowed in since the fence', () => {
    const fenced = heedFence(stateAt(2), byTheHour, fenceAt(2, 39));
    const nextHourMs = DAY_FROM + 3 * HOUR_MS;
    expect(read(fenced, byTheHour, nextHourMs - 1)).toMatchObject({ room: 0, binds: 'hour' });
    expect(read(fenced, byTheHour, nextHourMs)).toMatchObject({ room: 7, binds: 'burst' });
    expect(read(fenced, byTheHour, nextHourMs + 39 * MINUTE_MS)).toMatchObject({ room: 20, binds: 'hour' });
  });
});

test('a counter that was written since the fence, or where there is none, is as it was', () => {
  const state = stateAt(2);
  expect(heedFence(state, byTheHour, null)).toBe(state);
  const since = { ...state, seq: 1_000 };
  expect(heedFence(since, byTheHour, fenceAt(2, 40))).toBe(since);
  expect(heedFence({ ...state, seq: 999 }, byTheHour, fenceAt(2, 40)).hourUsed).toBe(20);
});
