/** Is each address of the operator in exactly one place? And what else belongs to nobody's account: keys, webhooks. */
import { setTimeout as sleep } from 'node:timers/promises';
import { accountKeys, directoryKeys, inventoryKeys } from '../../redis/keys.ts';
import { DAY_MS } from '../../warmup/units.ts';
import { lasting } from '../../warmup/words.ts';
import { accountOfId, eachAccount } from '../accounts.ts';
import { type Engine, nowOf, tenantOf } from '../engine.ts';
import { type InventoryEntry, listInventory } from '../inventory.ts';
import { listWebhooks } from '../webhooks.ts';
import { type Finding, failure, named, ok, warning } from './finding.ts';

/** The worker closes an allocation that is ten seconds old; one of this age has no worker, or cannot be closed. */
const OLD_ALLOCATION_MS = 60_000;
const LOOKS = 3;
const LOOK_AGAIN_MS = 150;
const EXPIRES_SOON_MS = 14 * DAY_MS;

export async function examineInventory(engine: Engine): Promise<Finding[]> {
  const { redis } = engine.scripts;
  const wrong: string[] = [];
  let count = 0;
  let free = 0;
  for (let cursor = '0'; ; ) {
    const page = await listInventory(
      engine,
      cursor,
      200,
      (address) => void wrong.push(`${address} cannot be read`),
    );
    for (const entry of page.entries) {
      count += 1;
      if (entry.state === 'free') free += 1;
      const problem = await inOnePlace(engine, entry);
      if (problem) wrong.push(`${entry.address} ${problem}`);
    }
    cursor = page.cursor;
    if (cursor === '0') break;
  }
  // An address that came or came back meanwhile is queued and was not counted: the queue itself tells.
  if (wrong.length === 0 && (await redis.zcard(inventoryKeys.free)) > free)
    wrong.push(...(await queuedWithoutRight(engine)));
  const [, oldest] = await redis.zrange(inventoryKeys.pending, '0', '0', 'WITHSCORES');
  const [seconds] = await redis.time();
  const ageMs = oldest === undefined ? 0 : Number(seconds) * 1000 - Number(oldest);
  return [
    wrong.length === 0
      ? ok('addresses', `${count}, ${free} free`)
      : failure('addresses', named(wrong), 'restore a backup, or report it with this line'),
    ageMs > OLD_ALLOCATION_MS
      ? failure(
          'allocations',
          `one has been under way for ${lasting(ageMs)}`,
          'start a worker: it finishes or undoes it',
        )
      : ok('allocations', 'none is old'),
  ];
}

/** Addresses that the next allocation may take although they are not free. */
async function queuedWithoutRight({ scripts }: Engine): Promise<string[]> {
  const wrong: string[] = [];
  for (let cursor = '0'; ; ) {
    const [next, flat] = await scripts.redis.zscan(inventoryKeys.free, cursor, 'COUNT', 200);
    const addresses = flat.filter((_, index) => index % 2 === 0);
    const entries =
      addresses.length > 0 ? await scripts.redis.hmget(inventoryKeys.entries, ...addresses) : [];
    for (const [index, address] of addresses.entries()) {
      const raw = entries[index];
      if (raw && (JSON.parse(raw) as InventoryEntry).state === 'free') continue;
      // It may have been taken between the two questions.
      if ((await scripts.redis.zscore(inventoryKeys.free, address)) === null) continue;
      wrong.push(`${address} ${raw ? 'is not free' : 'is not in the inventory'}, and may be taken`);
    }
    cursor = next;
    if (cursor === '0') return wrong;
  }
}

/** What is under way is looked at again. */
async function inOnePlace(engine: Engine, first: InventoryEntry): Promise<string | null> {
  let entry: InventoryEntry = first;
  for (let look = 1; ; look += 1) {
    const problem = await placeOf(engine, entry);
    if (problem === null || look === LOOKS) return problem;
    await sleep(LOOK_AGAIN_MS);
    const raw = await engine.scripts.redis.hget(inventoryKeys.entries, entry.address);
    if (raw === null) return null;
    entry = JSON.parse(raw) as InventoryEntry;
  }
}

async function placeOf(engine: Engine, entry: InventoryEntry): Promise<string | null> {
  const { redis } = engine.scripts;
  const isQueued = (await redis.zscore(inventoryKeys.free, entry.address)) !== null;
  if (entry.state === 'free') return isQueued ? null : 'is free, and nobody can take it';
  if (isQueued) return `is ${entry.state}, and may be taken once more`;
  if (entry.state === 'reserved') {
    return (await redis.zcard(inventoryKeys.pending)) > 0
      ? null
      : 'is reserved for an allocation that is not there';
  }
  const account = entry.account ? await accountOfId(engine, entry.account) : null;
  if (!account) return `is held by ${entry.account ?? 'nobody'}, and there is no such account`;
  const keys = accountKeys(account);
  if ((await redis.hget(keys.addresses, entry.address)) === entry.ipId) return null;
  // Its cooldown is over, and the worker has yet to give it back.
  return (await redis.hexists(keys.returns, entry.ipId ?? '')) === 1
    ? null
    : `is held by ${account.name}, which does not have it`;
}

/** Keys that end soon, webhooks that get nothing through. */
export async function examineSurroundings(engine: Engine, realNowMs: number): Promise<Finding[]> {
  return [await examineKeys(engine), await examineWebhooks(engine, realNowMs)];
}

async function examineKeys(engine: Engine): Promise<Finding> {
  const nowMs = await nowOf(engine);
  const soon: string[] = [];
  let count = 0;
  for (let cursor = '0'; ; ) {
    const [next, flat] = await engine.scripts.redis.hscan(directoryKeys.apiKeys, cursor, 'COUNT', 500);
    for (const raw of flat.filter((_, index) => index % 2 === 1)) {
      count += 1;
      const { id, name, expiresAtMs } = JSON.parse(raw) as {
        id: string;
        name: string | null;
        expiresAtMs: number | null;
      };
      if (expiresAtMs === null || expiresAtMs <= nowMs || expiresAtMs > nowMs + EXPIRES_SOON_MS) continue;
      soon.push(`${name ?? id} in ${lasting(expiresAtMs - nowMs)}`);
    }
    cursor = next;
    if (cursor === '0') break;
  }
  return soon.length === 0
    ? ok('API keys', `${count}, none ends within 14 days`)
    : warning('API keys', `end soon: ${named(soon)}`, 'make new ones: warmline keys create');
}

async function examineWebhooks(engine: Engine, realNowMs: number): Promise<Finding> {
  const failing: string[] = [];
  let count = 0;
  for await (const account of eachAccount(engine)) {
    for (const { url, enabled, disabledBecause, failingSinceMs } of await listWebhooks(
      tenantOf(engine, account, 'check'),
    )) {
      count += 1;
      const { host } = new URL(url);
      if (enabled && failingSinceMs !== null)
        failing.push(`${host} for ${lasting(Math.max(1_000, realNowMs - failingSinceMs))}`);
      if (!enabled && disabledBecause) failing.push(`${host} (switched off: ${disabledBecause})`);
    }
  }
  return failing.length === 0
    ? ok('webhooks', String(count))
    : warning('webhooks', `nothing gets through to ${named(failing)}`, 'see: warmline webhooks list');
}
