import { pino } from 'pino';
import { beforeAll, describe, expect, test } from 'vitest';
import { createApi } from '../../src/http/server.ts';
import { CARD, useApi } from './support.ts';

// Keys over HTTP: shown once, good for what they are for and as long as they last, and the one who acted is named.

const api = useApi();
beforeAll(async () => {
  await api.ask('POST', '/v1/accounts', { name: 'acme' });
});

const make = async (given: object = {}) => {
  const { status, body } = await api.ask('POST', '/v1/keys', { account: 'acme', ...given });
  expect(status, JSON.stringify(body)).toBe(201);
  return body;
};

test('a key is shown in the answer that makes it, and nowhere else', async () => {
  const answer = await api.ask('POST', '/v1/keys', {
    account: 'acme',
    name: 'mta7',
    scopes: ['send', 'read'],
  });
  const { key, ...listed } = answer.body;
  expect(answer.headers['cache-control']).toBe('no-store');
  expect(listed).toEqual({
    id: expect.stringMatching(/^key_\w+$/),
    account: 'acme',
    accountId: expect.stringMatching(/^acct_/),
    name: 'mta7',
    prefix: 'wl_',
    last4: key.slice(-4),
    scopes: ['read', 'send'],
    poolIps: 'strings',
    createdAt: '2026-01-10T10:00:00Z',
    expiresAt: null,
    lastUsedAt: null,
  });
  const list = await api.ask('GET', '/v1/keys?account=acme');
  expect(list.body.data).toContainEqual(listed);
  expect(JSON.stringify(list.body)).not.toContain(key);
  expect((await api.askAs(key)('GET', '/v1/dedicated-ips')).status).toBe(200);
});

test('it is known to the minute when a key was used last', async () => {
  const { key, id } = await make();
  await api.askAs(key)('GET', '/v1/dedicated-ips');
  const find = async () =>
    (await api.ask('GET', '/v1/keys?account=acme')).body.data.find((one: { id: string }) => one.id === id);
  await expect.poll(async () => (await find()).lastUsedAt).toBe('2026-01-10T10:00:00Z');
  const writes = async () => (await api.redis.info('commandstats')).match(/cmdstat_hset:calls=(\d+)/)![1];
  const before = await writes();
  for (let n = 0; n < 10; n += 1) await api.askAs(key)('GET', '/v1/dedicated-ips');
  expect(await writes()).toBe(before);
});

describe('what a key cannot be', () => {
  test.each([
    ['an account that is not there', { account: 'nobody' }, 404, 'account'],
    ['admin for another account than default', { scopes: ['read', 'admin'] }, 422, 'scopes'],
    ['a scope that nobody knows', { scopes: ['root'] }, 422, 'scopes.0'],
    ['no scope', { scopes: [] }, 422, 'scopes'],
    ['a prefix with letters of other tongues', { prefix: 'ключ_' }, 422, 'prefix'],
    ['a prefix with a line break', { prefix: 'a\n' }, 422, 'prefix'],
    ['a name on two lines', { name: 'a\nb' }, 422, 'name'],
    ['an expiry that is no time', { expires: 'soon' }, 422, 'expires'],
    ['an expiry without a zone', { expires: '2026-02-01T10:00:00' }, 422, 'expires'],
    ['an expiry that has passed', { expires: '2026-01-10T10:00:00Z' }, 422, 'expires'],
    ['an expiry of no length', { expires: 'PT0S' }, 422, 'expires'],
    ['an expiry before now', { expires: '-P1D' }, 422, 'expires'],
    ['an expiry in a thousand years', { expires: 'P1000Y' }, 422, 'expires'],
    ['an unknown form of the IPs of a pool', { poolIps: 'both' }, 422, 'poolIps'],
    ['an unknown field', { secret: 'x' }, 422, 'secret'],
  ])('%s', async (_, given, status, param) => {
    const before = await api.dump();
    const answer = await api.ask('POST', '/v1/keys', { account: 'acme', ...given });
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    expect(answer.body.error.param).toBe(param);
    expect(await api.dump()).toEqual(before);
  });

  test('why admin is refused is said', async () => {
    const { body } = await api.ask('POST', '/v1/keys', { account: 'acme', scopes: ['admin'] });
    expect(body.error.message).toBe(
      'only keys of the account "default" can have the scope admin, and this one is for "acme"; leave admin out',
    );
  });
});

test('a key whose time is no whole number of milliseconds works like any other', async () => {
  const { key } = await make({ expires: 'PT1.33333M' });
  expect((await api.askAs(key)('GET', '/v1/dedicated-ips')).status).toBe(200);
});

test('a key expires on engine time', async () => {
  const { key, expiresAt } = await make({ expires: 'P1D' });
  expect(expiresAt).toBe('2026-01-11T10:00:00Z');
  await api.setClock(CARD + 86_400_000 - 1);
  expect((await api.askAs(key)('GET', '/v1/dedicated-ips')).status).toBe(200);
  await api.setClock(CARD + 86_400_000);
  api.passRealTime(1_000);
  expect((await api.askAs(key)('GET', '/v1/dedicated-ips')).status).toBe(401);
  await api.setClock(CARD);
});

test('a revoked key is refused within a second by every process', async () => {
  let realMs = 0;
  const log = pino({ level: 'silent' });
  const other = await createApi({ engine: await api.anotherEngine(), log, clock: () => realMs });
  const { key, id } = await make();
  const headers = { authorization: `Bearer ${key}` };
  const askOther = async () => (await other.inject({ url: '/v1/dedicated-ips', headers })).statusCode;
  expect(await askOther()).toBe(200);
  expect((await api.ask('DELETE', `/v1/keys/${id}`)).status).toBe(204);
  realMs += 999;
  expect(await askOther()).toBe(401);
  expect((await api.ask('DELETE', `/v1/keys/${id}`)).status).toBe(404);
  expect((await api.ask('DELETE', '/v1/keys/nothing')).status).toBe(404);
  await other.close();
});

test('the key of the environment is listed and cannot be revoked', async () => {
  const { data } = (await api.ask('GET', '/v1/keys?account=default')).body;
  expect(data).toContainEqual(expect.objectContaining({ id: 'key_environment', name: 'environment' }));
  expect(await api.ask('DELETE', '/v1/keys/key_environment')).toMatchObject({ status: 409 });
  expect((await api.ask('GET', '/v1/keys')).status).toBe(200);
});

test('the stream of changes names the key', async () => {
  const [named, nameless] = [await make({ name: 'anna’s laptop' }), await make()];
  for (const key of [named.key, nameless.key])
    await api.askAs(key)('POST', '/v1/dedicated-ips/pools', { name: key });
  await api.ask('POST', '/v1/dedicated-ips/pools', { name: 'ours' });
  const bys = async (account: string) =>
    (await api.redis.xrange(account, '-', '+')).map(([, fields]) => JSON.parse(fields[1]!).by);
  expect(await bys(`warmline:{${named.accountId}}:changes`)).toEqual([
    'key:anna’s laptop',
    `key:${nameless.id}`,
  ]);
  expect(await bys('warmline:{acct_default}:changes')).toEqual(['key:environment']);
});

test('pages of keys', async () => {
  await api.ask('POST', '/v1/accounts', { name: 'paged' });
  const made = [];
  for (let n = 0; n < 5; n += 1) made.push((await make({ account: 'paged' })).id);
  const seen: string[] = [];
  for (let cursor = ''; ; ) {
    const { body } = await api.ask('GET', `/v1/keys?account=paged&limit=2${cursor}`);
    seen.push(...body.data.map((one: { id: string }) => one.id));
    if (!body.hasMore) break;
    cursor = `&cursor=${body.nextCursor}`;
  }
  expect(seen).toEqual(made);
  expect((await api.ask('GET', '/v1/keys?account=nobody')).status).toBe(404);
});

describe('the v3 dialect refuses in its own words', () => {
  const UNKNOWN = 'The provided authorization grant is invalid, expired, or revoked';
  test.each([
    ['no key', null, 'authorization required'],
    ['a key that nobody has', 'SG.nobody', UNKNOWN],
  ])('%s', async (_, key, message) => {
    for (const path of ['/v3/ips/warmup', '/v3/nowhere', '//v3/ips/warmup']) {
      const answer = await api.askAs(key)('GET', path);
      expect(answer.status).toBe(401);
      expect(answer.body).toEqual({ errors: [{ field: null, message, help: null }] });
    }
  });

  test('a key without the scope: its newer routes say 401 and which one, its older ones 403', async () => {
    const { key } = await make({ scopes: ['send'] });
    const ask = api.askAs(key);
    expect(await ask('GET', '/v3/send_ips/pools')).toMatchObject({
      status: 401,
      body: { errors: [{ field: '', message: 'missing required scope: read' }] },
    });
    expect(await ask('POST', '/v3/send_ips/pools', { name: 'x', ips: [] })).toMatchObject({
      status: 401,
      body: { errors: [{ field: '', message: 'missing required scope: write' }] },
    });
    expect(await ask('GET', '/v3/ips/pools')).toMatchObject({
      status: 403,
      body: { errors: [{ field: null, message: 'access forbidden' }] },
    });
  });
});
