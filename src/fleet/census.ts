/**
 * How many IPs there are and how their quotas stand, for the monitoring: sums that cost the same for any fleet. Counts are
 * the lengths of lists, so they are exact; quotas are read from so many hot records at most, and it is told from how many.
 */
import { unpackFence, unpackHot } from '../redis/hot-record.ts';
import { directoryKeys, inventoryKeys } from '../redis/keys.ts';
import { addressOfSortable } from '../warmup/address.ts';
import { type Fence, settle, windowAt } from '../warmup/counter.ts';
import { pageOfAccounts } from './accounts.ts';
import { type Demand, sumOfDemand, totalDemandOf } from './demand.ts';
import { type Engine, nowOf, type Tenant, tenantOf } from './engine.ts';

/** Accounts with a name of their own; all others are summed up under `OTHERS`. */
export const MOST_NAMED_ACCOUNTS = 100;
export const OTHERS = 'other';
/** Accounts that are looked at, each with seven commands that cost the same for 1 and for 10 000 IPs. */
const MOST_ACCOUNTS = 1_000;
/** So many are asked for at once: about 2 ms of this process. */
const AT_ONCE = 50;
/** Hot records that are read of one account and in all: about 300 bytes each, so half a megabyte in all. */
const MOST_RECORDS_OF_ACCOUNT = 500;
const MOST_RECORDS = 2_000;

export type Counted = 'provisioning' | 'warming' | 'active' | 'cooldown';
/** Of what has a limit, what is used and left; and all that was sent, with a limit or without. */
export type CountedQuota = { used: number; left: number; sent: number };
export type QuotaSums = {
  /** So many hot records the sums are from; compare with the count of the status. */
  ips: number;
  day: CountedQuota;
  hour: CountedQuota;
};

export type AccountCensus = {
  name: string;
  ips: Record<Counted, number>;
  quota: Record<'warming' | 'active', QuotaSums>;
  /** What senders wanted since the account has been. */
  demand: Demand;
};

export type Census = {
  accounts: number;
  /** Accounts beyond those that were looked at; 0 unless there are very many. */
  accountsUnseen: number;
  /** The first ones by name, then all others in one. */
  byAccount: AccountCensus[];
  inventoryFree: number;
  /** How long the IP that waits longest for the worker has been due; 0 when none is. */
  lagMs: number;
};

const nothing = (): CountedQuota => ({ used: 0, left: 0, sent: 0 });
const noSums = (): QuotaSums => ({ ips: 0, day: nothing(), hour: nothing() });
const nobody = (name: string): AccountCensus => ({
  name,
  ips: { provisioning: 0, warming: 0, active: 0, cooldown: 0 },
  quota: { warming: noSums(), active: noSums() },
  demand: sumOfDemand([]),
});

export async function takeCensus(engine: Engine): Promise<Census> {
  const { redis } = engine.scripts;
  const [{ accounts }, total, inventoryFree, nowMs] = await Promise.all([
    pageOfAccounts(engine, { limit: MOST_ACCOUNTS, afterNumber: 0 }),
    redis.zcard(directoryKeys.accountOrder),
    redis.zcard(inventoryKeys.free),
    nowOf(engine),
  ]);
  const others = nobody(OTHERS);
  const named: AccountCensus[] = [];
  const left = { records: MOST_RECORDS };
  let lagMs = 0;
  for (let at = 0; at < accounts.length; at += AT_ONCE) {
    const some = accounts.slice(at, at + AT_ONCE);
    const counts = await Promise.all(
      some.map((account) => countIps(tenantOf(engine, account, 'engine'), nowMs)),
    );
    for (const [index, account] of some.entries()) {
      const { ips, dueMs, demand } = counts[index]!;
      if (dueMs !== null) lagMs = Math.max(lagMs, nowMs - dueMs);
      const census = at + index < MOST_NAMED_ACCOUNTS ? nobody(account.name) : others;
      if (census !== others) named.push(census);
      census.demand = sumOfDemand([census.demand, demand]);
      for (const status of Object.keys(ips) as Counted[]) census.ips[status] += ips[status];
      if (ips.warming + ips.active > 0 && left.records > 0)
        await sumQuotas(tenantOf(engine, account, 'engine'), census, left, nowMs);
    }
  }
  const hasOthers = accounts.length > MOST_NAMED_ACCOUNTS;
  return {
    accounts: total,
    accountsUnseen: Math.max(0, total - accounts.length),
    byAccount: hasOthers ? [...named, others] : named,
    inventoryFree,
    lagMs,
  };
}

async function countIps(
  tenant: Tenant,
  nowMs: number,
): Promise<{ ips: Record<Counted, number>; dueMs: number | null; demand: Demand }> {
  const { engine, keys } = tenant;
  const { redis } = engine.scripts;
  const [held, onAccount, provisioning, warming, [, due], demand] = await Promise.all([
    redis.zcard(keys.ips),
    redis.zcard(keys.byAddress),
    redis.zcard(keys.provisioning),
    redis.zcard(keys.warming),
    redis.zrangebyscore(keys.due, '-inf', nowMs, 'WITHSCORES', 'LIMIT', 0, 1),
    totalDemandOf(tenant),
  ]);
  // Read one after the other, so that of an IP that moves in between a difference may be short by one.
  const atLeastNone = (count: number) => Math.max(0, count);
  return {
    ips: {
      provisioning,
      warming,
      active: atLeastNone(onAccount - provisioning - warming),
      cooldown: atLeastNone(held - onAccount),
    },
    dueMs: due === undefined ? null : Number(due),
    demand,
  };
}

/** Warming IPs first: theirs are the quotas that run out. */
async function sumQuotas(
  tenant: Tenant,
  census: AccountCensus,
  left: { records: number },
  nowMs: number,
): Promise<void> {
  const { keys, engine } = tenant;
  let most = Math.min(MOST_RECORDS_OF_ACCOUNT, left.records);
  const seen = new Set<string>();
  const fence = unpackFence(await engine.scripts.redis.getBuffer(keys.fence));
  for (const list of [keys.warming, keys.byAddress]) {
    if (most <= 0) return;
    const members = await engine.scripts.redis.zrangebylex(list, '-', '+', 'LIMIT', 0, most + seen.size);
    const fresh = members.filter((member) => !seen.has(member)).slice(0, most);
    for (const member of fresh) seen.add(member);
    most -= fresh.length;
    left.records -= fresh.length;
    for (const raw of await hotRecordsOf(tenant, fresh)) if (raw) addTo(census, raw, fence, nowMs);
  }
}

/** @param members of a list by address */
export function hotRecordsOf(
  { engine, keys }: Tenant,
  members: readonly string[],
): Promise<(Buffer | null)[]> {
  if (members.length === 0) return Promise.resolve([]);
  const addresses = members.map((member) => addressOfSortable(member.slice(0, member.indexOf(':'))));
  return engine.scripts.redis.mgetBuffer(addresses.map(keys.hot));
}

function addTo({ quota: sums }: AccountCensus, raw: Buffer, fence: Fence | null, nowMs: number): void {
  const { state, quota } = unpackHot(raw, fence);
  if (quota.gate === 'closed') return;
  const settled = settle(state, quota, nowMs);
  const { limits } = windowAt(quota, settled.atMs);
  const sum = sums[quota.gate];
  sum.ips += 1;
  add(sum.day, settled.dayUsed, limits.dailyLimit);
  add(sum.hour, settled.hourUsed, limits.hourlyCap);
}

function add(sum: CountedQuota, sent: number, limit: number | null): void {
  sum.sent += sent;
  if (limit === null) return;
  sum.used += sent;
  sum.left += Math.max(0, limit - sent);
}
