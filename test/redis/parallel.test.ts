/**
 * Many senders at once, in processes of their own, and connections that break at the worst moment: never over, all of it
 * reachable, and what Redis has counted is what was granted.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { getIp, holdIp, resumeIp } from '../../src/fleet/ips.ts';
import { addIpToPool, createPool } from '../../src/fleet/pools.ts';
import { connect } from '../../src/redis/connect.ts';
import { createLimiter, type TakeRequest } from '../../src/redis/limiter.ts';
import { createScripts } from '../../src/redis/scripts.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { warmupDayAt } from '../../src/warmup/progress.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts';
import { type Fleet, startFleet, MONDAY as T0 } from '../support/fleet.ts';
import { eventually, killPrograms, type Program, startProgram } from '../support/processes.ts';

const TAKER = new URL('./fixtures/taker.ts', import.meta.url);
afterEach(killPrograms);

async function startTakers(fleet: Fleet, request: TakeRequest, clock: 'test' | 'real'): Promise<Program[]> {
  const takers = Array.from({ length: 4 }, () =>
    startProgram(TAKER, [fleet.server.url, JSON.stringify(request), clock]),
  );
  for (const taker of takers) expect(await taker.line()).toBe('ready');
  return takers;
}

/** What all of them were granted: by IP and hour. */
async function stopTakers(takers: Program[]): Promise<Map<string, Map<number, number>>> {
  for (const { child } of takers) child.stdin!.write('stop\n');
  const sums = new Map<string, Map<number, number>>();
  for (const taker of takers) {
    for (const [key, count] of Object.entries(JSON.parse(await taker.line()) as Record<string, number>)) {
      const [ip, hour] = key.split(' ') as [string, string];
      const hours = sums.get(ip) ?? new Map<number, number>();
      sums.set(ip, hours.set(Number(hour), (hours.get(Number(hour)) ?? 0) + count));
    }
    expect(await taker.ended).toBe(0);
  }
  return sums;
}

const sum = (counts: Iterable<number>) => [...counts].reduce((total, count) => total + count, 0);
const usedToday = async ({ limiter }: Fleet, { address, id }: DedicatedIp) =>
  (await limiter.look(address, id)).counter!.state.dayUsed;

describe('four processes that take as fast as they can on day 1', () => {
  const cases = [
    ['one IP', 1],
    ['a pool of three', 3],
  ] as const;

  test.each(cases)(
    'get 20 in an hour and 50 in the day of %s, on a clock that goes hour by hour',
    async (_, count) => {
      const fleet = await startFleet();
      try {
        await createPool(fleet.tenant, { name: 'pool' });
        const all: DedicatedIp[] = [];
        for (let index = 0; index < count; index += 1) {
          all.push(await fleet.warming());
          await addIpToPool(fleet.tenant, 'pool', all[index]!.id);
        }
        const request = count === 1 ? { ip: all[0]!.address } : { pool: 'pool' };
        const takers = await startTakers(fleet, request, 'test');
        // Each hour is over when nothing is left in it, and the clock moves on while all of them go on taking.
        for (const [hour, perIp] of [20, 40, 50].entries()) {
          await eventually(`${perIp} of each IP`, async () => {
            const used = await Promise.all(all.map((ip) => usedToday(fleet, ip)));
            return used.every((sends) => sends === perIp);
          });
          await fleet.setClock(T0 + (hour + 1) * HOUR_MS);
        }
        for (let hour = 4; hour < 24; hour += 1) await fleet.setClock(T0 + hour * HOUR_MS);
        const granted = await stopTakers(takers);
        expect([...granted.keys()].sort()).toEqual(all.map(({ address }) => address).sort());
        for (const [address, hours] of granted) {
          expect(Math.max(...hours.values())).toBeLessThanOrEqual(20);
          expect(sum(hours.values())).toBe(50);
          const ip = all.find((one) => one.address === address)!;
          expect(await usedToday(fleet, ip)).toBe(50);
          // The ledger has the hours before as they were granted.
          const { sent } = (await fleet.limiter.look(address, ip.id))!;
          for (const { fromMs, sends } of sent.hours) expect(hours.get(fromMs)).toBe(sends);
        }
      } finally {
        await fleet.stop();
      }
    },
  );

  test.each(cases)('get 20 in the first hour of %s on the real clock, and not one more', async (_, count) => {
    const fleet = await startFleet({ clock: 'real' });
    try {
      await createPool(fleet.tenant, { name: 'pool' });
      const all: DedicatedIp[] = [];
      for (let index = 0; index < count; index += 1) {
        all.push(await fleet.warming());
        await addIpToPool(fleet.tenant, 'pool', all[index]!.id);
      }
      const takers = await startTakers(fleet, count === 1 ? { ip: all[0]!.id } : { pool: 'pool' }, 'real');
      const calls = async () =>
        Number(/cmdstat_evalsha:calls=(\d+)/.exec(await fleet.redis.info('commandstats'))?.[1] ?? 0);
      // Long after all is gone they still ask.
      const enough = (await calls()) + 4_000;
      await eventually('thousands of takes', async () => (await calls()) > enough, 20_000);
      const granted = await stopTakers(takers);
      for (const ip of all) {
        expect(sum(granted.get(ip.address)!.values())).toBe(20);
        expect(await usedToday(fleet, ip)).toBe(20);
      }
      expect(granted.size).toBe(count);
    } finally {
      await fleet.stop();
    }
  });
});

describe('a hold while four processes send', () => {
  test('ends it at once; resumed two days later the warm-up is at the day it had, and no real day gives twice', async () => {
    const fleet = await startFleet();
    try {
      // Day 10 of the daily table alone: 40 000 sends, so that they are in full swing when the hold comes.
      const ip = await fleet.warming({ plan: 'fourteen-day', startDay: 10 });
      const takers = await startTakers(fleet, { ip: ip.address }, 'test');
      const asked = async () =>
        Number(/cmdstat_evalsha:calls=(\d+)/.exec(await fleet.redis.info('commandstats'))?.[1] ?? 0);
      await eventually('they are in full swing', async () => (await usedToday(fleet, ip)) > 500);
      const { sinceMs } = (
        await holdIp(fleet.tenant, ip.id, { sending: true, advance: true, because: 'stop', untilMs: null })
      ).holds[0]!;
      expect(sinceMs).toBe(T0);
      const atTheHold = await usedToday(fleet, ip);
      const enough = (await asked()) + 2_000;
      await eventually('they asked 2 000 times in vain', async () => (await asked()) > enough);
      // Not one more after the hold was acknowledged: nothing is leased ahead, so nothing is left to be spent.
      expect(await usedToday(fleet, ip)).toBe(atTheHold);

      await fleet.advance({ days: 2 });
      expect(await usedToday(fleet, ip)).toBe(0);
      await resumeIp(fleet.tenant, ip.id);
      await eventually('the day is full', async () => (await usedToday(fleet, ip)) === 40_000, 30_000);
      const again = (await asked()) + 200;
      await eventually('and nobody gets more', async () => (await asked()) > again);
      const granted = await stopTakers(takers);
      expect(sum(granted.get(ip.address)!.values())).toBe(atTheHold + 40_000);
      const record = await getIp(fleet.tenant, ip.id);
      expect(warmupDayAt({ ...record, warmup: record.warmup! }, await fleet.now())).toBe(10);
    } finally {
      await fleet.stop();
    }
  });
});

describe('a connection that breaks', () => {
  let fleet: Fleet;
  let proxy: CuttingProxy;
  beforeAll(async () => {
    fleet = await startFleet({ config: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    proxy = await startCuttingProxy(fleet.server.port);
  });
  afterAll(async () => {
    proxy.stop();
    await fleet.stop();
  });

  test('after the command was sent: the take is denied, costs once, and the sender heals by itself', async () => {
    const ip = await fleet.warming();
    const sender = await fleet.sender({ url: proxy.url });
    expect((await sender.take({ ip: ip.id })).allowed).toBe(true);
    for (let broken = 1; broken <= 3; broken += 1) {
      const before = await usedToday(fleet, ip);
      proxy.loseNextAnswer();
      expect(await sender.take({ ip: ip.id })).toMatchObject({
        allowed: false,
        granted: [],
        because: { code: 'unreachable' },
      });
      expect(await usedToday(fleet, ip)).toBe(before + 1);
      await eventually('the sender is back', async () => (await sender.peek({ ip: ip.id })).allowed);
      // Nothing was sent again after the reconnect.
      expect(await usedToday(fleet, ip)).toBe(before + 1);
      expect((await sender.take({ ip: ip.id })).allowed).toBe(true);
      expect(await usedToday(fleet, ip)).toBe(before + 2);
    }
  });

  test('before the command came through: the take is denied and costs nothing', async () => {
    const ip = await fleet.warming();
    const sender = await fleet.sender({ url: proxy.url });
    proxy.loseNextCommand();
    expect(await sender.take({ ip: ip.address })).toMatchObject({
      allowed: false,
      because: { code: 'unreachable' },
    });
    await eventually('the sender is back', async () => (await sender.peek({ ip: ip.address })).allowed);
    expect(await usedToday(fleet, ip)).toBe(0);
  });

  test('under many takes at once: each of them was either answered or counted at most once', async () => {
    const [ip] = await fleet.bringMany(1, 'active');
    const sender = await fleet.sender({ url: proxy.url });
    await sender.take({ ip: ip!.address });
    let answered = 1;
    let lost = 0;
    for (let round = 0; round < 5; round += 1) {
      proxy.loseNextAnswer();
      const answers = await Promise.all(Array.from({ length: 20 }, () => sender.take({ ip: ip!.address })));
      const granted = answers.filter(({ allowed }) => allowed).length;
      answered += granted;
      lost += answers.length - granted;
      await eventually('the sender is back', async () => (await sender.peek({ ip: ip!.address })).allowed);
    }
    expect(lost).toBeGreaterThan(0);
    const used = await usedToday(fleet, ip!);
    expect(used).toBeGreaterThanOrEqual(answered);
    expect(used).toBeLessThanOrEqual(answered + lost);
  });

  test('in the limiter itself rejects, and a refund that broke off is not made twice', async () => {
    const ip = await fleet.warming();
    const connection = await connect(proxy.url);
    const limiter = createLimiter(createScripts(connection, { testClock: true }), fleet.tenant.account);
    // The first refund of a connection only learns that the script has to be sent.
    await limiter.refund([{ receipt: (await limiter.take({ ip: ip.address })).granted[0]!.receipt }]);
    const { granted } = await limiter.take({ ip: ip.address, count: 5 });
    proxy.loseNextAnswer();
    await expect(limiter.take({ ip: ip.address, count: 5 })).rejects.toThrow();
    expect(await usedToday(fleet, ip)).toBe(10);
    await eventually('the limiter is back', () =>
      limiter.peek({ ip: ip.address }).then(Boolean, () => false),
    );
    const refunds = [{ receipt: granted[0]!.receipt }];
    proxy.loseNextAnswer();
    await expect(limiter.refund(refunds)).rejects.toThrow();
    await eventually('the limiter is back', () =>
      limiter.peek({ ip: ip.address }).then(Boolean, () => false),
    );
    expect(await limiter.refund(refunds)).toEqual({ refunded: 0 });
    expect(await usedToday(fleet, ip)).toBe(5);
    connection.disconnect();
  });

  test('because Redis was killed and came back without its scripts: it goes on with what was counted', async () => {
    const ip = await fleet.warming();
    const sender = await fleet.sender();
    expect((await sender.take({ ip: ip.id, count: 7 })).allowed).toBe(true);
    await fleet.redis.script('FLUSH');
    expect((await sender.take({ ip: ip.id, count: 2 })).allowed).toBe(true);
    await fleet.server.kill9();
    expect(await sender.take({ ip: ip.id })).toMatchObject({
      allowed: false,
      because: { code: 'unreachable' },
    });
    await fleet.server.restart();
    await eventually('the sender is back', async () => (await sender.peek({ ip: ip.id })).allowed);
    expect((await sender.take({ ip: ip.id })).allowed).toBe(true);
    await eventually('the fleet is back', () => usedToday(fleet, ip).then(Boolean, () => false));
    expect(await usedToday(fleet, ip)).toBe(10);
  });
});
