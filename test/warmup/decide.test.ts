/** Every decision about one IP: what changes, what the stream says about it, and each move that is forbidden. */
import { describe, expect, test } from 'vitest';
import {
  advance,
  create,
  type Decision,
  endWarmup,
  hold,
  nextDueAt,
  release,
  restore,
  resume,
  type StartOptions,
  setCeiling,
  startWarmup,
} from '../../src/warmup/decide.ts';
import { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';
import type { Status } from '../../src/warmup/lifecycle.ts';
import { type Plan, planDigest } from '../../src/warmup/plan.ts';
import { sendQuotaFor } from '../../src/warmup/quota.ts';
import { DAY_MS } from '../../src/warmup/units.ts';

const T0 = Date.UTC(2026, 11, 1, 10);
const COOLDOWN = 30 * DAY_MS;
const plan: Plan = {
  name: 'three',
  days: [50, 100, null].map((dailyLimit) => ({ dailyLimit, hourlyCap: 20 })),
};
const OPTIONS: StartOptions = { zone: 'Europe/Berlin', burst: null, dayStartsAt: 'start', startDay: 1 };
const NAMES = { id: 'ip_1', address: '203.0.113.7', region: null, hostname: null, bind: null, leased: true };
const HOLD = {
  scope: 'ip',
  sending: true,
  advance: true,
  because: 'blocked at a provider',
  by: 'ops',
  untilMs: null,
};

const fresh = (status: 'provisioning' | 'active' = 'provisioning') =>
  create({ ...NAMES, status }, T0, 'api').ip;
const start = (ip: DedicatedIp, options: Partial<StartOptions> = {}) =>
  startWarmup(ip, plan, { ...OPTIONS, ...options }, T0, 'api');

/** One IP in each status. */
const IN: Record<Status, DedicatedIp> = {
  provisioning: fresh(),
  warming: start(fresh()).ip,
  active: fresh('active'),
  cooldown: release(start(fresh()).ip, COOLDOWN, T0, 'api').ip,
  released: advance(release(fresh(), COOLDOWN, T0, 'api').ip, T0 + COOLDOWN).ip,
};

describe('what the status forbids is a conflict, and says why', () => {
  const startIt = (ip: DedicatedIp) => start(ip);
  const endIt = (ip: DedicatedIp) => endWarmup(ip, T0, 'api');
  const releaseIt = (ip: DedicatedIp) => release(ip, COOLDOWN, T0, 'api');
  const restoreIt = (ip: DedicatedIp) => restore(ip, T0 + 1, 'api');
  const holdIt = (ip: DedicatedIp) => hold(ip, HOLD, T0);
  test.each<[Status, string, (ip: DedicatedIp) => Decision, string]>([
    ['cooldown', 'start a warm-up', startIt, 'is in cooldown after its release; restore it before'],
    ['released', 'start a warm-up', startIt, 'was released; create a new dedicated IP'],
    ['provisioning', 'end the warm-up', endIt, 'is provisioning, so there is no warm-up to end'],
    ['active', 'end the warm-up', endIt, 'is active, so there is no warm-up to end'],
    ['cooldown', 'end the warm-up', endIt, 'is cooldown, so there is no warm-up to end'],
    ['released', 'end the warm-up', endIt, 'is released, so there is no warm-up to end'],
    ['cooldown', 'release', releaseIt, 'was released already; it is in status cooldown'],
    ['released', 'release', releaseIt, 'was released already; it is in status released'],
    ['provisioning', 'restore', restoreIt, 'is provisioning; only an IP in cooldown can be restored'],
    ['warming', 'restore', restoreIt, 'is warming; only an IP in cooldown can be restored'],
    ['active', 'restore', restoreIt, 'is active; only an IP in cooldown can be restored'],
    ['released', 'restore', restoreIt, 'is released; only an IP in cooldown can be restored'],
    ['cooldown', 'hold', holdIt, 'is cooldown and sends nothing, so there is nothing to hold'],
    ['released', 'hold', holdIt, 'is released and sends nothing, so there is nothing to hold'],
  ])('%s: %s', (status, _, decide, sentence) => {
    expect(() => decide(IN[status])).toThrow(`203.0.113.7 ${sentence}`);
    expect(() => decide(IN[status])).toThrow(expect.objectContaining({ code: 'conflict' }));
    // Programs read the status beside the sentence, but where the sentence is about the warm-up.
    const details = decide === endIt ? {} : { status };
    expect(() => decide(IN[status])).toThrow(expect.objectContaining({ details }));
  });

  test('a cooldown that is over cannot be restored, even before the worker came', () => {
    expect(() => restore(IN.cooldown, T0 + COOLDOWN, 'api')).toThrow(WarmlineError);
    expect(restore(IN.cooldown, T0 + COOLDOWN - 1, 'api').ip.status).toBe('warming');
  });
});

describe('every move that is allowed is told once: from, to, because, by', () => {
  test.each<[string, Decision, Status | null, Status, string, string]>([
    [
      'created',
      create({ ...NAMES, status: 'provisioning' }, T0, 'api'),
      null,
      'provisioning',
      'an address was taken from the inventory',
      'api',
    ],
    [
      'brought',
      create({ ...NAMES, status: 'active' }, T0, 'api'),
      null,
      'active',
      'brought by the account, already warm',
      'api',
    ],
    ['started', start(IN.provisioning), 'provisioning', 'warming', 'warm-up started with plan three', 'api'],
    [
      'started again after it was active',
      start(IN.active),
      'active',
      'warming',
      'warm-up started with plan three',
      'api',
    ],
    [
      'completed',
      advance(IN.warming, T0 + 3 * DAY_MS),
      'warming',
      'active',
      'all 3 days of plan three are over',
      'engine',
    ],
    [
      'ended by hand',
      endWarmup(IN.warming, T0 + DAY_MS, 'api'),
      'warming',
      'active',
      'the warm-up was ended by hand',
      'api',
    ],
    [
      'released while provisioning',
      release(IN.provisioning, COOLDOWN, T0, 'api'),
      'provisioning',
      'cooldown',
      'the IP was released',
      'api',
    ],
    [
      'released while warming',
      release(IN.warming, COOLDOWN, T0, 'api'),
      'warming',
      'cooldown',
      'the IP was released',
      'api',
    ],
    [
      'released while active',
      release(IN.active, COOLDOWN, T0, 'api'),
      'active',
      'cooldown',
      'the IP was released',
      'api',
    ],
    [
      'released for good',
      advance(IN.cooldown, T0 + COOLDOWN),
      'cooldown',
      'released',
      'the cooldown is over',
      'engine',
    ],
    ['restored', restore(IN.cooldown, T0 + 1, 'api'), 'cooldown', 'warming', 'restored from cooldown', 'api'],
  ])('%s', (_, { ip, changes }, from, to, because, by) => {
    expect(changes).toEqual([{ what: 'status', from, to, because, by }]);
    expect(ip.status).toBe(to);
    expect(DedicatedIp.parse(ip)).toEqual(ip);
  });
});

describe('nothing happens twice', () => {
  test('a warm-up that runs is not started again', () => {
    expect(start(IN.warming)).toEqual({ ip: IN.warming, changes: [] });
  });
  test('an advance with nothing due changes nothing', () => {
    for (const ip of Object.values(IN)) expect(advance(ip, T0 + 1)).toEqual({ ip, changes: [] });
  });
  test('an advance after an advance changes nothing', () => {
    const later = T0 + 400 * DAY_MS;
    for (const ip of Object.values(IN)) {
      const once = advance(ip, later).ip;
      expect(advance(once, later)).toEqual({ ip: once, changes: [] });
    }
  });
  test('a resume without a hold changes nothing', () => {
    expect(resume(IN.warming, 'ip', T0, 'ops')).toEqual({ ip: IN.warming, changes: [] });
  });
});

describe('a start', () => {
  test('fixes plan, digest, zone, length and burst', () => {
    expect(start(fresh(), { burst: 5, dayStartsAt: '04:00' }).ip.warmup).toEqual({
      plan: 'three',
      digest: planDigest(plan),
      totalDays: 3,
      zone: 'Europe/Berlin',
      dayStartsAt: '04:00',
      burst: 5,
      startedAtMs: T0,
      completedAtMs: null,
      adjustments: [],
      pausedAtMs: null,
    });
  });

  test('on a held IP stands still from the beginning', () => {
    const held = hold(fresh(), HOLD, T0).ip;
    expect(start(held).ip.warmup!.pausedAtMs).toBe(T0);
  });

  test.each<[string, Partial<StartOptions>, string]>([
    ['zone', { zone: 'Berlin' }, 'is not an IANA time zone'],
    ['dayStartsAt', { dayStartsAt: '4' }, 'is no time of day'],
    ['startDay', { startDay: 0 }, 'startDay is 0; plan three has the days 1 to 3'],
    ['startDay', { startDay: 4 }, 'startDay is 4; plan three has the days 1 to 3'],
    ['startDay', { startDay: 1.5 }, 'startDay is 1.5; plan three has the days 1 to 3'],
  ])('is refused for a bad %s', (param, options, sentence) => {
    expect(() => start(fresh(), options)).toThrow(sentence);
    expect(() => start(fresh(), options)).toThrow(expect.objectContaining({ code: 'invalid', param }));
  });
});

describe('a warm-up that begins by itself', () => {
  const byItself: DedicatedIp = { ...IN.provisioning, autoWarmup: true };

  test('is started by the engine with the plan that was set, and says so', () => {
    const { ip, changes } = advance(byItself, T0 + 5, plan);
    expect(ip.warmup).toMatchObject({ plan: 'three', zone: 'UTC', dayStartsAt: 'start', burst: null });
    expect([ip.status, ip.warmup!.startedAtMs, ip.warmup!.adjustments]).toEqual(['warming', T0 + 5, []]);
    expect(changes).toEqual([
      {
        what: 'status',
        from: 'provisioning',
        to: 'warming',
        because: 'it is provisioned, and set to warm up by itself with plan three',
        by: 'engine',
      },
    ]);
    expect(nextDueAt(byItself, T0)).toBe(T0);
  });

  test.each<[string, DedicatedIp]>([
    ['one that was not set to', IN.provisioning],
    ['one that is active', { ...IN.active, autoWarmup: true }],
    ['one whose progress is on hold', hold(byItself, HOLD, T0).ip],
  ])('does not begin on %s', (_, ip) => {
    expect(advance(ip, T0 + 5, plan)).toEqual({ ip, changes: [] });
    expect(nextDueAt(ip, T0)).not.toBe(T0);
  });

  test('begins under a hold on mail alone, and when its hold is over', () => {
    expect(advance(hold(byItself, { ...HOLD, advance: false }, T0).ip, T0 + 5, plan).ip.status).toBe(
      'warming',
    );
    const held = hold(byItself, { ...HOLD, untilMs: T0 + 10 }, T0).ip;
    expect(nextDueAt(held, T0)).toBe(T0 + 10);
    const { ip, changes } = advance(held, T0 + 10, plan);
    expect(ip.status).toBe('warming');
    expect(changes.map(({ because }) => because)).toEqual([
      'the hold reached its end',
      'it is provisioned, and set to warm up by itself with plan three',
    ]);
  });

  test('does not begin without a plan', () => {
    expect(advance(byItself, T0 + 5)).toEqual({ ip: byItself, changes: [] });
  });
});

test('a warm-up ends at the millisecond at which its last day does', () => {
  expect(advance(IN.warming, T0 + 3 * DAY_MS - 1).ip.status).toBe('warming');
  const { ip } = advance(IN.warming, T0 + 3 * DAY_MS);
  expect([ip.status, ip.statusSinceMs, ip.warmup!.completedAtMs]).toEqual([
    'active',
    T0 + 3 * DAY_MS,
    T0 + 3 * DAY_MS,
  ]);
});

test('until the worker has made it active, the limits of the last day go on, and lifting them is not published ahead', () => {
  const limited: Plan = {
    name: 'two',
    days: [50, 100].map((dailyLimit) => ({ dailyLimit, hourlyCap: null })),
  };
  const { ip } = startWarmup(fresh(), limited, OPTIONS, T0, 'api');
  for (const days of [1, 1.9, 2, 9]) {
    const quota = sendQuotaFor(ip, limited, T0 + days * DAY_MS);
    expect([quota.gate, quota.current.dailyLimit, quota.next.dailyLimit]).toEqual(['warming', 100, 100]);
  }
  const active = sendQuotaFor(advance(ip, T0 + 2 * DAY_MS).ip, limited, T0 + 2 * DAY_MS);
  expect([active.gate, active.current.dailyLimit]).toEqual(['active', null]);
});

test('nothing is sent but while warming or active', () => {
  const gates = Object.entries(IN).map(([status, ip]) => [
    status,
    sendQuotaFor(ip, ip.warmup && plan, T0 + 1).gate,
  ]);
  expect(Object.fromEntries(gates)).toEqual({
    provisioning: 'closed',
    warming: 'warming',
    active: 'active',
    cooldown: 'closed',
    released: 'closed',
  });
});

describe('a release', () => {
  const pooled: DedicatedIp = { ...IN.warming, pools: ['pool_1', 'pool_2'] };
  const held = hold(hold(pooled, HOLD, T0).ip, { ...HOLD, scope: 'pool_1' }, T0).ip;
  const { ip, changes } = release(held, COOLDOWN, T0 + 5, 'api');

  test('takes the IP out of its pools and from under their holds, and says so', () => {
    expect(ip.pools).toEqual([]);
    expect(ip.holds.map(({ scope }) => scope)).toEqual(['ip']);
    expect(changes.map(({ what, from }) => [what, typeof from === 'object' ? 'pool_1' : from])).toEqual([
      ['status', 'warming'],
      ['hold', 'pool_1'],
      ['pool', 'pool_1'],
      ['pool', 'pool_2'],
    ]);
  });

  test('rests as long as it was told, and remembers what it was', () => {
    expect(ip.cooldown).toEqual({ from: 'warming', sinceMs: T0 + 5, untilMs: T0 + 5 + COOLDOWN });
    expect(advance(ip, T0 + 5 + COOLDOWN).ip.cooldown).toBeNull();
  });
});

describe('a hold', () => {
  test('replaces one of the same scope and stands beside others', () => {
    let { ip } = hold(IN.active, HOLD, T0);
    ip = hold(ip, { ...HOLD, scope: 'pool_1' }, T0 + 1).ip;
    const again = hold(ip, { ...HOLD, because: 'still blocked' }, T0 + 2);
    expect(again.ip.holds.map(({ scope, because }) => [scope, because])).toEqual([
      ['pool_1', 'blocked at a provider'],
      ['ip', 'still blocked'],
    ]);
    expect(again.changes).toMatchObject([
      { what: 'hold', from: { because: 'blocked at a provider' }, because: 'still blocked' },
    ]);
  });

  test.each([
    ['sending', { sending: false, advance: false }, 'it cannot stop neither'],
    ['until', { untilMs: T0 }, 'is past; give a later instant'],
  ])('is refused for a bad %s', (param, given, sentence) => {
    expect(() => hold(IN.warming, { ...HOLD, ...given }, T0)).toThrow(sentence);
    expect(() => hold(IN.warming, { ...HOLD, ...given }, T0)).toThrow(
      expect.objectContaining({ code: 'invalid', param }),
    );
  });

  test('that is over is told by whoever comes by first', () => {
    const { ip } = hold(IN.warming, { ...HOLD, untilMs: T0 + 10 }, T0);
    const line = { what: 'hold', to: null, because: 'the hold reached its end', by: 'engine' };
    const later = T0 + 20;
    const pool = { ...HOLD, scope: 'pool_1' };
    for (const decision of [
      advance(ip, later),
      hold(ip, pool, later),
      endWarmup(ip, later, 'api'),
      release(ip, COOLDOWN, later, 'api'),
    ]) {
      expect(decision.changes[0]).toMatchObject(line);
    }
  });
});

test('a ceiling binds in every status and is told', () => {
  const { ip, changes } = setCeiling(IN.active, { perDay: 500, perHour: null }, 'ops');
  expect(changes).toMatchObject([{ what: 'ceiling', to: { perDay: 500, perHour: null }, by: 'ops' }]);
  expect(sendQuotaFor(ip, null, T0).current).toMatchObject({
    dailyLimit: 500,
    hourlyCap: null,
    dailyByCeiling: true,
  });
  const warming = sendQuotaFor(
    setCeiling(IN.warming, { perDay: 500, perHour: 7 }, 'ops').ip,
    plan,
    T0,
  ).current;
  expect(warming).toEqual({
    dailyLimit: 50,
    hourlyCap: 7,
    burst: 7,
    dailyByCeiling: false,
    hourlyByCeiling: true,
  });
});

describe('the worker has to look again', () => {
  test.each<[string, DedicatedIp, number | null]>([
    ['at a provisioning IP never', IN.provisioning, null],
    ['at a warming one when its day turns', IN.warming, T0 + DAY_MS],
    ['or when a hold ends before', hold(IN.warming, { ...HOLD, untilMs: T0 + 10 }, T0).ip, T0 + 10],
    [
      'at an active one when the first of its holds ends',
      hold(
        hold(IN.active, { ...HOLD, untilMs: T0 + 10 }, T0).ip,
        { ...HOLD, scope: 'v3', untilMs: T0 + 20 },
        T0,
      ).ip,
      T0 + 10,
    ],
    [
      'or sooner than a hold that ends later',
      hold(IN.active, { ...HOLD, untilMs: T0 + 9 * DAY_MS }, T0).ip,
      T0 + 5 * DAY_MS,
    ],
    ['at an active one within a week, before its edges run out', IN.active, T0 + 5 * DAY_MS],
    ['at one in cooldown when that is over', IN.cooldown, T0 + COOLDOWN],
    ['at a released one never', IN.released, null],
    [
      'at a provisioning one when its hold ends',
      hold(fresh(), { ...HOLD, untilMs: T0 + 10 }, T0).ip,
      T0 + 10,
    ],
    [
      'when the first of several does',
      hold(
        hold(fresh(), { ...HOLD, untilMs: T0 + 20 }, T0).ip,
        { ...HOLD, scope: 'v3', untilMs: T0 + 10 },
        T0,
      ).ip,
      T0 + 10,
    ],
    ['never at one that is held until somebody resumes it', hold(fresh(), HOLD, T0).ip, null],
  ])('%s', (_, ip, expected) => {
    expect(nextDueAt(ip, T0)).toBe(expected);
  });

  test('at once at one whose days are over, whatever else is changed while the worker is late', () => {
    const overMs = T0 + 3 * DAY_MS + 5;
    const changed = setCeiling(IN.warming, { perDay: 10, perHour: null }, 'ops').ip;
    expect(nextDueAt(changed, overMs)).toBe(overMs);
    expect(nextDueAt(changed, overMs - 6)).toBe(overMs - 5);
  });
});
