/** API keys: random, shown once, kept as hashes, ended on time. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createAccount } from '../../src/fleet/accounts.ts';
import {
  createApiKey,
  MOST_KEYS_PER_ACCOUNT,
  pageOfApiKeys,
  replaceEnvironmentKey,
  revokeApiKey,
  verifyApiKey,
} from '../../src/fleet/api-keys.ts';
import { directoryKeys } from '../../src/redis/keys.ts';
import { type Fleet, MONDAY, startFleet } from '../support/fleet.ts';

let fleet: Fleet;
beforeAll(async () => {
  fleet = await startFleet();
});
afterAll(() => fleet.stop());
beforeEach(() => fleet.reset());

const all = async (account?: string) =>
  (await pageOfApiKeys(fleet.engine, { account, limit: 100, afterPlace: 0 })).apiKeys;

test('a key is found by what it is, and nothing that is kept tells it', async () => {
  const { key, apiKey } = await createApiKey(fleet.engine, { account: 'default', name: 'mta 7' });
  expect(key).toMatch(/^wl_[0-9A-Za-z]{43}$/);
  expect(apiKey.id).toMatch(/^key_[0-9a-z]+$/);
  expect(await verifyApiKey(fleet.engine, key)).toMatchObject({
    account: { name: 'default' },
    apiKey: { scopes: ['read', 'send', 'write'], name: 'mta 7', poolIps: 'strings', last4: key.slice(-4) },
  });
  const everything = JSON.stringify([
    await fleet.redis.hgetall(directoryKeys.apiKeys),
    await fleet.redis.hgetall(directoryKeys.keyHashes),
    await fleet.dump(),
  ]);
  expect(everything).not.toContain(key);
  expect(everything).not.toContain(key.slice(3));
  expect(everything).toContain(createHash('sha256').update(key).digest('hex'));
});

test.each(['SG.', 'veil_live_', 'veil_test_', 'x'])(
  'a key begins with %s where that is asked for',
  async (prefix) => {
    const { key } = await createApiKey(fleet.engine, { account: 'default', prefix });
    expect(key.startsWith(prefix)).toBe(true);
    expect(key.slice(prefix.length)).toMatch(/^[0-9A-Za-z]{43}$/);
    expect(await verifyApiKey(fleet.engine, key)).not.toBeNull();
  },
);

test('no two keys are alike', async () => {
  const made = await Promise.all(
    Array.from({ length: 50 }, () => createApiKey(fleet.engine, { account: 'default' })),
  );
  expect(new Set(made.map(({ key }) => key)).size).toBe(50);
  expect(new Set(made.map(({ apiKey }) => apiKey.place)).size).toBe(50);
  expect((await all()).map(({ place }) => place)).toEqual(
    made.map(({ apiKey }) => apiKey.place).sort((a, b) => a - b),
  );
});

test.each([
  ['a scope admin for another account', { account: 'acme', scopes: ['admin'] as const }, 'scopes'],
  ['no scope', { account: 'default', scopes: [] }, 'scopes'],
  ['a prefix with a blank', { account: 'default', prefix: 'a b' }, 'prefix'],
  ['an empty prefix', { account: 'default', prefix: '' }, 'prefix'],
  ['a prefix that is long', { account: 'default', prefix: 'a'.repeat(21) }, 'prefix'],
  ['a name on two lines', { account: 'default', name: 'a\nb' }, 'name'],
  ['an empty name', { account: 'default', name: '' }, 'name'],
  ['the name of the key of the environment', { account: 'default', name: 'Environment' }, 'name'],
  ['a name that looks like an id', { account: 'default', name: 'key_1' }, 'name'],
  ['an expiry that has passed', { account: 'default', expiresAtMs: MONDAY }, 'expires'],
])('%s is refused', async (_, given, param) => {
  await createAccount(fleet.engine, 'acme');
  const before = await fleet.dump();
  await expect(createApiKey(fleet.engine, given)).rejects.toMatchObject({ code: 'invalid', param });
  expect(await fleet.dump()).toEqual(before);
});

test('a key expires on engine time, to the millisecond', async () => {
  const { key } = await createApiKey(fleet.engine, { account: 'default', expiresAtMs: MONDAY + 1000 });
  await fleet.setClock(MONDAY + 999);
  expect(await verifyApiKey(fleet.engine, key)).not.toBeNull();
  await fleet.setClock(MONDAY + 1000);
  expect(await verifyApiKey(fleet.engine, key)).toBeNull();
});

test('a revoked key is gone from everywhere', async () => {
  const empty = await fleet.dump();
  const { key, apiKey } = await createApiKey(fleet.engine, { account: 'default' });
  await revokeApiKey(fleet.engine, apiKey.id);
  expect(await verifyApiKey(fleet.engine, key)).toBeNull();
  expect(await all()).toEqual([]);
  await expect(revokeApiKey(fleet.engine, apiKey.id)).rejects.toMatchObject({ code: 'not_found' });
  const { [directoryKeys.keySequence]: _, ...left } = await fleet.dump();
  expect(left).toEqual(empty);
});

test('the key of the environment is replaced by the next one, also when it was somebody else’s before', async () => {
  await replaceEnvironmentKey(fleet.engine, 'the-first-of-the-keys');
  await replaceEnvironmentKey(fleet.engine, 'the-second-of-the-keys');
  expect(await verifyApiKey(fleet.engine, 'the-first-of-the-keys')).toBeNull();
  expect(await verifyApiKey(fleet.engine, 'the-second-of-the-keys')).toMatchObject({
    apiKey: { name: 'environment', scopes: ['read', 'send', 'write', 'admin'] },
  });
  expect((await all()).map(({ id }) => id)).toEqual(['key_environment']);
  await expect(revokeApiKey(fleet.engine, 'key_environment')).rejects.toMatchObject({ code: 'conflict' });

  const { key, apiKey } = await createApiKey(fleet.engine, { account: 'default', scopes: ['read'] });
  await replaceEnvironmentKey(fleet.engine, key);
  await revokeApiKey(fleet.engine, apiKey.id);
  expect(await verifyApiKey(fleet.engine, key)).toMatchObject({ apiKey: { name: 'environment' } });
});

test('an account has its own list, and so many keys and no more', async () => {
  const acme = await createAccount(fleet.engine, 'acme');
  await createApiKey(fleet.engine, { account: 'default' });
  const { apiKey } = await createApiKey(fleet.engine, { account: acme.id });
  expect((await all('acme')).map(({ id, accountName }) => [id, accountName])).toEqual([[apiKey.id, 'acme']]);
  expect(await all()).toHaveLength(2);
  const more = Array.from({ length: MOST_KEYS_PER_ACCOUNT }, (_, n) => [n, `key_x${n}`]).flat();
  await fleet.redis.zadd(directoryKeys.keysOf(acme.id), ...more.map(String));
  await expect(createApiKey(fleet.engine, { account: 'acme' })).rejects.toMatchObject({ code: 'conflict' });
});

test.each(['ouch', '{}', '{"account":"acct_default","scopes":["admin"]}'])(
  'a key whose record is %s opens nothing',
  async (record) => {
    const hash = createHash('sha256').update('some key').digest('hex');
    await fleet.redis.hset(directoryKeys.apiKeys, hash, record);
    expect(await verifyApiKey(fleet.engine, 'some key')).toBeNull();
  },
);

test('a key of another account opens nothing of the operator, whatever its record says', async () => {
  await createAccount(fleet.engine, 'acme');
  const { key } = await createApiKey(fleet.engine, { account: 'acme' });
  const [hash, raw] = Object.entries(await fleet.redis.hgetall(directoryKeys.apiKeys))[0]!;
  await fleet.redis.hset(directoryKeys.apiKeys, hash, raw.replace('"send"', '"admin"'));
  expect((await verifyApiKey(fleet.engine, key))?.apiKey.scopes).toEqual(['read', 'write']);
});
