/** The stop of a whole account: nobody who comes while or after it is pressed sends, and lifting it leaves other holds alone. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readChanges } from '../../src/fleet/changes.ts';
import { accountHold, holdAll, resumeAll } from '../../src/fleet/hold-all.ts';
import { bringIps } from '../../src/fleet/inventory.ts';
import * as ips from '../../src/fleet/ips.ts';
import { createPool, holdPool } from '../../src/fleet/pools.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { type Fleet, type House, startFleet } from '../support/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());

const STOP = { sending: true, advance: true, because: 'a bounce storm', untilMs: null };
const scopesOf = ({ holds }: DedicatedIp) => holds.map(({ scope }) => scope);
const sends = async (house: House, { address }: DedicatedIp) =>
  (await house.limiter.take({ ip: address })).allowed;

test('IPs that come later, or back from cooldown, are under it, and lifting it frees them and nobody else', async () => {
  const house = await fleet.house();
  const [early, released, held] = [
    await house.bring({ status: 'active' }),
    await house.bring({ status: 'active' }),
    await house.bring({ status: 'active' }),
  ];
  await ips.releaseIp(house.tenant, released.id);
  await ips.holdIp(house.tenant, held.id, { ...STOP, because: 'its own' });
  expect(await holdAll(house.tenant, STOP)).toMatchObject({
    changed: 2,
    hold: { scope: 'account', by: 'test' },
  });
  const later = await house.bring({ status: 'active' });
  expect(scopesOf(later)).toEqual(['account']);
  expect(scopesOf(await ips.restoreIp(house.tenant, released.id))).toEqual(['account']);
  for (const ip of [early, released, later]) expect(await sends(house, ip)).toBe(false);
  // The same again finds nobody whom it left out, and is no change.
  const { changes } = await readChanges(house.tenant, { after: null, fromMs: null, limit: 1000 });
  expect((await holdAll(house.tenant, STOP)).changed).toBe(0);
  expect(
    (await readChanges(house.tenant, { after: changes.at(-1)!.id, fromMs: null, limit: 10 })).changes,
  ).toEqual([]);
  expect(await resumeAll(house.tenant)).toEqual({ hold: null, changed: 4 });
  for (const ip of [early, released, later]) expect(await sends(house, ip)).toBe(true);
  expect(scopesOf(await ips.getIp(house.tenant, held.id))).toEqual(['ip']);
  expect(scopesOf(await house.bring({ status: 'active' }))).toEqual([]);
});

test('one that has ended by itself holds nobody who comes later', async () => {
  const house = await fleet.house();
  await holdAll(house.tenant, { ...STOP, untilMs: (await fleet.now()) + 60_000 });
  expect(await accountHold(house.tenant)).not.toBeNull();
  await fleet.advance({ hours: 1 });
  expect(await accountHold(house.tenant)).toBeNull();
  expect(scopesOf(await house.bring({ status: 'active' }))).toEqual([]);
});

test('one that stops progress alone lets mail go on', async () => {
  const house = await fleet.house();
  await holdAll(house.tenant, { ...STOP, sending: false });
  const ip = await house.warming();
  expect(await sends(house, ip)).toBe(true);
  expect(ip.warmup?.pausedAtMs).not.toBeNull();
});

test('a pool that is created keeps the stop, and its own hold goes on behind it', async () => {
  const house = await fleet.house();
  await holdAll(house.tenant, STOP);
  const ip = await house.bring({ status: 'active' });
  const pool = await createPool(house.tenant, { name: 'news', ips: [ip.id] });
  await holdPool(house.tenant, pool.id, STOP);
  expect(await accountHold(house.tenant)).toMatchObject({ because: 'a bounce storm' });
  await resumeAll(house.tenant);
  expect(scopesOf(await ips.getIp(house.tenant, ip.id))).toEqual([pool.id]);
});

describe('races', () => {
  test('IPs that are brought, released and restored while it is pressed are all under it at the end', async () => {
    for (let round = 0; round < 3; round += 1) {
      const house = await fleet.house();
      const there = await house.bringMany(120, 'active');
      const leaving = there.slice(0, 10);
      const brought = Array.from({ length: 20 }, (_, n) => `10.200.${round}.${n}`);
      const [stopped] = await Promise.all([
        holdAll(house.tenant, STOP),
        ...brought.map((address) => bringIps(house.tenant, { addresses: [address], status: 'active' })),
        ...leaving.map(async ({ id }) => {
          await ips.releaseIp(house.tenant, id);
          await ips.restoreIp(house.tenant, id);
        }),
      ]);
      expect(stopped.changed).toBeGreaterThan(0);
      const all = await everyIp(house);
      expect(all).toHaveLength(140);
      expect(all.filter((ip) => !scopesOf(ip).includes('account')).map(({ address }) => address)).toEqual([]);
    }
  });

  test('of a stop and a resume at once the later one is true of every IP', async () => {
    for (let round = 0; round < 3; round += 1) {
      const house = await fleet.house();
      await house.bringMany(120, 'active');
      await Promise.all([
        holdAll(house.tenant, STOP),
        resumeAll(house.tenant),
        holdAll(house.tenant, { ...STOP, because: 'another' }),
        round % 2 === 0 ? resumeAll(house.tenant) : house.bring({ status: 'active' }),
      ]);
      const hold = await accountHold(house.tenant);
      const all = await everyIp(house);
      const reasons = new Set(all.map((ip) => ip.holds[0]?.because ?? null));
      expect([...reasons]).toEqual([hold?.because ?? null]);
    }
  });
});

async function everyIp({ tenant }: House): Promise<DedicatedIp[]> {
  const all: DedicatedIp[] = [];
  for (let after: ips.ListPosition | null = null; ; ) {
    const page: Awaited<ReturnType<typeof ips.pageOfIps>> = await ips.pageOfIps(tenant, {
      limit: 100,
      after,
    });
    all.push(...page.ips);
    if (!page.next) return all;
    after = page.next;
  }
}
