import { afterAll, beforeAll, expect, test } from 'vitest';
import { addToInventory, createIps } from '../../src/fleet/inventory.ts';
import {
  changeSubusers,
  getIp,
  holdIp,
  releaseIp,
  restoreIp,
  resumeIp,
  updateIp,
} from '../../src/fleet/ips.ts';
import { createPool, getPool, renamePool } from '../../src/fleet/pools.ts';
import { tickUntilDone } from '../../src/fleet/tick.ts';
import { type Fleet, startFleet } from '../support/fleet.ts';

// Several things of an IP change in one step, and everybody who has to know knows at once.

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());

test('what a sender is told follows at once: the host name and the address to bind', async () => {
  const { tenant, limiter } = fleet;
  const ip = await fleet.bring({ status: 'active' });
  await updateIp(tenant, ip.id, { hostname: 'MTA9.example.com', bind: '10.0.1.9', labels: { team: 'blue' } });
  const { granted } = await limiter.take({ ip: ip.id, count: 1 });
  expect(granted).toMatchObject([{ hostname: 'mta9.example.com', bind: '10.0.1.9' }]);
  const cleared = await updateIp(tenant, ip.id, { hostname: null, bind: null });
  expect(cleared).toMatchObject({ hostname: null, bind: null, labels: { team: 'blue' } });
});

test('a change without an effect writes nothing, and one of several fields has a line for each', async () => {
  const { tenant, redis } = fleet;
  const ip = await fleet.bring({ status: 'active' });
  const before = await redis.xlen(tenant.keys.changes);
  expect((await updateIp(tenant, ip.id, { labels: {}, parentAssigned: true, enabled: true })).rev).toBe(
    ip.rev,
  );
  expect(await redis.xlen(tenant.keys.changes)).toBe(before);
  await updateIp(tenant, ip.id, { labels: { a: 'b' }, ceiling: { perDay: 7 }, enabled: false });
  const [last3, ...earlier] = [await redis.xrevrange(tenant.keys.changes, '+', '-', 'COUNT', 3)];
  expect(earlier).toEqual([]);
  expect(last3.map(([, [, line]]) => JSON.parse(line!).what)).toEqual(['hold', 'ceiling', 'labels']);
});

test.each([
  [
    '21 labels',
    { labels: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`k${n}`, 'v'])) },
    'labels',
  ],
  ['a key with a space', { labels: { 'a b': 'v' } }, 'labels'],
  ['a value of two lines', { labels: { a: 'b\nc' } }, 'labels.a'],
  ['a bare word as host name', { hostname: 'mta' }, 'hostname'],
  ['no address to bind', { bind: 'here' }, 'bind'],
  ['a ceiling of nothing', { ceiling: { perDay: 0 } }, 'ceiling.perDay'],
])('%s is refused', async (_, given, param) => {
  const ip = await fleet.bring();
  await expect(updateIp(fleet.tenant, ip.id, given)).rejects.toMatchObject({ code: 'invalid', param });
  expect((await getIp(fleet.tenant, ip.id)).rev).toBe(ip.rev);
});

test('an IP that is set to warm up by itself waits while its progress is on hold', async () => {
  const { tenant } = fleet;
  await addToInventory(fleet.engine, { addresses: ['203.0.113.50'] });
  const [ip] = await createIps(tenant, { count: 1, autoWarmup: true });
  await holdIp(tenant, ip!.id, { sending: false, advance: true, because: 'not yet', untilMs: null });
  await tickUntilDone(fleet.engine);
  expect((await getIp(tenant, ip!.id)).status).toBe('provisioning');
  await resumeIp(tenant, ip!.id);
  await fleet.advance({ hours: 1, work: false });
  await tickUntilDone(fleet.engine);
  const begun = await getIp(tenant, ip!.id);
  expect(begun).toMatchObject({
    status: 'warming',
    warmup: { plan: 'sendgrid-hourly', startedAtMs: await fleet.now() },
  });
  expect((await tickUntilDone(fleet.engine)).changes).toEqual([]);
});

test('an IP that was switched off stays so through a release and a restore', async () => {
  const { tenant, limiter } = fleet;
  const ip = await fleet.bring({ status: 'active' });
  await updateIp(tenant, ip.id, { enabled: false });
  expect(await limiter.take({ ip: ip.id, count: 1 })).toMatchObject({ allowed: false });
  await releaseIp(tenant, ip.id);
  await restoreIp(tenant, ip.id);
  expect(await limiter.take({ ip: ip.id, count: 1 })).toMatchObject({ allowed: false });
  await updateIp(tenant, ip.id, { enabled: true });
  expect(await limiter.take({ ip: ip.id, count: 1 })).toMatchObject({ allowed: true });
});

test('subusers are put on an IP and taken off it, those it has already are no error', async () => {
  const { tenant, redis } = fleet;
  const ip = await fleet.bring();
  await changeSubusers(tenant, ip.id, { add: ['acct_a', 'acct_b', 'acct_a'] });
  expect((await changeSubusers(tenant, ip.id, { add: ['acct_b'] })).subusers).toEqual(['acct_a', 'acct_b']);
  expect(await redis.zcard(tenant.keys.subuserIps('acct_a'))).toBe(1);
  await changeSubusers(tenant, ip.id, { remove: ['acct_a'] });
  expect(await redis.exists(tenant.keys.subuserIps('acct_a'))).toBe(0);
});

test('a pool is found by its number, which no other ever has and no rename changes', async () => {
  const { tenant } = fleet;
  const pool = await createPool(tenant, { name: '12345' });
  expect((await renamePool(tenant, pool.id, 'renamed')).number).toBe(pool.number);
  expect((await getPool(tenant, pool.number)).id).toBe(pool.id);
  await expect(getPool(tenant, '12345')).rejects.toMatchObject({ code: 'not_found' });
  const other = await fleet.house();
  await expect(getPool(other.tenant, pool.number)).rejects.toMatchObject({ code: 'not_found' });
  expect((await createPool(other.tenant, { name: 'x' })).number).toBeGreaterThan(pool.number);
});
