/**
 * The way of an address from the inventory to an account and back. Whatever stops in between, and wherever, the address
 * ends in exactly one place, and nobody else is held up.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  addToInventory,
  bringIps,
  createIp,
  type InventoryEntry,
  listInventory,
  sweepAllocations,
} from '../../src/fleet/inventory.ts';
import { getIp, releaseIp, restoreIp, startWarmup } from '../../src/fleet/ips.ts';
import { createPool, membersOf } from '../../src/fleet/pools.ts';
import { tick } from '../../src/fleet/tick.ts';
import { inventoryKeys } from '../../src/redis/keys.ts';
import { DAY_MS } from '../../src/warmup/units.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';
import { killPrograms, startProgram } from '../support/processes.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());
beforeEach(() => fleet.reset());
afterEach(killPrograms);

async function entries(): Promise<InventoryEntry[]> {
  const all: InventoryEntry[] = [];
  let cursor = '0';
  do {
    const page = await listInventory(fleet.engine, cursor);
    all.push(...page.entries);
    cursor = page.cursor;
  } while (cursor !== '0');
  return all;
}
const entryOf = async (address: string) => (await entries()).find((one) => one.address === address) ?? null;

/** Where an address is, by everything that says so; more than one word would be a lie somewhere. */
async function placesOf(address: string): Promise<string[]> {
  const { redis, tenant } = fleet;
  const [place, entry, ipId, pending] = await Promise.all([
    redis.zscore(inventoryKeys.free, address),
    entryOf(address),
    redis.hget(tenant.keys.addresses, address),
    redis.zcard(inventoryKeys.pending),
  ]);
  const places = [];
  if (place !== null) places.push('in the queue');
  if (entry) places.push(entry.state);
  if (ipId)
    places.push(
      `in the account as ${(await getIp(tenant, ipId)).id === entry?.ipId ? 'the entry says' : 'another'}`,
    );
  if (pending > 0) places.push('pending');
  return places;
}
const FREE = ['in the queue', 'free'];
const HELD = ['held', 'in the account as the entry says'];

describe('an allocation that stops', () => {
  const stops = [
    ['when the address is reserved', 'reserved', FREE],
    ['when the account has it', 'created', HELD],
  ] as const;

  test.each(stops)('%s by an error ends with the address in one place', async (_, stopAfter, ends) => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
    const stopped = createIp(fleet.tenant, (step) => {
      if (step === stopAfter) throw new Error('the power went out');
    });
    await expect(stopped).rejects.toThrow('the power went out');
    expect(await placesOf('203.0.113.7')).toContain('pending');
    expect(await sweepAllocations(fleet.engine, 0)).toBe(1);
    expect(await placesOf('203.0.113.7')).toEqual(ends);
    // Twice changes nothing.
    expect(await sweepAllocations(fleet.engine, 0)).toBe(0);
    expect(await placesOf('203.0.113.7')).toEqual(ends);
  });

  test.each(stops)('%s by kill -9 ends with the address in one place', async (_, stopAfter, ends) => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
    const creator = startProgram(new URL('./fixtures/creator.ts', import.meta.url), [
      fleet.server.url,
      stopAfter,
    ]);
    expect(await creator.line()).toBe(stopAfter);
    creator.child.kill('SIGKILL');
    expect(await creator.ended).toBe('SIGKILL');
    await sweepAllocations(fleet.engine, 0);
    expect(await placesOf('203.0.113.7')).toEqual(ends);
  });

  test('and goes on too late is refused, and takes nothing from who has the address by then', async () => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
    const late = createIp(fleet.tenant, async (step) => {
      if (step !== 'reserved') return;
      await sweepAllocations(fleet.engine, 0);
      await fleet.create();
    });
    await expect(late).rejects.toMatchObject({ code: 'contended' });
    expect(await placesOf('203.0.113.7')).toEqual(HELD);
    expect(await fleet.redis.zcard(fleet.tenant.keys.ips)).toBe(1);
  });

  test('is left alone while it may still be under way', async () => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
    const ip = await createIp(fleet.tenant, async () => {
      await tick(fleet.engine);
      expect(await placesOf('203.0.113.7')).toContain('pending');
    });
    expect(ip.address).toBe('203.0.113.7');
    expect(await placesOf('203.0.113.7')).toEqual(HELD);
  });

  test('after its IP was released and the address was given to another is closed without a word', async () => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
    const stopped = createIp(fleet.tenant, (step) => {
      if (step === 'created') throw new Error('the power went out');
    });
    await expect(stopped).rejects.toThrow();
    await releaseIp(fleet.tenant, '203.0.113.7');
    await fleet.advance({ days: 31 });
    expect((await entryOf('203.0.113.7'))?.state).toBe('free');
    const next = await fleet.create();
    await sweepAllocations(fleet.engine, 0);
    expect(await placesOf('203.0.113.7')).toEqual(HELD);
    expect((await entryOf('203.0.113.7'))?.ipId).toBe(next.id);
  });

  test('and left a journal that nobody can read holds up nobody else', async () => {
    const { redis, engine } = fleet;
    await addToInventory(engine, { addresses: ['203.0.113.7'] });
    await redis.zadd(inventoryKeys.pending, 1, 'alloc_bad');
    await redis.hset(inventoryKeys.journal, 'alloc_bad', 'ouch');
    const ip = await fleet.warming();
    await fleet.advance({ days: 1, work: false });
    const { failed, published } = await tick(engine);
    expect({ failed: failed.map((one) => one.ip), published }).toEqual({
      failed: ['alloc_bad'],
      published: 1,
    });
    const dueMs = Number(await fleet.redis.zscore(fleet.tenant.keys.due, ip.id));
    expect(dueMs).toBeGreaterThan(await fleet.now());
  });

  test('of brought addresses is undone whole: they are known no more', async () => {
    const { engine, redis } = fleet;
    const stopped = bringIps(
      {
        ...fleet.tenant,
        engine: { ...engine, scripts: { ...engine.scripts, run: failAfterReserve(engine.scripts.run) } },
      },
      { addresses: ['198.51.100.0/30'], status: 'active' },
    );
    await expect(stopped).rejects.toThrow('the power went out');
    expect(await redis.hlen(inventoryKeys.entries)).toBe(4);
    await sweepAllocations(engine, 0);
    expect(await redis.hlen(inventoryKeys.entries)).toBe(0);
    expect(await redis.zcard(inventoryKeys.free)).toBe(0);
  });

  function failAfterReserve(run: Fleet['engine']['scripts']['run']): typeof run {
    let reserved = false;
    return async (name, args) => {
      if (reserved) throw new Error('the power went out');
      reserved = name === 'inventory-reserve';
      return run(name, args);
    };
  }
});

describe('many at once', () => {
  test('200 creates on 100 addresses make 100 IPs and 100 clear errors', async () => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.0/26', '198.51.100.0/27', '192.0.2.0/30'] });
    const pool = await createPool(fleet.tenant, { name: 'all of them', isDefault: true });
    const results = await Promise.allSettled(Array.from({ length: 200 }, () => fleet.create()));
    const made = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    expect(made).toHaveLength(100);
    expect(new Set(made.map(({ address }) => address)).size).toBe(100);
    for (const error of errors) {
      expect(error).toMatchObject({
        code: 'exhausted',
        message: 'the inventory has no free address left; add one with "warmline inventory add"',
      });
    }
    expect(await membersOf(fleet.tenant, pool.id)).toHaveLength(100);
    expect((await entries()).every(({ state }) => state === 'held')).toBe(true);
    expect(await fleet.redis.zcard(inventoryKeys.pending)).toBe(0);
    expect(await fleet.redis.hlen(inventoryKeys.journal)).toBe(0);
  });
});

describe('the inventory', () => {
  test('gives the address that was free longest, and one that comes back goes to the end', async () => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.9', '203.0.113.7', '203.0.113.8'] });
    const first = await fleet.create();
    expect(first.address).toBe('203.0.113.9');
    await releaseIp(fleet.tenant, first.id);
    expect(await placesOf('203.0.113.9')).toEqual(HELD);
    await fleet.advance({ days: 29 });
    expect((await getIp(fleet.tenant, first.id)).status).toBe('cooldown');
    await fleet.advance({ days: 1 });
    expect((await getIp(fleet.tenant, first.id)).status).toBe('released');
    expect(await placesOf('203.0.113.9')).toEqual(FREE);
    const order = [await fleet.create(), await fleet.create(), await fleet.create()];
    expect(order.map(({ address }) => address)).toEqual(['203.0.113.7', '203.0.113.8', '203.0.113.9']);
    expect(order[2]!.id).not.toBe(first.id);
  });

  test('an address that was undone keeps its place in the queue', async () => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.9', '203.0.113.7'] });
    await expect(
      createIp(fleet.tenant, () => {
        throw new Error('the power went out');
      }),
    ).rejects.toThrow();
    await sweepAllocations(fleet.engine, 0);
    expect((await fleet.create()).address).toBe('203.0.113.9');
  });

  test('an address that was brought leaves when its cooldown is over, and may come again', async () => {
    const [ip] = await bringIps(fleet.tenant, { addresses: ['198.51.100.7'], status: 'active' });
    expect(ip).toMatchObject({ status: 'active', leased: false });
    await expect(
      bringIps(fleet.tenant, { addresses: ['198.51.100.7'], status: 'active' }),
    ).rejects.toMatchObject({ code: 'conflict' });
    await releaseIp(fleet.tenant, ip!.id);
    await fleet.advance({ days: 30 });
    expect(await placesOf('198.51.100.7')).toEqual([]);
    const [again] = await bringIps(fleet.tenant, { addresses: ['198.51.100.7'], status: 'provisioning' });
    expect(again!.id).not.toBe(ip!.id);
  });

  test('nothing of what one holder sent counts for the next one of the address', async () => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
    const first = await fleet.create();
    await startWarmup(fleet.tenant, first.id, {});
    const { granted } = await fleet.limiter.take({ ip: first.id, count: 20 });
    await releaseIp(fleet.tenant, first.id);
    await fleet.advance({ days: 30 });
    const second = await fleet.create();
    await startWarmup(fleet.tenant, second.id, {});
    expect(second.address).toBe(first.address);
    expect(await fleet.limiter.refund([{ receipt: granted[0]!.receipt }])).toEqual({ refunded: 0 });
    expect(await fleet.limiter.take({ ip: second.id, count: 20 })).toMatchObject({
      allowed: true,
      remaining: 0,
    });
    expect(await fleet.limiter.take({ ip: first.id })).toMatchObject({
      allowed: false,
      because: { code: 'status' },
    });
  });

  test('an IP that was restored in time is kept, and its address with it', async () => {
    await addToInventory(fleet.engine, { addresses: ['203.0.113.7'] });
    const ip = await fleet.create();
    await releaseIp(fleet.tenant, ip.id);
    await fleet.advance({ ms: 30 * DAY_MS - 1 });
    expect((await restoreIp(fleet.tenant, ip.id)).status).toBe('provisioning');
    await fleet.advance({ days: 60 });
    expect(await placesOf('203.0.113.7')).toEqual(HELD);
  });
});
