import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  AuthenticationError,
  type Change,
  ConflictError,
  ConnectionError,
  type DedicatedIp,
  ForbiddenError,
  NotFoundError,
  QuotaExceededError,
  ValidationError,
  Warmline,
  WarmlineApiError,
} from '../../src/client/index.ts';
import { ADMIN_KEY } from '../http/support.ts';
import { type Served, serveApi } from './support.ts';

// The client against the real API: each method does what its name says, and each refusal is an error of its own kind.

let api: Served;
let client: Warmline;
beforeAll(async () => {
  api = await serveApi();
  client = api.client;
});
afterAll(() => api.stop());

const { inventory, own } = { inventory: '203.0.113.', own: '198.51.100.' };

/** The account brings an address. */
async function bring(address: string): Promise<DedicatedIp> {
  const { data } = await client.inventory.add({ addresses: [address], account: 'default' });
  return data![0]!;
}

test('the life of an IP, by its id and by its address', async () => {
  expect(await client.inventory.add({ addresses: [`${inventory}1`], region: 'eu' })).toEqual({ added: 1 });
  const { id, ...ip } = await client.dedicatedIps.create();
  expect(ip).toMatchObject({ ipAddress: `${inventory}1`, status: 'provisioning', region: 'eu' });
  const started = await client.dedicatedIps.startWarmup(id, { zone: 'Europe/Berlin', startDay: 2 });
  expect(started.warmup).toMatchObject({ currentDay: 2, currentDailyLimit: 100, zone: 'Europe/Berlin' });
  expect(started.warmingSchedule?.totalDays).toBe(14);

  const held = await client.dedicatedIps.hold(id, { because: 'complaints', advance: false });
  expect(held.hold).toMatchObject({ sending: true, advance: false, because: 'complaints' });
  expect((await client.dedicatedIps.resume(id)).hold).toBeNull();
  const named = { hostname: 'mta1.example.com', labels: { team: 'news' } };
  expect(await client.dedicatedIps.update(id, { ceiling: { perDay: 10 }, ...named })).toMatchObject({
    ceiling: { perDay: 10, perHour: null },
    ...named,
  });
  expect((await client.dedicatedIps.list({ label: 'team:news' })).data.map((one) => one.id)).toEqual([id]);

  const taken = await client.quota.take({ ip: id, count: 3 });
  expect(taken).toMatchObject({ allowed: true, granted: [{ ip: `${inventory}1`, count: 3 }], because: null });
  const { receipt } = taken.granted[0]!;
  expect(await client.quota.refund({ refunds: [{ receipt, count: 1 }] })).toEqual({ refunded: 1 });
  expect((await client.dedicatedIps.quota(id)).day).toMatchObject({ limit: 10, used: 2, remaining: 8 });
  expect((await client.dedicatedIps.ledger(`${inventory}1`)).days.map(({ sends }) => sends)).toEqual([2]);
  const denied = await client.quota.take({ ip: `${inventory}1`, count: 9 });
  expect(denied).toMatchObject({ allowed: false, because: { code: 'ceiling' } });

  expect(await client.dedicatedIps.release(id)).toBeUndefined();
  expect((await client.dedicatedIps.get(id)).status).toBe('cooldown');
  expect((await client.dedicatedIps.restore(id)).status).toBe('warming');
  expect((await client.dedicatedIps.get(`${inventory}1`)).id).toBe(id);
});

test('pools: made, filled, held, looked at, emptied', async () => {
  const ip = await bring(`${own}1`);
  await client.dedicatedIps.startWarmup(ip.id);
  const pool = await client.dedicatedIps.createPool({ name: 'News', warmingShare: 0.5 });
  expect(pool).toMatchObject({ name: 'News', isDefault: false, ipCount: 0, warmingShare: 0.5 });
  expect((await client.dedicatedIps.addIpToPool(pool.id, { ipId: ip.id })).poolId).toBe(pool.id);
  expect((await client.dedicatedIps.getPool(pool.id)).ipCount).toBe(1);
  expect((await client.dedicatedIps.holdPool(pool.id, { because: 'a test' })).hold?.because).toBe('a test');
  expect((await client.quota.take({ pool: pool.id })).because?.code).toBe('hold');
  expect((await client.dedicatedIps.resumePool(pool.id)).hold).toBeNull();
  expect(await client.dedicatedIps.poolQuota(pool.id)).toMatchObject({ allowed: true, day: { limit: 50 } });
  expect(await client.dedicatedIps.removeIpFromPool(pool.id, ip.id)).toBeUndefined();
  const { data } = await client.dedicatedIps.listPools();
  expect(data.find(({ id }) => id === pool.id)?.ipCount).toBe(0);
  expect(await client.dedicatedIps.updatePool(pool.id, { name: 'News / EU' })).toMatchObject({ id: pool.id });
  expect((await client.dedicatedIps.getPool('News / EU')).id).toBe(pool.id);
  expect(await client.dedicatedIps.deletePool(pool.id)).toBeUndefined();
  await expect(client.dedicatedIps.getPool(pool.id)).rejects.toBeInstanceOf(NotFoundError);
});

test('the operator: inventory, accounts, test clock', async () => {
  await client.inventory.add({ addresses: ['2001:db8::/126'] });
  const addresses: string[] = [];
  for await (const { address } of client.inventory.list()) addresses.push(address);
  expect(addresses).toContain('2001:db8::3');
  const acme = await client.accounts.create({ name: 'acme' });
  expect(acme).toMatchObject({ name: 'acme', parentId: null });
  const { data } = await client.accounts.list();
  expect(data.map(({ name }) => name)).toEqual(['default', 'acme']);
  expect(await client.accounts.get('acme')).toEqual(acme);
  expect(await client.accounts.create({ name: 'sub', parent: 'acme' })).toMatchObject({ parentId: acme.id });
  const { now } = await client.testClock.get();
  const moved = await client.testClock.advance({ by: 'PT1H' });
  expect(Date.parse(moved.now) - Date.parse(now)).toBe(3_600_000);
});

test('keys: one of another account sees nothing of this one, until it is revoked', async () => {
  await client.accounts.create({ name: 'tenant' });
  const scopes = ['read' as const];
  const made = await client.keys.create({ account: 'tenant', scopes, prefix: 'veil_live_', expires: 'P90D' });
  expect(made).toMatchObject({ account: 'tenant', scopes, prefix: 'veil_live_', lastUsedAt: null });
  const { data } = await client.keys.list({ account: 'tenant' });
  expect(data.map(({ id }) => id)).toEqual([made.id]);
  expect(JSON.stringify(data)).not.toContain(made.key);
  const tenant = new Warmline({ baseUrl: api.url, apiKey: made.key });
  expect((await tenant.dedicatedIps.list()).data).toEqual([]);
  const [own] = (await client.dedicatedIps.list({ limit: 1 })).data;
  await expect(tenant.dedicatedIps.get(own!.id)).rejects.toBeInstanceOf(NotFoundError);
  expect(await client.keys.revoke(made.id)).toBeUndefined();
  api.passRealTime(1_000);
  await expect(tenant.dedicatedIps.list()).rejects.toBeInstanceOf(AuthenticationError);
});

test('webhooks', async () => {
  const { webhooks } = client;
  const { secret, ...made } = await webhooks.create({
    url: 'https://example.com/x',
    events: ['ip.quota_used'],
  });
  expect(secret).toMatch(/^whsec_/);
  expect((await webhooks.list()).data).toEqual([made]);
  expect(await webhooks.get(made.id)).toEqual(made);
  expect(await webhooks.update(made.id, { enabled: false })).toMatchObject({ enabled: false });
  expect(await webhooks.update(made.id, { enabled: true })).toMatchObject({ enabled: true });
  expect((await webhooks.rotateSecret(made.id)).secret).not.toBe(secret);
  expect(await webhooks.test(made.id)).toEqual({ eventId: expect.stringMatching(/^evt_/) });
  expect((await webhooks.deliveries(made.id, { limit: 5 })).data).toEqual([]);
  await webhooks.delete(made.id);
  await expect(webhooks.get(made.id)).rejects.toBeInstanceOf(NotFoundError);
});

test('the stream of changes, page by page and from the last one seen', async () => {
  const ip = await bring(`${own}3`);
  const before: Change[] = [];
  for await (const change of client.changes({ limit: 3 })) before.push(change);
  expect(new Set(before.map(({ id }) => id)).size).toBe(before.length);
  const since = before.at(-1)!.id;
  await client.dedicatedIps.startWarmup(ip.id);
  const page = await client.changes({ since });
  expect(page).toMatchObject({ gap: false, hasMore: false });
  expect(page.data.find(({ what }) => what === 'status')).toMatchObject({
    ipId: ip.id,
    from: 'provisioning',
    to: 'warming',
  });
});

test('why a take is answered as it is, and when a campaign is done', async () => {
  const { id, ipAddress } = await bring(`${own}41`);
  await client.dedicatedIps.startWarmup(id);
  const pool = await client.dedicatedIps.createPool({ name: 'asked' });
  await client.dedicatedIps.addIpToPool(pool.id, { ipId: id });
  await client.quota.take({ ip: id, count: 20 });
  const { sentence, answer, ips } = await client.quota.explain({ pool: 'asked' });
  expect(sentence).toMatch(`${ipAddress} used its 20 sends of this hour; 20 more from `);
  expect(answer).toMatchObject({ allowed: false, because: { code: 'hour' } });
  expect(ips).toMatchObject([{ ip: ipAddress, binds: 'hour', day: { used: 20 }, retryAfterMs: 3_600_000 }]);
  expect(await client.quota.demand({ ip: id, hours: 1 })).toMatchObject({
    ...{ ipId: id, poolId: null, wanted: 20, granted: 20, held: 0, heldBy: {} },
    hours: [{ wanted: 20 }],
  });
  const told = await client.forecast({ messages: 100, pool: 'asked', addIps: 1 });
  expect(Date.parse(told.finishesAt!) - Date.parse(told.at)).toBeGreaterThan(23 * 3_600_000);
  expect(told.days.map(({ total }) => total)).toEqual([30, 100]);
  expect(told.variants[0]).toMatchObject({ addIps: 1, plan: null });
  expect(told.variants[0]!.soonerMs).toBeGreaterThan(0);
});

test('many takes at once: each has its answer, in its place', async () => {
  const { id } = await client.dedicatedIps.startWarmup((await bring(`${own}40`)).id, {
    plan: 'fourteen-day',
  });
  const { answers } = await client.quota.takeMany({
    takes: [{ ip: id, count: 49 }, { pool: 'nobody' }, { ip: id, count: 2 }, { ip: id }],
  });
  const said = answers.map((answer) => ('error' in answer ? answer.error.code : answer.allowed));
  expect(said).toEqual([true, 'not_found', false, true]);
  await expect(client.quota.takeMany({ takes: [{ ip: id, count: 0 }] })).rejects.toMatchObject({
    status: 422,
    param: 'takes.0.count',
  });
});

test('a create whose answer was lost takes one address', async () => {
  await client.inventory.add({ addresses: [`${inventory}64/29`] });
  const free = async () => {
    let count = 0;
    for await (const { state } of client.inventory.list()) if (state === 'free') count += 1;
    return count;
  };
  const before = await free();
  let losses = 2;
  const sent: Headers[] = [];
  /** The request arrives and is carried out; the answer does not come back. */
  const forgetful: typeof fetch = async (url, init) => {
    sent.push(new Headers(init?.headers));
    const response = await fetch(url, init);
    losses -= 1;
    if (losses < 0) return response;
    await response.arrayBuffer();
    throw new TypeError('fetch failed');
  };
  const unlucky = new Warmline({ baseUrl: api.url, apiKey: ADMIN_KEY, fetch: forgetful });
  const ip = await unlucky.dedicatedIps.create();
  expect(sent).toHaveLength(3);
  expect(await free()).toBe(before - 1);
  expect((await client.dedicatedIps.get(ip.id)).ipAddress).toBe(ip.ipAddress);

  // A take whose answer was lost is not tried again, and what it took is spent.
  await unlucky.dedicatedIps.startWarmup(ip.id);
  losses = 1;
  await expect(unlucky.quota.take({ ip: ip.id, count: 2 })).rejects.toBeInstanceOf(ConnectionError);
  expect((await client.dedicatedIps.quota(ip.id)).day.used).toBe(2);

  losses = 1;
  expect(await unlucky.dedicatedIps.release(ip.id)).toBeUndefined();
  expect((await client.dedicatedIps.get(ip.id)).status).toBe('cooldown');
});

test('250 IPs in three pages, each once, in the order of their creation', async () => {
  const key = await api.key((await client.accounts.create({ name: 'paging' })).id, ['read', 'write']);
  const many = Array.from({ length: 250 }, (_, index) => `10.7.${index >> 7}.${index & 127}`);
  await client.inventory.add({ addresses: many, account: 'paging' });
  const asked: string[] = [];
  const { dedicatedIps } = new Warmline({
    baseUrl: api.url,
    apiKey: key,
    fetch: (url, init) => {
      asked.push(String(url));
      return fetch(url, init);
    },
  });

  const found: string[] = [];
  for await (const { ipAddress } of dedicatedIps.list()) found.push(ipAddress);
  expect(found.toSorted()).toEqual(many.toSorted());
  expect(asked).toHaveLength(3);

  const page = await dedicatedIps.list({ limit: 100 });
  expect([page.data.length, page.hasMore, typeof page.nextCursor]).toEqual([100, true, 'string']);
  const second = await page.nextPage();
  expect(second?.data.map(({ ipAddress }) => ipAddress)).toEqual(found.slice(100, 200));
  const rest: string[] = [];
  for await (const { ipAddress } of second!) rest.push(ipAddress);
  expect(rest).toEqual(found.slice(100));
  expect(await (await dedicatedIps.list({ limit: 1, address: found[7]! })).nextPage()).toBeNull();

  // A page that was looked at is not asked for again, and one that nobody wants never.
  asked.length = 0;
  const list = dedicatedIps.list();
  expect(asked).toHaveLength(0);
  await list;
  for await (const { ipAddress } of list) if (ipAddress === found[3]) break;
  expect(asked).toHaveLength(1);
  expect(await dedicatedIps.list({ cursor: 'no cursor' }).catch((error) => error)).toBeInstanceOf(
    ValidationError,
  );
});

test('each refusal is an error of its own kind, with what the API said', async () => {
  const ip = await bring(`${own}4`);
  await client.dedicatedIps.release(ip.id);
  const reader = new Warmline({ baseUrl: api.url, apiKey: await api.key('acct_default', ['read']) });
  const stranger = new Warmline({ baseUrl: api.url, apiKey: 'nobody_has_this_key_0' });
  for await (const { state } of client.inventory.list())
    if (state === 'free') await client.dedicatedIps.create();

  const REFUSED: [new (...given: never[]) => Error, () => PromiseLike<unknown>, object][] = [
    [AuthenticationError, () => stranger.dedicatedIps.list(), { status: 401, code: 'authentication_error' }],
    [ForbiddenError, () => reader.dedicatedIps.create(), { status: 403, code: 'forbidden' }],
    [NotFoundError, () => client.dedicatedIps.get('ip_nobody'), { status: 404, code: 'not_found' }],
    [
      ConflictError,
      () => client.dedicatedIps.startWarmup(ip.id),
      { status: 409, code: 'conflict', details: { status: 'cooldown' } },
    ],
    [
      ValidationError,
      () => client.dedicatedIps.createPool({ name: '' }),
      { status: 422, code: 'validation_error', param: 'name' },
    ],
    [
      ValidationError,
      () => client.quota.take({ count: 1.5 }),
      { status: 422, code: 'validation_error', param: 'count' },
    ],
    [QuotaExceededError, () => client.dedicatedIps.create(), { status: 422, code: 'quota_exceeded' }],
  ];
  for (const [Kind, call, facts] of REFUSED) {
    const error = await call().then(
      () => 'it was not refused',
      (refusal: unknown) => refusal,
    );
    expect(error).toBeInstanceOf(Kind);
    expect(error).toBeInstanceOf(WarmlineApiError);
    expect(error).toMatchObject({
      name: Kind.name,
      ...facts,
      requestId: expect.stringMatching(/^[\w-]{36}$/),
    });
    expect((error as Error).message.length).toBeGreaterThan(10);
  }
});
