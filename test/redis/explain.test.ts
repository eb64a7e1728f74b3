/**
 * What is explained is what is decided: for random fleets and requests the explanation answers as a peek at the same instant
 * does, its IPs are read as the pure twin of the limiter reads them, and nothing in Redis changes by asking.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { explain } from '../../src/fleet/explain.ts';
import * as ips from '../../src/fleet/ips.ts';
import * as pools from '../../src/fleet/pools.ts';
import { unpackHot } from '../../src/redis/hot-record.ts';
import type { TakeRequest } from '../../src/redis/limiter.ts';
import { read, roomAt } from '../../src/warmup/counter.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { WarmlineError } from '../../src/warmup/errors.ts';
import { HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { drawn } from '../support/drawn.ts';
import { bookOf, type Fleet, startFleet, table } from '../support/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet({
    book: bookOf(
      table('few', 'daily', [6, 9, 20, 40]),
      table('by-hour', 'hourly', [3, 5, 8, 13]),
      table('opens', 'daily', [4, null, null]),
    ),
  });
});
afterAll(() => fleet.stop());

const rarely = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary });
const ip = fc.record({
  status: fc.constantFrom('warming', 'warming', 'warming', 'active', 'provisioning'),
  family: fc.constantFrom(4, 4, 4, 6),
  plan: fc.constantFrom('few', 'by-hour', 'few+by-hour', 'opens'),
  burst: rarely(fc.integer({ min: 1, max: 4 })),
  perHour: rarely(fc.integer({ min: 1, max: 30 })),
  pools: fc.subarray([0, 1, 2]),
  held: rarely(fc.option(fc.integer({ min: 1, max: 30 * HOUR_MS }), { nil: 0 })),
});
const pool = fc.record({
  warmingShare: fc.constantFrom(1, 1, 0.5, 0),
  perHour: rarely(fc.integer({ min: 1, max: 12 })),
  isDefault: fc.constantFrom(false, false, true),
});
const request = fc.record({
  from: fc.oneof(
    fc.record({ address: fc.nat() }),
    fc.record({ id: fc.nat() }),
    fc.record({ pool: fc.nat({ max: 2 }) }),
    fc.record({
      among: fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
      pool: rarely(fc.nat({ max: 2 })),
    }),
    fc.constant({ any: true }),
    fc.constant({ nowhere: true }),
  ),
  count: fc.constantFrom(1, 1, 2, 3, 7, 30),
  partial: fc.boolean(),
  family: rarely(fc.constantFrom(4 as const, 6 as const)),
});
const step = fc.record({
  laterMs: fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 30 * MINUTE_MS }),
    fc.integer({ min: 1, max: 30 * HOUR_MS }),
  ),
  work: fc.boolean(),
  takes: fc.array(request, { maxLength: 6 }),
  asked: fc.array(request, { minLength: 1, maxLength: 4 }),
});
const life = fc.record({
  ips: fc.array(ip, { minLength: 1, maxLength: 5 }),
  pools: fc.tuple(pool, pool, pool),
  steps: fc.array(step, { minLength: 1, maxLength: 5 }),
});
type Life = typeof life extends fc.Arbitrary<infer T> ? T : never;
type Request = typeof request extends fc.Arbitrary<infer T> ? T : never;

async function build({ ips: drawn, pools: drawnPools }: Life): Promise<DedicatedIp[]> {
  await fleet.reset();
  for (const [index, { warmingShare, perHour, isDefault }] of drawnPools.entries()) {
    const ceiling = { perDay: null, perHour };
    await pools.createPool(fleet.tenant, { name: `pool-${index}`, warmingShare, ceiling, isDefault });
  }
  const made: DedicatedIp[] = [];
  for (const { status, family, plan, burst, perHour, pools: joins, held } of drawn) {
    const fresh = await fleet.bring({
      status: status === 'active' ? 'active' : 'provisioning',
      family: family as 4 | 6,
    });
    if (status === 'warming') await ips.startWarmup(fleet.tenant, fresh.id, { plan, burst });
    if (perHour !== null) await ips.setCeiling(fleet.tenant, fresh.id, { perHour });
    for (const each of joins) await pools.addIpToPool(fleet.tenant, `pool-${each}`, fresh.id);
    if (held !== null) {
      const untilMs = held === 0 ? null : (await fleet.now()) + held;
      await ips.holdIp(fleet.tenant, fresh.id, { sending: true, advance: false, because: 'a test', untilMs });
    }
    made.push(fresh);
  }
  return made;
}

function requestOf({ from, count, partial, family }: Request, fresh: DedicatedIp[]): TakeRequest {
  const at = (index: number) => fresh[index % fresh.length]!;
  const more = { count, partial };
  if ('address' in from) return { ip: at(from.address).address, ...more };
  if ('id' in from) return { ip: at(from.id).id, ...more };
  const choice = { ...more, family: family ?? undefined };
  if ('among' in from) {
    const named = from.pool === null ? {} : { pool: `pool-${from.pool}` };
    return { ...named, among: from.among.map((index) => at(index).id), ...choice };
  }
  if ('pool' in from) return { pool: `pool-${from.pool}`, ...choice };
  return 'any' in from ? choice : { pool: 'nowhere', ...choice };
}

const seen = { asked: 0, denied: 0, rows: 0, refused: 0, ceilings: 0, spread: 0 };

async function check(asked: TakeRequest): Promise<void> {
  const before = countedIn(await fleet.dump());
  const found = await explain(fleet.tenant, fleet.limiter, asked).catch((error: Error) => error);
  expect(countedIn(await fleet.dump())).toEqual(before);
  const peeked = await fleet.limiter.peek(asked).catch((error: Error) => error);
  if (found instanceof Error || peeked instanceof Error) {
    seen.refused += 1;
    expect(found).toBeInstanceOf(WarmlineError);
    expect((found as Error).message).toBe((peeked as Error).message);
    return;
  }
  const { answer, explanation } = found;
  expect(answer).toEqual(peeked);
  seen.asked += 1;
  seen.denied += answer.allowed ? 0 : 1;
  seen.spread += answer.granted.length > 1 ? 1 : 0;
  seen.ceilings += explanation.pool?.ceiling ? 1 : 0;

  // Who grants is told of the IP itself, too; and each is read as the pure twin reads it.
  const granted = explanation.ips.filter((one) => one.granted > 0);
  expect(new Map(granted.map((one) => [one.ip, one.granted]))).toEqual(
    new Map(answer.granted.map((one) => [one.ip, one.count])),
  );
  expect(explanation.ipCount).toBe(explanation.ips.length);
  const need = asked.partial ? 1 : (asked.count ?? 1);
  let lastRoom = true;
  for (const one of explanation.ips) {
    seen.rows += 1;
    const raw = await fleet.redis.getBuffer(fleet.tenant.keys.hot(one.ip));
    const { state, quota, texts } = unpackHot(raw!);
    const twin = read(state, quota, explanation.nowMs);
    const roomAtMs = roomAt(state, quota, explanation.nowMs, need);
    expect(one).toMatchObject({
      ipId: texts.id,
      room: twin.room,
      binds: twin.binds,
      limit: twin.limit,
      remaining: twin.remaining,
      roomAtMs,
      day: { used: twin.state.dayUsed, fromMs: twin.state.dayFromMs },
      hour: { used: twin.state.hourUsed, fromMs: twin.state.hourFromMs },
    });
    if (roomAtMs !== null) expect(one.roomThen).toBe(read(state, quota, roomAtMs).room);
    expect(one.record?.id).toBe(texts.id);
    // Those with room come first.
    expect(lastRoom || one.room < 1).toBe(true);
    lastRoom = one.room >= 1;
  }
}

test('an explanation answers as a peek does, reads each IP as the limiter does, and writes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(life, async (drawn) => {
      const fresh = await build(drawn);
      for (const { laterMs, work, takes, asked } of drawn.steps) {
        await fleet.advance({ ms: laterMs, work });
        for (const take of takes) await fleet.limiter.take(requestOf(take, fresh)).catch(() => {});
        for (const one of asked) await check(requestOf(one, fresh));
      }
    }),
    drawn(100),
  );
  expect(seen.asked).toBeGreaterThan(200);
  expect(seen.denied).toBeGreaterThan(40);
  expect(seen.rows).toBeGreaterThan(200);
  expect(seen.refused).toBeGreaterThan(5);
  expect(seen.ceilings).toBeGreaterThan(5);
  expect(seen.spread).toBeGreaterThan(5);
}, 120_000);

test('of a large fleet the first 128 in the order of choice are told, and how many there are', async () => {
  await fleet.reset();
  const many = await fleet.bringMany(150, 'provisioning');
  for (const { id } of many.slice(0, 140)) await ips.startWarmup(fleet.tenant, id, { plan: 'by-hour' });
  await fleet.limiter.take({ count: 3 });
  await fleet.advance({ hours: 2 });
  const before = countedIn(await fleet.dump());
  const { answer, explanation } = await explain(fleet.tenant, fleet.limiter, { count: 6 });
  expect(countedIn(await fleet.dump())).toEqual(before);
  expect(answer).toEqual(await fleet.limiter.peek({ count: 6 }));
  expect(explanation.ipCount).toBe(150);
  expect(explanation.ips).toHaveLength(128);
  expect(explanation.ips.filter(({ granted }) => granted > 0)).toHaveLength(2);
}, 60_000);

test('an index that is out of date is looked through in parts, so that no call is long', async () => {
  await fleet.reset();
  await fleet.bringMany(300, 'active');
  const { engine, keys } = fleet.tenant;
  const right = await fleet.redis.zrange(`${keys.prefix}ready:all:4`, '0', '-1', 'WITHSCORES');
  // Each in a place that is not its own, the last one first.
  for (const [index, address] of right.filter((_, at) => at % 2 === 0).entries())
    await fleet.redis.zadd(`${keys.prefix}ready:all:4`, 1_000 - index, address);
  const parts: string[] = [];
  const scripts: typeof engine.scripts = {
    ...engine.scripts,
    run(name, args) {
      parts.push(name);
      return engine.scripts.run(name, args);
    },
  };
  const { answer } = await explain({ ...fleet.tenant, engine: { ...engine, scripts } }, fleet.limiter, {});
  // 96 at a time, the 12 that are left, and one that finds nothing more.
  expect(parts).toEqual(Array(5).fill('set-right'));
  expect(answer.granted[0]!.ip).toBe(right[0]);
  expect(await fleet.redis.zrange(`${keys.prefix}ready:all:4`, '0', '-1', 'WITHSCORES')).toEqual(right);
  expect((await fleet.limiter.take({})).granted[0]!.ip).toBe(right[0]);
});

/** All but the hints by which IPs are chosen: a look sets them right, as a take does. */
function countedIn(dump: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(dump).filter(([key]) => !/:(ready|turn):/.test(key)));
}
