import { expect, test } from 'vitest';
import { useApi } from './support.ts';

// Accounts over HTTP: made by the operator alone, listed page by page.

const api = useApi();

test('an account is made, found by name and id, and listed', async () => {
  const made = await api.ask('POST', '/v1/accounts', { name: 'acme' });
  expect(made).toMatchObject({
    status: 201,
    body: { name: 'acme', parentId: null, createdAt: '2026-01-10T10:00:00Z' },
  });
  expect(made.body.number).toBeGreaterThan(0);
  for (const named of ['acme', made.body.id]) {
    expect(await api.ask('GET', `/v1/accounts/${named}`)).toMatchObject({ status: 200, body: made.body });
  }
  expect((await api.ask('GET', '/v1/accounts')).body.data).toContainEqual(made.body);
  expect(await api.ask('POST', '/v1/accounts', { name: 'acme' })).toMatchObject({
    status: 409,
    body: { error: { code: 'conflict' } },
  });
});

test('a subuser has a parent, which is no subuser', async () => {
  const parent = (await api.ask('POST', '/v1/accounts', { name: 'parent' })).body;
  const child = await api.ask('POST', '/v1/accounts', { name: 'child', parent: 'parent' });
  expect(child).toMatchObject({ status: 201, body: { parentId: parent.id } });
  expect(await api.ask('POST', '/v1/accounts', { name: 'x', parent: 'child' })).toMatchObject({
    status: 422,
    body: { error: { param: 'parent' } },
  });
  expect(await api.ask('POST', '/v1/accounts', { name: 'x', parent: 'nobody' })).toMatchObject({
    status: 404,
    body: { error: { param: 'parent' } },
  });
  expect((await api.ask('GET', '/v1/accounts/x')).status).toBe(404);
});

test('what a subuser owns stands in the slot of its parent, and is its own', async () => {
  await api.ask('POST', '/v1/accounts', { name: 'house' });
  await api.ask('POST', '/v1/accounts', { name: 'tenant', parent: 'house' });
  const { key } = (await api.ask('POST', '/v1/keys', { account: 'tenant' })).body;
  const { key: parentKey } = (await api.ask('POST', '/v1/keys', { account: 'house' })).body;
  const { data } = (
    await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.99'], account: 'tenant', status: 'active' })
  ).body;
  expect((await api.askAs(key)('GET', `/v1/dedicated-ips/${data[0].id}`)).status).toBe(200);
  expect((await api.askAs(parentKey)('GET', `/v1/dedicated-ips/${data[0].id}`)).status).toBe(404);
  const take = await api.askAs(key)('POST', '/v1/quota/take', { ip: '192.0.2.99' });
  expect(take.body.allowed).toBe(true);
  const { body } = await api.ask('GET', '/v1/accounts/house');
  const slot = (await api.redis.keys('*')).filter((name) => name.includes(data[0].id));
  expect(slot.length).toBeGreaterThan(0);
  for (const name of slot) expect(name).toContain(`{${body.id}}`);
});

test('pages are cut anywhere, and nothing is missing or doubled', async () => {
  for (let n = 0; n < 7; n += 1) await api.ask('POST', '/v1/accounts', { name: `many-${n}` });
  const all = (await api.ask('GET', '/v1/accounts')).body;
  expect(all).toMatchObject({ hasMore: false, nextCursor: null });
  const seen: unknown[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await api.ask('GET', `/v1/accounts?limit=3${cursor}`);
    seen.push(...body.data);
    expect(body.data.length).toBeLessThanOrEqual(3);
    if (!body.hasMore) break;
    cursor = `&cursor=${body.nextCursor}`;
  }
  expect(seen).toEqual(all.data);
  expect((await api.ask('GET', '/v1/accounts?cursor=nonsense')).status).toBe(422);
});

test('one that holds IPs cannot be deleted, and neither can any other', async () => {
  expect((await api.ask('DELETE', '/v1/accounts/acme')).status).toBe(405);
});
