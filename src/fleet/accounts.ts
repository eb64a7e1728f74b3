/** Who owns IPs, and the keys that prove it. API keys are kept as hashes only. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import { type AccountRef, directoryKeys as keys } from '../redis/keys.ts';
import { conflict, invalid, notFound } from '../warmup/errors.ts';
import type { Engine } from './engine.ts';

const Account = z.object({
  id: z.string(),
  name: z.string(),
  parentId: z.string().nullable(),
  createdAtMs: z.number(),
});
export type Account = z.infer<typeof Account>;

/** The operator's own account; it exists from the first start on. */
export const DEFAULT_ACCOUNT: AccountRef & { name: string } = {
  id: 'acct_default',
  name: 'default',
  parentId: null,
};

export const SCOPES = ['read', 'send', 'write', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];
const ApiKey = z.object({ account: z.string(), scopes: z.array(z.enum(SCOPES)) });

export async function ensureDefaultAccount(engine: Engine): Promise<void> {
  const account: Account = { ...DEFAULT_ACCOUNT, createdAtMs: Date.now() };
  const { redis } = engine.scripts;
  await redis.hsetnx(keys.accounts, account.id, JSON.stringify(account));
  await redis.hsetnx(keys.names, account.name, account.id);
}

export async function createAccount(engine: Engine, name: string): Promise<Account> {
  if (!/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/i.test(name)) {
    throw invalid(
      'name',
      `"${name}" is no account name; use 1 to 64 letters, digits, dots, dashes and underscores`,
    );
  }
  const account: Account = { id: engine.newId('acct'), name, parentId: null, createdAtMs: Date.now() };
  const { redis } = engine.scripts;
  // The record first: a crash in between leaves a record that no name points to, and never a name without a record.
  await redis.hset(keys.accounts, account.id, JSON.stringify(account));
  if ((await redis.hsetnx(keys.names, name, account.id)) === 0) {
    await redis.hdel(keys.accounts, account.id);
    throw conflict(`there is an account "${name}" already; choose another name`);
  }
  return account;
}

/** Finds an account by name or id. @throws WarmlineError `not_found` */
export async function findAccount(engine: Engine, nameOrId: string): Promise<Account> {
  const { redis } = engine.scripts;
  const id = nameOrId.startsWith('acct_') ? nameOrId : await redis.hget(keys.names, nameOrId);
  const raw = id ? await redis.hget(keys.accounts, id) : null;
  if (!raw)
    throw notFound(`there is no account "${nameOrId}"; create it with "warmline accounts create"`, 'account');
  return Account.parse(JSON.parse(raw));
}

/** All accounts, page by page, so that no reply grows with their number. */
export async function* eachAccount(engine: Engine): AsyncGenerator<Account> {
  let cursor = '0';
  do {
    const [next, flat] = await engine.scripts.redis.hscan(keys.accounts, cursor, 'COUNT', 500);
    for (let at = 1; at < flat.length; at += 2) yield Account.parse(JSON.parse(flat[at]!));
    cursor = next;
  } while (cursor !== '0');
}

const hashOf = (apiKey: string) => createHash('sha256').update(apiKey).digest('hex');

/** Makes the key of the environment an admin key of `default`, in the place of the one that the start before had. */
export async function replaceEnvironmentKey(engine: Engine, apiKey: string): Promise<void> {
  const { redis } = engine.scripts;
  const hash = hashOf(apiKey);
  await redis.hset(keys.apiKeys, hash, JSON.stringify({ account: DEFAULT_ACCOUNT.id, scopes: [...SCOPES] }));
  const previous = await redis.getset(keys.environmentKey, hash);
  if (previous && previous !== hash) await redis.hdel(keys.apiKeys, previous);
}

/** Whose key is it, and what may it do? `null` for a key that nobody has. */
export async function verifyApiKey(
  engine: Engine,
  apiKey: string,
): Promise<{ account: Account; scopes: Scope[] } | null> {
  const raw = await engine.scripts.redis.hget(keys.apiKeys, hashOf(apiKey));
  if (!raw) return null;
  const { account, scopes } = ApiKey.parse(JSON.parse(raw));
  return { account: await findAccount(engine, account), scopes };
}

/** Compares two secrets in a time that tells nothing about them. */
export function sameSecret(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => createHash('sha256').update(text).digest()) as [Buffer, Buffer];
  return timingSafeEqual(left, right);
}

/** The secret that signs receipts over HTTP, the same for all API processes of an installation. */
export async function receiptSecret(engine: Engine): Promise<string> {
  const { redis } = engine.scripts;
  await redis.setnx(keys.receiptSecret, randomBytes(32).toString('hex'));
  return (await redis.get(keys.receiptSecret))!;
}
