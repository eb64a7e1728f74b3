/** Is each address of the operator in exactly one place? And what else belongs to nobody's account: keys, webhooks. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ZodError } from 'zod';
import { accountKeys, directoryKeys, inventoryKeys } from '../../redis/keys.ts';
import { DAY_MS } from '../../warmup/units.ts';
import { lasting } from '../../warmup/words.ts';
import { type Account, accountOfId, eachAccount } from '../accounts.ts';
import { readApiKey } from '../api-keys.ts';
import { type Engine, nowOf, tenantOf } from '../engine.ts';
import { type InventoryEntry, listInventory, readEntry } from '../inventory.ts';
import { listWebhooks } from '../webhooks.ts';
import { type Finding, failure, named, ok, warning } from './finding.ts';

/** The worker closes an allocation that is ten seconds old; one of this age has no worker, or cannot be closed. */
const OLD_ALLOCATION_MS = 60_000;
/** A few commands for each: a page costs Redis a few milliseconds. */
const PAGE = 200;
const LOOKS = 3;
const LOOK_AGAIN_MS = 150;
const EXPIRES_SOON_MS = 14 * DAY_MS;

/** @param most so many addresses are looked at, and as many of those that wait to be taken */
export async function examineInventory(engine: Engine, most = Number.POSITIVE_INFINITY): Promise<Finding[]> {
  const { redis } = engine.scripts;
  const wrong: string[] = [];
  let seen = 0;
  let free = 0;
  for (let cursor = '0'; seen < most; ) {
    const damaged: string[] = [];
    const page = await listInventory(engine, cursor, PAGE, (address) => void damaged.push(address));
    const entries = page.entries.slice(0, most - seen);
    wrong.push(...damaged.map((address) => `${address} cannot be read`));
    wrong.push(...(await wrongAmong(engine, entries)));
    free += entries.filter(({ state }) => state === 'free').length;
    seen += entries.length + damaged.length;
    cursor = page.cursor;
    if (cursor === '0') break;
  }
  const [total, queued] = await Promise.all([
    redis.hlen(inventoryKeys.entries),
    redis.zcard(inventoryKeys.free),
  ]);
  // An address that came or came back meanwhile is queued and was not counted: the queue itself tells.
  if (wrong.length === 0 && queued > free) wrong.push(...(await queuedWithoutRight(engine, most)));
  const isSample = seen >= most && seen < total;
  const [, oldest] = await redis.zrange(inventoryKeys.pending, '0', '0', 'WITHSCORES');
  const [seconds] = await redis.time();
  const ageMs = oldest === undefined ? 0 : Number(seconds) * 1000 - Number(oldest);
  return [
    wrong.length === 0
      ? ok('addresses', isSample ? `${seen} of ${total}, ${queued} free` : `${seen}, ${free} free`)
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
async function queuedWithoutRight({ scripts }: Engine, most: number): Promise<string[]> {
  const { redis } = scripts;
  const wrong: string[] = [];
  let left = most;
  for (let cursor = '0'; left > 0; ) {
    const [next, flat] = await redis.zscan(inventoryKeys.free, cursor, 'COUNT', PAGE);
    const addresses = flat.filter((_, index) => index % 2 === 0).slice(0, left);
    left -= addresses.length;
    const entries = addresses.length > 0 ? await redis.hmget(inventoryKeys.entries, ...addresses) : [];
    for (const [index, address] of addresses.entries()) {
      const raw = entries[index] ?? null;
      const entry = raw === null ? null : entryOf(raw);
      if (entry?.state === 'free') continue;
      // It may have been taken between the two questions.
      if ((await redis.zscore(inventoryKeys.free, address)) === null) continue;
      wrong.push(`${address} ${raw === null ? 'is not in the inventory' : 'is not free'}, and may be taken`);
    }
    cursor = next;
    if (cursor === '0') break;
  }
  return wrong;
}

/** One page at once, in a few round trips; what is under way is looked at again. */
async function wrongAmong(engine: Engine, entries: readonly InventoryEntry[]): Promise<string[]> {
  let suspects = entries;
  for (let look = 1; ; look += 1) {
    const problems = await Promise.all(suspects.map((entry) => placeOf(engine, entry)));
    const wrong = suspects.flatMap(({ address }, index) =>
      problems[index] === null ? [] : [{ address, problem: problems[index] }],
    );
    if (wrong.length === 0) return [];
    if (look === LOOKS) return wrong.map(({ address, problem }) => `${address} ${problem}`);
    await sleep(LOOK_AGAIN_MS);
    const texts = await engine.scripts.redis.hmget(
      inventoryKeys.entries,
      ...wrong.map(({ address }) => address),
    );
    suspects = texts.flatMap((raw) => (raw === null ? [] : (entryOf(raw) ?? [])));
  }
}

/** `null`: it cannot be read. */
export function entryOf(raw: string): InventoryEntry | null {
  try {
    return readEntry(raw);
  } catch {
    return null;
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
  const account = entry.account ? await accountOf(engine, entry.account) : null;
  // The line of the accounts says so.
  if (account === 'damaged') return null;
  if (!account) return `is held by ${entry.account ?? 'nobody'}, and there is no such account`;
  const keys = accountKeys(account);
  if ((await redis.hget(keys.addresses, entry.address)) === entry.ipId) return null;
  // Its cooldown is over, and the worker has yet to give it back.
  return (await redis.hexists(keys.returns, entry.ipId ?? '')) === 1
    ? null
    : `is held by ${account.name}, which does not have it`;
}

async function accountOf(engine: Engine, id: string): Promise<Account | 'damaged' | null> {
  try {
    return await accountOfId(engine, id);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof ZodError) return 'damaged';
    throw error;
  }
}

/** Keys that end soon, webhooks that get nothing through, and those of both that cannot be read. */
export async function examineSurroundings(engine: Engine, realNowMs: number): Promise<Finding[]> {
  return [...(await examineKeys(engine)), ...(await examineWebhooks(engine, realNowMs))];
}

async function examineKeys(engine: Engine): Promise<Finding[]> {
  const nowMs = await nowOf(engine);
  const soon: string[] = [];
  const damaged = new Set<string>();
  let count = 0;
  for await (const [hash, raw] of eachField(engine, directoryKeys.apiKeys)) {
    count += 1;
    const apiKey = readApiKey(raw);
    if (!apiKey) {
      damaged.add(hash);
      continue;
    }
    const { id, name, expiresAtMs } = apiKey;
    if (expiresAtMs === null || expiresAtMs <= nowMs || expiresAtMs > nowMs + EXPIRES_SOON_MS) continue;
    soon.push(`${name ?? id} in ${lasting(expiresAtMs - nowMs)}`);
  }
  const isWell = soon.length + damaged.size === 0;
  return [
    ...(damaged.size > 0 ? [damagedKeys(await namesOfKeys(engine, damaged))] : []),
    ...(soon.length > 0
      ? [warning('API keys', `end soon: ${named(soon)}`, 'make new ones: warmline keys create')]
      : []),
    ...(isWell ? [ok('API keys', `${count}, none ends within 14 days`)] : []),
  ];
}

const damagedKeys = (names: readonly string[]) =>
  failure(
    'API keys',
    `${named(names)} cannot be read`,
    'restore a backup, or give who is refused a new one: warmline keys create',
  );

/** The record names its key; where it cannot be read the list of ids does, which is only looked through then. */
async function namesOfKeys(engine: Engine, hashes: ReadonlySet<string>): Promise<string[]> {
  const names = new Map([...hashes].map((hash) => [hash, `the key with SHA-256 ${hash.slice(0, 8)}`]));
  for await (const [id, hash] of eachField(engine, directoryKeys.keyHashes)) {
    if (hashes.has(hash)) names.set(hash, `key ${id}`);
  }
  return [...names.values()];
}

async function* eachField({ scripts }: Engine, hash: string): AsyncGenerator<[field: string, value: string]> {
  let cursor = '0';
  do {
    const [next, flat] = await scripts.redis.hscan(hash, cursor, 'COUNT', 500);
    for (let at = 0; at < flat.length; at += 2) yield [flat[at]!, flat[at + 1]!];
    cursor = next;
  } while (cursor !== '0');
}

async function examineWebhooks(engine: Engine, realNowMs: number): Promise<Finding[]> {
  const failing: string[] = [];
  const damaged: string[] = [];
  let count = 0;
  for await (const account of eachAccount(engine)) {
    const tenant = tenantOf(engine, account, 'check');
    const webhooks = await listWebhooks(tenant, (id) => void damaged.push(id));
    for (const { id, url, enabled, disabledBecause, failingSinceMs } of webhooks) {
      count += 1;
      if (!URL.canParse(url)) {
        damaged.push(id);
        continue;
      }
      const { host } = new URL(url);
      if (enabled && failingSinceMs !== null)
        failing.push(`${host} for ${lasting(Math.max(1_000, realNowMs - failingSinceMs))}`);
      if (!enabled && disabledBecause) failing.push(`${host} (switched off: ${disabledBecause})`);
    }
  }
  const isWell = failing.length + damaged.length === 0;
  return [
    ...(damaged.length > 0 ? [damagedWebhooks(damaged)] : []),
    ...(failing.length > 0
      ? [warning('webhooks', `nothing gets through to ${named(failing)}`, 'see: warmline webhooks list')]
      : []),
    ...(isWell ? [ok('webhooks', String(count))] : []),
  ];
}

const damagedWebhooks = (ids: readonly string[]) =>
  failure(
    'webhooks',
    `${named(ids)} cannot be read`,
    'restore a backup, or delete it and add it anew: warmline webhooks delete',
  );
