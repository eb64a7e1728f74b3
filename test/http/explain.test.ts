import { beforeEach, describe, expect, test } from 'vitest';
import * as ips from '../../src/fleet/ips.ts';
import * as pools from '../../src/fleet/pools.ts';
import type { DedicatedIp } from '../../src/warmup/dedicated-ip.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { ok, useNewApi } from './support.ts';

// Why is my mail held, and when will we be done, over HTTP. Each answer is held against the document (`support.ts`).

const api = useNewApi();
const explain = async (body: unknown) => ok(await api.ask('POST', '/v1/quota/explain', body));
const forecast = async (body: unknown) => ok(await api.ask('POST', '/v1/forecast', body));

let first: DedicatedIp;
let second: DedicatedIp;
beforeEach(async () => {
  first = await api.warming();
  second = await api.warming({ plan: 'fourteen-day' });
});

describe('explain', () => {
  test('a take that would be granted: who gives what', async () => {
    const found = await explain({ count: 60 });
    expect(found.sentence).toBe(`60 sends may go now, from ${first.address} and 1 other IP.`);
    expect(found.answer).toMatchObject({ allowed: true, because: null });
    const given = found.ips.map(({ ip, granted, room }: Record<string, unknown>) => ({ ip, granted, room }));
    expect(given).toEqual([
      { ip: first.address, granted: 20, room: 20 },
      { ip: second.address, granted: 40, room: 50 },
    ]);
    expect(ok(await api.ask('POST', '/v1/quota/take', { count: 60 })).granted).toHaveLength(2);
  });

  test('a take that was just denied: why, and when each has room', async () => {
    await api.ask('POST', '/v1/quota/take', { count: 70 });
    const denied = ok(await api.ask('POST', '/v1/quota/take', { count: 5 }));
    const found = await explain({ count: 5 });
    expect(found.answer).toEqual(denied);
    expect(found.sentence).toBe(
      `None of the 2 IPs of the account has room for 5 sends: 1 used its hour, 1 used its day. First is ${first.address}, which used its 20 sends of this hour; 20 more from 11:00 (in 1 h).`,
    );
    expect(found.ips[1]).toMatchObject({
      binds: 'day',
      roomAt: '2026-01-11T10:00:00Z',
      roomThen: 100,
      day: { limit: 50, used: 50, remaining: 0 },
      sentence: `${second.address} used its 50 sends of this day; 100 more from Sun 11 Jan 10:00 (in 1 d).`,
    });
  });

  test('where several IPs have room only together, that is said', async () => {
    await api.ask('POST', '/v1/quota/take', { count: 70 });
    const found = await explain({ count: 120 });
    const atMs = Date.parse('2026-01-10T10:00:00Z') + found.answer.retryAfterMs;
    expect(
      found.ips.every((ip: { roomAt: string | null }) => !ip.roomAt || Date.parse(ip.roomAt) > atMs),
    ).toBe(true);
    expect(found.sentence).toContain('Together they have room at Sun 11 Jan 10:0');
  });

  test("a pool's ceiling binds where its IPs would not, and its share is told", async () => {
    const ceiling = { perDay: null, perHour: 3 };
    const pool = await pools.createPool(api.tenant, { name: 'small', ceiling, warmingShare: 0.5 });
    await pools.addIpToPool(api.tenant, pool.id, second.id);
    await api.ask('POST', '/v1/quota/take', { pool: 'small', count: 3 });
    const found = await explain({ pool: 'small' });
    expect(found.sentence).toBe(
      'Pool small used the 3 sends of its ceiling of this hour; 3 more from 11:00 (in 1 h).',
    );
    expect(found.ips[0]).toMatchObject({ binds: 'pool', room: 47, granted: 0 });
    expect(found.pool).toMatchObject({ name: 'small', warmingShare: 0.5, used: 3, warmingUsed: 3 });
    expect(found.pool.ceiling.hour).toMatchObject({ limit: 3, used: 3, remaining: 0 });
    const some = await explain({ pool: 'small', count: 5, partial: true });
    expect(some.answer.allowed).toBe(false);
  });

  test('a hold is told with who, why and until when, on the clock of the IP', async () => {
    const inBerlin = await api.warming({ zone: 'Europe/Berlin' });
    const untilMs = (await api.now()) + 3 * HOUR_MS;
    const request = { sending: true, advance: false, because: 'too many complaints', untilMs };
    await ips.holdIp(api.tenant, inBerlin.id, request);
    const found = await explain({ ip: inBerlin.id });
    expect(found.sentence).toBe(
      `${inBerlin.address} is held by test, until 14:00 (in 3 h): too many complaints.`,
    );
    expect(found.ips[0]).toMatchObject({ zone: 'Europe/Berlin', retryAfterMs: 3 * HOUR_MS });
    await api.ask('DELETE', `/v1/dedicated-ips/${inBerlin.id}`);
    expect((await explain({ ip: inBerlin.id })).ips[0]).toMatchObject({
      binds: 'status',
      status: 'cooldown',
    });
  });

  test('asks as a take asks, and refuses as it refuses', async () => {
    const refused = async (body: unknown) => (await api.ask('POST', '/v1/quota/explain', body)).body.error;
    expect(await refused({ pool: 'nobody' })).toMatchObject({ code: 'not_found', param: 'pool' });
    expect(await refused({ ip: '192.0.2.99' })).toMatchObject({ code: 'not_found', param: 'ip' });
    expect(await refused({ ip: first.id, pool: 'x' })).toMatchObject({ param: 'pool' });
    expect(await refused({ ip: first.id, family: 6 })).toMatchObject({ param: 'family' });
    expect(await refused({ takes: [{}] })).toMatchObject({ param: 'takes' });
    expect(await refused({ count: 0 })).toMatchObject({ param: 'count' });
    const empty = await pools.createPool(api.tenant, { name: 'empty' });
    expect((await explain({ pool: empty.id })).sentence).toContain('No IP of pool empty');
    const among = await explain({ among: [second.address], to: 'example.com' });
    expect(among.ips).toHaveLength(1);
  });

  test('is for keys that may read, and shows nothing of another account', async () => {
    const { tenant } = await api.house('acme');
    const reader = await api.key(tenant.account.id, ['read']);
    expect((await api.askAs(reader)('POST', '/v1/quota/explain', { ip: first.address })).status).toBe(404);
    expect(ok(await api.askAs(reader)('POST', '/v1/quota/explain', {})).ips).toEqual([]);
    expect(ok(await api.askAs(reader)('POST', '/v1/forecast', { messages: 5 })).sentence).toBe(
      'There is no IP, so none of 5 messages can leave.',
    );
    const writer = await api.key(tenant.account.id, ['write']);
    expect((await api.askAs(writer)('POST', '/v1/quota/explain', {})).status).toBe(403);
    expect((await api.askAs(writer)('POST', '/v1/forecast', { messages: 5 })).status).toBe(403);
  });
});

describe('forecast', () => {
  test('days, IPs and what would change; nothing in the account does', async () => {
    const before = countedIn(await api.dump());
    const found = await forecast({ messages: 1_000, addIps: 3, plan: 'sendgrid-hourly' });
    expect(countedIn(await api.dump())).toEqual(before);
    expect(found).toMatchObject({ sent: 1_000, finishesAt: '2026-01-13T10:00:00Z', zone: 'UTC', ipCount: 2 });
    expect(found.days.map(({ date, sends }: { date: string; sends: number }) => [date, sends])).toEqual([
      ['2026-01-10', 100],
      ['2026-01-11', 200],
      ['2026-01-12', 500],
      ['2026-01-13', 200],
    ]);
    expect(found.days[0].ips).toEqual([
      { ip: first.address, sends: 50 },
      { ip: second.address, sends: 50 },
    ]);
    const variants = found.variants.map((one: Record<string, unknown>) => [one.addIps, one.plan]);
    expect(variants).toEqual([
      [3, null],
      [0, 'sendgrid-hourly'],
      [3, 'sendgrid-hourly'],
    ]);
    for (const { soonerMs, finishesAt } of found.variants) {
      expect(soonerMs).toBe(Date.parse(found.finishesAt) - Date.parse(finishesAt));
      expect(soonerMs).toBeGreaterThan(0);
    }
  });

  test('goes on from what was used, and says at once where it can', async () => {
    await api.ask('POST', '/v1/quota/take', { count: 70 });
    expect((await forecast({ messages: 30 })).finishesAt).toBe('2026-01-10T12:00:00Z');
    await api.bring({ status: 'active' });
    expect((await forecast({ messages: 1_000_000 })).sentence).toBe(
      'All of 1,000,000 messages can leave at once, over 1 IP.',
    );
  });

  test('a campaign that never ends is told so, with what leaves', async () => {
    await ips.holdIp(api.tenant, first.id, { sending: true, advance: true, because: 'x', untilMs: null });
    await ips.setCeiling(api.tenant, second.id, { perDay: 2 });
    const found = await forecast({ messages: 1_000 });
    expect(found).toMatchObject({ finishesAt: null, until: '2027-01-11T10:00:00Z' });
    expect(found.sent).toBeGreaterThan(700);
    expect(found.sent).toBeLessThan(740);
    expect(found.days.at(-1).binds).toBe('ceiling');
  });

  test('refuses in one sentence', async () => {
    const refused = async (body: unknown) => (await api.ask('POST', '/v1/forecast', body)).body.error;
    expect(await refused({})).toMatchObject({ param: 'messages' });
    expect(await refused({ messages: 1, pool: 'nobody' })).toMatchObject({
      code: 'not_found',
      param: 'pool',
    });
    expect(await refused({ messages: 1, plan: 'nothing' })).toMatchObject({ param: 'plan' });
    expect(await refused({ messages: 1, zone: 'Mars' })).toMatchObject({ param: 'zone' });
    expect(await refused({ messages: 1, start: 'soon' })).toMatchObject({ param: 'start' });
    const pool = await pools.createPool(api.tenant, { name: 'full', ips: [first.id] });
    expect(await refused({ messages: 1, pool: pool.id, addIps: 100 })).toMatchObject({ code: 'conflict' });
  });
});

/** All but the hints by which IPs are chosen: a look sets them right, as a take does. */
function countedIn(dump: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(dump).filter(([key]) => !/:(ready|turn):/.test(key)));
}
