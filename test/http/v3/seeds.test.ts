import { describe, expect, test } from 'vitest';
import { addToInventory } from '../../../src/fleet/inventory.ts';
import { CARD, useApi } from '../support.ts';

// Every example of the published documents of the v3 dialect, against the real server: request and answer as printed there.
// Addresses that the documents mask (0.0.0.0) are spelt out.

const api = useApi();

const CARD_S = CARD / 1000;
const bring = async () => (await api.bring()).address;

describe('seeds/000: Automated IP Warmup', () => {
  test('GET /v3/ips/warmup: all IPs that are currently warming up', async () => {
    expect(await api.ask('GET', '/v3/ips/warmup')).toMatchObject({ status: 200, body: [] });
    const ip = await bring();
    await api.ask('POST', '/v3/ips/warmup', { ip });
    expect((await api.ask('GET', '/v3/ips/warmup')).body).toEqual([{ ip, start_date: CARD_S }]);
  });

  test('GET /v3/ips/warmup/:ip_address: the status of one, as a list of one', async () => {
    const ip = await bring();
    expect(await api.ask('GET', `/v3/ips/warmup/${ip}`)).toMatchObject({
      status: 404,
      body: { errors: [{ field: null, message: 'resource not found' }] },
    });
    await api.ask('POST', '/v3/ips/warmup', { ip });
    const { status, body } = await api.ask('GET', `/v3/ips/warmup/${ip}`);
    expect({ status, body }).toEqual({ status: 200, body: [{ ip, start_date: CARD_S }] });
  });

  test('POST /v3/ips/warmup: 201, a list of one, and the plan sendgrid-hourly', async () => {
    const ip = await bring();
    const { status, body } = await api.ask('POST', '/v3/ips/warmup', { ip });
    expect({ status, body }).toEqual({ status: 201, body: [{ ip, start_date: CARD_S }] });
    const shown = await api.ask('GET', `/v1/dedicated-ips/${ip}`);
    expect(shown.body).toMatchObject({
      status: 'warming',
      warmup: { plan: 'sendgrid-hourly', currentHourlyLimit: 20 },
    });
    expect((await api.ask('POST', '/v3/ips/warmup', { ip })).body).toEqual(body);
  });

  test('DELETE /v3/ips/warmup/:ip_address: 204 without a body, and the IP is active', async () => {
    const ip = await bring();
    await api.ask('POST', '/v3/ips/warmup', { ip });
    const { status, body } = await api.ask('DELETE', `/v3/ips/warmup/${ip}`);
    expect({ status, body }).toEqual({ status: 204, body: '' });
    expect((await api.ask('GET', `/v3/ips/${ip}`)).body).toMatchObject({ warmup: false, start_date: null });
    expect((await api.ask('GET', `/v1/dedicated-ips/${ip}`)).body).toMatchObject({ status: 'active' });
    expect((await api.ask('DELETE', `/v3/ips/warmup/${ip}`)).status).toBe(404);
    // And into it again.
    expect((await api.ask('POST', '/v3/ips/warmup', { ip })).status).toBe(201);
  });
});

describe('seeds/001: IP Pools', () => {
  test('POST /v3/ips/pools {"name":"marketing"}', async () => {
    const { status, body } = await api.ask('POST', '/v3/ips/pools', { name: 'marketing' });
    expect({ status, body }).toEqual({ status: 200, body: { name: 'marketing' } });
  });

  test('GET /v3/ips/pools: all, in the order of their creation', async () => {
    for (const name of ['test1', 'test2', 'test3', 'new_test3'])
      await api.ask('POST', '/v3/ips/pools', { name });
    const { body } = await api.ask('GET', '/v3/ips/pools');
    expect(body.slice(-4)).toEqual([
      { name: 'test1' },
      { name: 'test2' },
      { name: 'test3' },
      { name: 'new_test3' },
    ]);
  });

  test('GET /v3/ips/pools/{pool_name}: its IPs, in the order in which they were added', async () => {
    await api.ask('POST', '/v3/ips/pools', { name: 'new_test5' });
    expect((await api.ask('GET', '/v3/ips/pools/new_test5')).body).toEqual({
      ips: [],
      pool_name: 'new_test5',
    });
    const ips = [await bring(), await bring(), await bring()].reverse();
    for (const ip of ips) await api.ask('POST', '/v3/ips/pools/new_test5/ips', { ip });
    const { status, body } = await api.ask('GET', '/v3/ips/pools/new_test5');
    expect({ status, body }).toEqual({ status: 200, body: { ips, pool_name: 'new_test5' } });
  });

  test('PUT /v3/ips/pools/{pool_name}: the new name; members and their order stay', async () => {
    const before = (await api.ask('GET', '/v3/ips/pools/new_test5')).body;
    const { status, body } = await api.ask('PUT', '/v3/ips/pools/new_test5', { name: 'new_pool_name' });
    expect({ status, body }).toEqual({ status: 200, body: { name: 'new_pool_name' } });
    expect((await api.ask('GET', '/v3/ips/pools/new_pool_name')).body.ips).toEqual(before.ips);
    expect((await api.ask('GET', '/v3/ips/pools/new_test5')).status).toBe(404);
  });

  test('POST /v3/ips/pools/{pool_name}/ips: the IP with all its pools by name', async () => {
    const ip = await bring();
    const { status, body } = await api.ask('POST', '/v3/ips/pools/marketing/ips', { ip });
    expect({ status, body }).toEqual({
      status: 200,
      body: { ip, pools: ['marketing'], start_date: null, warmup: false },
    });
    expect((await api.ask('POST', '/v3/ips/pools/test1/ips', { ip })).body.pools).toEqual([
      'marketing',
      'test1',
    ]);
  });

  test('DELETE /v3/ips/pools/{pool_name}/ips/{ip}: 204; other pools of the IP are untouched', async () => {
    const ip = await bring();
    for (const name of ['marketing', 'test1']) await api.ask('POST', `/v3/ips/pools/${name}/ips`, { ip });
    const { status, body } = await api.ask('DELETE', `/v3/ips/pools/marketing/ips/${ip}`);
    expect({ status, body }).toEqual({ status: 204, body: '' });
    expect((await api.ask('GET', `/v3/ips/${ip}`)).body.pools).toEqual(['test1']);
  });

  test('DELETE /v3/ips/pools/{pool_name}: 204, also with IPs in it, which stay on the account', async () => {
    const { body } = await api.ask('GET', '/v3/ips/pools/test1');
    expect(body.ips.length).toBeGreaterThan(0);
    expect(await api.ask('DELETE', '/v3/ips/pools/test1')).toMatchObject({ status: 204, body: '' });
    expect((await api.ask('GET', `/v3/ips/${body.ips[0]}`)).body.pools).not.toContain('test1');
    expect(await api.ask('DELETE', '/v3/ips/pools/test1')).toMatchObject({
      status: 404,
      body: {
        error: 'Unable to locate specified IPs Pool',
        errors: [{ field: null, message: 'Unable to locate specified IPs Pool' }],
      },
    });
  });

  test('an e-mail without a pool may go from any IP, pooled ones too', async () => {
    const { tenant, limiter } = await api.house();
    const { createPool } = await import('../../../src/fleet/pools.ts');
    const { bringIps } = await import('../../../src/fleet/inventory.ts');
    const [ip] = await bringIps(tenant, { addresses: ['192.0.2.201'], status: 'active' });
    await createPool(tenant, { name: 'only', ips: [ip!.id] });
    expect(await limiter.take({ count: 1 })).toMatchObject({ allowed: true });
  });
});

describe('seeds/002: Get a List of all IP Addresses on your Account', () => {
  test('GET /v3/send_ips/ips: the fields as printed there', async () => {
    const house = await api.house('list');
    const ask = api.askAs(await api.key(house.tenant.account.id, ['read', 'write']));
    const ip = (await house.bring({ status: 'active' })).address;
    const pool = (await ask('POST', '/v3/send_ips/pools', { name: 'marketing_pool', ips: [ip] })).body;
    const { status, body } = await ask('GET', '/v3/send_ips/ips');
    expect({ status, body }).toEqual({
      status: 200,
      body: {
        result: [
          {
            ip,
            pools: [{ name: 'marketing_pool', id: pool.id }],
            is_auto_warmup: false,
            is_parent_assigned: true,
            updated_at: CARD_S,
            is_enabled: true,
            is_leased: false,
            added_at: CARD_S,
          },
        ],
        _metadata: { after_key: null, before_key: null, next_params: { after_key: null, before_key: null } },
      },
    });
    expect((await ask('GET', '/v3/send_ips/ips?include_region=true')).body.result[0].region).toBe('us');
  });

  test('each filter by itself, and echoed in the metadata', async () => {
    const house = await api.house('filters');
    const ask = api.askAs(await api.key(house.tenant.account.id, ['read', 'write']));
    await addToInventory(api.engine, { addresses: ['203.0.113.200'], region: 'eu' });
    const added = await ask('POST', '/v3/send_ips/ips', {
      is_auto_warmup: false,
      is_parent_assigned: false,
      region: 'eu',
      include_region: true,
    });
    expect(added).toMatchObject({
      status: 201,
      body: {
        ip: '203.0.113.200',
        is_auto_warmup: false,
        is_parent_assigned: false,
        subusers: [],
        region: 'eu',
      },
    });
    const leased = '203.0.113.200';
    const own = (await house.bring({ status: 'active' })).address;
    const other = (await house.bring({ status: 'active' })).address;
    const { id } = (await ask('POST', '/v3/send_ips/pools', { name: 'one', ips: [other] })).body;
    await ask('PATCH', `/v3/send_ips/ips/${own}`, { is_enabled: false });
    const all = [own, other, leased];
    const rows: [query: string, ips: string[], echo: Record<string, unknown>][] = [
      [`ip=${own}`, [own], { ip: own }],
      ['limit=2', all.slice(0, 2), { limit: '2', after_key: other }],
      [`limit=2&after_key=${own}`, [other, leased], { before_key: other, after_key: null }],
      [`limit=1&before_key=${leased}`, [other], { before_key: other, after_key: other }],
      ['is_leased=true', [leased], { is_leased: true }],
      ['is_leased=false', [own, other], { is_leased: false }],
      ['is_enabled=false', [own], { is_enabled: false }],
      ['is_enabled=true', [other, leased], { is_enabled: true }],
      ['is_parent_assigned=false', [leased], { is_parent_assigned: false }],
      [`pool=${id}`, [other], { pool: id }],
      [`start_added_at=${CARD_S}`, all, { start_added_at: String(CARD_S) }],
      [`start_added_at=${CARD_S + 1}`, [], { start_added_at: String(CARD_S + 1) }],
      [`end_added_at=${CARD_S}`, all, { end_added_at: String(CARD_S) }],
      [`end_added_at=${CARD_S - 1}`, [], { end_added_at: String(CARD_S - 1) }],
      ['region=eu', [leased], { region: 'eu' }],
      ['region=us', [own, other], { region: 'us' }],
      ['region=all&include_region=false', all, { region: 'all', include_region: 'false' }],
      ['nobody=knows', all, {}],
    ];
    for (const [query, ips, echo] of rows) {
      const { status, body } = await ask('GET', `/v3/send_ips/ips?${query}`);
      expect({ query, status, ips: body.result?.map((one: { ip: string }) => one.ip) }).toEqual({
        query,
        status: 200,
        ips,
      });
      expect(body._metadata, query).toMatchObject(echo);
      const { after_key, before_key } = body._metadata;
      expect(body._metadata.next_params, query).toEqual({ after_key, before_key });
    }
  });
});

describe('seeds/004: Create an IP Pool with a Name and IP Assignments', () => {
  test('POST /v3/send_ips/pools: 201 with name, id and IPs', async () => {
    const ips = [await bring(), await bring()];
    const { status, body } = await api.ask('POST', '/v3/send_ips/pools', { name: 'transactional_pool', ips });
    expect({ status, body }).toEqual({
      status: 201,
      body: { name: 'transactional_pool', id: expect.stringMatching(/^\d+$/), ips },
    });
  });

  test('all IP assignments must succeed, or the pool is not created', async () => {
    const ips = (await api.bringMany(99, 'active')).map(({ address }) => address);
    const before = await api.dump();
    const refused = await api.ask('POST', '/v3/send_ips/pools', {
      name: 'of a hundred',
      ips: [...ips, '192.0.2.99'],
    });
    expect(refused).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'ips', message: 'unable to verify IPs assignability: 192.0.2.99' }] },
    });
    expect(await api.dump()).toEqual(before);
    const made = await api.ask('POST', '/v3/send_ips/pools', { name: 'of a hundred', ips });
    expect(made).toMatchObject({ status: 201, body: { ips } });
  });

  test('a name cannot begin with a space or a period, and a pool has at most 100 IPs', async () => {
    for (const name of [' x', '.x']) {
      const { status, body } = await api.ask('POST', '/v3/send_ips/pools', { name });
      expect({ status, body }).toEqual({
        status: 400,
        body: { errors: [{ field: 'name', message: 'cannot start with a dot or a space' }] },
      });
    }
    const ips = Array.from({ length: 101 }, (_, index) => `192.0.2.${index}`);
    expect(await api.ask('POST', '/v3/send_ips/pools', { name: 'many', ips })).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'ips', message: 'the number of IPs must be between 1 and 100' }] },
    });
  });
});
