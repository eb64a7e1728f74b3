/** Finds an account's slot by name, for those who only want to send. */
import type { RedisConnection } from './connect.ts';
import { type AccountRef, clockKeys, directoryKeys } from './keys.ts';

/** The account of a name or id; `null` if there is none. */
export async function resolveAccount(redis: RedisConnection, nameOrId: string): Promise<AccountRef | null> {
  const id = nameOrId.startsWith('acct_') ? nameOrId : await redis.hget(directoryKeys.names, nameOrId);
  const raw = id ? await redis.hget(directoryKeys.accounts, id) : null;
  if (!raw) return null;
  const account = JSON.parse(raw) as { id: string; parentId: string | null };
  return { id: account.id, parentId: account.parentId };
}

/** Does this database run on a test clock? */
export const runsOnTestClock = async (redis: RedisConnection) => (await redis.get(clockKeys.mode)) === 'test';
