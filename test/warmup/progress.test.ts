/**
 * Which day has an IP reached? Told as stories on a calendar in which day N begins at N-1 days after the start, so that an
 * instant reads as a number of days: 1.5 is the middle of day 2.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  advance,
  create,
  type HoldRequest,
  hold,
  release,
  restore,
  resume,
  startWarmup,
} from '../../src/warmup/decide.ts';
import type { DedicatedIp, Warmup } from '../../src/warmup/dedicated-ip.ts';
import type { Plan } from '../../src/warmup/plan.ts';
import { completesAt, nextDayAt, sendingHold, settlePause, warmupDayAt } from '../../src/warmup/progress.ts';
import { sendQuotaFor } from '../../src/warmup/quota.ts';
import { DAY_MS } from '../../src/warmup/units.ts';
import { drawn } from '../support/drawn.ts';

const START = Date.UTC(2026, 11, 1, 10);
const at = (days: number) => START + Math.round(days * DAY_MS);
const plan: Plan = {
  name: 'ten',
  days: Array.from({ length: 10 }, (_, index) => ({ dailyLimit: (index + 1) * 100, hourlyCap: null })),
};

function warming(startDay = 1): DedicatedIp {
  const names = { id: 'ip_1', address: '203.0.113.7', region: null, hostname: null, bind: null };
  const { ip } = create({ ...names, leased: true, status: 'provisioning' }, START, 'test');
  const options = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay };
  return startWarmup(ip, plan, options, START, 'test').ip;
}
const request = (given: Partial<HoldRequest> = {}): HoldRequest => ({
  scope: 'ip',
  sending: false,
  advance: true,
  because: 'a test',
  by: 'test',
  untilMs: null,
  ...given,
});
const dayAt = (ip: DedicatedIp, days: number) =>
  warmupDayAt(ip as DedicatedIp & { warmup: Warmup }, at(days));
const MS = 1 / DAY_MS;

test('without holds the day is the day of the calendar, also past the end', () => {
  const ip = warming();
  expect([0, 0.5, 1 - MS, 1, 9.9, 10, 99.5].map((days) => dayAt(ip, days))).toEqual([
    1, 1, 1, 2, 10, 11, 100,
  ]);
  expect(completesAt(ip, at(0.5))).toBe(at(10));
});

test('startDay begins further on and ends earlier', () => {
  const ip = warming(5);
  expect([0, 1, 5.5].map((days) => dayAt(ip, days))).toEqual([5, 6, 10]);
  expect(completesAt(ip, at(0))).toBe(at(6));
  expect(sendQuotaFor(ip, plan, at(0)).current.dailyLimit).toBe(500);
});

test('however far it is set back, the day is never below 1', () => {
  const ip = warming();
  const warmup = { ...ip.warmup!, adjustments: [{ atMs: at(1), days: -5, because: 'a test', by: 'test' }] };
  expect([1, 4.5, 5, 6].map((days) => dayAt({ ...ip, warmup }, days))).toEqual([1, 1, 1, 2]);
});

describe('a hold on progress keeps the days that begin while it is there', () => {
  // Placed and resumed at these times; the day then reached on day 7 of the calendar (6.5).
  test.each([
    ['within a day', 1.2, 1.8, 7],
    ['from just before a turn to just after it', 2 - MS, 2 + MS, 6],
    ['from the turn itself: that day had begun', 2, 2.5, 7],
    [
      'from the turn to the next turn: that one is not held any more... but had begun when it was resumed',
      2,
      3 + MS,
      6,
    ],
    ['over three turns', 1.5, 4.5, 4],
  ])('%s', (_, fromDays, toDays, expected) => {
    const held = hold(warming(), request(), at(fromDays)).ip;
    const resumed = resume(held, 'ip', at(toDays), 'test').ip;
    expect(dayAt(resumed, 6.5)).toBe(expected);
    expect(dayAt(held, toDays)).toBe(dayAt(resumed, toDays));
  });

  test.each([
    ['before a turn', 1.2, 2 - MS, 7],
    ['at a turn: that day is not held', 1.2, 2, 7],
    ['just after a turn', 1.2, 2 + MS, 6],
  ])('expiring %s', (_, fromDays, untilDays, expected) => {
    const held = hold(warming(), request({ untilMs: at(untilDays) }), at(fromDays)).ip;
    expect(dayAt(held, 6.5)).toBe(expected); // the worker has not come yet
    const settled = advance(held, at(5.5)).ip; // it comes days late
    expect(settled.holds).toEqual([]);
    expect(settled.warmup!.pausedAtMs).toBeNull();
    expect(dayAt(settled, 6.5)).toBe(expected);
  });

  test('no edge moves, and what was used stays where it was counted', () => {
    const held = hold(warming(), request(), at(1.5)).ip;
    const resumed = resume(held, 'ip', at(4.5), 'test').ip;
    expect(nextDayAt(resumed, at(4.5))).toBe(at(5));
    const before = sendQuotaFor(held, plan, at(4.5));
    const after = sendQuotaFor(resumed, plan, at(4.5));
    expect([before.fromMs, before.toMs, ...before.edgesMs]).toEqual([
      after.fromMs,
      after.toMs,
      ...after.edgesMs,
    ]);
    expect([before.current.dailyLimit, before.next.dailyLimit]).toEqual([200, 200]);
    expect([after.current.dailyLimit, after.next.dailyLimit]).toEqual([200, 300]);
  });

  test('says when the warm-up will be complete, or that nobody knows', () => {
    expect(completesAt(hold(warming(), request(), at(1.5)).ip, at(1.5))).toBeNull();
    const held = hold(warming(), request({ untilMs: at(3.5) }), at(1.5)).ip;
    expect(completesAt(held, at(1.5))).toBe(at(12));
    expect(advance(held, at(12) - 1).ip.status).toBe('warming');
    expect(advance(held, at(12)).ip.status).toBe('active');
  });

  test('the adjustment that it leaves names the days, and none is written for none', () => {
    const three = resume(hold(warming(), request(), at(1.5)).ip, 'ip', at(4.5), 'test').ip;
    expect(three.warmup!.adjustments).toEqual([
      { atMs: at(4.5), days: -3, because: 'progress was on hold', by: 'engine' },
    ]);
    const none = resume(hold(warming(), request(), at(1.2)).ip, 'ip', at(1.8), 'test').ip;
    expect(none.warmup!.adjustments).toEqual([]);
  });

  test('a hold on mail alone does not stop the days', () => {
    const held = hold(warming(), request({ sending: true, advance: false }), at(1.5)).ip;
    expect(dayAt(held, 6.5)).toBe(7);
    expect(sendQuotaFor(held, plan, at(1.5)).heldUntilMs).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('holds of the IP and of its pool that overlap count each day once', () => {
  test('the one inside the other', () => {
    let ip = hold(warming(), request({ scope: 'pool_1' }), at(1.5)).ip;
    ip = hold(ip, request(), at(2.5)).ip;
    ip = resume(ip, 'ip', at(3.5), 'test').ip;
    expect(ip.warmup!.pausedAtMs).toBe(at(1.5));
    ip = resume(ip, 'pool_1', at(4.5), 'test').ip;
    expect(dayAt(ip, 4.5)).toBe(2);
    expect(dayAt(ip, 6.5)).toBe(4);
  });

  test('the one after the other', () => {
    let ip = hold(warming(), request({ untilMs: at(3.5) }), at(1.5)).ip;
    ip = hold(ip, request({ scope: 'pool_1', untilMs: at(5.5) }), at(2.5)).ip;
    expect(dayAt(ip, 6.5)).toBe(3);
    expect(dayAt(advance(ip, at(3.6)).ip, 6.5)).toBe(3);
    expect(dayAt(advance(advance(ip, at(3.6)).ip, at(6.1)).ip, 6.5)).toBe(3);
  });

  test('with a day of progress between them', () => {
    let ip = hold(warming(), request({ untilMs: at(2.5) }), at(1.5)).ip;
    // The first was over for a day before the second came, and no worker had looked at the IP.
    ip = hold(ip, request({ scope: 'pool_1', untilMs: at(4.5) }), at(3.5)).ip;
    expect(dayAt(ip, 6.5)).toBe(5);
  });

  test('a hold that is replaced by one on mail alone ends its stop', () => {
    let ip = hold(warming(), request(), at(1.5)).ip;
    ip = hold(ip, request({ sending: true, advance: false }), at(3.5)).ip;
    expect(dayAt(ip, 6.5)).toBe(5);
    expect(ip.holds).toHaveLength(1);
  });

  test('of several holds on mail the one that lasts longest is told', () => {
    let ip = hold(warming(), request({ sending: true, untilMs: at(3) }), at(1)).ip;
    ip = hold(ip, request({ scope: 'pool_1', sending: true, untilMs: at(5) }), at(1)).ip;
    expect(sendingHold(ip, at(2))?.scope).toBe('pool_1');
    expect(sendingHold(ip, at(5))).toBeNull();
    expect(sendQuotaFor(ip, plan, at(2)).heldUntilMs).toBe(at(5));
  });
});

describe('a cooldown', () => {
  test('stops the days, and a restore gives back the day that the IP had', () => {
    const resting = release(warming(), 30 * DAY_MS, at(3.5), 'test').ip;
    expect(dayAt(resting, 20.5)).toBe(4);
    const back = restore(resting, at(20.5), 'test').ip;
    expect([back.status, dayAt(back, 20.5), dayAt(back, 21)]).toEqual(['warming', 4, 5]);
  });

  test('on top of a hold of the IP keeps it standing still when it is restored', () => {
    let ip = hold(warming(), request(), at(2.5)).ip;
    ip = release(ip, 30 * DAY_MS, at(3.5), 'test').ip;
    ip = restore(ip, at(5.5), 'test').ip;
    expect(dayAt(ip, 7.5)).toBe(3);
    ip = resume(ip, 'ip', at(7.5), 'test').ip;
    expect(dayAt(ip, 8)).toBe(4);
  });

  test('ends the hold of a pool, since the IP is out of it; the days it held stay held', () => {
    let ip = hold(warming(), request({ scope: 'pool_1' }), at(1.5)).ip;
    ip = release(ip, 30 * DAY_MS, at(3.5), 'test').ip;
    ip = restore(ip, at(5.5), 'test').ip;
    expect([ip.holds, dayAt(ip, 5.5), dayAt(ip, 6)]).toEqual([[], 2, 3]);
  });

  test('a hold that runs out during the cooldown leaves only the days of the cooldown', () => {
    let ip = hold(warming(), request({ untilMs: at(4.5) }), at(1.5)).ip;
    ip = release(ip, 30 * DAY_MS, at(2.5), 'test').ip;
    ip = restore(ip, at(9.5), 'test').ip;
    expect([ip.holds, dayAt(ip, 9.5), dayAt(ip, 10)]).toEqual([[], 2, 3]);
  });
});

test('a hold that ran out days before the release holds nothing more, though no worker had looked at the IP', () => {
  let ip = hold(warming(), request({ untilMs: at(1.6) }), at(1.5)).ip;
  const released = release(ip, 30 * DAY_MS, at(4.5), 'test');
  expect(released.changes[0]).toMatchObject({
    what: 'hold',
    because: 'the hold reached its end',
    by: 'engine',
  });
  ip = restore(released.ip, at(4.6), 'test').ip;
  expect(dayAt(ip, 4.6)).toBe(5);
});

test('for any history of holds, the day is that of a calendar read turn by turn', () => {
  const event = fc.record({
    hours: fc.integer({ min: 1, max: 60 }),
    kind: fc.constantFrom('hold', 'resume', 'tick', 'cooldown'),
    scope: fc.constantFrom('ip', 'pool_1'),
    lasts: fc.option(fc.integer({ min: 1, max: 80 }), { nil: null }),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 12 }), (events) => {
      let ip = warming();
      let hours = 1;
      // Beside the engine's arithmetic: each turn of the day is asked by itself whether anything holds it. Events lie at
      // odd half hours, so that none falls on a turn; those cases are told above.
      const still: [fromHour: number, toHour: number][] = [];
      const open = new Map<string, { from: number; until: number }>();
      const close = (scope: string, now: number) => {
        const one = open.get(scope);
        if (one) still.push([one.from, Math.min(one.until, now)]);
        open.delete(scope);
      };
      const when = (hour: number) => START + (hour + 0.5) * 3_600_000;
      for (const { hours: later, kind, scope, lasts } of events) {
        hours += later;
        if (kind === 'hold') {
          const until = lasts === null ? Number.POSITIVE_INFINITY : hours + lasts;
          close(scope, hours);
          open.set(scope, { from: hours, until });
          ip = hold(ip, request({ scope, untilMs: lasts === null ? null : when(until) }), when(hours)).ip;
        } else if (kind === 'resume') {
          close(scope, hours);
          ip = resume(ip, scope, when(hours), 'test').ip;
        } else if (kind === 'tick') {
          ip = settlePause(ip, when(hours));
        } else {
          const rest = lasts ?? 1;
          ip = release(ip, 100 * DAY_MS, when(hours), 'test').ip;
          close('pool_1', hours);
          still.push([hours, hours + rest]);
          hours += rest;
          ip = restore(ip, when(hours), 'test').ip;
        }
        const stops = [
          ...still,
          ...[...open.values()].map(({ from, until }): [number, number] => [from, until]),
        ];
        let day = 1;
        for (let turn = 24; turn <= hours; turn += 24) {
          if (!stops.some(([from, to]) => from < turn && turn <= to)) day += 1;
        }
        expect(warmupDayAt(ip as DedicatedIp & { warmup: Warmup }, when(hours))).toBe(day);
      }
    }),
    drawn(500),
  );
});
