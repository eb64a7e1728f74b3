/** What an IP has from others: its pools with their holds, the stop of its account, and the fields an operator sets. */
import { describe, expect, test } from 'vitest';
import {
  create,
  hold,
  isSameHold,
  joinPool,
  leavePool,
  resume,
  startWarmup,
  stopWithAccount,
  update,
} from '../../src/warmup/decide.ts';
import { type DedicatedIp, type Hold, NO_CEILING } from '../../src/warmup/dedicated-ip.ts';
import type { WarmlineError } from '../../src/warmup/errors.ts';
import { DAY_MS } from '../../src/warmup/units.ts';

const T0 = Date.UTC(2026, 11, 1, 10);
const NAMES = { id: 'ip_1', address: '203.0.113.7', region: null, hostname: null, bind: null, leased: true };
const ACTIVE = create({ ...NAMES, status: 'active' }, T0, 'api').ip;
const PLAN = { name: 'two', days: [50, 100].map((dailyLimit) => ({ dailyLimit, hourlyCap: null })) };
const OPTIONS = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay: 1 };
const WARMING = startWarmup(ACTIVE, PLAN, OPTIONS, T0, 'api').ip;
const COOLING: DedicatedIp = { ...ACTIVE, status: 'cooldown' };
const RELEASED: DedicatedIp = { ...ACTIVE, status: 'released' };

const STOP: Hold = {
  scope: 'pool_1',
  sending: true,
  advance: true,
  because: 'complaints',
  by: 'ops',
  sinceMs: T0,
  untilMs: T0 + DAY_MS,
};
const FREE = { id: 'pool_1', name: 'bulk', hold: null };
const HELD = { ...FREE, hold: STOP };
const join = (ip: DedicatedIp, pool: typeof FREE | typeof HELD = FREE, nowMs = T0 + 1) =>
  joinPool(ip, pool, 'made with it', nowMs, 'api');

describe('an IP joins a pool', () => {
  test('behind those it is in, and says why', () => {
    const { ip, changes } = join({ ...ACTIVE, pools: ['pool_0'] });
    expect(ip.pools).toEqual(['pool_0', 'pool_1']);
    expect(ip.holds).toEqual([]);
    expect(changes).toEqual([{ what: 'pool', from: null, to: 'pool_1', because: 'made with it', by: 'api' }]);
  });

  test('once', () => {
    const there = join(ACTIVE).ip;
    expect(join(there)).toEqual({ ip: there, changes: [] });
    expect(join(there, HELD)).toEqual({ ip: there, changes: [] });
  });

  test('and comes under the hold that the pool has, from now on', () => {
    const { ip, changes } = join(WARMING, HELD);
    const placed = { ...STOP, sinceMs: T0 + 1 };
    expect(ip.holds).toEqual([placed]);
    expect(ip.warmup!.pausedAtMs).toBe(T0 + 1);
    expect(changes).toEqual([
      { what: 'pool', from: null, to: 'pool_1', because: 'made with it', by: 'api' },
      { what: 'hold', from: null, to: placed, because: 'complaints', by: 'ops' },
    ]);
  });

  test('but not under one that is over, to the millisecond', () => {
    expect(join(ACTIVE, HELD, T0 + DAY_MS - 1).ip.holds).toHaveLength(1);
    expect(join(ACTIVE, HELD, T0 + DAY_MS).ip.holds).toEqual([]);
  });

  test.each<[string, DedicatedIp, string, object]>([
    ['in cooldown', COOLING, 'is cooldown, so it cannot join pool "bulk"', { status: 'cooldown' }],
    ['released', RELEASED, 'is released, so it cannot join pool "bulk"', { status: 'released' }],
    [
      'without reverse DNS',
      { ...ACTIVE, whitelabeled: false },
      'has no reverse DNS, so it cannot join pool "bulk"',
      { whitelabeled: false },
    ],
  ])('not %s', (_, ip, sentence, details) => {
    expect(() => join(ip)).toThrow(`203.0.113.7 ${sentence}`);
    expect(() => join(ip)).toThrow(expect.objectContaining({ code: 'conflict', details }));
  });
});

describe('an IP leaves a pool', () => {
  test('and comes from under its hold, and of no other', () => {
    const own = hold(
      join(join(WARMING, HELD).ip, { ...FREE, id: 'pool_2' }).ip,
      { ...STOP, scope: 'ip' },
      T0 + 2,
    );
    const { ip, changes } = leavePool(own.ip, 'pool_1', T0 + 3, 'api');
    expect(ip.pools).toEqual(['pool_2']);
    expect(ip.holds.map(({ scope }) => scope)).toEqual(['ip']);
    expect(changes).toEqual([
      { what: 'hold', from: { ...STOP, sinceMs: T0 + 1 }, to: null, because: 'resumed', by: 'api' },
      { what: 'pool', from: 'pool_1', to: null, because: 'the IP left the pool', by: 'api' },
    ]);
  });

  test('and the warm-up goes on where nothing else holds it', () => {
    const { ip } = leavePool(join(WARMING, HELD).ip, 'pool_1', T0 + 3, 'api', 'the pool was deleted');
    expect([ip.holds, ip.warmup!.pausedAtMs]).toEqual([[], null]);
  });

  test('for the reason that is given', () => {
    const { changes } = leavePool(join(ACTIVE).ip, 'pool_1', T0 + 3, 'api', 'the pool was deleted');
    expect(changes).toEqual([
      { what: 'pool', from: 'pool_1', to: null, because: 'the pool was deleted', by: 'api' },
    ]);
  });
});

describe('the stop of an account', () => {
  test('is a hold of its own scope, with the reason, the end and the name of who stopped it', () => {
    const { ip, changes } = stopWithAccount(ACTIVE, STOP, T0 + 1);
    const placed = { ...STOP, scope: 'account', sinceMs: T0 + 1 };
    expect(ip.holds).toEqual([placed]);
    expect(changes).toEqual([{ what: 'hold', from: null, to: placed, because: 'complaints', by: 'ops' }]);
  });

  test('changes nothing where there is none, where it is over, and on an IP that sends nothing any more', () => {
    expect(stopWithAccount(ACTIVE, null, T0)).toEqual({ ip: ACTIVE, changes: [] });
    expect(stopWithAccount(ACTIVE, STOP, T0 + DAY_MS)).toEqual({ ip: ACTIVE, changes: [] });
    for (const ip of [COOLING, RELEASED]) expect(stopWithAccount(ip, STOP, T0)).toEqual({ ip, changes: [] });
  });

  test('stands beside the holds of the IP, changes nothing the second time, and follows a stop that is another', () => {
    const own = hold(ACTIVE, { ...STOP, scope: 'ip' }, T0).ip;
    const stopped = stopWithAccount(own, STOP, T0 + 1).ip;
    expect(stopped.holds.map(({ scope }) => scope)).toEqual(['ip', 'account']);
    expect(stopWithAccount(stopped, { ...STOP, by: 'another', sinceMs: T0 + 2 }, T0 + 2)).toEqual({
      ip: stopped,
      changes: [],
    });
    const { ip } = stopWithAccount(stopped, { ...STOP, untilMs: null }, T0 + 3);
    expect(ip.holds.map(({ scope, untilMs }) => [scope, untilMs])).toEqual([
      ['ip', T0 + DAY_MS],
      ['account', null],
    ]);
  });

  test.each<[string, Partial<Hold>, boolean]>([
    ['by another, at another time', { by: 'another', sinceMs: T0 + 5, scope: 'ip' }, true],
    ['without mail', { sending: false }, false],
    ['without progress', { advance: false }, false],
    ['for another reason', { because: 'blocked' }, false],
    ['for longer', { untilMs: T0 + 2 * DAY_MS }, false],
  ])('%s: says the same as before is %j', (_, other, same) => {
    expect(isSameHold(STOP, { ...STOP, ...other })).toBe(same);
  });
});

describe('an update', () => {
  test('has a line for each field that changes, and none for the others', () => {
    const { ip, changes } = update(
      ACTIVE,
      { hostname: 'mta7.example.com', bind: null, labels: { rack: 'b' }, autoWarmup: undefined },
      T0 + 1,
      'ops',
    );
    expect(ip).toEqual({ ...ACTIVE, hostname: 'mta7.example.com', labels: { rack: 'b' } });
    const because = 'set by the operator';
    expect(changes).toEqual([
      { what: 'hostname', from: null, to: 'mta7.example.com', because, by: 'ops' },
      { what: 'labels', from: {}, to: { rack: 'b' }, because, by: 'ops' },
    ]);
    expect(update(ip, { hostname: 'mta7.example.com', labels: { rack: 'b' } }, T0 + 2, 'ops')).toEqual({
      ip,
      changes: [],
    });
  });

  test('of half a ceiling leaves the other half', () => {
    const capped = update(ACTIVE, { ceiling: { perHour: 7 } }, T0, 'ops').ip;
    expect(capped.ceiling).toEqual({ perDay: null, perHour: 7 });
    const both = update(capped, { ceiling: { perDay: 100 } }, T0, 'ops');
    expect(both.ip.ceiling).toEqual({ perDay: 100, perHour: 7 });
    expect(both.changes).toMatchObject([{ what: 'ceiling', from: capped.ceiling, to: both.ip.ceiling }]);
    expect(update(both.ip, { ceiling: NO_CEILING }, T0, 'ops').ip.ceiling).toEqual(NO_CEILING);
    expect(update(both.ip, { ceiling: {} }, T0, 'ops').changes).toEqual([]);
  });

  test('that disables an IP stops its mail, not its progress, until it is enabled', () => {
    const off = update(WARMING, { enabled: false, hostname: 'a.example' }, T0 + 1, 'ops');
    const placed = {
      scope: 'v3',
      sending: true,
      advance: false,
      because: 'the IP was disabled',
      by: 'ops',
      sinceMs: T0 + 1,
      untilMs: null,
    };
    expect(off.ip.holds).toEqual([placed]);
    expect(off.ip.warmup!.pausedAtMs).toBeNull();
    expect(off.changes.map(({ what }) => what)).toEqual(['hostname', 'hold']);
    expect(update(off.ip, { enabled: false }, T0 + 2, 'ops').changes).toEqual([]);

    const on = update(off.ip, { enabled: true }, T0 + 3, 'ops');
    expect(on.ip.holds).toEqual([]);
    expect(on.changes).toEqual([{ what: 'hold', from: placed, to: null, because: 'resumed', by: 'ops' }]);
    expect(update(on.ip, { enabled: true }, T0 + 4, 'ops').changes).toEqual([]);
  });

  test('that disables it has no word to say on other holds', () => {
    const own = hold(ACTIVE, { ...STOP, scope: 'ip' }, T0).ip;
    expect(update(own, { enabled: true }, T0 + 1, 'ops')).toEqual({ ip: own, changes: [] });
    const off = update(own, { enabled: false }, T0 + 1, 'ops').ip;
    expect(update(off, { enabled: true }, T0 + 2, 'ops').ip.holds.map(({ scope }) => scope)).toEqual(['ip']);
  });
});

test('a resume tells of other holds that have ended meanwhile', () => {
  const both = hold(hold(ACTIVE, { ...STOP, scope: 'ip' }, T0).ip, { ...STOP, untilMs: null }, T0).ip;
  const { ip, changes } = resume(both, 'pool_1', T0 + DAY_MS, 'ops');
  expect(ip.holds).toEqual([]);
  expect(changes).toMatchObject([
    { what: 'hold', from: { scope: 'ip' }, to: null, because: 'the hold reached its end', by: 'engine' },
    { what: 'hold', from: { scope: 'pool_1' }, to: null, because: 'resumed', by: 'ops' },
  ]);
});

test('what the status forbids names the status for programs', () => {
  const statusOf = (forbidden: () => unknown) => {
    try {
      forbidden();
    } catch (error) {
      return (error as WarmlineError).details;
    }
    return 'allowed';
  };
  expect(statusOf(() => hold(COOLING, STOP, T0))).toEqual({ status: 'cooldown' });
  expect(statusOf(() => startWarmup(RELEASED, PLAN, OPTIONS, T0, 'api'))).toEqual({ status: 'released' });
});
