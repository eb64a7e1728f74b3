import { describe, expect, test } from 'vitest';
import { type Answer, ok, useNewApi } from './support.ts';

// What the published page does not show and a user of the v1 dialect would miss.

const api = useNewApi();

const refused = (answer: Answer, status: number, code: string, param: string | null) => {
  expect(answer.status, JSON.stringify(answer.body)).toBe(status);
  expect(answer.body.error).toMatchObject({ code, param });
  return answer.body.error;
};
const bring = async (...addresses: string[]) =>
  ok(await api.ask('POST', '/v1/inventory', { addresses, account: 'default' }), 201).data;
const ipPath = (named: string) => `/v1/dedicated-ips/${encodeURIComponent(named)}`;
const poolPath = (named: string) => `/v1/dedicated-ips/pools/${encodeURIComponent(named)}`;
const pool = async (name: string, more: object = {}) =>
  ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name, ...more }), 201);
const list = async (query = '') =>
  ok(await api.ask('GET', `/v1/dedicated-ips${query}`)).data.map((ip: { ipAddress: string }) => ip.ipAddress);

describe('PATCH of an IP', () => {
  test('changes several things in one step, and what is not named stays', async () => {
    const [ip] = await bring('192.0.2.1');
    const changed = ok(
      await api.ask('PATCH', ipPath(ip.id), {
        hostname: 'MTA7.example.com',
        bind: '10.0.1.7',
        labels: { team: 'billing', 'zone/rack': 'b:4', größe: 'XL' },
        ceiling: { perDay: 500 },
      }),
    );
    expect(changed).toMatchObject({
      hostname: 'mta7.example.com',
      bind: '10.0.1.7',
      labels: { team: 'billing', 'zone/rack': 'b:4', größe: 'XL' },
      ceiling: { perDay: 500, perHour: null },
    });
    const after = ok(await api.ask('PATCH', ipPath('192.0.2.1'), { bind: null, ceiling: { perHour: 40 } }));
    expect(after).toEqual({
      ...changed,
      bind: null,
      ceiling: { perDay: 500, perHour: 40 },
      updatedAt: expect.any(String),
    });
    expect(ok(await api.ask('PATCH', ipPath(ip.id), { ceiling: null, labels: {} }))).toMatchObject({
      ceiling: { perDay: null, perHour: null },
      labels: {},
      hostname: 'mta7.example.com',
    });
  });

  test('the next take says the new names', async () => {
    const [ip] = ok(
      await api.ask('POST', '/v1/inventory', {
        addresses: ['192.0.2.1'],
        account: 'default',
        status: 'active',
      }),
      201,
    ).data;
    ok(await api.ask('PATCH', ipPath(ip.id), { hostname: 'mta7.example.com', bind: '::ffff:10.0.1.7' }));
    const { granted } = ok(await api.ask('POST', '/v1/quota/take', { ip: ip.id }));
    expect(granted).toMatchObject([{ hostname: 'mta7.example.com', bind: '10.0.1.7' }]);
  });

  test('the same once more changes nothing', async () => {
    await bring('192.0.2.1');
    const body = { labels: { b: '2', a: '1' }, hostname: 'mta1.example.com' };
    ok(await api.ask('PATCH', ipPath('192.0.2.1'), body));
    const before = ok(await api.ask('GET', '/v1/changes'));
    ok(await api.ask('PATCH', ipPath('192.0.2.1'), body));
    expect(ok(await api.ask('GET', '/v1/changes'))).toEqual(before);
  });

  test.each([
    [{}, null],
    [{ hostname: 'localhost' }, 'hostname'],
    [{ hostname: 'two words.example' }, 'hostname'],
    [{ hostname: 7 }, 'hostname'],
    [{ bind: '10.0.0.07' }, 'bind'],
    [{ bind: '0.0.0.0' }, 'bind'],
    [{ bind: 'eth0' }, 'bind'],
    [{ labels: [] }, 'labels'],
    [{ labels: { team: 7 } }, 'labels.team'],
    [{ labels: { team: null } }, 'labels.team'],
    [{ labels: { 'a b': 'x' } }, 'labels'],
    [{ labels: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`k${n}`, 'v'])) }, 'labels'],
    [{ ceiling: 100 }, 'ceiling'],
    [{ ceiling: { perDay: '100' } }, 'ceiling.perDay'],
    [{ ceiling: { perDay: 0 } }, 'ceiling.perDay'],
    [{ ceiling: { perMonth: 5 } }, 'ceiling.perMonth'],
    [{ status: 'active' }, 'status'],
    [{ hostname: 'mta1.example.com', adress: 'x' }, 'adress'],
  ])('%j is refused, and nothing of it done', async (body, param) => {
    await bring('192.0.2.1');
    const before = await api.dump();
    refused(await api.ask('PATCH', ipPath('192.0.2.1'), body), 422, 'validation_error', param);
    const after = await api.dump();
    delete before['warmline:{directory}:key-uses'];
    delete after['warmline:{directory}:key-uses'];
    expect(after).toEqual(before);
  });

  test('of an IP that is not there', async () => {
    refused(await api.ask('PATCH', ipPath('192.0.2.9'), { bind: null }), 404, 'not_found', 'ip');
  });
});

describe('pools', () => {
  test('get, rename, make the default, delete; by id and by name', async () => {
    const first = await pool('First', { isDefault: true });
    const second = await pool('Zweite Gruppe 💌');
    expect(ok(await api.ask('GET', poolPath('Zweite Gruppe 💌')))).toEqual(second);
    expect(ok(await api.ask('PATCH', poolPath(second.id), { name: 'Second', isDefault: true }))).toEqual({
      ...second,
      name: 'Second',
      isDefault: true,
    });
    expect(ok(await api.ask('GET', poolPath(first.id))).isDefault).toBe(false);
    refused(await api.ask('GET', poolPath('Zweite Gruppe 💌')), 404, 'not_found', 'pool');
    expect((await api.ask('DELETE', poolPath('Second'))).status).toBe(204);
    refused(await api.ask('GET', poolPath(second.id)), 404, 'not_found', 'pool');
    refused(await api.ask('DELETE', poolPath(second.id)), 404, 'not_found', 'pool');
    // Nobody became the default in its place, and its name is free.
    expect(ok(await api.ask('GET', '/v1/dedicated-ips/pools')).data).toMatchObject([
      { name: 'First', isDefault: false },
    ]);
    await pool('Second');
  });

  test('its IPs stay when it goes, and from under its hold', async () => {
    const [ip] = await bring('192.0.2.1');
    const { id } = await pool('Bulk');
    ok(await api.ask('POST', `${poolPath(id)}/ips`, { ipId: ip.id }));
    ok(await api.ask('POST', `${poolPath(id)}/hold`, {}));
    expect(ok(await api.ask('GET', ipPath(ip.id))).hold).not.toBeNull();
    expect((await api.ask('DELETE', poolPath(id))).status).toBe(204);
    expect(ok(await api.ask('GET', ipPath(ip.id)))).toMatchObject({ poolId: null, poolIds: [], hold: null });
  });

  test('a name that another pool has is a conflict; its own is none', async () => {
    await pool('One');
    const two = await pool('Two');
    expect(
      refused(await api.ask('PATCH', poolPath(two.id), { name: 'One' }), 409, 'conflict', 'name').details,
    ).toEqual({ reason: 'name_taken' });
    expect(ok(await api.ask('PATCH', poolPath(two.id), { name: 'Two' })).name).toBe('Two');
  });

  test.each([
    [{}, null],
    [{ name: '' }, 'name'],
    [{ name: ' x' }, 'name'],
    [{ name: '.x' }, 'name'],
    [{ name: '💌'.repeat(65) }, 'name'],
    [{ name: 7 }, 'name'],
    [{ isDefault: 'true' }, 'isDefault'],
    [{ is_default: true }, 'is_default'],
  ])('%j is refused', async (body, param) => {
    await pool('One');
    refused(await api.ask('PATCH', poolPath('One'), body), 422, 'validation_error', param);
    expect(ok(await api.ask('GET', '/v1/dedicated-ips/pools')).data).toMatchObject([
      { name: 'One', isDefault: false },
    ]);
  });

  test('64 characters are 64, whatever they are made of', async () => {
    const name = '💌'.repeat(64);
    const { id } = await pool('One');
    expect(ok(await api.ask('PATCH', poolPath(id), { name })).name).toBe(name);
    expect(ok(await api.ask('GET', poolPath(name))).id).toBe(id);
  });

  test('whoever switches the default at once with others: one is it in the end', async () => {
    const pools = await Promise.all(['A', 'B', 'C', 'D'].map((name) => pool(name)));
    await Promise.all(pools.map(({ id }) => api.ask('PATCH', poolPath(id), { isDefault: true })));
    const { data } = ok(await api.ask('GET', '/v1/dedicated-ips/pools'));
    expect(data.filter((one: { isDefault: boolean }) => one.isDefault)).toHaveLength(1);
    const [chosen] = data.filter((one: { isDefault: boolean }) => one.isDefault);
    ok(await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.1'] }), 201);
    expect(ok(await api.ask('POST', '/v1/dedicated-ips'), 201).poolId).toBe(chosen.id);
    ok(await api.ask('PATCH', poolPath(chosen.id), { isDefault: false }));
    ok(await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.2'] }), 201);
    expect(ok(await api.ask('POST', '/v1/dedicated-ips'), 201).poolId).toBeNull();
  });

  test('an IP leaves by its id or its address; one that is not in it is not found', async () => {
    const [a] = await bring('192.0.2.1', '192.0.2.2');
    await pool('One');
    ok(await api.ask('POST', `${poolPath('One')}/ips`, { ipId: '192.0.2.1' }));
    expect((await api.ask('DELETE', `${poolPath('One')}/ips/192.0.2.1`)).status).toBe(204);
    refused(await api.ask('DELETE', `${poolPath('One')}/ips/${a.id}`), 404, 'not_found', 'ip');
    refused(await api.ask('DELETE', `${poolPath('One')}/ips/192.0.2.77`), 404, 'not_found', 'ip');
  });
});

describe('filters', () => {
  test('by label, alone and with others', async () => {
    const [a, b, c] = await bring('192.0.2.1', '192.0.2.2', '192.0.2.3');
    ok(await api.ask('PATCH', ipPath(a.id), { labels: { team: 'billing' } }));
    ok(await api.ask('PATCH', ipPath(b.id), { labels: { team: 'news:letters', größe: 'XL' } }));
    await pool('One');
    for (const ip of [a, c]) ok(await api.ask('POST', `${poolPath('One')}/ips`, { ipId: ip.id }));
    expect(await list('?label=team:billing')).toEqual(['192.0.2.1']);
    expect(await list('?label=team:news:letters')).toEqual(['192.0.2.2']);
    expect(new Set(await list('?label=team'))).toEqual(new Set(['192.0.2.1', '192.0.2.2']));
    expect(await list(`?label=${encodeURIComponent('größe:XL')}`)).toEqual(['192.0.2.2']);
    expect(await list('?label=team:&status=provisioning')).toEqual([]);
    expect(await list('?label=constructor')).toEqual([]);
    expect(await list('?label=team&pool=One')).toEqual(['192.0.2.1']);
    expect(await list('?pool=One&address=192.0.2.3')).toEqual(['192.0.2.3']);
    expect(await list('?pool=One&address=192.0.2.2')).toEqual([]);
    refused(await api.ask('GET', '/v1/dedicated-ips?label=:x'), 422, 'validation_error', 'label');
  });

  test('a pool pages too, by creation', async () => {
    const ips = await bring(...Array.from({ length: 7 }, (_, n) => `192.0.2.${n + 1}`));
    await pool('One');
    for (const ip of ips.toReversed()) ok(await api.ask('POST', `${poolPath('One')}/ips`, { ipId: ip.id }));
    const seen: string[] = [];
    for (let cursor = ''; ; ) {
      const page = ok(await api.ask('GET', `/v1/dedicated-ips?pool=One&limit=3${cursor}`));
      seen.push(...page.data.map((ip: { ipAddress: string }) => ip.ipAddress));
      if (!page.hasMore) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(seen.toSorted()).toEqual(ips.map((ip: { ipAddress: string }) => ip.ipAddress).toSorted());
    expect(seen).toEqual(await list());
  });
});

describe('addresses in all spellings have one form', () => {
  const SIX = '2001:db8::5';
  test.each([
    SIX,
    '2001:DB8::5',
    '2001:0db8:0:0:0:0:0:5',
    '2001:0db8:0000:0000:0000:0000:0000:0005',
    '2001:db8:0::0:5',
    '2001:db8::0.0.0.5',
  ])('%s', async (spelt) => {
    const [ip] = await bring(spelt);
    expect(ip.ipAddress).toBe(SIX);
    expect(ok(await api.ask('GET', ipPath(spelt))).id).toBe(ip.id);
    expect(ok(await api.ask('GET', ipPath(SIX))).id).toBe(ip.id);
    expect(await list(`?address=${encodeURIComponent(spelt)}`)).toEqual([SIX]);
    await pool('One');
    expect(ok(await api.ask('POST', `${poolPath('One')}/ips`, { ipId: spelt })).id).toBe(ip.id);
    expect((await api.ask('DELETE', `${poolPath('One')}/ips/${encodeURIComponent(spelt)}`)).status).toBe(204);
    ok(await api.ask('GET', `${ipPath(spelt)}/quota`));
    refused(
      await api.ask('POST', '/v1/inventory', { addresses: [SIX], account: 'default' }),
      409,
      'conflict',
      null,
    );
  });

  test.each(['::ffff:192.0.2.1', '::FFFF:c000:201', '0:0:0:0:0:ffff:192.0.2.1'])(
    '%s is an IPv4 address in another coat',
    async (spelt) => {
      const [ip] = await bring(spelt);
      expect(ip.ipAddress).toBe('192.0.2.1');
      expect(ok(await api.ask('GET', ipPath(spelt))).id).toBe(ip.id);
      expect(await list(`?address=${encodeURIComponent(spelt)}`)).toEqual(['192.0.2.1']);
    },
  );

  test.each([
    '192.0.2.01',
    '192.0.2.256',
    '192.0.2',
    '0xc0000201',
    '3221225985',
    '2001:db8::5%eth0',
    '2001:db8',
    '::g',
    '',
  ])('"%s" is none', async (spelt) => {
    refused(
      await api.ask('POST', '/v1/inventory', { addresses: [spelt] }),
      422,
      'validation_error',
      spelt === '' ? 'addresses.0' : 'addresses',
    );
    refused(
      await api.ask('GET', `/v1/dedicated-ips?address=${encodeURIComponent(spelt)}`),
      422,
      'validation_error',
      'address',
    );
    if (spelt === '') return;
    // As a part of a path it is the name of nothing.
    refused(await api.ask('GET', ipPath(spelt)), 404, 'not_found', 'ip');
    refused(await api.ask('POST', '/v1/quota/take', { ip: spelt }), 422, 'validation_error', 'ip');
  });
});

describe('numbers as strings, and other wrong types', () => {
  test.each([
    ['POST', '/v1/quota/take', { count: '1' }, 'count'],
    ['POST', '/v1/quota/take', { partial: 'yes' }, 'partial'],
    ['POST', '/v1/dedicated-ips/192.0.2.1/warmup', { burst: '5' }, 'burst'],
    ['POST', '/v1/dedicated-ips/192.0.2.1/warmup', { startDay: '5' }, 'startDay'],
    ['POST', '/v1/dedicated-ips/192.0.2.1/hold', { sending: 'true' }, 'sending'],
    ['POST', '/v1/dedicated-ips/192.0.2.1/hold', { until: '2026-01-11' }, 'until'],
    ['POST', '/v1/dedicated-ips/pools', { name: 'x', warmingShare: '0.5' }, 'warmingShare'],
    ['POST', '/v1/dedicated-ips/pools', { name: 'x', ceiling: { perHour: '5' } }, 'ceiling.perHour'],
  ])('%s %s %j', async (method, path, body, param) => {
    await bring('192.0.2.1');
    const error = refused(await api.ask(method, path, body), 422, 'validation_error', param);
    expect(error.message).toMatch(/must be/);
  });
});
