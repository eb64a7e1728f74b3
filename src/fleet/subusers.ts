/** Subusers: accounts with a parent. On the parent's IPs they are labels, known to clients by name and by number. */
import { directoryKeys as keys } from '../redis/keys.ts';
import { type Account, accountOfId } from './accounts.ts';
import type { Engine } from './engine.ts';

/**
 * Finds subusers of an account by number or name.
 * @returns those that were found, and what names no subuser of this account
 */
export async function findSubusers(
  engine: Engine,
  parentId: string,
  named: readonly string[],
): Promise<{ found: Account[]; unknown: string[] }> {
  const { redis } = engine.scripts;
  const ids = await Promise.all(
    named.map(async (name) => {
      if (!/^\d{1,15}$/.test(name)) return redis.hget(keys.names, name);
      const [id] = await redis.zrangebyscore(keys.accountOrder, name, name);
      return id ?? redis.hget(keys.names, name);
    }),
  );
  const accounts = await accountsOf(
    engine,
    ids.map((id) => id ?? ''),
  );
  const isSubuser = (account: Account | null | undefined) => account?.parentId === parentId;
  return {
    found: accounts.filter((account) => account !== null).filter(isSubuser),
    unknown: named.filter((_, index) => !isSubuser(accounts[index])),
  };
}

/** The accounts of ids; `null` for one that there is none of. */
export const accountsOf = (engine: Engine, ids: readonly string[]): Promise<(Account | null)[]> =>
  Promise.all(ids.map((id) => accountOfId(engine, id)));
