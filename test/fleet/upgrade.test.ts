import { afterAll, beforeAll, expect, test } from 'vitest';
import { getIp, historyOf, holdIp } from '../../src/fleet/ips.ts';
import { tickUntilDone } from '../../src/fleet/tick.ts';
import { packPublished, unpackHot } from '../../src/redis/hot-record.ts';
import { HOUR_MS } from '../../src/warmup/units.ts';
import { type Fleet, startFleet, MONDAY as T0 } from '../support/fleet.ts';

// What version 0.1.0 left in Redis: a record that says everything, its history in a list, what was sent as entries of 12 bytes,
// edges in the hot record that go without saying, and more fields in the published quota.

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
  await written(fleet);
});
afterAll(() => fleet.stop());

const ID = 'ip_old1';
const ADDRESS = '10.0.0.1';
const RECORD =
  '{"rev":2,"version":1,"id":"ip_old1","address":"10.0.0.1","status":"warming","statusSinceMs":1772442000000,"createdAtMs":1772442000000,"updatedAtMs":1772442000000,"region":null,"hostname":null,"bind":null,"leased":false,"labels":{},"whitelabeled":true,"autoWarmup":false,"parentAssigned":true,"subusers":[],"ceiling":{"perDay":null,"perHour":null},"holds":[],"pools":[],"warmup":{"plan":"fourteen-day+sendgrid-hourly","digest":"c1225a831e630da9","totalDays":14,"zone":"Europe/Berlin","dayStartsAt":"start","burst":null,"startedAtMs":1772442000000,"completedAtMs":null,"adjustments":[],"pausedAtMs":null},"cooldown":null}';
const HISTORY = [
  '{"at":"2026-03-02T09:00:00.000Z","ipId":"ip_old1","address":"10.0.0.1","what":"status","from":"provisioning","to":"warming","because":"warm-up started with plan fourteen-day+sendgrid-hourly","by":"test"}',
  '{"at":"2026-03-02T09:00:00.000Z","ipId":"ip_old1","address":"10.0.0.1","what":"status","from":null,"to":"provisioning","because":"an address was taken from the inventory","by":"test"}',
];
const HOT =
  'AAAAAAAA8D8AAKhp3Mp5QgAAAAAAAC5AAAB4R+PKeUIAAAAAAAAIQAAAAAC0Lo1BAAB4R+PKeUIAAAAAAAAIQAAAAAAAAPA/AAAAAAAAAAAAAKhp3Mp5QgAAaM8uy3lCAAAAAAAASUAAAAAAAAA0QAAAAAAAADRAAAAAAAAAAAAAAAAAAABZQAAAAAAAADxAAAAAAAAAPEAAAAAAAAAAAAAAAAAAABxAAAAoNYHLeUIAAOia08t5QgAAqAAmzHlCAABoZnjMeUIAACjMysx5QgAA6DEdzXlCAACol2/NeUJpcF9vbGQxCjEwLjAuMC4xCgoK';
const SENT_HOURS = 'AACoadzKeUIHAAAAAACQ2N/KeUIFAAAA';
const PLAN =
  '{"name":"fourteen-day+sendgrid-hourly","days":[{"dailyLimit":50,"hourlyCap":20},{"dailyLimit":100,"hourlyCap":28},{"dailyLimit":250,"hourlyCap":39},{"dailyLimit":500,"hourlyCap":55},{"dailyLimit":1000,"hourlyCap":77},{"dailyLimit":2500,"hourlyCap":108},{"dailyLimit":5000,"hourlyCap":151},{"dailyLimit":10000,"hourlyCap":211},{"dailyLimit":20000,"hourlyCap":295},{"dailyLimit":40000,"hourlyCap":413},{"dailyLimit":70000,"hourlyCap":579},{"dailyLimit":100000,"hourlyCap":810},{"dailyLimit":150000,"hourlyCap":1000},{"dailyLimit":null,"hourlyCap":1587}]}';

/** Seven sends in the first hour, five in the second, three in the third. */
async function written({ redis, tenant: { keys }, setClock }: Fleet) {
  await redis.set(keys.ip(ID), RECORD);
  await redis.rpush(keys.history(ID), ...HISTORY);
  await redis.set(keys.hot(ADDRESS), Buffer.from(HOT, 'base64'));
  await redis.hset(keys.sent(ID), 'hours', Buffer.from(SENT_HOURS, 'base64'));
  await redis.hset(keys.quota(ADDRESS), { ipId: ID, status: 'warming', plan: 'fourteen-day', edges: 'many' });
  await redis.set(keys.plan('c1225a831e630da9'), PLAN);
  await redis.hset(keys.addresses, ADDRESS, ID);
  await redis.zadd(keys.ips, T0, ID);
  await redis.zadd(keys.byAddress, 0, `40a000001:${ID}`);
  await redis.zadd(keys.warming, 0, `40a000001:${ID}`);
  await redis.zadd(keys.due, 1_772_528_400_000, ID);
  await setClock(T0 + 2 * HOUR_MS);
}

const ledger = async () => (await fleet.limiter.look(ADDRESS, ID)).sent;

test('what an earlier version wrote is read as it was meant', async () => {
  const { tenant, redis } = fleet;
  const { version: _, history: __, ...said } = await getIp(tenant, ID);
  const { version: ___, ...wrote } = JSON.parse(RECORD);
  expect(said).toEqual(wrote);
  const kept = HISTORY.map((line) => JSON.parse(line)).map(({ ipId: _, address: __, ...change }) => change);
  expect(await historyOf(tenant, ID)).toEqual(kept);
  const hours = [
    { fromMs: T0, sends: 7 },
    { fromMs: T0 + HOUR_MS, sends: 5 },
  ];
  expect(await ledger()).toEqual({ hours, days: [] });
  expect(await redis.get(tenant.keys.ip(ID)), 'a look writes nothing').toBe(RECORD);
});

test('it is counted on, and filed in the new form', async () => {
  const { limiter, redis, tenant } = fleet;
  expect(await limiter.take({ ip: ID, count: 4 })).toMatchObject({ allowed: true, remaining: 13 });
  await fleet.advance({ hours: 1, work: false });
  await limiter.take({ ip: ADDRESS, count: 1 });
  expect((await ledger()).hours.map(({ sends }) => sends)).toEqual([7, 5, 7]);
  expect(await redis.hkeys(tenant.keys.sent(ID))).toEqual([`h${T0}`]);
});

test('the next tick brings it into the new form and loses nothing', async () => {
  const { redis, tenant, engine } = fleet;
  await fleet.advance({ hours: 21, work: false });
  expect((await tickUntilDone(engine)).failed).toEqual([]);
  const { keys } = tenant;
  expect(await redis.get(keys.ip(ID))).toMatch(/^\{"rev":3,"version":2,"address":"10.0.0.1",/);
  expect(await redis.exists(keys.history(ID))).toBe(0);
  expect(await redis.object('ENCODING', keys.quota(ADDRESS))).toBe('listpack');
  expect(unpackHot((await redis.getBuffer(keys.hot(ADDRESS)))!).quota.edgesMs).toEqual([]);
  expect(await getIp(tenant, ID)).toMatchObject({ leased: false, warmup: { zone: 'Europe/Berlin' } });
  expect((await historyOf(tenant, ID)).map(({ to }) => to)).toEqual(['warming', 'provisioning']);
  expect((await ledger()).days).toEqual([{ fromMs: T0, sends: 20 }]);
});

test('from then on it changes as any other, once', async () => {
  const { tenant } = fleet;
  await holdIp(tenant, ID, { sending: true, advance: false, because: 'why not', untilMs: T0 + 30 * HOUR_MS });
  const changes = await fleet.advance({ days: 14 });
  expect(changes.map(({ to }) => to)).toEqual([null, 'active']);
  expect((await historyOf(tenant, ID)).map(({ what, to }) => [what, to === null ? null : typeof to])).toEqual(
    [
      ['status', 'string'],
      ['hold', null],
      ['hold', 'object'],
      ['status', 'string'],
      ['status', 'string'],
    ],
  );
});

test('an edge that goes without saying is not published, one before another of 23 hours is', () => {
  const text = { id: 'ip_1', address: '10.0.0.1', hostname: null, bind: null, pools: [] };
  const free = {
    dailyLimit: null,
    hourlyCap: null,
    burst: null,
    dailyByCeiling: false,
    hourlyByCeiling: false,
  };
  const quota = (hours: number[]) => {
    let edgeMs = T0;
    const edgesMs = hours.map((length) => (edgeMs += length * HOUR_MS));
    return {
      gate: 'active' as const,
      heldUntilMs: 0,
      fromMs: T0 - HOUR_MS,
      toMs: T0,
      current: free,
      next: free,
      edgesMs,
    };
  };
  const edges = (hours: number[]) =>
    unpackHot(Buffer.concat([Buffer.alloc(64), packPublished(quota(hours), text)])).quota.edgesMs.length;
  expect([[24, 24, 24], [24, 23, 24], [25, 24, 24], [24, 24, 23], []].map(edges)).toEqual([0, 2, 1, 3, 0]);
});
