import client from '@sendgrid/client';
import { beforeAll, expect, test } from 'vitest';
import { createAccount } from '../../../src/fleet/accounts.ts';
import { addToInventory } from '../../../src/fleet/inventory.ts';
import { ADMIN_KEY, useApi } from '../support.ts';

// The official client, with its base URL changed and nothing else, over a real connection, through all routes of the dialect.

const api = useApi();
let base: string;
beforeAll(async () => {
  base = await api.app.listen({ port: 0, host: '127.0.0.1' });
  client.setApiKey(ADMIN_KEY);
  client.setDefaultRequest('baseUrl', base);
  await addToInventory(api.engine, { addresses: ['203.0.113.0/28'] });
});

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
async function call(
  method: Method,
  url: string,
  body?: object,
  qs?: object,
  // biome-ignore lint/suspicious/noExplicitAny: bodies are compared
): Promise<{ code: number; body: any }> {
  const [response, answer] = await client.request({
    method,
    url,
    ...(body ? { body } : {}),
    ...(qs ? { qs } : {}),
  });
  return { code: response.statusCode, body: answer };
}

test('goes through the older family', async () => {
  const added = await call('POST', '/v3/ips', { count: 2, warmup: true });
  expect(added).toEqual({
    code: 201,
    body: {
      ips: [
        { ip: '203.0.113.0', subusers: [] },
        { ip: '203.0.113.1', subusers: [] },
      ],
      remaining_ips: 14,
      warmup: true,
    },
  });
  expect((await call('GET', '/v3/ips/remaining')).body.results).toEqual([
    { remaining: 14, period: 'month', price_per_ip: 0 },
  ]);
  // The worker starts the warm-up as soon as it comes by.
  expect((await call('GET', '/v3/ips/warmup')).body).toEqual([]);
  await api.advance({});
  expect((await call('GET', '/v3/ips/warmup')).body).toHaveLength(2);
  expect((await call('DELETE', '/v3/ips/warmup/203.0.113.0')).body).toBe('');
  expect((await call('POST', '/v3/ips/warmup', { ip: '203.0.113.0' })).code).toBe(201);
  expect((await call('GET', '/v3/ips/warmup/203.0.113.0')).body).toHaveLength(1);

  expect(await call('POST', '/v3/ips/pools', { name: 'Test Pool' })).toEqual({
    code: 200,
    body: { name: 'Test Pool' },
  });
  expect((await call('POST', '/v3/ips/pools/Test Pool/ips', { ip: '203.0.113.1' })).body.pools).toEqual([
    'Test Pool',
  ]);
  expect((await call('GET', '/v3/ips/pools/Test%20Pool')).body).toEqual({
    ips: ['203.0.113.1'],
    pool_name: 'Test Pool',
  });
  expect((await call('PUT', '/v3/ips/pools/Test Pool', { name: 'renamed' })).body).toEqual({
    name: 'renamed',
  });
  expect((await call('GET', '/v3/ips/pools')).body).toEqual([{ name: 'renamed' }]);
  expect((await call('GET', '/v3/ips', undefined, { limit: 1, sort_by_direction: 'desc' })).body).toEqual([
    {
      ip: '203.0.113.1',
      subusers: [],
      pools: ['renamed'],
      warmup: true,
      start_date: expect.any(Number),
      whitelabeled: true,
      assigned_at: expect.any(Number),
    },
  ]);
  expect((await call('GET', '/v3/ips/203.0.113.1')).body).toMatchObject({ rdns: '', pools: ['renamed'] });
  expect((await call('GET', '/v3/ips/assigned')).body).toHaveLength(2);
  expect((await call('DELETE', '/v3/ips/pools/renamed/ips/203.0.113.1')).code).toBe(204);
  expect((await call('DELETE', '/v3/ips/pools/renamed')).code).toBe(204);
});

test('goes through the newer family', async () => {
  const sub = await createAccount(api.engine, 'sub', { parent: 'default' });
  const subuser = String(sub.number);
  const added = await call('POST', '/v3/send_ips/ips', {
    is_auto_warmup: true,
    is_parent_assigned: true,
    subusers: [subuser],
  });
  expect(added).toEqual({
    code: 201,
    body: { ip: '203.0.113.2', is_auto_warmup: true, is_parent_assigned: true, subusers: [subuser] },
  });
  const { ip } = added.body;
  const ips = (await call('GET', '/v3/send_ips/ips', undefined, { limit: 2, after_key: '203.0.113.0' })).body;
  expect(ips.result).toHaveLength(2);
  expect((await call('GET', `/v3/send_ips/ips/${ip}`)).body.is_auto_warmup).toBe(true);
  expect((await call('PATCH', `/v3/send_ips/ips/${ip}`, { is_auto_warmup: false })).body.is_auto_warmup).toBe(
    false,
  );
  expect((await call('GET', `/v3/send_ips/ips/${ip}/subusers`)).body).toEqual({
    result: [subuser],
    _metadata: { next_params: { after_key: null } },
  });
  expect(
    (await call('POST', `/v3/send_ips/ips/${ip}/subusers:batchDelete`, { subusers: [subuser] })).code,
  ).toBe(204);
  expect(
    (await call('POST', `/v3/send_ips/ips/${ip}/subusers:batchAdd`, { subusers: [subuser] })).body,
  ).toEqual({
    ip,
    subusers: [subuser],
  });
  expect((await call('GET', '/v3/ips', undefined, { subuser: 'sub' })).body).toMatchObject([
    { ip, subusers: ['sub'] },
  ]);

  const { body: pool } = await call('POST', '/v3/send_ips/pools', { name: 'transactional_pool', ips: [ip] });
  const url = `/v3/send_ips/pools/${pool.id}`;
  expect((await call('GET', '/v3/send_ips/pools', undefined, { include_region: true })).body).toEqual({
    result: [{ name: pool.name, id: pool.id, ips_preview: [ip], total_ip_count: 1, regions: ['us'] }],
    _metadata: { after_key: null, next_params: { after_key: null } },
  });
  expect((await call('GET', url, undefined, { include_region: true })).body).toMatchObject({
    ip_count_by_region: [{ region: 'us', count: 1 }],
  });
  expect((await call('PUT', url, { name: 'marketing_pool' })).body).toEqual({
    name: 'marketing_pool',
    id: pool.id,
  });
  expect(
    (await call('POST', `${url}/ips:batchAdd`, { ips: ['203.0.113.0', '203.0.113.1'] })).body.ips,
  ).toEqual([ip, '203.0.113.0', '203.0.113.1']);
  expect((await call('GET', `${url}/ips`, undefined, { limit: 2 })).body).toEqual({
    result: [
      { ip: '203.0.113.0', pools: [{ name: 'marketing_pool', id: pool.id }] },
      { ip: '203.0.113.1', pools: [{ name: 'marketing_pool', id: pool.id }] },
    ],
    _metadata: { next_params: { after_key: '203.0.113.1' } },
  });
  expect((await call('POST', `${url}/ips:batchDelete`, { ips: [ip, '203.0.113.0'] })).code).toBe(204);
  expect((await call('DELETE', url)).code).toBe(204);
});

test('prints what was refused', async () => {
  const refused = call('POST', '/v3/ips/warmup', { ip: '192.0.2.1' });
  await expect(refused).rejects.toMatchObject({
    code: 404,
    response: { body: { errors: [{ field: null, message: 'resource not found' }] } },
  });
  await expect(refused.catch((error: unknown) => Promise.reject(new Error(String(error))))).rejects.toThrow(
    /resource not found/,
  );
});

test('acts for a subuser, who sees nothing of the parent and the parent nothing of it', async () => {
  const headers = { 'on-behalf-of': 'sub' };
  const ask = api.ask;
  expect((await ask('POST', '/v3/ips/pools', { name: 'of the subuser' }, headers)).status).toBe(200);
  expect((await ask('GET', '/v3/ips/pools', undefined, headers)).body).toEqual([{ name: 'of the subuser' }]);
  expect((await ask('GET', '/v3/ips/pools')).body).toEqual([]);
  expect(
    (await ask('GET', '/v3/send_ips/ips?is_parent_assigned=true', undefined, headers)).body.errors,
  ).toEqual([{ field: 'is_parent_assigned', message: 'cannot be used for a sub user account' }]);
  expect((await ask('GET', '/v3/ips', undefined, { 'on-behalf-of': 'nobody' })).status).toBe(403);
});

test('the setting of a key answers the IPs of a pool as objects, as SendGrid really does', async () => {
  await call('POST', '/v3/ips/pools', { name: 'typed' });
  await call('POST', '/v3/ips/pools/typed/ips', { ip: '203.0.113.0' });
  const { body } = await api.ask('POST', '/v1/keys', {
    account: 'default',
    scopes: ['read'],
    poolIps: 'objects',
  });
  const typed = await api.askAs(body.key)('GET', '/v3/ips/pools/typed');
  expect(typed.body).toEqual({
    ips: [{ ip: '203.0.113.0', start_date: expect.any(Number), warmup: true }],
    pool_name: 'typed',
  });
});
