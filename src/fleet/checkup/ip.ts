/** One IP against everything that is derived from its record: what was published for it, and the lists it stands in. Pure. */
import { unpackHot } from '../../redis/hot-record.ts';
import { windowAt } from '../../warmup/counter.ts';
import { nextDueAt } from '../../warmup/decide.ts';
import type { DedicatedIp } from '../../warmup/dedicated-ip.ts';
import type { Plan } from '../../warmup/plan.ts';
import { sendQuotaFor } from '../../warmup/quota.ts';
import type { InventoryEntry } from '../inventory.ts';

export type IpFacts = {
  hot: Buffer | null;
  /** The published hash. */
  quota: Readonly<Record<string, string>>;
  /** Which IP the account, and the inventory, say that the address belongs to. */
  holder: string | null;
  inventory: Pick<InventoryEntry, 'state' | 'account' | 'ipId'> | 'damaged' | null;
  dueMs: number | null;
  inLists: { byAddress: boolean; warming: boolean; provisioning: boolean; turn: boolean };
  /** Of the record's pools those that list it. */
  pools: readonly string[];
};

/** By what kind of thing is wrong: each kind is a line of the examination. */
export type Problems = { published?: string; index?: string; inventory?: string };

export function judgeIp(
  ip: DedicatedIp,
  plan: Plan | null,
  facts: IpFacts,
  accountId: string,
  nowMs: number,
): Problems {
  const problems: Problems = {};
  const published = judgePublished(ip, plan, facts, nowMs);
  if (published) problems.published = `${ip.address} ${published}`;
  const index = judgeIndex(ip, facts, nowMs);
  if (index) problems.index = `${ip.address} ${index}`;
  const inventory = judgeEntry(ip, facts, accountId);
  if (inventory) problems.inventory = `${ip.address} ${inventory}`;
  return problems;
}

function judgeEntry({ id }: DedicatedIp, { inventory }: IpFacts, accountId: string): string | null {
  if (inventory === null) return 'is not in the inventory';
  if (inventory === 'damaged') return 'has an entry there that cannot be read';
  const { state, account, ipId } = inventory;
  if (state === 'held' && ipId === id && account === accountId) return null;
  return `is ${state} there${ipId ? ` for ${ipId}` : ''}`;
}

function judgePublished(
  ip: DedicatedIp,
  plan: Plan | null,
  { hot, quota: hash, dueMs }: IpFacts,
  nowMs: number,
): string | null {
  if (hot === null || hot.length < 168) return 'has no hot record';
  const record = readHot(hot);
  if (record === null) return 'has a hot record that cannot be read';
  const { quota, texts } = record;
  if (texts.id !== ip.id) return `has the hot record of ${texts.id}`;
  const expected = sendQuotaFor(ip, plan, nowMs);
  if (quota.gate !== expected.gate) return `is published as ${quota.gate} and is ${ip.status}`;
  if (hash.ipId !== ip.id || hash.status !== ip.status) return 'has no quota hash that goes with it';
  if (quota.gate === 'closed') return null;

  const window = windowAt(quota, nowMs);
  const is = window.limits;
  const may = expected.current;
  // What the worker has not looked at yet has lower limits, or those that its last look gave; never higher ones.
  if (isMore(is.dailyLimit, may.dailyLimit) || isMore(is.hourlyCap, may.hourlyCap)) {
    return `may send ${limit(is.dailyLimit)} a day and ${limit(is.hourlyCap)} an hour, its record says ${limit(may.dailyLimit)} and ${limit(may.hourlyCap)}`;
  }
  if (expected.heldUntilMs > nowMs && quota.heldUntilMs !== expected.heldUntilMs)
    return 'is held, and that is not published';
  const waits = dueMs !== null && dueMs <= nowMs;
  if (waits) return null;
  if (quota.heldUntilMs > nowMs && expected.heldUntilMs <= nowMs) return 'is published as held, and is not';
  if (window.fromMs !== expected.fromMs) return 'has a window that is not that of its day';
  if (is.dailyLimit !== may.dailyLimit || is.hourlyCap !== may.hourlyCap) {
    return `may send ${limit(is.dailyLimit)} a day and ${limit(is.hourlyCap)} an hour, its record says ${limit(may.dailyLimit)} and ${limit(may.hourlyCap)}`;
  }
  const { current } = quota;
  if (
    Number(hash.dailyLimit) !== (current.dailyLimit ?? -1) ||
    Number(hash.hourlyCap) !== (current.hourlyCap ?? -1)
  )
    return 'has a quota hash with other limits than its hot record';
  if (Date.parse(hash.to ?? '') !== quota.toMs)
    return 'has a quota hash with another window than its hot record';
  return null;
}

function readHot(hot: Buffer): ReturnType<typeof unpackHot> | null {
  try {
    return unpackHot(hot);
  } catch (error) {
    // It counts its edges itself, and a wrong count points behind its end.
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** `null` is unlimited. */
const isMore = (is: number | null, may: number | null) => may !== null && (is === null || is > may);
const limit = (value: number | null) => (value === null ? 'without limit' : String(value));

function judgeIndex(
  ip: DedicatedIp,
  { holder, dueMs, inLists, pools }: IpFacts,
  nowMs: number,
): string | null {
  if (holder !== ip.id) return `is not the address of ${ip.id} in the account's list`;
  const onAccount = ip.status !== 'cooldown';
  if (inLists.byAddress !== onAccount)
    return `${onAccount ? 'is missing in' : 'is still in'} the list by address`;
  for (const status of ['warming', 'provisioning'] as const) {
    const should = ip.status === status;
    if (inLists[status] !== should)
      return `${should ? 'is missing in' : 'is still in'} the list of ${status} IPs`;
  }
  if (inLists.turn !== onAccount)
    return onAccount ? 'is never chosen for the account' : 'may still be chosen';
  const missing = ip.pools.filter((pool) => !pools.includes(pool));
  if (missing.length > 0) return `is missing in pool ${missing[0]}`;
  const wantedMs = nextDueAt(ip, nowMs);
  if (wantedMs !== null && dueMs === null) return 'is due, and no worker will ever look at it';
  if (wantedMs !== null && dueMs! > wantedMs) return 'is looked at by the worker too late';
  return null;
}
