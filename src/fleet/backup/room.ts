/** Is there room for the account of a backup, and is nothing of it another's here? Looked at before anything is written. */
import { directoryKeys } from '../../redis/keys.ts';
import { conflict } from '../../warmup/errors.ts';
import { MOST_WEBHOOKS } from '../../wire/webhooks.ts';
import { accountOfId } from '../accounts.ts';
import { MOST_KEYS_PER_ACCOUNT, readApiKey } from '../api-keys.ts';
import type { Tenant } from '../engine.ts';
import { type Backup, type LineOf, linesOf, type StoredAccount } from './format.ts';

/** @throws WarmlineError `conflict` */
export async function checkRoom(tenant: Tenant, { head, lines }: Backup): Promise<void> {
  await checkPlace(tenant, head.account);
  for (const { account } of linesOf(lines, 'subuser')) await checkPlace(tenant, account);
  await checkEmpty(tenant, head.account);
  await checkKeys(tenant, linesOf(lines, 'key'));
  await checkWebhooks(tenant, linesOf(lines, 'webhook'));
}

const subuserOf = (parentId: string | null) =>
  parentId === null ? 'no subuser' : `a subuser of ${parentId}`;

/** All its keys in Redis begin with its parent's: they would be brought back where nobody looks for them. */
async function checkPlace({ engine, account: own }: Tenant, account: StoredAccount): Promise<void> {
  const { id, name, parentId } = account;
  const stands = await accountOfId(engine, id);
  if (stands && stands.parentId !== parentId) {
    throw conflict(
      `account ${name} (${id}) is ${subuserOf(stands.parentId)} here and ${subuserOf(parentId)} in the file; nothing was restored`,
    );
  }
  if (parentId === null || parentId === own.id) return;
  const parent = await accountOfId(engine, parentId);
  if (!parent) {
    throw conflict(
      `account ${name} is a subuser of ${parentId}, which is not here; restore that one first; nothing was restored`,
    );
  }
  if (parent.parentId !== null) {
    throw conflict(
      `account ${name} is a subuser of ${parentId} in the file, which is a subuser itself here; nothing was restored`,
    );
  }
}

/** It may be known, as it is after its own keys were lost; but nothing may be on it. */
async function checkEmpty({ engine, keys, account }: Tenant, { name }: StoredAccount): Promise<void> {
  const { redis } = engine.scripts;
  const [ips, pools] = await Promise.all([redis.zcard(keys.ips), redis.zcard(keys.pools)]);
  if (ips + pools > 0) {
    throw conflict(
      `account ${name} (${account.id}) is here and has ${ips} IPs and ${pools} pools; a backup is only restored where the account is not; nothing was restored`,
    );
  }
}

async function checkKeys({ engine, account }: Tenant, keys: readonly LineOf<'key'>[]): Promise<void> {
  const { redis } = engine.scripts;
  let fresh = 0;
  for (const { hash, record } of keys) {
    const [standing, raw] = await Promise.all([
      redis.hget(directoryKeys.keyHashes, record.id),
      redis.hget(directoryKeys.apiKeys, hash),
    ]);
    if (standing === null) fresh += 1;
    const other = raw === null ? null : readApiKey(raw);
    const isOurs = other === null || (other.id === record.id && other.account === account.id);
    if (isOurs && (standing === null || standing === hash)) continue;
    throw conflict(
      `the API key ${record.id} is another one here, or belongs to another account; nothing was restored`,
    );
  }
  const kept = await redis.zcard(directoryKeys.keysOf(account.id));
  if (fresh > 0 && kept + fresh > MOST_KEYS_PER_ACCOUNT) {
    throw conflict(
      `the account has ${kept} API keys here and ${fresh} more in the file; ${MOST_KEYS_PER_ACCOUNT} is the most, so revoke some first; nothing was restored`,
    );
  }
}

async function checkWebhooks(
  { engine, keys }: Tenant,
  webhooks: readonly LineOf<'webhook'>[],
): Promise<void> {
  const kept = await engine.scripts.redis.hkeys(keys.webhooks);
  const all = new Set([...kept, ...webhooks.map(({ webhook }) => webhook.id)]);
  if (webhooks.length > 0 && all.size > MOST_WEBHOOKS) {
    throw conflict(
      `the account has ${kept.length} webhooks here and ${webhooks.length} in the file; ${MOST_WEBHOOKS} is the most, so delete some first; nothing was restored`,
    );
  }
}
