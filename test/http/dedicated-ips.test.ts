import { beforeEach, describe, expect, test } from 'vitest';
import { DAY_MS } from '../../src/warmup/units.ts';
import { type Answer, CARD, ok, useNewApi } from './support.ts';

const api = useNewApi();
beforeEach(async () => {
  await api.ask('POST', '/v1/inventory', { addresses: ['10.123.45.64/29'] });
});

const create = async () => ok(await api.ask('POST', '/v1/dedicated-ips'), 201);
const advance = (body: object) => api.ask('POST', '/v1/test-clock/advance', body);

describe('what the published documents show', () => {
  test('request an IP: 201, an address, provisioning', async () => {
    const ip = await create();
    expect(ip).toMatchObject({ ipAddress: '10.123.45.64', status: 'provisioning', poolId: null, hold: null });
    expect(ip.id).toMatch(/^ip_[0-9a-z]+$/);
    expect(ip.warmup).toMatchObject({
      progress: 0,
      currentDailyLimit: 0,
      startedAt: null,
      completedAt: null,
    });
    expect(ip.createdAt).toBe('2026-01-10T10:00:00Z');
  });

  test('start warming: the schedule of 14 days comes with the answer', async () => {
    const { id } = await create();
    const ip = ok(await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`));
    expect(ip.status).toBe('warming');
    expect(ip.warmingSchedule.totalDays).toBe(14);
    const { days } = ip.warmingSchedule;
    expect(days).toHaveLength(14);
    expect(days[0]).toEqual({ day: 1, dailyLimit: 50, hourlyCap: 20, cumulativeProgress: 0.07 });
    expect(days[1]).toMatchObject({ day: 2, dailyLimit: 100, cumulativeProgress: 0.14 });
    expect(days[2]).toMatchObject({ day: 3, dailyLimit: 250, cumulativeProgress: 0.21 });
    expect(days[6]).toMatchObject({ day: 7, dailyLimit: 5000, cumulativeProgress: 0.5 });
    expect(days[9]).toMatchObject({ day: 10, dailyLimit: 40000, cumulativeProgress: 0.71 });
    expect(days[13]).toMatchObject({ day: 14, dailyLimit: -1, cumulativeProgress: 1 });
  });

  test('check progress: half way on day 7, at 5 000 a day', async () => {
    const { id } = await create();
    await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`);
    await advance({ by: 'P6D' });
    const ip = ok(await api.ask('GET', `/v1/dedicated-ips/${id}`));
    expect(ip.warmup).toMatchObject({
      progress: 0.5,
      currentDay: 7,
      currentDailyLimit: 5000,
      currentHourlyLimit: 151,
      startedAt: '2026-01-10T10:00:00Z',
      completesAt: '2026-01-24T10:00:00Z',
      completedAt: null,
      plan: 'fourteen-day+sendgrid-hourly',
      zone: 'UTC',
      burst: null,
      usedToday: 0,
      remainingToday: 5000,
    });
    expect(ip.warmingSchedule.totalDays).toBe(14);
  });

  test('pools: create, add an IP, list', async () => {
    const { id } = await create();
    const pool = ok(
      await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Transactional', isDefault: true }),
      201,
    );
    expect(pool).toMatchObject({ name: 'Transactional', isDefault: true, ipCount: 0 });
    const ip = ok(await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: id }));
    expect(ip.poolId).toBe(pool.id);
    const { data } = ok(await api.ask('GET', '/v1/dedicated-ips/pools'));
    expect(data).toMatchObject([{ id: pool.id, name: 'Transactional', isDefault: true, ipCount: 1 }]);
  });

  test('list: every IP with its progress', async () => {
    const first = await create();
    const second = await create();
    const list = ok(await api.ask('GET', '/v1/dedicated-ips'));
    expect(list.data.map((ip: { id: string }) => ip.id).sort()).toEqual([first.id, second.id].sort());
    expect(list).toMatchObject({ hasMore: false, nextCursor: null });
    for (const ip of list.data) expect(Math.round(ip.warmup.progress * 100)).toBe(0);
    expect(list.data[0]).not.toHaveProperty('warmingSchedule');
  });

  test('release: 204, out of its pool at once, then cooldown; a second release is a conflict', async () => {
    const pool = ok(
      await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Transactional', isDefault: true }),
      201,
    );
    const { id } = await create();
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`)).poolId).toBe(pool.id);
    expect((await api.ask('DELETE', `/v1/dedicated-ips/${id}`)).status).toBe(204);
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`))).toMatchObject({
      status: 'cooldown',
      poolId: null,
      cooldown: { since: '2026-01-10T10:00:00Z', until: '2026-02-09T10:00:00Z' },
    });
    const again = ok(await api.ask('DELETE', `/v1/dedicated-ips/${id}`), 409);
    expect(again.error.code).toBe('conflict');
  });
});

describe('the life of an IP', () => {
  test('a second start on a warming IP answers 200 and changes nothing', async () => {
    const { id } = await create();
    const first = ok(
      await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`, { zone: 'Europe/Berlin', burst: 5 }),
    );
    await advance({ by: 'P2D' });
    const before = await api.dump();
    const second = ok(await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`, { plan: 'fourteen-day' }));
    expect(second.warmup).toMatchObject({
      startedAt: first.warmup.startedAt,
      zone: 'Europe/Berlin',
      burst: 5,
      currentDay: 3,
    });
    expect(second.warmup.plan).toBe('fourteen-day+sendgrid-hourly');
    expect(await api.dump()).toEqual(before);
  });

  test('P14D makes it active, once, with the change listed', async () => {
    const { id } = await create();
    await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`);
    const moved = ok(await advance({ by: 'P14D' }));
    expect(moved.now).toBe('2026-01-24T10:00:00Z');
    expect(moved.changes).toEqual([
      expect.objectContaining({
        ip: '10.123.45.64',
        ipId: id,
        what: 'status',
        from: 'warming',
        to: 'active',
      }),
    ]);
    expect(ok(await advance({ by: 'P14D' })).changes).toEqual([]);
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`))).toMatchObject({
      status: 'active',
      warmup: {
        progress: 1,
        currentDay: null,
        currentDailyLimit: -1,
        currentHourlyLimit: -1,
        remainingToday: -1,
        completedAt: '2026-01-24T10:00:00Z',
        completesAt: null,
      },
    });
  });

  test('a released IP answers on its id and is left out of lists', async () => {
    const { id } = await create();
    await api.ask('DELETE', `/v1/dedicated-ips/${id}`);
    expect(ok(await api.ask('GET', '/v1/dedicated-ips')).data).toHaveLength(1);
    const { changes } = ok(await advance({ by: 'P30D' }));
    expect(changes).toMatchObject([{ ipId: id, from: 'cooldown', to: 'released' }]);
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`))).toMatchObject({ status: 'released' });
    expect(ok(await api.ask('GET', '/v1/dedicated-ips')).data).toEqual([]);
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}/quota`))).toMatchObject({
      allowed: false,
      binds: 'status',
    });
  });

  test('nothing about a released IP can be changed, also when its address is used again', async () => {
    await api.ask('POST', '/v1/inventory', { addresses: ['192.0.2.7'], account: 'default' });
    const [{ id }] = ok(await api.ask('GET', '/v1/dedicated-ips?address=192.0.2.7')).data;
    await api.ask('DELETE', `/v1/dedicated-ips/${id}`);
    await advance({ by: 'P30D' });
    const again = ok(
      await api.ask('POST', '/v1/inventory', {
        addresses: ['192.0.2.7'],
        account: 'default',
        status: 'active',
      }),
      201,
    );
    const before = await api.dump();
    expect((await api.ask('PATCH', `/v1/dedicated-ips/${id}`, { ceiling: { perDay: 1 } })).status).toBe(409);
    expect((await api.ask('POST', `/v1/dedicated-ips/${id}/restore`)).status).toBe(409);
    expect((await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`)).status).toBe(409);
    expect((await api.ask('POST', `/v1/dedicated-ips/${id}/hold`)).status).toBe(409);
    expect(await api.dump()).toEqual(before);
    expect(again.data[0].id).not.toBe(id);
    expect(ok(await api.ask('POST', '/v1/quota/take', { ip: '192.0.2.7' })).allowed).toBe(true);
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`)).warmup.usedToday).toBe(0);
  });

  test('restore: out of cooldown with the day it had', async () => {
    const { id } = await create();
    await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`);
    await advance({ by: 'P3D' });
    await api.ask('DELETE', `/v1/dedicated-ips/${id}`);
    await advance({ by: 'P5D' });
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`)).warmup).toMatchObject({
      currentDay: 4,
      currentDailyLimit: 0,
    });
    const ip = ok(await api.ask('POST', `/v1/dedicated-ips/${id}/restore`));
    expect(ip).toMatchObject({
      status: 'warming',
      warmup: { currentDay: 4, currentDailyLimit: 500, progress: 0.29 },
    });
  });

  test('an address names an IP as well as its id does, in any spelling', async () => {
    await api.ask('POST', '/v1/inventory', { addresses: ['2001:db8::5'], account: 'default' });
    for (const spelt of ['2001:db8::5', '2001:0DB8:0:0:0:0:0:5', '2001%3Adb8%3A%3A5']) {
      expect(ok(await api.ask('GET', `/v1/dedicated-ips/${spelt}`)).ipAddress).toBe('2001:db8::5');
    }
  });

  test('what was sent shows in the counts, the ledger and the volume', async () => {
    const { id } = await create();
    await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`, { plan: 'fourteen-day' });
    await api.ask('POST', '/v1/quota/take', { ip: id, count: 30 });
    await advance({ by: 'P1D' });
    await api.ask('POST', '/v1/quota/take', { ip: id, count: 40 });
    const ip = ok(await api.ask('GET', `/v1/dedicated-ips/${id}`));
    expect(ip.warmup).toMatchObject({ usedToday: 40, remainingToday: 60 });
    expect(ip).toMatchObject({ sendingVolume: 70, lastUsedAt: '2026-01-11T10:00:00Z' });
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}/ledger`))).toEqual({
      ipId: id,
      ip: '10.123.45.64',
      days: [
        { from: '2026-01-10T10:00:00Z', sends: 30 },
        { from: '2026-01-11T10:00:00Z', sends: 40 },
      ],
      hours: [
        { from: '2026-01-10T10:00:00Z', sends: 30 },
        { from: '2026-01-11T10:00:00Z', sends: 40 },
      ],
    });
  });

  test('a ceiling binds at once, one limit at a time, and in every status', async () => {
    const { id } = await create();
    await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`, { plan: 'fourteen-day' });
    expect(
      ok(await api.ask('PATCH', `/v1/dedicated-ips/${id}`, { ceiling: { perDay: 10 } })).warmup
        .currentDailyLimit,
    ).toBe(10);
    const both = ok(await api.ask('PATCH', `/v1/dedicated-ips/${id}`, { ceiling: { perHour: 4 } }));
    expect(both.ceiling).toEqual({ perDay: 10, perHour: 4 });
    const take = ok(await api.ask('POST', '/v1/quota/take', { ip: id, count: 5 }));
    expect(take).toMatchObject({ allowed: false, because: { code: 'count' } });
    const none = ok(await api.ask('PATCH', `/v1/dedicated-ips/${id}`, { ceiling: null }));
    expect(none.ceiling).toEqual({ perDay: null, perHour: null });
    expect(none.warmup.currentDailyLimit).toBe(50);
  });
});

describe('holds', () => {
  test('a hold stops mail at once, and lifting it gives it back', async () => {
    const { id } = await create();
    await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`);
    const held = ok(
      await api.ask('POST', `/v1/dedicated-ips/${id}/hold`, {
        because: 'listed by a blocklist',
        until: '2026-01-12T10:00:00Z',
      }),
    );
    expect(held.hold).toEqual({
      sending: true,
      advance: true,
      because: 'listed by a blocklist',
      by: 'key:environment',
      scope: 'ip',
      since: '2026-01-10T10:00:00Z',
      until: '2026-01-12T10:00:00Z',
    });
    expect(ok(await api.ask('POST', '/v1/quota/take', { ip: id }))).toMatchObject({
      allowed: false,
      retryAfterMs: 2 * DAY_MS,
      because: { code: 'hold', until: '2026-01-12T10:00:00Z' },
    });
    expect(ok(await api.ask('DELETE', `/v1/dedicated-ips/${id}/hold`)).hold).toBeNull();
    expect(ok(await api.ask('POST', '/v1/quota/take', { ip: id })).allowed).toBe(true);
  });

  test('without a body it holds everything until it is lifted', async () => {
    const { id } = await create();
    const held = ok(await api.ask('POST', `/v1/dedicated-ips/${id}/hold`));
    expect(held.hold).toMatchObject({ sending: true, advance: true, until: null });
  });

  test('a held pool holds its IPs, those that join later too, and says so on each', async () => {
    const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Bulk' }), 201);
    const { id } = await create();
    await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`);
    const held = ok(
      await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/hold`, {
        because: 'complaints',
        advance: false,
      }),
    );
    expect(held.hold).toMatchObject({ sending: true, advance: false, because: 'complaints' });
    const ip = ok(await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: id }));
    expect(ip.hold).toMatchObject({ scope: pool.id, because: 'complaints' });
    expect(ok(await api.ask('POST', '/v1/quota/take', { pool: 'Bulk' })).allowed).toBe(false);
    expect(ok(await api.ask('DELETE', `/v1/dedicated-ips/pools/Bulk/hold`)).hold).toBeNull();
    expect(ok(await api.ask('POST', '/v1/quota/take', { pool: 'Bulk' })).allowed).toBe(true);
  });
});

describe('pools', () => {
  test('adding an IP to another pool moves it, and nothing else', async () => {
    const a = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'A' }), 201);
    const b = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'B' }), 201);
    const { id } = await create();
    await api.ask('POST', `/v1/dedicated-ips/${id}/warmup`);
    await api.ask('POST', `/v1/dedicated-ips/pools/${a.id}/ips`, { ipId: id });
    const moved = ok(await api.ask('POST', `/v1/dedicated-ips/pools/${b.id}/ips`, { ipId: id }));
    expect(moved).toMatchObject({ poolId: b.id, poolIds: [b.id] });
    const { data } = ok(await api.ask('GET', '/v1/dedicated-ips/pools'));
    expect(data.map(({ name, ipCount }: { name: string; ipCount: number }) => [name, ipCount])).toEqual(
      expect.arrayContaining([
        ['A', 0],
        ['B', 1],
      ]),
    );
    expect(ok(await api.ask('POST', '/v1/quota/take', { pool: 'A' })).allowed).toBe(false);
    expect(ok(await api.ask('POST', '/v1/quota/take', { pool: 'B' })).allowed).toBe(true);
    // Again: still there.
    expect(ok(await api.ask('POST', `/v1/dedicated-ips/pools/${b.id}/ips`, { ipId: id })).poolIds).toEqual([
      b.id,
    ]);
    expect((await api.ask('DELETE', `/v1/dedicated-ips/pools/${b.id}/ips/${id}`)).status).toBe(204);
    expect(ok(await api.ask('DELETE', `/v1/dedicated-ips/pools/${b.id}/ips/${id}`), 404).error.code).toBe(
      'not_found',
    );
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/pools/${b.id}`)).ipCount).toBe(0);
  });

  test('moves that meet end with the IP in one pool', async () => {
    const pools = await Promise.all(
      ['A', 'B', 'C', 'D'].map(async (name) =>
        ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name }), 201),
      ),
    );
    const { id } = await create();
    await Promise.all(
      [...pools, ...pools].map((pool) =>
        api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: id }),
      ),
    );
    const { data } = ok(await api.ask('GET', '/v1/dedicated-ips/pools'));
    expect(data.reduce((sum: number, pool: { ipCount: number }) => sum + pool.ipCount, 0)).toBe(1);
    expect(ok(await api.ask('GET', `/v1/dedicated-ips/${id}`)).poolIds).toHaveLength(1);
  });

  test('a new default takes the flag from the old one', async () => {
    await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'Old', isDefault: true });
    await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'New', isDefault: true });
    const { data } = ok(await api.ask('GET', '/v1/dedicated-ips/pools'));
    const defaults = data.filter((pool: { isDefault: boolean }) => pool.isDefault);
    expect(defaults).toMatchObject([{ name: 'New' }]);
  });
});

describe('lists', () => {
  test('page by page everything comes once, also when one leaves in between', async () => {
    for (let n = 0; n < 7; n += 1) await create();
    const all = ok(await api.ask('GET', '/v1/dedicated-ips')).data.map((ip: { id: string }) => ip.id);
    const seen: string[] = [];
    let cursor: string | null = null;
    let gone: string | null = null;
    do {
      const list: Answer['body'] = ok(
        await api.ask('GET', `/v1/dedicated-ips?limit=2${cursor ? `&cursor=${cursor}` : ''}`),
      );
      seen.push(...list.data.map((ip: { id: string }) => ip.id));
      cursor = list.nextCursor;
      expect(list.hasMore).toBe(cursor !== null);
      if (!gone) {
        // The very IP that the cursor names leaves the account for good.
        gone = seen.at(-1)!;
        await api.redis.zrem(api.tenant.keys.ips, gone);
      }
    } while (cursor);
    expect(seen).toEqual(all);
  });

  test('by status, pool and address', async () => {
    const pool = ok(await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'A b' }), 201);
    const [one, two, three] = [await create(), await create(), await create()];
    await api.ask('POST', `/v1/dedicated-ips/${two.id}/warmup`);
    await api.ask('POST', `/v1/dedicated-ips/pools/${pool.id}/ips`, { ipId: three.id });
    const ids = async (query: string) =>
      ok(await api.ask('GET', `/v1/dedicated-ips?${query}`)).data.map((ip: { id: string }) => ip.id);
    expect(await ids('status=warming')).toEqual([two.id]);
    expect((await ids('status=provisioning')).sort()).toEqual([one.id, three.id].sort());
    expect(await ids('pool=A%20b')).toEqual([three.id]);
    expect(await ids(`address=${one.ipAddress}`)).toEqual([one.id]);
    expect(await ids(`address=${one.ipAddress}&status=active`)).toEqual([]);
    expect(await ids('address=198.51.100.1')).toEqual([]);
    expect(await ids('status=warming&limit=1')).toEqual([two.id]);
  });

  test('the inventory and the accounts too', async () => {
    const entries: { address: string }[] = [];
    let cursor = '0';
    do {
      const list = ok(await api.ask('GET', `/v1/inventory?limit=3&cursor=${cursor}`));
      entries.push(...list.data);
      cursor = list.nextCursor ?? '0';
    } while (cursor !== '0');
    expect(new Set(entries.map(({ address }) => address)).size).toBe(8);
    await api.ask('POST', '/v1/accounts', { name: 'acme' });
    await api.ask('POST', '/v1/accounts', { name: 'other' });
    const first = ok(await api.ask('GET', '/v1/accounts?limit=2'));
    const rest = ok(await api.ask('GET', `/v1/accounts?cursor=${first.nextCursor}`));
    const names = [...first.data, ...rest.data].map((account: { name: string }) => account.name);
    expect(names.sort()).toEqual(['acme', 'default', 'other']);
  });

  test('a cursor of the inventory that no walk has is refused, however large it is', async () => {
    for (const cursor of ['x', '-1', '18446744073709551616', '9'.repeat(20), '9'.repeat(21)]) {
      const { error } = ok(await api.ask('GET', `/v1/inventory?cursor=${cursor}`), 422);
      expect(error).toMatchObject({ code: 'validation_error', param: 'cursor' });
    }
    ok(await api.ask('GET', '/v1/inventory?cursor=18446744073709551615'));
  });
});

describe('an address that an account brings', () => {
  test('is on the account at once, active if it is warm', async () => {
    await api.ask('POST', '/v1/accounts', { name: 'acme' });
    const body = {
      addresses: ['198.51.100.7'],
      account: 'acme',
      status: 'active',
      hostname: 'MTA7.example.com',
      bind: '10.0.1.7',
    };
    const answer = ok(await api.ask('POST', '/v1/inventory', body), 201);
    expect(answer).toMatchObject({
      added: 1,
      account: 'acme',
      data: [
        {
          ipAddress: '198.51.100.7',
          status: 'active',
          hostname: 'mta7.example.com',
          bind: '10.0.1.7',
          leased: false,
          warmup: { progress: 1 },
        },
      ],
    });
    const { data } = ok(await api.ask('GET', '/v1/inventory'));
    expect(data.find((entry: { address: string }) => entry.address === '198.51.100.7')).toMatchObject({
      state: 'held',
      ipId: answer.data[0].id,
      leased: false,
    });
  });

  test('a whole /24 at once; a /20 goes to the inventory', async () => {
    const answer = ok(
      await api.ask('POST', '/v1/inventory', { addresses: ['10.9.0.0/24'], account: 'default' }),
      201,
    );
    expect(answer.added).toBe(256);
    expect(answer.data).toHaveLength(256);
    const tooMany = await api.ask('POST', '/v1/inventory', {
      addresses: ['10.8.0.0/20'],
      account: 'default',
    });
    expect(tooMany.status).toBe(422);
    expect(tooMany.body.error).toMatchObject({ code: 'validation_error', param: 'addresses' });
    expect(ok(await api.ask('POST', '/v1/inventory', { addresses: ['10.8.0.0/20'] }), 201).added).toBe(4096);
  });
});

test('the test clock starts where the database began', async () => {
  expect(ok(await api.ask('GET', '/v1/test-clock'))).toEqual({ now: '2026-01-10T10:00:00Z' });
  expect(CARD).toBe(Date.parse('2026-01-10T10:00:00Z'));
});
