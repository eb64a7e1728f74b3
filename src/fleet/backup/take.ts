/**
 * A backup of one account as it was at one instant, without holding up its mail: it is read page by page, and what was
 * changed meanwhile is read again until nothing has been. Every change stands in the account's stream, so its end tells.
 */

import { directoryKeys, inventoryKeys } from '../../redis/keys.ts';
import { RECORD_VERSION } from '../../warmup/dedicated-ip.ts';
import { conflict } from '../../warmup/errors.ts';
import { readStoredIp, storedIp } from '../../warmup/stored-ip.ts';
import { type Account, eachAccount, findAccount } from '../accounts.ts';
import { ENVIRONMENT, readApiKey, scopesThatCount } from '../api-keys.ts';
import { parseIp } from '../change.ts';
import { type Engine, nowIn, type Tenant, tenantOf } from '../engine.ts';
import { listWebhooks, Webhook } from '../webhooks.ts';
import { isHalfRestored } from './attempt.ts';
import { checkBelonging } from './belonging.ts';
import { FORMAT, FORMAT_VERSION, type Head, type Line, type LineOf, whatIsUnreadableIn } from './format.ts';
import { streamOf } from './stream.ts';

/** A page is about 100 KB, and a millisecond of Redis. */
const PAGE = 100;
const NOT_MADE = 'no backup was made; see: warmline check';
/** Each round reads only what was changed in the one before. */
const MOST_ROUNDS = 20;

export type Taken = { head: Head; lines: Line[] };

export async function takeBackup(
  engine: Engine,
  nameOrId: string,
  onProgress: (ips: number) => void = () => {},
): Promise<Taken> {
  const account = await findAccount(engine, nameOrId);
  const tenant = tenantOf(engine, account, 'backup');
  await checkWhole(tenant, account.name);
  const ips = new Map<string, LineOf<'ip'>>();
  /** IPs whose address the inventory does not know: on their way out, or a fault. */
  const adrift = new Set<string>();
  let pools: LineOf<'pool'>[] = [];
  let stop: string | null = null;
  let takenAtMs = 0;
  let upTo = '0-0';
  let dirty: string[] | null = null;
  for (let round = 1; ; round += 1) {
    if (round > MOST_ROUNDS) {
      throw conflict(
        `account ${account.name} is changed faster than it is read; hold its changes for a moment and try again`,
      );
    }
    const before = await endOfStream(tenant);
    takenAtMs = await nowIn(tenant);
    const ids: string[] = dirty ?? (await engine.scripts.redis.zrange(tenant.keys.ips, '0', '-1'));
    for (let at = 0; at < ids.length; at += PAGE) {
      await readIps(tenant, ids.slice(at, at + PAGE), ips, adrift);
      onProgress(ips.size);
    }
    pools = await readPools(tenant);
    stop = await engine.scripts.redis.get(tenant.keys.accountHold);
    const after = await endOfStream(tenant);
    upTo = after;
    if (after === before) break;
    dirty = await changedSince(tenant, before);
  }
  if (adrift.size > 0) {
    throw conflict(`the address of ${[...adrift][0]} is not in the inventory; see: warmline check`);
  }
  // After the IPs, whose labels name them.
  const subusers = await subusersOf(engine, account);
  const plans = await readPlans(tenant, [...ips.values()]);
  const head: Head = {
    ...{ kind: 'head', format: FORMAT, version: FORMAT_VERSION, takenAtMs },
    ...{ clock: engine.scripts.testClock ? 'test' : 'real', account },
  };
  const lines: Line[] = [
    ...subusers.map((one): Line => ({ kind: 'subuser', account: one })),
    ...(stop === null ? [] : [{ kind: 'stop', record: stop } satisfies Line]),
    ...plans,
    ...pools,
    ...ips.values(),
    ...(await readKeys(engine, account)),
    ...(await listWebhooks(tenant)).map(
      (webhook): Line => ({ kind: 'webhook', webhook: Webhook.parse(webhook) }),
    ),
    ...(await streamOf(tenant, upTo)).map((entry): Line => ({ kind: 'change', ...entry })),
  ];
  // What could not come back is known now, and not on the day when it has to.
  for (const line of [head, ...lines]) {
    const fault = whatIsUnreadableIn(line);
    if (fault !== null) throw conflict(`a ${line.kind} cannot be read (${fault}); ${NOT_MADE}`);
  }
  checkBelonging({ head, lines }, NOT_MADE);
  // A restore may have begun since.
  await checkWhole(tenant, account.name);
  return { head, lines };
}

/** Of half an account a file would look whole, and be written over the one that the other half has to come from. */
async function checkWhole(tenant: Tenant, name: string): Promise<void> {
  if (!(await isHalfRestored(tenant))) return;
  throw conflict(
    `account ${name} is half restored; call warmline restore again with the same file; no backup was made`,
  );
}

async function subusersOf(engine: Engine, { id }: Account): Promise<Account[]> {
  const found: Account[] = [];
  for await (const one of eachAccount(engine)) if (one.parentId === id) found.push(one);
  return found.sort((a, b) => a.number - b.number);
}

const endOfStream = async ({ engine, keys }: Tenant) =>
  (await engine.scripts.redis.xrevrange(keys.changes, '+', '-', 'COUNT', 1))[0]?.[0] ?? '0-0';

/** The IPs that the stream names after a place in it. */
async function changedSince({ engine, keys }: Tenant, after: string): Promise<string[]> {
  const entries = await engine.scripts.redis.xrange(keys.changes, `(${after}`, '+');
  const ids = entries.map(([, [, text]]) => (JSON.parse(text!) as { ipId?: string }).ipId);
  return [...new Set(ids.filter((id) => id !== undefined))];
}

async function readIps(
  tenant: Tenant,
  ids: readonly string[],
  into: Map<string, LineOf<'ip'>>,
  adrift: Set<string>,
): Promise<void> {
  const { keys } = tenant;
  const { redis } = tenant.engine.scripts;
  const records = await redis.mget(ids.map(keys.ip));
  await Promise.all(
    ids.map(async (id, index) => {
      into.delete(id);
      adrift.delete(id);
      const record = await asWrittenNow(tenant, id, records[index] ?? null);
      if (record === null) return;
      const { address, status } = readStoredIp(id, record);
      if (status === 'released') return;
      const [raw, sent] = await Promise.all([
        redis.hget(inventoryKeys.entries, address),
        redis.hgetallBuffer(keys.sent(id)),
      ]);
      if (raw === null) return void adrift.add(id);
      const { region, hostname, bind, leased, whitelabeled } = JSON.parse(raw);
      into.set(id, {
        ...{ kind: 'ip', id, record },
        entry: { region, hostname, bind, leased, whitelabeled },
        sent: Object.fromEntries(
          Object.entries(sent).map(([field, value]) => [field, value.toString('base64')]),
        ),
      });
    }),
  );
}

/** One of version 1 has its history in a list beside it, which does not come back with the record. */
async function asWrittenNow(tenant: Tenant, id: string, record: string | null): Promise<string | null> {
  if (record === null || readStoredIp(id, record).version === RECORD_VERSION) return record;
  const ip = await parseIp(tenant, id, record);
  // A tick brings it into the new form, and deletes the list: which of both was read first?
  const again = await tenant.engine.scripts.redis.get(tenant.keys.ip(id));
  if (again !== record) return asWrittenNow(tenant, id, again);
  return storedIp({ ...ip, version: RECORD_VERSION });
}

async function readPools({ engine, keys }: Tenant): Promise<LineOf<'pool'>[]> {
  const { redis } = engine.scripts;
  const ids = await redis.zrange(keys.pools, '0', '-1');
  const isDefault = await redis.get(keys.defaultPool);
  const lines = await Promise.all(
    ids.map(async (id): Promise<LineOf<'pool'> | null> => {
      const [record, flat] = await Promise.all([
        redis.get(keys.pool(id)),
        redis.zrange(keys.poolIps(id), '0', '-1', 'WITHSCORES'),
      ]);
      if (!record) return null;
      const ips = flat.flatMap((ipId, at): [string, number][] =>
        at % 2 === 0 ? [[ipId, Number(flat[at + 1])]] : [],
      );
      return { kind: 'pool', pool: JSON.parse(record), isDefault: id === isDefault, ips };
    }),
  );
  return lines.filter((line) => line !== null);
}

async function readPlans({ engine, keys }: Tenant, ips: readonly LineOf<'ip'>[]): Promise<LineOf<'plan'>[]> {
  const digests = ips.map(({ id, record }) => readStoredIp(id, record).warmup?.digest);
  return Promise.all(
    [...new Set(digests.filter((digest) => digest !== undefined))].map(async (digest) => {
      const raw = await engine.scripts.redis.get(keys.plan(digest));
      if (raw === null) throw conflict(`the rows of plan ${digest} are gone from Redis; see: warmline check`);
      return { kind: 'plan' as const, digest, plan: JSON.parse(raw) };
    }),
  );
}

/** In the order in which they were made. The key of the environment is made by the next start. */
async function readKeys(engine: Engine, { id }: Account): Promise<LineOf<'key'>[]> {
  const { redis } = engine.scripts;
  const ids = (await redis.zrange(directoryKeys.keysOf(id), '0', '-1')).filter(
    (key) => key !== ENVIRONMENT.id,
  );
  const lines = await Promise.all(
    ids.map(async (keyId): Promise<LineOf<'key'> | null> => {
      const hash = await redis.hget(directoryKeys.keyHashes, keyId);
      const raw = hash ? await redis.hget(directoryKeys.apiKeys, hash) : null;
      const record = raw ? readApiKey(raw) : null;
      if (!hash || !record) return null;
      const scopes = scopesThatCount(record);
      // One that cannot be read, or may nothing, opens nothing here either.
      return scopes.length > 0 ? { kind: 'key', hash, record: { ...record, scopes } } : null;
    }),
  );
  return lines.filter((line) => line !== null);
}
