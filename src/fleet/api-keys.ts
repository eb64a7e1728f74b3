/**
 * API keys: who may do what, until when. A key is random and shown once; what is kept is its SHA-256, by which it is looked
 * up, so that no secret is ever compared and nobody who reads the database can ask for anything.
 */
import { createHash, randomBytes } from 'node:crypto';
import { z } from 'zod';
import { directoryKeys as keys } from '../redis/keys.ts';
import { instantMs } from '../warmup/dedicated-ip.ts';
import { conflict, invalid, notFound } from '../warmup/errors.ts';
import { type Account, accountOfId, DEFAULT_ACCOUNT, findAccount } from './accounts.ts';
import { type Engine, nowOf } from './engine.ts';

export const SCOPES = ['read', 'send', 'write', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

export const ApiKey = z.object({
  id: z.string(),
  /** Where it stands in the order of all keys. */
  place: z.number().int(),
  /** Id of its account. */
  account: z.string(),
  scopes: z.array(z.enum(SCOPES)),
  name: z.string().nullable(),
  /** What the key begins and ends with, to tell it from others; the rest is known to its owner alone. */
  prefix: z.string(),
  last4: z.string(),
  /** How `GET /v3/ips/pools/{name}` shows the IPs of a pool: clients disagree. */
  poolIps: z.enum(['strings', 'objects']),
  createdAtMs: instantMs,
  /** Engine time; `null`: never. */
  expiresAtMs: instantMs.nullable(),
});
export type ApiKey = z.infer<typeof ApiKey>;

/** The key that the environment gives is replaced by the next start, not revoked. */
export const ENVIRONMENT = { id: 'key_environment', name: 'environment' } as const;

export const DEFAULT_PREFIX = 'wl_';
export const DEFAULT_SCOPES: readonly Scope[] = ['read', 'send', 'write'];
export const MOST_KEYS_PER_ACCOUNT = 1_000;

export type NewApiKey = {
  /** Name or id. */
  account: string;
  scopes?: readonly Scope[] | undefined;
  prefix?: string | undefined;
  name?: string | null | undefined;
  expiresAtMs?: number | null | undefined;
  poolIps?: ApiKey['poolIps'] | undefined;
};

/** Makes a key. @returns `key` is the only copy of it */
export async function createApiKey(
  engine: Engine,
  { account: named, scopes = DEFAULT_SCOPES, prefix = DEFAULT_PREFIX, ...given }: NewApiKey,
): Promise<{ key: string; apiKey: ApiKey; account: Account }> {
  const account = await findAccount(engine, named);
  const name = given.name ?? null;
  checkScopes(scopes, account);
  checkPrefix(prefix);
  if (name !== null) checkKeyName(name);
  const nowMs = await nowOf(engine);
  const expiresAtMs = given.expiresAtMs ?? null;
  if (expiresAtMs !== null && expiresAtMs <= nowMs) {
    throw invalid(
      'expires',
      `the key would have expired on ${new Date(expiresAtMs).toISOString()}; give an instant that is still to come`,
    );
  }
  const key = `${prefix}${randomSecret()}`;
  const record = {
    id: engine.newId('key'),
    account: account.id,
    scopes: SCOPES.filter((scope) => scopes.includes(scope)),
    name,
    prefix,
    last4: key.slice(-4),
    poolIps: given.poolIps ?? 'strings',
    createdAtMs: nowMs,
    expiresAtMs,
  };
  return { key, apiKey: await keepApiKey(engine, key, record), account };
}

/** @throws WarmlineError `invalid` (param `scopes`) */
export function checkScopes(scopes: readonly Scope[], account: Pick<Account, 'id' | 'name'>): void {
  if (scopes.length === 0) throw invalid('scopes', `name at least one of ${SCOPES.join(', ')}`);
  if (scopes.includes('admin') && account.id !== DEFAULT_ACCOUNT.id) {
    throw invalid(
      'scopes',
      `only keys of the account "default" can have the scope admin, and this one is for "${account.name}"; leave admin out`,
    );
  }
}

function checkPrefix(prefix: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,19}$/.test(prefix)) {
    throw invalid(
      'prefix',
      `"${prefix.slice(0, 40)}" cannot begin a key; use 1 to 20 letters, digits, dots, dashes and underscores (example: SG.)`,
    );
  }
}

/** It stands in the stream of changes as the one who acted, so it must not pass for another. */
export function checkKeyName(name: string): void {
  if (!/^[^\p{C}\p{Zl}\p{Zp}]{1,64}$/u.test(name) || name.trim() !== name) {
    throw invalid('name', 'the name of a key has 1 to 64 characters on one line, no blanks around them');
  }
  if (name.toLowerCase() === ENVIRONMENT.name || name.startsWith('key_')) {
    throw invalid('name', `"${name}" would pass for another key; choose another name`);
  }
}

/** 32 bytes in letters and digits: 256 bits, which nobody guesses. */
function randomSecret(): string {
  let rest = BigInt(`0x${randomBytes(32).toString('hex')}`);
  let secret = '';
  for (let length = 0; length < 43; length += 1) {
    secret += BASE62[Number(rest % 62n)];
    rest /= 62n;
  }
  return secret;
}

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** What is kept of a key, and what a session of the dashboard is tied to. */
export const hashOf = (key: string) => createHash('sha256').update(key).digest('hex');

async function keepApiKey(engine: Engine, key: string, record: Omit<ApiKey, 'place'>): Promise<ApiKey> {
  const [outcome, kept] = (await engine.scripts.run('key-create', [
    keys.accounts,
    keys.apiKeys,
    keys.keyHashes,
    keys.keyOrder,
    keys.keysOf(record.account),
    keys.keySequence,
    hashOf(key),
    record.id,
    JSON.stringify(record),
    record.account,
    MOST_KEYS_PER_ACCOUNT,
  ])) as [string, string];
  if (outcome === 'no account') throw notFound('there is no such account', 'account');
  if (outcome === 'full')
    throw conflict(`an account has at most ${MOST_KEYS_PER_ACCOUNT} keys; revoke one first`);
  return ApiKey.parse(JSON.parse(kept));
}

/** Makes the key of the environment an admin key of `default`, in the place of the one that the start before had. */
export async function replaceEnvironmentKey(engine: Engine, key: string): Promise<void> {
  await keepApiKey(engine, key, {
    ...ENVIRONMENT,
    account: DEFAULT_ACCOUNT.id,
    scopes: [...SCOPES],
    prefix: '',
    last4: key.slice(-4),
    poolIps: 'strings',
    createdAtMs: await nowOf(engine),
    expiresAtMs: null,
  });
}

/** Whose key is it, and what may it do? `null` for one that nobody has, that has expired, or that outlived its account. */
export const verifyApiKey = (engine: Engine, key: string) => verifyKeyHash(engine, hashOf(key));

export async function verifyKeyHash(
  engine: Engine,
  hash: string,
): Promise<{ account: Account; apiKey: ApiKey } | null> {
  const raw = await engine.scripts.redis.hget(keys.apiKeys, hash);
  const apiKey = raw ? readApiKey(raw) : null;
  if (!apiKey) return null;
  const [account, nowMs] = await Promise.all([
    accountOfId(engine, apiKey.account),
    apiKey.expiresAtMs === null ? 0 : nowOf(engine),
  ]);
  if (!account || (apiKey.expiresAtMs !== null && nowMs >= apiKey.expiresAtMs)) return null;
  return { account, apiKey: { ...apiKey, scopes: scopesThatCount(apiKey) } };
}

/** The operator's routes are for keys of `default`, whoever wrote what. */
export const scopesThatCount = ({ scopes, account }: Pick<ApiKey, 'scopes' | 'account'>): Scope[] =>
  scopes.filter((scope) => scope !== 'admin' || account === DEFAULT_ACCOUNT.id);

/** A record that cannot be read opens nothing. */
export function readApiKey(raw: string): ApiKey | null {
  try {
    return ApiKey.parse(JSON.parse(raw));
  } catch {
    return null;
  }
}

/** Notes that a key is in use. To be called now and then, and not for each request. */
export async function noteUse(engine: Engine, keyId: string): Promise<void> {
  await engine.scripts.redis.hset(keys.keyUses, keyId, await nowOf(engine));
}

export type ListedKey = ApiKey & { lastUsedAtMs: number | null; accountName: string };

/**
 * One page of the keys in the order in which they were made, behind the place that the page before ended with.
 * @param account name or id; unless said: the keys of all accounts
 */
export async function pageOfApiKeys(
  engine: Engine,
  { account, limit, afterPlace }: { account?: string | undefined; limit: number; afterPlace: number },
): Promise<{ apiKeys: ListedKey[]; more: boolean }> {
  const { redis } = engine.scripts;
  const list = account === undefined ? keys.keyOrder : keys.keysOf((await findAccount(engine, account)).id);
  const ids = await redis.zrangebyscore(list, `(${afterPlace}`, '+inf', 'LIMIT', 0, limit + 1);
  const shown = ids.slice(0, limit);
  if (shown.length === 0) return { apiKeys: [], more: false };
  const [hashes, uses] = await Promise.all([
    redis.hmget(keys.keyHashes, ...shown),
    redis.hmget(keys.keyUses, ...shown),
  ]);
  const records = await redis.hmget(keys.apiKeys, ...hashes.map((hash) => hash ?? ''));
  const found = records.map((raw) => (raw ? ApiKey.parse(JSON.parse(raw)) : null));
  const names = await namesOf(engine, [...new Set(found.flatMap((one) => (one ? [one.account] : [])))]);
  const apiKeys = found.flatMap((one, index) =>
    one
      ? [
          {
            ...one,
            lastUsedAtMs: uses[index] == null ? null : Number(uses[index]),
            accountName: names.get(one.account) ?? one.account,
          },
        ]
      : [],
  );
  return { apiKeys, more: ids.length > limit };
}

async function namesOf(engine: Engine, ids: readonly string[]): Promise<Map<string, string>> {
  const accounts = await Promise.all(ids.map((id) => accountOfId(engine, id)));
  return new Map(accounts.flatMap((account) => (account ? [[account.id, account.name] as const] : [])));
}

/** Ends a key: it is refused within a second everywhere. @throws WarmlineError `not_found` */
export async function revokeApiKey(engine: Engine, keyId: string): Promise<void> {
  if (keyId === ENVIRONMENT.id) {
    throw conflict(
      'this is the key of the environment; it ends when the process starts with another WARMLINE_API_KEY',
    );
  }
  const { redis } = engine.scripts;
  const hash = await redis.hget(keys.keyHashes, keyId);
  const raw = hash ? await redis.hget(keys.apiKeys, hash) : null;
  if (!raw) throw notFound(`there is no API key ${keyId.slice(0, 60)}`, 'id');
  const { account } = JSON.parse(raw) as { account: string };
  const revoked = await engine.scripts.run('key-revoke', [
    keys.apiKeys,
    keys.keyHashes,
    keys.keyOrder,
    keys.keysOf(account),
    keys.keyUses,
    keyId,
  ]);
  if (Number(revoked) === 0) throw notFound(`there is no API key ${keyId.slice(0, 60)}`, 'id');
}
