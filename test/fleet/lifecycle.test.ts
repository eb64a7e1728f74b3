/** The life of an IP in Redis: starts, holds, days without a worker, two workers at once, and what the stream tells of it. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { addToInventory } from '../../src/fleet/inventory.ts';
import {
  endWarmup,
  getIp,
  historyOf,
  holdIp,
  releaseIp,
  restoreIp,
  resumeIp,
  setCeiling,
  startWarmup,
} from '../../src/fleet/ips.ts';
import { addIpToPool, createPool, holdPool, removeIpFromPool, resumePool } from '../../src/fleet/pools.ts';
import { countDue, tick, tickUntilDone } from '../../src/fleet/tick.ts';
import { inventoryKeys } from '../../src/redis/keys.ts';
import type { DedicatedIp, Warmup } from '../../src/warmup/dedicated-ip.ts';
import { buildPlan, DEFAULT_PLAN } from '../../src/warmup/plan.ts';
import { warmupDayAt } from '../../src/warmup/progress.ts';
import { readStoredIp } from '../../src/warmup/stored-ip.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { bookOf, type Fleet, startFleet, MONDAY as T0, table } from '../support/fleet.ts';

const book = bookOf(
  table('three', 'daily', [10, 20, 30]),
  table(
    'level',
    'daily',
    Array.from({ length: 40 }, () => 10),
  ),
);
let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({ book });
});
afterAll(() => fleet.stop());
beforeEach(() => fleet.reset());

const counterOf = async ({ address, id }: DedicatedIp) => (await fleet.limiter.look(address, id)).counter!;
const dayOf = async ({ id }: DedicatedIp) => {
  const ip = await getIp(fleet.tenant, id);
  return warmupDayAt(ip as DedicatedIp & { warmup: Warmup }, await fleet.now());
};
const takeAll = async ({ address }: DedicatedIp, count = 1_000_000) => {
  const { granted } = await fleet.limiter.take({ ip: address, count, partial: true });
  return granted[0]?.count ?? 0;
};
const STOP = { sending: true, advance: true, because: 'complaints', untilMs: null };

/** The account's stream without its instants: what, from, to. */
async function changesOf(fields: readonly string[] = ['what', 'from', 'to']): Promise<unknown[][]> {
  const entries = await fleet.redis.xrange(fleet.tenant.keys.changes, '-', '+');
  return entries.map(([, [, json]]) => {
    const change = JSON.parse(json!) as Record<string, unknown>;
    return fields.map((field) => change[field]);
  });
}

describe('a start', () => {
  test('on a warming IP changes nothing: not the day, not the counts, not a byte', async () => {
    const ip = await fleet.warming({ plan: 'three' });
    await fleet.advance({ hours: 30 });
    await takeAll(ip, 7);
    const before = await fleet.dump();
    expect((await startWarmup(fleet.tenant, ip.id, { plan: DEFAULT_PLAN, startDay: 9 })).warmup?.plan).toBe(
      'three',
    );
    expect(await fleet.dump()).toEqual(before);
  });

  test('is refused in cooldown and after it', async () => {
    const ip = await fleet.warming();
    await releaseIp(fleet.tenant, ip.id);
    await expect(startWarmup(fleet.tenant, ip.id, {})).rejects.toMatchObject({ code: 'conflict' });
    await fleet.advance({ days: 30 });
    await expect(startWarmup(fleet.tenant, ip.id, {})).rejects.toMatchObject({ code: 'conflict' });
    await expect(startWarmup(fleet.tenant, ip.address, {})).rejects.toMatchObject({ code: 'not_found' });
  });

  test('in the middle of a day that an active IP has used forgets nothing that was sent', async () => {
    const [ip] = await fleet.bringMany(1, 'active');
    expect(await takeAll(ip!, 15)).toBe(15);
    await startWarmup(fleet.tenant, ip!.id, {});
    expect(await takeAll(ip!)).toBe(5);
  });

  test('keeps the rows it began with, whatever a table says later', async () => {
    const ip = await fleet.warming({ plan: 'three' });
    const edited = {
      ...(await fleet.anotherEngine()),
      book: bookOf(table('three', 'daily', [999, 999, 999])),
    };
    await fleet.advance({ days: 1, work: false });
    await tickUntilDone(edited);
    expect(await takeAll(ip)).toBe(20);
  });
});

describe('a release', () => {
  test('leaves every choice for good, also when a receipt is credited afterwards', async () => {
    const { tenant, redis } = fleet;
    const ip = await fleet.warming({ plan: 'three' });
    const { granted } = await fleet.limiter.take({ ip: ip.id, count: 5 });
    await releaseIp(tenant, ip.id);
    expect(await fleet.limiter.refund([{ receipt: granted[0]!.receipt }])).toEqual({ refunded: 5 });
    for (const kind of ['ready', 'turn']) {
      expect(await redis.zcard(`${tenant.keys.prefix}${kind}:all:4`)).toBe(0);
    }
    await restoreIp(tenant, ip.id);
    expect(await takeAll(ip)).toBe(10);
  });

  test('stops all mail at once, and a restore brings back the day and the counts', async () => {
    const ip = await fleet.warming({ plan: 'three' });
    await fleet.advance({ days: 1, hours: 1 });
    expect(await takeAll(ip, 15)).toBe(15);
    await releaseIp(fleet.tenant, ip.id);
    expect(await fleet.limiter.take({ ip: ip.id })).toMatchObject({
      allowed: false,
      because: { code: 'status' },
    });
    expect((await fleet.limiter.take({})).allowed).toBe(false);
    await fleet.advance({ hours: 2 });
    await restoreIp(fleet.tenant, ip.id);
    expect(await dayOf(ip)).toBe(2);
    expect(await takeAll(ip)).toBe(5);
    await releaseIp(fleet.tenant, ip.id);
    await fleet.advance({ days: 6 });
    await restoreIp(fleet.tenant, ip.id);
    expect(await dayOf(ip)).toBe(2);
    expect(await takeAll(ip)).toBe(20);
  });

  test('leaves every pool, and a second one is refused', async () => {
    const pool = await createPool(fleet.tenant, { name: 'one' });
    const ip = await fleet.warming();
    await addIpToPool(fleet.tenant, pool.id, ip.id);
    await releaseIp(fleet.tenant, ip.id);
    expect((await fleet.limiter.take({ pool: 'one' })).allowed).toBe(false);
    await expect(releaseIp(fleet.tenant, ip.id)).rejects.toMatchObject({ code: 'conflict' });
    expect((await restoreIp(fleet.tenant, ip.id)).pools).toEqual([]);
  });
});

describe('a hold', () => {
  test('of mail and progress stops both at once, over restarts, and a resume goes on with the day it had', async () => {
    const ip = await fleet.warming({ plan: 'three' });
    await fleet.advance({ days: 1, hours: 1 });
    await takeAll(ip, 5);
    await holdIp(fleet.tenant, ip.id, STOP);
    expect(await takeAll(ip)).toBe(0);
    await fleet.advance({ days: 5 });
    const restarted = await fleet.anotherEngine();
    await tickUntilDone(restarted);
    expect(await takeAll(ip)).toBe(0);
    await resumeIp(fleet.tenant, ip.id);
    expect(await dayOf(ip)).toBe(2);
    expect(await takeAll(ip)).toBe(20);
    await fleet.advance({ days: 1 });
    expect(await takeAll(ip)).toBe(30);
  });

  test('and its end in one day give nothing twice', async () => {
    const ip = await fleet.warming({ plan: 'three' });
    let given = 0;
    for (let round = 0; round < 5; round += 1) {
      given += await takeAll(ip, 3);
      await holdIp(fleet.tenant, ip.id, STOP);
      await fleet.advance({ hours: 1 });
      await resumeIp(fleet.tenant, ip.id);
    }
    expect(given).toBe(10);
  });

  test('with an end is over on time also when no worker runs', async () => {
    const ip = await fleet.warming({ plan: 'three' });
    await holdIp(fleet.tenant, ip.id, { ...STOP, untilMs: T0 + 2 * DAY_MS + HOUR_MS });
    await fleet.advance({ days: 2, work: false });
    expect(await fleet.limiter.take({ ip: ip.id })).toMatchObject({
      allowed: false,
      retryAfterMs: HOUR_MS,
      because: { code: 'hold' },
    });
    await fleet.advance({ hours: 1, work: false });
    // Progress stood still for two edges, so this is still day 1.
    expect(await takeAll(ip)).toBe(10);
    await fleet.advance({ days: 1, work: false });
    expect(await takeAll(ip)).toBeLessThanOrEqual(20);
    await tickUntilDone(fleet.engine);
    expect(await dayOf(ip)).toBe(2);
  });

  test('of a pool holds those who join, and lets go of those who leave and of all when it is resumed', async () => {
    const { tenant } = fleet;
    await createPool(tenant, { name: 'pool' });
    const [first, second, third] = [await fleet.warming(), await fleet.warming(), await fleet.warming()];
    await addIpToPool(tenant, 'pool', first.id);
    await holdPool(tenant, 'pool', STOP);
    expect(await takeAll(first, 1)).toBe(0);
    await addIpToPool(tenant, 'pool', second.id);
    await addIpToPool(tenant, 'pool', third.id);
    expect(await takeAll(second, 1)).toBe(0);
    await removeIpFromPool(tenant, 'pool', second.id);
    expect(await takeAll(second, 1)).toBe(1);
    await holdIp(tenant, third.id, { ...STOP, because: 'its own' });
    await resumePool(tenant, 'pool');
    expect(await takeAll(first, 1)).toBe(1);
    expect(await takeAll(third, 1)).toBe(0);
    await resumeIp(tenant, third.id);
    expect(await takeAll(third, 1)).toBe(1);
  });
});

describe('time', () => {
  test('in which the worker was away for more than a week and clocks changed gives no day and no hour twice', async () => {
    for (const [zone, at] of [
      ['Europe/Berlin', Date.UTC(2026, 2, 19, 9)],
      ['Australia/Lord_Howe', Date.UTC(2026, 8, 24, 9)],
    ] as const) {
      await fleet.reset();
      await fleet.setClock(at);
      const ip = await fleet.warming({ plan: 'level', zone });
      // The last edge that is known lies before the change; the calendar's day begins earlier than 24 hours after it.
      await fleet.advance({ days: 11, ms: -20 * MINUTE_MS, work: false });
      expect(await takeAll(ip, 6)).toBe(6);
      await fleet.advance({ ms: 30 * MINUTE_MS, work: false });
      expect(await takeAll(ip, 6)).toBe(6);
      await tick(fleet.engine);
      const { state, quota } = await counterOf(ip);
      expect(await fleet.now()).toBeGreaterThanOrEqual(quota.fromMs);
      expect(await takeAll(ip)).toBe(0);
      expect(state.dayUsed).toBe(12);
    }
  });

  test('that stepped back a little does not let mail through a hold that ends soon', async () => {
    const ip = await fleet.warming();
    await fleet.advance({ ms: 50 * MINUTE_MS });
    expect((await fleet.limiter.take({ ip: ip.id })).allowed).toBe(true);
    await fleet.setClock(T0);
    await holdIp(fleet.tenant, ip.id, { ...STOP, untilMs: T0 + 30 * MINUTE_MS });
    for (const request of [{ ip: ip.id }, {}]) {
      expect(await fleet.limiter.take(request)).toMatchObject({
        allowed: false,
        retryAfterMs: 30 * MINUTE_MS,
        because: { code: 'hold' },
      });
    }
    await fleet.setClock(T0 + 30 * MINUTE_MS);
    expect((await fleet.limiter.take({})).allowed).toBe(true);
  });

  test('of 14 days makes an IP active exactly once, with each day of the plan in force on its day', async () => {
    const ip = await fleet.warming();
    const plan = buildPlan(DEFAULT_PLAN, book);
    for (let day = 1; day <= 14; day += 1) {
      const { quota } = await counterOf(ip);
      expect(quota.current).toMatchObject(plan.days[day - 1]!);
      expect(quota.fromMs).toBe(T0 + (day - 1) * DAY_MS);
      // A raise is published ahead because the plan goes by the calendar; the end of the warm-up never is.
      expect(quota.next).toMatchObject(plan.days[Math.min(day, 13)]!);
      await fleet.advance({ days: 1 });
    }
    expect((await getIp(fleet.tenant, ip.id)).status).toBe('active');
    expect((await counterOf(ip)).quota.current).toMatchObject({ dailyLimit: null, hourlyCap: null });
    await fleet.advance({ days: 40 });
    expect((await changesOf()).filter(([what]) => what === 'status')).toEqual([
      ['status', null, 'provisioning'],
      ['status', 'provisioning', 'warming'],
      ['status', 'warming', 'active'],
    ]);
  });

  test('in one step of 14 days does the same as day by day', async () => {
    const ip = await fleet.warming();
    const changes = await fleet.advance({ days: 14 });
    expect(changes).toMatchObject([{ what: 'status', from: 'warming', to: 'active', address: ip.address }]);
    expect((await getIp(fleet.tenant, ip.id)).warmup?.completedAtMs).toBe(T0 + 14 * DAY_MS);
  });

  test('without a worker: the next day begins on time, then its limits repeat, and no day gets more than its own', async () => {
    const ip = await fleet.warming({ plan: 'three' });
    const given: number[] = [];
    for (let day = 1; day <= 6; day += 1) {
      given.push(await takeAll(ip));
      await fleet.advance({ days: 1, work: false });
    }
    expect(given).toEqual([10, 20, 20, 20, 20, 20]);
    expect((await getIp(fleet.tenant, ip.id)).status).toBe('warming');
    await tickUntilDone(fleet.engine);
    expect((await getIp(fleet.tenant, ip.id)).status).toBe('active');
  });

  test('with a worker that comes back after three days: what was sent today still counts', async () => {
    const ip = await fleet.warming();
    await fleet.advance({ days: 3, hours: 5, work: false });
    // Day 4 by the calendar, day 2 by what was published: 28 an hour, 100 in the day.
    expect(await takeAll(ip)).toBe(28);
    await tickUntilDone(fleet.engine);
    // Day 4: 55 an hour. A raise fills no bucket, it only lets it fill faster.
    expect((await counterOf(ip)).state).toMatchObject({ hourUsed: 28, dayUsed: 28, level: 0 });
    await fleet.advance({ ms: HOUR_MS / 2, work: false });
    expect(await takeAll(ip)).toBe(27);
    expect((await counterOf(ip)).state).toMatchObject({ hourUsed: 55, dayUsed: 55 });
  });

  test('past the last day of a plan without a worker lifts no limit, also when two weeks pass', async () => {
    const ip = await fleet.warming({ plan: 'three', startDay: 3 });
    for (let day = 0; day < 15; day += 1) {
      expect(await takeAll(ip)).toBe(30);
      await fleet.advance({ days: 1, work: false });
    }
    await endWarmup(fleet.tenant, ip.id);
    expect(await takeAll(ip)).toBe(1_000_000);
  });
});

describe('two workers', () => {
  test('that sweep 2 000 due IPs at once change each exactly once', async () => {
    const { engine, tenant, redis } = fleet;
    const all = await fleet.bringMany(2000, 'provisioning');
    await Promise.all(all.map(({ id }) => startWarmup(tenant, id, { plan: 'three', startDay: 3 })));
    await fleet.advance({ days: 1, work: false });
    expect(await countDue(engine)).toBe(2000);
    const before = await redis.xlen(tenant.keys.changes);
    const results = await Promise.all([tickUntilDone(engine), tickUntilDone(await fleet.anotherEngine())]);
    expect(results.reduce((sum, { changes }) => sum + changes.length, 0)).toBe(2000);
    expect(results.flatMap(({ failed }) => failed)).toEqual([]);
    expect(await countDue(engine)).toBe(0);
    expect((await redis.xlen(tenant.keys.changes)) - before).toBe(2000);
    const completed = (await changesOf(['ipId', 'to'])).filter(([, to]) => to === 'active').map(([id]) => id);
    expect(new Set(completed).size).toBe(2000);
  });
});

describe('a hot record that', () => {
  test.each([
    ['was lost', null],
    ['is damaged', 'ouch'],
  ])('%s is written anew by the next publish, and the day that runs counts as used up', async (_, left) => {
    const [bad, good] = [await fleet.warming({ plan: 'three' }), await fleet.warming({ plan: 'three' })];
    expect(await takeAll(bad, 8)).toBe(8);
    const key = fleet.tenant.keys.hot(bad.address);
    await (left === null ? fleet.redis.del(key) : fleet.redis.set(key, left));
    expect(await fleet.limiter.take({ ip: bad.id })).toMatchObject({
      allowed: false,
      because: { code: 'unpublished' },
    });
    expect((await fleet.limiter.take({ count: 10 })).granted).toMatchObject([{ ip: good.address }]);
    await setCeiling(fleet.tenant, bad.id, { perDay: 9 });
    expect(await takeAll(bad)).toBe(0);
    await fleet.advance({ days: 1 });
    expect(await takeAll(bad)).toBe(9);
  });
});

describe('a record that', () => {
  const damaged = [
    [
      'was written back by hand',
      (raw: string) => JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(raw)).reverse())),
    ],
    ['is no JSON', (_: string) => 'ouch'],
    ['lacks a field', (raw: string) => raw.replace(/"createdAtMs":\d+,/, '')],
    ['has a status that there is not', (raw: string) => raw.replace('"warming"', '"boiling"')],
    ['was written by a newer version', (raw: string) => raw.replace('"version":2', '"version":3')],
  ] as const;

  test.each(damaged)(
    '%s fails alone: the others go on, and it is neither changed nor forgotten',
    async (_, damage) => {
      const { tenant, redis, engine } = fleet;
      const [bad, good] = [await fleet.warming({ plan: 'three' }), await fleet.warming({ plan: 'three' })];
      const key = tenant.keys.ip(bad.id);
      const broken = damage((await redis.get(key))!);
      await redis.set(key, broken);
      await fleet.advance({ days: 1, work: false });
      const { failed, published } = await tickUntilDone(engine);
      expect(failed.map(({ ip }) => ip)).toEqual([bad.id]);
      expect(published).toBe(1);
      expect(await dayOf(good)).toBe(2);
      expect((await counterOf(good)).quota.current.dailyLimit).toBe(20);
      expect(await redis.get(key)).toBe(broken);
      expect(await countDue(engine)).toBe(1);
      await expect(holdIp(tenant, bad.id, STOP)).rejects.toThrow();
      expect(await redis.get(key)).toBe(broken);
      // The quota that was published goes on.
      expect(await takeAll(bad)).toBe(20);
    },
  );

  test('is missing for thousands of IPs ends the sweep, and behind them the others go on', async () => {
    const { redis, tenant, engine } = fleet;
    const good = await fleet.warming({ plan: 'three' });
    const missing = Array.from({ length: 6_000 }, (_, index) => `ip_missing${index}`);
    await redis.zadd(tenant.keys.due, ...missing.flatMap((id) => [1, id]));
    await fleet.advance({ days: 1, work: false });
    const { published, failed, more } = await tickUntilDone(engine);
    expect({ published, failed: failed.length, more }).toEqual({ published: 1, failed: 6_000, more: false });
    expect((await counterOf(good)).quota.current.dailyLimit).toBe(20);
  });

  test('of the inventory is damaged holds up neither the other addresses that come back nor the sweep', async () => {
    const { redis, tenant, engine } = fleet;
    await addToInventory(engine, { addresses: ['203.0.113.0/31'] });
    const [bad, good] = [await fleet.create(), await fleet.create()];
    await redis.hset(inventoryKeys.entries, bad.address, 'ouch');
    for (const { id } of [bad, good]) await releaseIp(tenant, id);
    await fleet.advance({ days: 30, work: false });
    expect((await tickUntilDone(engine)).failed.map(({ ip }) => ip)).toEqual([bad.id]);
    expect(await redis.zrange(inventoryKeys.free, '0', '-1')).toEqual([good.address]);
    expect(await redis.hkeys(tenant.keys.returns)).toEqual([bad.id]);
  });

  test('was written by a newer version is refused with a sentence that says what to do', async () => {
    const ip = await fleet.warming();
    const raw = (await fleet.redis.get(fleet.tenant.keys.ip(ip.id)))!.replace('"version":2', '"version":7');
    expect(() => readStoredIp(ip.id, raw)).toThrow(/has version 7, this process writes 2; upgrade/);
  });
});

describe('the stream of changes', () => {
  test('tells who did what, from what to what, why and when; the history of an IP has the same, newest first', async () => {
    const { tenant } = fleet;
    const pool = await createPool(tenant, { name: 'pool' });
    const ip = await fleet.bring();
    await startWarmup(tenant, ip.id, { plan: 'three' });
    await addIpToPool(tenant, 'pool', ip.id);
    await fleet.advance({ hours: 1 });
    await holdIp(tenant, ip.id, { ...STOP, untilMs: T0 + 2 * HOUR_MS });
    await setCeiling(tenant, ip.id, { perDay: 5, perHour: null });
    await fleet.advance({ days: 3, hours: 12 });
    await releaseIp(tenant, ip.id);
    await fleet.advance({ days: 30 });
    const seen = await changesOf(['what', 'from', 'to', 'by']);
    const hold = expect.objectContaining({ because: 'complaints', sinceMs: T0 + HOUR_MS });
    expect(seen).toEqual([
      ['pool', null, 'pool', 'test'],
      ['status', null, 'provisioning', 'test'],
      ['status', 'provisioning', 'warming', 'test'],
      ['pool', null, pool.id, 'test'],
      ['hold', null, hold, 'test'],
      ['ceiling', { perDay: null, perHour: null }, { perDay: 5, perHour: null }, 'test'],
      ['hold', hold, null, 'engine'],
      ['status', 'warming', 'active', 'engine'],
      ['status', 'active', 'cooldown', 'test'],
      ['pool', pool.id, null, 'test'],
      ['status', 'cooldown', 'released', 'engine'],
    ]);
    const at = (await changesOf(['at'])).flat();
    expect(at.slice(4, 8)).toEqual([
      '2026-03-02T10:00:00.000Z',
      '2026-03-02T10:00:00.000Z',
      '2026-03-02T11:00:00.000Z',
      '2026-03-05T09:00:00.000Z',
    ]);
    const reasons = (await changesOf(['because'])).flat();
    for (const because of reasons) expect(because).toMatch(/^\S.{5,}$/);
    const history = (await historyOf(tenant, ip.id)) as { what: string }[];
    expect(history.map(({ what }) => what)).toEqual(
      seen
        .slice(1)
        .map(([what]) => what)
        .reverse(),
    );
  });

  test('is silent about a tick that changed nothing, and about a ceiling that an IP has already', async () => {
    const ip = await fleet.warming();
    for (let times = 0; times < 2; times += 1) await setCeiling(fleet.tenant, ip.id, { perDay: 5 });
    expect(await changesOf(['what'])).toHaveLength(3);
    const before = await changesOf();
    for (let times = 0; times < 3; times += 1) await tick(fleet.engine);
    await fleet.advance({ days: 2 });
    expect(await changesOf()).toEqual(before);
  });
});
