/**
 * Who owns IPs, pools and API keys. Accounts are never deleted: what was sent on their behalf, who changed what, and ids
 * that are never given twice outlive their last IP. Whoever leaves has their keys revoked.
 */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { type AccountRef, directoryKeys as keys } from '../redis/keys.ts';
import { conflict, invalid, notFound } from '../warmup/errors.ts';
import { type Engine, nowOf } from './engine.ts';

const Account = z.object({
  id: z.string(),
  /** What clients of the v3 dialect name it by. */
  number: z.number().int(),
  name: z.string(),
  /** The account that this one is a subuser of. */
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

export async function ensureDefaultAccount(engine: Engine): Promise<void> {
  await writeAccount(engine, { ...DEFAULT_ACCOUNT, createdAtMs: await nowOf(engine) });
}

/** @param parent name or id: the new account is a subuser of that one, and lives in its slot */
export async function createAccount(
  engine: Engine,
  name: string,
  { parent }: { parent?: string | null | undefined } = {},
): Promise<Account> {
  checkAccountName(name);
  const parentId = parent == null ? null : (await findAccount(engine, parent, 'parent')).id;
  const wanted = { id: engine.newId('acct'), name, parentId, createdAtMs: await nowOf(engine) };
  const [outcome, record] = await writeAccount(engine, wanted);
  if (outcome === 'taken') throw conflict(`there is an account "${name}" already; choose another name`);
  if (outcome === 'no parent') throw notFound(`there is no account "${parent}"`, 'parent');
  if (outcome === 'subuser') {
    throw invalid(
      'parent',
      `"${parent}" is a subuser itself and cannot have subusers; name its parent, or none`,
    );
  }
  return Account.parse(JSON.parse(record!));
}

/** @throws WarmlineError `invalid` (param `name`) */
export function checkAccountName(name: string): void {
  if (!/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/i.test(name)) {
    throw invalid(
      'name',
      `"${name}" is no account name; use 1 to 64 letters, digits, dots, dashes and underscores`,
    );
  }
  if (name.startsWith('acct_')) throw invalid('name', `"${name}" would pass for an id; choose another name`);
}

/** One script: no name without a record, no number given twice, and of two who want a name one gets it. */
async function writeAccount(
  engine: Engine,
  account: Omit<Account, 'number'>,
): Promise<['ok' | 'known' | 'taken' | 'no parent' | 'subuser', string?]> {
  const { id, name, parentId } = account;
  return (await engine.scripts.run('account-create', [
    keys.names,
    keys.accounts,
    keys.numbers,
    keys.accountOrder,
    id,
    name,
    JSON.stringify(account),
    parentId ?? '',
  ])) as ['ok', string];
}

/** Finds an account by name or id. @throws WarmlineError `not_found` */
export async function findAccount(engine: Engine, nameOrId: string, param = 'account'): Promise<Account> {
  const { redis } = engine.scripts;
  const id = nameOrId.startsWith('acct_') ? nameOrId : await redis.hget(keys.names, nameOrId);
  const raw = id ? await redis.hget(keys.accounts, id) : null;
  if (!raw)
    throw notFound(`there is no account "${nameOrId}"; create it with "warmline accounts create"`, param);
  return Account.parse(JSON.parse(raw));
}

/** The account of an id; `null` if there is none. */
export async function accountOfId(engine: Engine, id: string): Promise<Account | null> {
  const raw = await engine.scripts.redis.hget(keys.accounts, id);
  return raw ? Account.parse(JSON.parse(raw)) : null;
}

/** One page of the accounts in the order of their numbers, behind the number that the page before ended with. */
export async function pageOfAccounts(
  engine: Engine,
  { limit, afterNumber }: { limit: number; afterNumber: number },
): Promise<{ accounts: Account[]; more: boolean }> {
  const { redis } = engine.scripts;
  const ids = await redis.zrangebyscore(keys.accountOrder, `(${afterNumber}`, '+inf', 'LIMIT', 0, limit + 1);
  const shown = ids.slice(0, limit);
  const records = shown.length === 0 ? [] : await redis.hmget(keys.accounts, ...shown);
  const accounts = records.flatMap((raw) => (raw ? [Account.parse(JSON.parse(raw))] : []));
  return { accounts, more: ids.length > limit };
}

/**
 * All accounts, page by page, so that no reply grows with their number.
 * @param onDamaged is told of one whose record cannot be read; it holds up nobody else
 */
export async function* eachAccount(
  engine: Engine,
  onDamaged: (accountId: string, error: unknown) => void = () => {},
): AsyncGenerator<Account> {
  let cursor = '0';
  do {
    const [next, flat] = await engine.scripts.redis.hscan(keys.accounts, cursor, 'COUNT', 500);
    for (let at = 0; at < flat.length; at += 2) {
      const account = readRecord(flat[at]!, flat[at + 1]!, onDamaged);
      if (account) yield account;
    }
    cursor = next;
  } while (cursor !== '0');
}

function readRecord(
  id: string,
  raw: string,
  onDamaged: (accountId: string, error: unknown) => void,
): Account | null {
  try {
    return Account.parse(JSON.parse(raw));
  } catch (error) {
    onDamaged(id, error);
    return null;
  }
}

/** The secret that signs receipts over HTTP, the same for all API processes of an installation. */
export async function receiptSecret(engine: Engine): Promise<string> {
  const { redis } = engine.scripts;
  await redis.setnx(keys.receiptSecret, randomBytes(32).toString('hex'));
  return (await redis.get(keys.receiptSecret))!;
}
