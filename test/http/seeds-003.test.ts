import { beforeAll, expect, test } from 'vitest';
import { ADMIN_KEY, ok, useApi } from './support.ts';

// The published page of the v1 dialect, example by example and in its order: each request as its SDK sends it (a content
// type and no body where there is none), each answer with everything that the page prints.

const api = useApi({ clock: Date.UTC(2025, 0, 10, 10) });
beforeAll(async () => {
  await api.ask('POST', '/v1/inventory', { addresses: ['10.123.45.67'] });
});

/** As both SDKs send it. */
const send = (method: string, path: string, body?: object) =>
  api.askAs(ADMIN_KEY)(method, path, body, { 'content-type': 'application/json' });

const ids = { ip: 'ip_xxxxx', pool: 'pool_xxxxx' };

test('Request a Dedicated IP: POST /v1/dedicated-ips', async () => {
  const answer = await send('POST', '/v1/dedicated-ips');
  const ip = ok(answer, 201);
  expect(answer.headers['content-type']).toContain('application/json');
  expect(ip.ipAddress).toBe('10.123.45.67');
  expect(ip.status).toBe('provisioning');
  expect(ip.id).toMatch(/^ip_[0-9a-z]+$/);
  expect(ip.warmup).toMatchObject({ progress: 0, startedAt: null, completedAt: null, currentDailyLimit: 0 });
  expect(ip).toMatchObject({ poolId: null, sendingVolume: 0, lastUsedAt: null });
  expect(ip).toMatchObject({ createdAt: '2025-01-10T10:00:00Z', updatedAt: '2025-01-10T10:00:00Z' });
  ids.ip = ip.id;
});

test('IP Warming: POST /v1/dedicated-ips/:id/warmup', async () => {
  const ip = ok(await send('POST', `/v1/dedicated-ips/${ids.ip}/warmup`));
  expect(ip.status).toBe('warming');
  const { totalDays, days } = ip.warmingSchedule;
  expect(totalDays).toBe(14);
  expect(days).toHaveLength(14);
  expect(days[0]).toMatchObject({ day: 1, dailyLimit: 50, cumulativeProgress: 0.07 });
  expect(days[1]).toMatchObject({ day: 2, dailyLimit: 100, cumulativeProgress: 0.14 });
  expect(days[13]).toMatchObject({ day: 14, dailyLimit: -1, cumulativeProgress: 1.0 });
});

test.each([
  [1, 50, '7%'],
  [3, 250, '21%'],
  [7, 5_000, '50%'],
  [10, 40_000, '71%'],
  [14, -1, '100%'],
])('Warming Schedule: day %i, %i, %s', async (day, dailyLimit, progress) => {
  const ip = ok(await send('GET', `/v1/dedicated-ips/${ids.ip}`));
  const row = ip.warmingSchedule.days.find((one: { day: number }) => one.day === day);
  expect(row.dailyLimit).toBe(dailyLimit);
  expect(`${Math.round(row.cumulativeProgress * 100)}%`).toBe(progress);
});

test('Check Warming Progress: GET /v1/dedicated-ips/:id', async () => {
  await api.advance({ days: 6 });
  const ip = ok(await send('GET', `/v1/dedicated-ips/${ids.ip}`));
  expect(ip.warmup.progress).toBe(0.5);
  expect(ip.warmup.currentDailyLimit).toBe(5000);
  expect(ip.warmup.startedAt).toBe('2025-01-10T10:00:00Z');
});

test('Create a Pool: POST /v1/dedicated-ips/pools', async () => {
  const pool = ok(
    await send('POST', '/v1/dedicated-ips/pools', { name: 'Transactional', isDefault: true }),
    201,
  );
  expect(pool.id).toMatch(/^pool_[0-9a-z]+$/);
  expect(pool).toMatchObject({ name: 'Transactional', isDefault: true, ipCount: 0 });
  ids.pool = pool.id;
});

test('Add IPs to a Pool: POST /v1/dedicated-ips/pools/:poolId/ips', async () => {
  const ip = ok(await send('POST', `/v1/dedicated-ips/pools/${ids.pool}/ips`, { ipId: ids.ip }));
  expect(ip.id).toBe(ids.ip);
  expect(ip.poolId).toBe(ids.pool);
});

test('List Pools: GET /v1/dedicated-ips/pools', async () => {
  const { data: pools, ...rest } = ok(await send('GET', '/v1/dedicated-ips/pools'));
  expect(rest).toEqual({ hasMore: false, nextCursor: null });
  expect(
    pools.map(
      (pool: { name: string; ipCount: number; isDefault: boolean }) =>
        `${pool.name}: ${pool.ipCount} IPs (default: ${pool.isDefault})`,
    ),
  ).toEqual(['Transactional: 1 IPs (default: true)']);
});

test('List Dedicated IPs: GET /v1/dedicated-ips', async () => {
  const { data: ips, ...rest } = ok(await send('GET', '/v1/dedicated-ips'));
  expect(rest).toEqual({ hasMore: false, nextCursor: null });
  expect(
    ips.map(
      (ip: { ipAddress: string; status: string; warmup: { progress: number } }) =>
        `${ip.ipAddress}: ${ip.status} (${Math.round(ip.warmup.progress * 100)}%)`,
    ),
  ).toEqual(['10.123.45.67: warming (50%)']);
});

test('Release a Dedicated IP: DELETE /v1/dedicated-ips/:id', async () => {
  const answer = await send('DELETE', `/v1/dedicated-ips/${ids.ip}`);
  expect(answer.status).toBe(204);
  expect(answer.body).toBe('');
  // "The IP will be removed from any pool it belongs to."
  const [pool] = ok(await send('GET', '/v1/dedicated-ips/pools')).data;
  expect(pool.ipCount).toBe(0);
  expect(ok(await send('GET', `/v1/dedicated-ips/${ids.ip}`))).toMatchObject({
    status: 'cooldown',
    poolId: null,
  });
});

test('IP Status: every one of the table is reached, and returned to the pool at its end', async () => {
  // provisioning, warming and cooldown stand above.
  await api.advance({ days: 30 });
  expect(ok(await send('GET', `/v1/dedicated-ips/${ids.ip}`)).status).toBe('released');
  const again = ok(await send('POST', '/v1/dedicated-ips'), 201);
  expect(again.ipAddress).toBe('10.123.45.67');
  expect(again.id).not.toBe(ids.ip);
  ok(await send('POST', `/v1/dedicated-ips/${again.id}/warmup`));
  await api.advance({ days: 14 });
  expect(ok(await send('GET', `/v1/dedicated-ips/${again.id}`))).toMatchObject({
    status: 'active',
    warmup: { progress: 1, currentDailyLimit: -1 },
  });
  ok(await send('DELETE', `/v1/dedicated-ips/${again.id}`), 204);
  await api.advance({ days: 30 });
});

test('Python SDK: dedicated_ips.py, with the bodies that its arguments become', async () => {
  await send('DELETE', `/v1/dedicated-ips/pools/${ids.pool}`);
  let ip = ok(await send('POST', '/v1/dedicated-ips'), 201);
  ip = ok(await send('POST', `/v1/dedicated-ips/${ip.id}/warmup`));
  const pool = ok(
    await send('POST', '/v1/dedicated-ips/pools', { name: 'Transactional', isDefault: true }),
    201,
  );
  ok(await send('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: ip.id }));
  ip = ok(await send('GET', `/v1/dedicated-ips/${ip.id}`));
  expect(`Progress: ${ip.warmup.progress * 100}%`).toMatch(/^Progress: 7\.0{0,}\d*%$|^Progress: 7%$/);
  expect(ip.poolId).toBe(pool.id);
});
