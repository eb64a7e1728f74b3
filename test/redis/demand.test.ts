/**
 * What was wanted, granted and held is counted once, by what the sender named, whichever process it is and however it asks;
 * in bounded space; and the hot path asks Redis nothing for it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { demandOf, demandOfHours, denialsOf, OF_ALL, OF_ANY, totalDemandOf } from '../../src/fleet/demand.ts';
import { holdIp } from '../../src/fleet/ips.ts';
import { createPool } from '../../src/fleet/pools.ts';
import { createDemand, Tally } from '../../src/redis/demand.ts';
import { createLimiter } from '../../src/redis/limiter.ts';
import { createSender, type Sender } from '../../src/sender/index.ts';
import { QuotaExhausted } from '../../src/sender/quota-exhausted.ts';
import { startCuttingProxy } from '../support/cutting-proxy.ts';
import { type Fleet, type House, startFleet } from '../support/fleet.ts';
import { eventually, killPrograms, startProgram } from '../support/processes.ts';

const COUNTING = new URL('./fixtures/counting-sender.ts', import.meta.url);

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(async () => {
  killPrograms();
  await fleet.stop();
});

/** A process of its own, as far as counting goes. */
function counting(house: House) {
  const { engine, account } = house.tenant;
  const demand = createDemand(engine.scripts, account);
  return { demand, limiter: createLimiter(engine.scripts, account, { demand }) };
}
const of = async (house: House, target: string) => (await demandOf(house.tenant, [target]))[0]!;
const HOLD = { sending: true, advance: false, because: 'a test', untilMs: null };

describe('takes', () => {
  test('of several processes are added up, by IP, pool and account, with the reasons of what was held', async () => {
    const house = await fleet.house();
    const pooled = await house.warming({ plan: 'fourteen-day' });
    const alone = await house.warming({ plan: 'fourteen-day' });
    const pool = await createPool(house.tenant, { name: 'news', ips: [pooled.id] });
    const [a, b] = [counting(house), counting(house)];
    // By name, by id, by address, many in one turn, too many at once, more than there is, and in part.
    await Promise.all([
      a.limiter.take({ pool: 'news', count: 30 }),
      b.limiter.take({ pool: pool.id, count: 10 }),
    ]);
    await Promise.all(Array.from({ length: 15 }, () => a.limiter.take({ pool: 'news' })));
    await Promise.all(Array.from({ length: 60 }, () => b.limiter.take({ ip: alone.address })));
    await a.limiter.take({ ip: alone.id, count: 7, partial: true });
    await a.limiter.take({ pool: 'news', count: 1_000_000 });
    await a.limiter.take({ among: [pooled.address], pool: 'news' });
    await b.limiter.peek({ pool: 'news', count: 500 });
    expect((await of(house, OF_ALL)).wanted).toBe(0);
    await Promise.all([a.demand.handIn(), b.demand.handIn()]);
    // Again, there is nothing to hand in.
    await a.demand.handIn();
    expect(await of(house, pool.id)).toEqual({
      ...{ wanted: 56 + 1_000_000, granted: 50, held: 6 + 1_000_000 },
      heldBy: [
        ['count', 1_000_000],
        ['day', 6],
      ],
    });
    expect(await of(house, alone.id)).toEqual({ wanted: 67, granted: 50, held: 17, heldBy: [['day', 17]] });
    expect(await of(house, OF_ALL)).toMatchObject({ wanted: 123 + 1_000_000, granted: 100 });
    expect(await totalDemandOf(house.tenant)).toMatchObject({ wanted: 123 + 1_000_000, granted: 100 });
    const denials = await denialsOf(house.tenant);
    expect(
      denials.map(({ target, code, takes, sends, ipId }) => ({ target, code, takes, sends, ipId })),
    ).toEqual(
      expect.arrayContaining([
        { target: alone.id, code: 'day', takes: 11, sends: 17, ipId: alone.id },
        { target: pool.id, code: 'count', takes: 1, sends: 1_000_000, ipId: pooled.id },
        { target: pool.id, code: 'day', takes: 6, sends: 6, ipId: pooled.id },
      ]),
    );
  });

  test('that name nothing are those of the default pool, or of any IP; what the account has not is its own alone', async () => {
    const house = await fleet.house();
    await house.warming({ plan: 'fourteen-day' });
    const { demand, limiter } = counting(house);
    await limiter.take({ count: 3 });
    await demand.handIn();
    const pool = await createPool(house.tenant, { name: 'all', isDefault: true });
    await limiter.take({ count: 2 });
    const other = new Tally('ip 192.0.2.200');
    demand.note(other, 1, 5, 0, 'status');
    await expect(limiter.take({ pool: 'no such' })).rejects.toThrow('there is no pool');
    await demand.handIn();
    expect(await of(house, OF_ANY)).toMatchObject({ wanted: 3, granted: 3 });
    expect(await of(house, pool.id)).toMatchObject({ wanted: 2, granted: 0, heldBy: [['status', 2]] });
    expect(await of(house, OF_ALL)).toMatchObject({ wanted: 10, granted: 3, held: 7 });
    expect(await fleet.redis.hlen(house.tenant.keys.demand(await hourNow()))).toBe(3);
  });

  test('go into the hour of engine time, and hours of two days are kept', async () => {
    const house = await fleet.house();
    const ip = await house.warming({ plan: 'fourteen-day' });
    const { demand, limiter } = counting(house);
    for (let hour = 0; hour < 60; hour += 1) {
      await limiter.take({ ip: ip.address });
      await demand.handIn();
      await fleet.advance({ hours: 1 });
    }
    const hours = await demandOfHours(house.tenant, ip.id, 48);
    expect(hours.map(({ wanted }) => wanted)).toEqual([...Array(47).fill(1), 0]);
    const kept = await fleet.redis.keys(`${house.tenant.keys.prefix}demand:*`);
    expect(kept).toHaveLength(50);
    expect(await fleet.redis.zcard(house.tenant.keys.demandHours)).toBe(50);
    expect((await totalDemandOf(house.tenant)).wanted).toBe(60);
    // An account that nobody has asked for a month is tidied up by whoever asks next.
    await fleet.advance({ days: 30, work: false });
    await limiter.take({ ip: ip.address });
    await demand.handIn();
    expect(await fleet.redis.keys(`${house.tenant.keys.prefix}demand:*`)).toHaveLength(1);
  });

  test('are counted in bounded space, here and in Redis: what is too much is counted for the account', async () => {
    const house = await fleet.house();
    const { demand } = counting(house);
    const addresses = Array.from({ length: 12_000 }, (_, n) => `10.99.${n >> 8}.${n & 255}`);
    await fleet.redis.hset(house.tenant.keys.addresses, ...addresses.flatMap((one, n) => [one, `ip_${n}x`]));
    for (const address of addresses) demand.note(demand.tallyOf(`ip ${address}`), 1, 2, 1, 'hour', 'ip_1x');
    await demand.handIn();
    const more = addresses.slice(10_000);
    for (const address of more) demand.note(demand.tallyOf(`ip ${address}`), 1, 2, 1, 'hour', 'ip_1x');
    await demand.handIn();
    const { keys } = house.tenant;
    expect(await fleet.redis.hlen(keys.demand(await hourNow()))).toBe(10_000);
    expect(await fleet.redis.hlen(keys.denied(await hourNow()))).toBe(200);
    expect(await of(house, OF_ALL)).toEqual({
      wanted: 28_000,
      granted: 14_000,
      held: 14_000,
      heldBy: [['hour', 14_000]],
    });
  });

  test('cost no call of their own: a thousand takes are handed in by one', async () => {
    const house = await fleet.house();
    const ip = await house.bring({ status: 'active' });
    const scripts = { ...house.tenant.engine.scripts };
    const calls: string[] = [];
    const { run, runPacked } = scripts;
    scripts.run = (...call) => {
      calls.push(call[0]);
      return run(...call);
    };
    scripts.runPacked = (...call) => {
      calls.push(call[0]);
      return runPacked(...call);
    };
    const demand = createDemand(scripts, house.tenant.account);
    const limiter = createLimiter(scripts, house.tenant.account, { demand });
    await Promise.all(Array.from({ length: 1_000 }, () => limiter.take({ ip: ip.address })));
    expect(calls).not.toContain('demand');
    await demand.handIn();
    expect(calls.filter((name) => name === 'demand')).toHaveLength(1);
    expect(await of(house, ip.id)).toMatchObject({ wanted: 1_000, granted: 1_000 });
  });
});

describe('senders', () => {
  test('hand in when they close, also what Redis could not be asked for', async () => {
    const ip = await fleet.warming({ plan: 'fourteen-day' });
    const proxy = await startCuttingProxy(fleet.server.port);
    const sender = await createSender({ redisUrl: proxy.url, testClock: true });
    await sender.take({ ip: ip.address, count: 4 });
    proxy.loseNextCommand();
    expect((await sender.take({ ip: ip.address, count: 3 })).because?.code).toBe('unreachable');
    await eventuallyTaken(sender, ip.address);
    await sender.close();
    proxy.stop();
    const [seen] = await demandOf(fleet.tenant, [ip.id]);
    expect(seen).toMatchObject({ granted: 5 });
    expect(seen!.heldBy).toContainEqual(['unreachable', seen!.wanted - 5]);
  });

  test('that hang up while Redis is away try no more', async () => {
    const house = await fleet.house();
    const ip = await house.warming({ plan: 'fourteen-day' });
    const { scripts } = await fleet.anotherEngine();
    const demand = createDemand(scripts, house.tenant.account);
    scripts.redis.disconnect();
    await eventually('it has hung up', () => scripts.redis.status === 'end');
    vi.useFakeTimers();
    try {
      demand.note(demand.tallyOf(`ip ${ip.address}`), 1, 5, 0, 'unreachable');
      await demand.handIn();
      expect(vi.getTimerCount()).toBe(0);
      // It is empty: what is noted from now on is not added to what was.
      expect(demand.tallyOf(`ip ${ip.address}`)).toMatchObject({ wanted: 0, denied: null, isListed: false });
    } finally {
      vi.useRealTimers();
    }
  });

  test('with leases: what was spent, and what was wanted while there was none, once', async () => {
    const ip = await fleet.warming({ plan: 'fourteen-day' });
    const sender = await fleet.sender();
    const lease = sender.lease({ ip: ip.id });
    for (let sends = 0; sends < 50; sends += 1) await lease.take();
    await expect(lease.take(1, { timeoutMs: 1_000 })).rejects.toThrow(QuotaExhausted);
    expect(lease.because).toBe('day');
    // Three misses; then one that a `take` goes on with, which is the same want.
    for (let miss = 0; miss < 3; miss += 1) expect(lease.tryTake(2)).toBeNull();
    expect(lease.tryTake(5)).toBeNull();
    await expect(lease.take(5, { timeoutMs: 1_000 })).rejects.toThrow(QuotaExhausted);
    await sender.close();
    const [seen] = await demandOf(fleet.tenant, [ip.id]);
    expect(seen).toEqual({ wanted: 50 + 1 + 6 + 5, granted: 50, held: 12, heldBy: [['day', 12]] });
  });

  test('with leases that give back: what was not sent was not wanted', async () => {
    const ip = await fleet.warming({ plan: 'fourteen-day' });
    const sender = await fleet.sender();
    const lease = sender.lease({ ip: ip.address });
    const first = await lease.take(10);
    lease.giveBack(first, 4);
    await sender.close();
    expect((await demandOf(fleet.tenant, [ip.id]))[0]).toMatchObject({ wanted: 6, granted: 6, held: 0 });
  });

  test('that are held say so; that are told not to count do not', async () => {
    const ip = await fleet.warming({ plan: 'fourteen-day' });
    await holdIp(fleet.tenant, ip.id, HOLD);
    const sender = await fleet.sender();
    await sender.take({ ip: ip.address, count: 8 });
    await sender.close();
    const silent = await createSender({ redisUrl: fleet.server.url, testClock: true, countDemand: false });
    await silent.take({ ip: ip.address, count: 8 });
    await silent.close();
    expect((await demandOf(fleet.tenant, [ip.id]))[0]).toEqual({
      wanted: 8,
      granted: 0,
      held: 8,
      heldBy: [['hold', 8]],
    });
  });

  test('that are killed lose what they had not handed in, and nothing that they had', async () => {
    const ip = await fleet.bring({ status: 'active' });
    const sender = startProgram(COUNTING, [fleet.server.url, ip.address]);
    expect(await sender.line()).toBe('taken');
    sender.child.kill('SIGKILL');
    await sender.ended;
    expect((await demandOf(fleet.tenant, [ip.id]))[0]).toMatchObject({ wanted: 100, granted: 100 });
  });
});

const hourNow = async () => Math.floor((await fleet.now()) / 3_600_000) * 3_600_000;

/** The connection is there again by itself. */
async function eventuallyTaken(sender: Sender, ip: string): Promise<void> {
  while (!(await sender.take({ ip })).allowed) await sleep(20);
}
