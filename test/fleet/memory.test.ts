/** An IP is small, and nothing grows without a bound: a fleet that has run for half a year is as large as one that has run for four months. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { addToInventory } from '../../src/fleet/inventory.ts';
import { releaseIp, startWarmup } from '../../src/fleet/ips.ts';
import { addIpToPool, createPool } from '../../src/fleet/pools.ts';
import { DAY_MS, HOUR_MS } from '../../src/warmup/units.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { bytesOfIp } from '../support/memory.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());

/** Bytes of each key as Redis would save it. */
async function sizes(): Promise<Map<string, number>> {
  const dump = await fleet.dump();
  return new Map(Object.entries(dump).map(([key, content]) => [key, content.length]));
}

test('60 more days of takes, refunds and ticks leave as many keys as before, each as large as before', async () => {
  const { tenant, limiter } = fleet;
  await createPool(tenant, { name: 'pool', warmingShare: 0.5, ceiling: { perDay: 1000, perHour: 300 } });
  const all = await fleet.bringMany(3, 'provisioning');
  for (const [index, { id }] of all.entries()) {
    await addIpToPool(tenant, 'pool', id);
    if (index > 0) await startWarmup(tenant, id, { burst: index === 1 ? 3 : null });
  }
  const oneDay = async () => {
    for (let hour = 0; hour < 24; hour += 6) {
      const takes = [{ pool: 'pool' }, {}, { ip: all[1]!.address }];
      for (const request of takes) {
        const { granted } = await limiter.take({ ...request, count: 2, partial: true });
        for (const { receipt } of granted) await limiter.refund([{ receipt, count: 1 }]);
        await limiter.take({ ...request, count: 1_000_000 });
        await limiter.peek({ ...request, count: 10 });
      }
      await fleet.advance({ ms: 6 * HOUR_MS });
    }
  };
  // What was sent is kept for 128 days; from then on each day drops one.
  for (let day = 0; day < 130; day += 1) await oneDay();
  const before = await sizes();
  for (let day = 0; day < 60; day += 1) await oneDay();
  const after = await sizes();
  expect([...after.keys()]).toEqual([...before.keys()]);
  // A few digits more: revisions and counts are written in decimal.
  for (const [key, size] of after) expect([key, size <= before.get(key)! + 16]).toEqual([key, true]);
});

test('an address that comes and goes leaves nothing in the indexes, only its records and what it sent', async () => {
  await fleet.reset();
  await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
  await createPool(fleet.tenant, { name: 'pool', isDefault: true });
  const live = async (ipId: string) => {
    const kept = new Set([
      fleet.tenant.keys.ip(ipId),
      fleet.tenant.keys.history(ipId),
      fleet.tenant.keys.sent(ipId),
    ]);
    return [...(await sizes()).keys()].filter(
      (key) => !kept.has(key) && !key.includes(':ip:') && !key.includes(':sent:'),
    );
  };
  const seen: string[][] = [];
  for (let round = 0; round < 3; round += 1) {
    const ip = await fleet.create();
    await startWarmup(fleet.tenant, ip.id, {});
    const { granted } = await fleet.limiter.take({ count: 5 });
    await fleet.limiter.refund([{ receipt: granted[0]!.receipt }]);
    await fleet.advance({ ms: DAY_MS });
    await fleet.limiter.take({ ip: ip.id });
    await releaseIp(fleet.tenant, ip.id);
    await fleet.advance({ days: 30 });
    seen.push((await live(ip.id)).filter((key) => !key.includes(':history:')));
  }
  expect(seen[1]).toEqual(seen[0]);
  expect(seen[2]).toEqual(seen[0]);
  expect(seen[0]!.some((key) => /:(hot|quota|ready|turn|refunded):/.test(key))).toBe(false);
});

test('a warming IP takes 1 KB, and 1.4 KB with all that is kept of what it sent', async () => {
  await fleet.reset();
  const { tenant, redis, limiter } = fleet;
  await addToInventory(fleet.engine, { addresses: ['203.0.113.117'] });
  // A fraction of a second, a zone with summer time: what real starts have.
  await fleet.advance({ ms: 123 });
  const ip = await fleet.create();
  await startWarmup(tenant, ip.id, { zone: 'Europe/Berlin' });
  const { own: fresh } = await bytesOfIp(redis, tenant.keys, ip);
  expect(fresh).toBeLessThanOrEqual(1024);
  // Mail in every hour, as much as may be sent.
  let sends = 0;
  for (let hour = 0; hour < 14 * 24; hour += 1) {
    const { granted } = await limiter.take({ ip: ip.id, count: 1_000_000, partial: true });
    sends += granted[0]?.count ?? 0;
    const { own, sent } = await bytesOfIp(redis, tenant.keys, ip);
    expect([hour, own <= 1024, own + sent <= 1.4 * 1024]).toEqual([hour, true, true]);
    await fleet.advance({ ms: HOUR_MS });
  }
  await limiter.take({ ip: ip.id, count: 1 });
  const { hours, days } = (await limiter.look(ip.address, ip.id)).sent;
  expect([hours.length, days.length]).toEqual([48, 14]);
  expect(days.reduce((sum, day) => sum + day.sends, 0)).toBe(sends);
});
