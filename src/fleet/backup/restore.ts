/**
 * Brings an account back from a backup, into an installation that does not have it. Nobody knows what was sent since the
 * backup was taken, so of every IP the running day counts as used up: it sends again with its next one. First it is looked
 * whether all of it can be done; an attempt that ended in the middle goes on when it is called again with the same file.
 */
import { directoryKeys, inventoryKeys, webhookKeys } from '../../redis/keys.ts';
import { type Item, transact } from '../../redis/transact.ts';
import { RECORD_VERSION } from '../../warmup/dedicated-ip.ts';
import { conflict, invalid } from '../../warmup/errors.ts';
import { readStoredIp, storedIp } from '../../warmup/stored-ip.ts';
import { DAY_MS, HOUR_MS } from '../../warmup/units.ts';
import { MOST_KEYS_PER_ACCOUNT } from '../api-keys.ts';
import { type Engine, nowIn, type Tenant, tenantOf } from '../engine.ts';
import { packGate } from '../pools.ts';
import { itemFor, recordChange, recordOf } from '../save.ts';
import type { Backup, Line, LineOf } from './format.ts';

export type Restored = { ips: number; pools: number; keys: number; webhooks: number; changes: number };

/** One script call saves so many, as the worker does: about 5 ms of Redis. */
const BATCH = 50;
const MOST_ADDRESSES = 500;
const MOST_CHANGES = 500;

export async function restoreBackup(
  engine: Engine,
  backup: Backup,
  onProgress: (ips: number) => void = () => {},
): Promise<Restored> {
  const { head } = backup;
  const tenant = tenantOf(engine, head.account, 'restore');
  const of = <Kind extends Line['kind']>(kind: Kind) =>
    backup.lines.filter((line): line is LineOf<Kind> => line.kind === kind);
  const [ips, pools, keys, webhooks, changes] = [
    of('ip'),
    of('pool'),
    of('key'),
    of('webhook'),
    of('change'),
  ];

  checkClock(engine, head.clock);
  await checkAccount(tenant, backup);
  await claim(engine, head.account.id, ips, { lookOnly: true });
  await checkKeys(engine, keys);
  await restoreAccounts(engine, backup, of('subuser'), pools);
  await engine.scripts.redis.set(tenant.keys.restoring, backup.sha256);
  await claim(engine, head.account.id, ips, { lookOnly: false });

  await restoreChanges(tenant, changes);
  for (const { digest, plan } of of('plan')) {
    await engine.scripts.redis.set(tenant.keys.plan(digest), JSON.stringify(plan));
  }
  // Before the IPs: none may come without it.
  for (const { record } of of('stop')) await engine.scripts.redis.set(tenant.keys.accountHold, record);
  await restoreIps(tenant, backup, ips, onProgress);
  for (const pool of pools) await restorePool(tenant, pool);
  await restoreKeys(engine, keys);
  await restoreWebhooks(tenant, webhooks);
  await finish(tenant, backup);
  return {
    ips: ips.length,
    pools: pools.length,
    keys: keys.length,
    webhooks: webhooks.length,
    changes: changes.length,
  };
}

function checkClock({ scripts }: Engine, clock: 'real' | 'test'): void {
  const here = scripts.testClock ? 'test' : 'real';
  if (here !== clock)
    throw conflict(
      `the backup is of a database on a ${clock} clock, and this one runs on a ${here} clock; nothing was restored`,
    );
}

/** It may be known, as it is after its own keys were lost; but nothing may be on it, unless an attempt with this very file left it. */
async function checkAccount({ engine, keys, account }: Tenant, { head, sha256 }: Backup): Promise<void> {
  const { redis } = engine.scripts;
  const [begun, ips, pools] = await Promise.all([
    redis.get(keys.restoring),
    redis.zcard(keys.ips),
    redis.zcard(keys.pools),
  ]);
  if (begun === sha256) return;
  if (begun !== null)
    throw conflict(
      `account ${head.account.name} is being restored from another file; finish that with it first`,
    );
  if (ips + pools > 0) {
    throw conflict(
      `account ${head.account.name} (${account.id}) is here and has ${ips} IPs and ${pools} pools; a backup is only restored where the account is not; nothing was restored`,
    );
  }
  if (account.parentId !== null && (await redis.hexists(directoryKeys.accounts, account.parentId)) === 0) {
    throw conflict(
      `account ${head.account.name} is a subuser of ${account.parentId}, which is not here; restore that one first`,
    );
  }
}

async function claim(
  engine: Engine,
  accountId: string,
  ips: readonly LineOf<'ip'>[],
  { lookOnly }: { lookOnly: boolean },
): Promise<void> {
  for (let at = 0; at < ips.length; at += MOST_ADDRESSES) {
    const entries = ips.slice(at, at + MOST_ADDRESSES).flatMap(({ id, record, entry }) => {
      const { address } = readStoredIp(id, record);
      return [address, JSON.stringify({ address, ...entry, state: 'held', account: accountId, ipId: id })];
    });
    const [outcome, address, state, holder] = (await engine.scripts.run('inventory-claim', [
      ...[inventoryKeys.entries, inventoryKeys.free],
      ...[lookOnly ? 1 : 0, ...entries],
    ])) as string[];
    if (outcome === 'ok') continue;
    throw conflict(
      `${address} is ${state} by ${holder || 'another'} here; release it there first; nothing was restored`,
    );
  }
}

async function checkKeys({ scripts }: Engine, keys: readonly LineOf<'key'>[]): Promise<void> {
  for (const { hash, record } of keys) {
    const stands = await scripts.redis.hget(directoryKeys.keyHashes, record.id);
    if (stands !== null && stands !== hash)
      throw conflict(`the API key ${record.id} is another one here; nothing was restored`);
  }
}

async function restoreAccounts(
  engine: Engine,
  { head }: Backup,
  subusers: readonly LineOf<'subuser'>[],
  pools: readonly LineOf<'pool'>[],
): Promise<void> {
  const accounts = [head.account, ...subusers.map(({ account }) => account)];
  const highest = Math.max(...accounts.map(({ number }) => number), ...pools.map(({ pool }) => pool.number));
  const [outcome, what, holder] = (await engine.scripts.run('account-restore', [
    ...[directoryKeys.names, directoryKeys.accounts, directoryKeys.numbers, directoryKeys.accountOrder],
    highest,
    ...accounts.flatMap((account) => [account.id, account.name, account.number, JSON.stringify(account)]),
  ])) as string[];
  if (outcome === 'ok') return;
  const said = {
    name: `the name ${what} belongs to another account here`,
    number: `the account number ${what} belongs to ${holder} here`,
    id: `${what} is an account of another name here`,
  };
  throw conflict(
    `${said[outcome as keyof typeof said]}; restore into an empty installation; nothing was restored`,
  );
}

/** With their ids, so that whoever follows the stream goes on where they were. */
async function restoreChanges({ engine, keys }: Tenant, changes: readonly LineOf<'change'>[]): Promise<void> {
  const { redis } = engine.scripts;
  const [newest] = await redis.xrevrange(keys.changes, '+', '-', 'COUNT', 1);
  const done = changes.findIndex(({ id }) => id === newest?.[0]);
  for (let at = done + 1; at < changes.length; at += MOST_CHANGES) {
    await Promise.all(
      changes
        .slice(at, at + MOST_CHANGES)
        .map(({ id, change }) => redis.xadd(keys.changes, id, 'change', change)),
    );
  }
}

async function restoreIps(
  tenant: Tenant,
  backup: Backup,
  ips: readonly LineOf<'ip'>[],
  onProgress: (ips: number) => void,
): Promise<void> {
  const { engine, account, keys } = tenant;
  const { redis } = engine.scripts;
  const plans = new Map(
    backup.lines.flatMap((line) => (line.kind === 'plan' ? [[line.digest, line.plan] as const] : [])),
  );
  for (let at = 0; at < ips.length; at += BATCH) {
    const nowMs = await nowIn(tenant);
    const there = await redis.mget(ips.slice(at, at + BATCH).map(({ id }) => keys.ip(id)));
    const missing = ips.slice(at, at + BATCH).filter((_, index) => there[index] === null);
    const items = missing.map(({ id, record }): Item => {
      const ip = readStoredIp(id, record);
      const plan = ip.warmup ? plans.get(ip.warmup.digest) : null;
      if (plan === undefined)
        throw invalid('file', `the rows of the plan of ${id} are not in the file; take another copy`);
      const item = itemFor(tenant, null, { ip, changes: [] }, plan, nowMs);
      // The record as it was, to the letter; its pools list their IPs themselves.
      item.run = item.run.filter(
        ([, key]) => key !== keys.ip(id) && !ip.pools.some((pool) => key === keys.poolIps(pool)),
      );
      item.run.push(['SET', keys.ip(id), storedIp({ ...ip, version: RECORD_VERSION })]);
      // It was published before, so without a hot record its running day is used up.
      item.publish = item.publish.map((entry) => ({ ...entry, known: true }));
      return item;
    });
    // What was sent comes first: an IP that is there is complete.
    for (const { id, sent } of missing) {
      const fields = Object.entries(sent).flatMap(([field, value]) => [field, Buffer.from(value, 'base64')]);
      if (fields.length > 0) await redis.hset(keys.sent(id), ...fields);
    }
    if (items.length > 0) {
      const applied = await transact(engine.scripts, account, items, { whole: true });
      if (!applied.every(Boolean))
        throw conflict('somebody else restores this account at the same time; wait for them');
    }
    onProgress(Math.min(ips.length, at + BATCH));
  }
}

async function restorePool(tenant: Tenant, { pool, ips, isDefault }: LineOf<'pool'>): Promise<void> {
  const { engine, account, keys } = tenant;
  const { redis } = engine.scripts;
  const nowMs = await nowIn(tenant);
  const gate = usedUpGate(pool, nowMs);
  if (gate) await redis.set(keys.gate(pool.id), gate);
  const item: Item = {
    check: [],
    run: [
      ['SET', keys.pool(pool.id), recordOf(pool.rev, pool)],
      ['HSET', keys.poolNames, pool.name, pool.id],
      ...(pool.number > 0 ? [['HSET', keys.poolNumbers, pool.number, pool.id]] : []),
      ['ZADD', keys.pools, pool.createdAtMs, pool.id],
      ...(ips.length > 0
        ? [['ZADD', keys.poolIps(pool.id), ...ips.flatMap(([id, place]) => [place, id])]]
        : []),
      ...(isDefault ? [['SET', keys.defaultPool, pool.id]] : []),
    ],
    publish: [],
  };
  await transact(engine.scripts, account, [item], { whole: true });
}

/** What the pool itself limits, with nothing left today: the counter behind the head of 32 bytes (layout in `lua/counter.lua`). */
function usedUpGate(pool: LineOf<'pool'>['pool'], nowMs: number): Buffer | null {
  const gate = packGate(pool, nowMs, null);
  if (!gate || gate.length === 32) return gate;
  const { perDay, perHour } = pool.ceiling;
  const counter = gate.subarray(32);
  counter.writeDoubleLE(Math.floor(nowMs / DAY_MS) * DAY_MS, 8);
  counter.writeDoubleLE(perDay ?? 0, 16);
  counter.writeDoubleLE(Math.floor(nowMs / HOUR_MS) * HOUR_MS, 24);
  counter.writeDoubleLE(perHour ?? 0, 32);
  counter.writeDoubleLE(nowMs, 48);
  return gate;
}

async function restoreKeys(engine: Engine, keys: readonly LineOf<'key'>[]): Promise<void> {
  for (const { hash, record } of keys) {
    const { place: _, ...rest } = record as Record<string, unknown> & { id: string; account: string };
    await engine.scripts.run('key-create', [
      ...[directoryKeys.accounts, directoryKeys.apiKeys, directoryKeys.keyHashes, directoryKeys.keyOrder],
      ...[directoryKeys.keysOf(rest.account as string), directoryKeys.keySequence],
      ...[hash, rest.id as string, JSON.stringify(rest), rest.account as string, MOST_KEYS_PER_ACCOUNT],
    ]);
  }
}

/** They are told of what comes after the restore, and of nothing a second time. */
async function restoreWebhooks(
  { engine, keys, account }: Tenant,
  webhooks: readonly LineOf<'webhook'>[],
): Promise<void> {
  const { redis } = engine.scripts;
  if (webhooks.length === 0) return;
  const [newest] = await redis.xrevrange(keys.changes, '+', '-', 'COUNT', 1);
  const after = newest?.[0] ?? '0-0';
  for (const { webhook } of webhooks)
    await redis.hset(keys.webhooks, webhook.id, JSON.stringify({ ...webhook, after }));
  await redis.set(keys.webhookPosition, after);
  await redis.sadd(webhookKeys.accounts, account.id);
}

async function finish(tenant: Tenant, { head }: Backup): Promise<void> {
  const { engine, keys, account } = tenant;
  const nowMs = await nowIn(tenant);
  const because = 'brought back from a backup; the running day of every IP counts as used up';
  const taken = new Date(head.takenAtMs).toISOString();
  const run = [
    ['SET', keys.account, JSON.stringify({ rev: 1 })],
    recordChange(tenant, nowMs, { what: 'account', from: taken, to: 'restored', because, by: 'restore' }),
    ['DEL', keys.restoring],
  ];
  await transact(engine.scripts, account, [{ check: [], run, publish: [] }], { whole: true });
}
