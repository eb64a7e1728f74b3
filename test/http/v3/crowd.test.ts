import { expect, test } from 'vitest';
import { addToInventory, createIps } from '../../../src/fleet/inventory.ts';
import { releaseIp } from '../../../src/fleet/ips.ts';
import { addIpsToPool, createPool, deletePool, holdPool, setDefaultPool } from '../../../src/fleet/pools.ts';
import { type Ask, useApi } from '../support.ts';

// Many at once, and many IPs: limits hold, batches are whole, pages miss nobody.

const api = useApi();

async function account(name: string) {
  const house = await api.house(name);
  const ask = api.askAs(await api.key(house.tenant.account.id, ['read', 'write']));
  return { ...house, ask };
}
const statuses = async (answers: Promise<{ status: number }>[]) =>
  (await Promise.all(answers)).map(({ status }) => status).sort();
const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

test('two renames to one name, and two creations: one of each', async () => {
  const { ask } = await account('renames');
  for (const name of ['a', 'b']) await ask('POST', '/v3/ips/pools', { name });
  expect(
    await statuses(['a', 'b'].map((name) => ask('PUT', `/v3/ips/pools/${name}`, { name: 'c' }))),
  ).toEqual([200, 400]);
  expect(await statuses(times(5, () => ask('POST', '/v3/ips/pools', { name: 'd' })))).toEqual([
    200, 400, 400, 400, 400,
  ]);
  expect((await ask('GET', '/v3/ips/pools')).body).toHaveLength(3);
});

test('a name that was given away names nothing: one of many renames, or the deletion, wins', async () => {
  const { ask } = await account('given-away');
  await ask('POST', '/v3/ips/pools', { name: 'old' });
  const renames = times(6, (n) => ask('PUT', '/v3/ips/pools/old', { name: `new ${n}` }));
  expect(await statuses(renames)).toEqual([200, 404, 404, 404, 404, 404]);
  for (let n = 0; n < 5; n += 1) {
    await ask('POST', '/v3/ips/pools', { name: `one ${n}` });
    const path = `/v3/ips/pools/one ${n}`.replaceAll(' ', '%20');
    const [renamed, deleted] = await Promise.all([
      ask('PUT', path, { name: `other ${n}` }),
      ask('DELETE', path),
    ]);
    expect([
      [200, 404],
      [404, 204],
    ]).toContainEqual([renamed.status, deleted.status]);
  }
});

test('the 101st pool is refused, also when many are made at once', async () => {
  const { ask } = await account('pools');
  for (let made = 0; made < 95; made += 5) {
    await Promise.all(times(5, (index) => ask('POST', '/v3/ips/pools', { name: `pool ${made + index}` })));
  }
  const last = await statuses(times(10, (index) => ask('POST', '/v3/ips/pools', { name: `last ${index}` })));
  expect(last).toEqual([...Array(5).fill(200), ...Array(5).fill(400)]);
  const refused = await ask('POST', '/v3/send_ips/pools', { name: 'one more' });
  expect(refused.body.errors).toEqual([{ field: '', message: '100 pools limit has been reached' }]);
  const { body } = await ask('GET', '/v3/send_ips/pools?limit=60');
  const rest = await ask(
    'GET',
    `/v3/send_ips/pools?limit=60&after_key=${body._metadata.next_params.after_key}`,
  );
  expect(body.result.length + rest.body.result.length).toBe(100);
  expect(rest.body._metadata.after_key).toBeNull();
});

test('the 101st IP of a pool is refused, and a batch that holds it', async () => {
  const { ask, bringMany } = await account('members');
  const ips = (await bringMany(103, 'active')).map(({ address }) => address);
  const pool = (await ask('POST', '/v3/send_ips/pools', { name: 'full', ips: ips.slice(0, 98) })).body;
  const url = `/v3/send_ips/pools/${pool.id}/ips`;
  const refused = await ask('POST', `${url}:batchAdd`, { ips: ips.slice(98, 101) });
  expect(refused.body.errors).toEqual([
    {
      field: 'ips',
      message: 'the total number of IPs per pool cannot exceed 100. current IP count in ‘full’ is ‘98’',
    },
  ]);
  // Those that are in it already do not count twice.
  expect((await ask('POST', `${url}:batchAdd`, { ips: ips.slice(90, 99) })).body.ips).toEqual(
    ips.slice(0, 99),
  );
  const last = ips.slice(99, 103).map((ip) => ask('POST', '/v3/ips/pools/full/ips', { ip }));
  expect(await statuses(last)).toEqual([200, 400, 400, 400]);
  expect((await ask('GET', `/v3/send_ips/pools/${pool.id}`)).body).toMatchObject({
    ips_preview: ips.slice(0, 10),
    total_ip_count: 100,
  });
  expect((await ask('POST', `${url}:batchDelete`, { ips: [...ips.slice(0, 50), '192.0.2.1'] })).status).toBe(
    400,
  );
  expect((await ask('GET', `/v3/send_ips/pools/${pool.id}`)).body.total_ip_count).toBe(100);
  expect((await ask('POST', `${url}:batchDelete`, { ips: ips.slice(0, 50) })).status).toBe(204);
  expect((await ask('GET', `/v3/send_ips/pools/${pool.id}`)).body.total_ip_count).toBe(50);
});

test('a pool that is deleted lifts its hold, leaves the default, and is nobody’s choice any more', async () => {
  const { tenant, ask, bringMany, limiter } = await account('deleted');
  const ips = await bringMany(3, 'active');
  const pool = await createPool(tenant, {
    name: 'held',
    isDefault: true,
    warmingShare: 0.5,
    ips: ips.map(({ id }) => id),
  });
  await holdPool(tenant, pool.id, { sending: true, advance: false, because: 'a test', untilMs: null });
  expect(await limiter.take({ count: 1 })).toMatchObject({ allowed: false });
  const joins = times(3, () => addIpsToPool(tenant, pool.id, [ips[0]!.id]).catch(() => null));
  await Promise.all([deletePool(tenant, pool.id), ...joins]);
  expect(await limiter.take({ count: 1 })).toMatchObject({ allowed: true });
  const keys = Object.keys(await api.dump()).filter((key) => key.includes(pool.id));
  expect(keys).toEqual([]);
  expect((await ask('GET', '/v3/ips/pools')).body).toEqual([]);
  // Its name is free, its number is not given again.
  const next = await ask('POST', '/v3/send_ips/pools', { name: 'held' });
  expect(Number(next.body.id)).toBeGreaterThan(pool.number);
});

test('at most one pool is the default, whoever sets it at once', async () => {
  const { tenant } = await account('defaults');
  const pools = await Promise.all(
    times(4, (index) => createPool(tenant, { name: `p${index}`, isDefault: true })),
  );
  await Promise.all(pools.map(({ id }) => setDefaultPool(tenant, id, true)));
  const chosen = await api.redis.get(tenant.keys.defaultPool);
  expect(pools.map(({ id }) => id)).toContain(chosen);
  await Promise.all(pools.map(({ id }) => setDefaultPool(tenant, id, false)));
  expect(await api.redis.get(tenant.keys.defaultPool)).toBeNull();
});

test('addresses of a region: only those, longest free first, all or none', async () => {
  const { tenant, ask } = await account('regions');
  await addToInventory(api.engine, { addresses: ['198.51.100.1', '198.51.100.2'], region: 'eu' });
  await addToInventory(api.engine, { addresses: ['198.51.100.3'] });
  await addToInventory(api.engine, { addresses: ['198.51.100.4'], region: 'us' });
  const add = (region?: string) =>
    ask('POST', '/v3/send_ips/ips', {
      is_auto_warmup: false,
      is_parent_assigned: true,
      include_region: true,
      region,
    });
  await expect(createIps(tenant, { count: 3, regions: ['eu'] })).rejects.toMatchObject({ code: 'exhausted' });
  expect((await add('us')).body).toMatchObject({ ip: '198.51.100.3', region: 'us' });
  expect((await add()).body).toMatchObject({ ip: '198.51.100.1', region: 'eu' });
  expect(await statuses(times(3, () => add('eu')))).toEqual([201, 400, 400]);
  expect((await ask('POST', '/v3/ips', { count: 2 })).body.errors).toEqual([
    { field: null, message: 'no IPs remaining' },
  ]);
  expect((await ask('POST', '/v3/ips', { count: 1 })).body).toMatchObject({
    ips: [{ ip: '198.51.100.4' }],
    remaining_ips: 0,
  });
});

test('is_auto_warmup: the worker starts the warm-up, once, and says so', async () => {
  const { ask, tenant } = await account('auto');
  await addToInventory(api.engine, { addresses: ['198.51.100.9'] });
  const { ip } = (await ask('POST', '/v3/send_ips/ips', { is_auto_warmup: true, is_parent_assigned: true }))
    .body;
  expect((await ask('GET', `/v3/ips/${ip}`)).body.warmup).toBe(false);
  const another = await api.anotherEngine();
  const { tickUntilDone } = await import('../../../src/fleet/tick.ts');
  await Promise.all([tickUntilDone(api.engine), tickUntilDone(another)]);
  expect((await ask('GET', `/v1/dedicated-ips/${ip}`)).body).toMatchObject({
    status: 'warming',
    warmup: { plan: 'sendgrid-hourly', currentHourlyLimit: 20, currentDay: 1 },
  });
  const stream = await api.redis.xrange(tenant.keys.changes, '-', '+');
  const starts = stream.map(([, [, change]]) => JSON.parse(change!)).filter(({ to }) => to === 'warming');
  expect(starts).toMatchObject([
    {
      from: 'provisioning',
      because: 'it is provisioned, and set to warm up by itself with plan sendgrid-hourly',
    },
  ]);
});

async function pages(ask: Ask, direction: 'after' | 'before', between: () => Promise<unknown>, filter = '') {
  const seen: string[] = [];
  let key: string | null = direction === 'after' ? '0.0.0.0' : '255.255.255.255';
  while (key) {
    const { body }: { body: { result: { ip: string }[]; _metadata: Record<string, string | null> } } =
      await ask('GET', `/v3/send_ips/ips?limit=170&${direction}_key=${key}${filter}`);
    const ips = body.result.map(({ ip }) => ip);
    if (direction === 'after') seen.push(...ips);
    else seen.unshift(...ips);
    key = body._metadata[`${direction}_key`] ?? null;
    await between();
  }
  return seen;
}

test('2 000 IPs page by page, both ways, while others are added and released', async () => {
  const { ask, tenant, bringMany } = await account('many');
  const all = await bringMany(2_000, 'active');
  const value = (ip: string) => ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const [leaving, staying] = [
    all.filter((_, index) => index % 20 === 7),
    all.filter((_, index) => index % 20 !== 7),
  ];
  const expected = staying.map(({ address }) => address).sort((a, b) => value(a) - value(b));
  const leave = leaving.map(({ id }) => id);
  const disturb = async () => {
    await bringMany(1, 'active');
    await Promise.all(leave.splice(-4).map((id) => releaseIp(tenant, id)));
  };
  const kept = (seen: string[]) => seen.filter((ip) => expected.includes(ip));
  for (const direction of ['after', 'before'] as const) {
    const seen = await pages(ask, direction, disturb);
    expect(new Set(seen).size).toBe(seen.length);
    expect(kept(seen)).toEqual(expected);
    expect(seen.map(value)).toEqual(seen.map(value).sort((a, b) => a - b));
  }
  // A filter that fits few: short pages, and the cursor goes on.
  await ask('PATCH', `/v3/send_ips/ips/${expected.at(-1)}`, { is_enabled: false });
  expect(await pages(ask, 'after', async () => {}, '&is_enabled=false')).toEqual([expected.at(-1)]);
  // The older family counts.
  const { body } = await ask('GET', '/v3/ips?limit=5000&offset=10');
  expect(body.length).toBe((await ask('GET', '/v3/ips/assigned')).body.length - 10);
});
