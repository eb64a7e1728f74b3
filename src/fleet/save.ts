/**
 * From a decision to what is written: the record with its next revision, the published quota, the due work, the stream of
 * changes and the indexes, as one item of one atomic script.
 */
import type { Item } from '../redis/transact.ts';
import { sortableAddress } from '../warmup/address.ts';
import { type Change, type Decision, nextDueAt } from '../warmup/decide.ts';
import { DedicatedIp } from '../warmup/dedicated-ip.ts';
import { conflict } from '../warmup/errors.ts';
import type { Plan } from '../warmup/plan.ts';
import { warmupDayAt } from '../warmup/progress.ts';
import { type SendQuota, sendQuotaFor } from '../warmup/quota.ts';
import type { Tenant } from './engine.ts';

/** The account's stream keeps about this many changes: years for most, and a bound for all. */
const STREAM_LENGTH = 100_000;
const HISTORY_LENGTH = 20;

/** In which choices an IP takes part: all of the account and each of its pools, unless it is on its way out. */
const scopesOf = (ip: DedicatedIp) =>
  ip.status === 'cooldown' || ip.status === 'released' ? [] : ['all', ...ip.pools];

const inStream = ({ keys }: Tenant, entry: string): (string | number)[] => [
  'XADD',
  keys.changes,
  'MAXLEN',
  '~',
  STREAM_LENGTH,
  '*',
  'change',
  entry,
];

/** The command that writes a change of no single IP into the account's stream. */
export const recordChange = (tenant: Tenant, nowMs: number, change: Change) =>
  inStream(tenant, JSON.stringify({ at: new Date(nowMs).toISOString(), ...change }));

/** `revision` first, so that the script can read it without parsing the rest. */
export const recordOf = (rev: number, { rev: _, ...rest }: { rev: number }) =>
  JSON.stringify({ rev, ...rest });

/**
 * @param before the record that the decision was made on; `null` for a new IP
 * @param plan the plan in force at the start of its warm-up, `null` if there was none
 * @param joinedPlace its place in the order of a pool that it joins
 */
export function itemFor(
  tenant: Tenant,
  before: DedicatedIp | null,
  decision: Decision,
  plan: Plan | null,
  nowMs: number,
  joinedPlace = nowMs,
): Item {
  const { keys } = tenant;
  // Its address may belong to another IP by now, whose quota a late write would take away.
  if (before?.status === 'released') {
    throw conflict(`${before.address} was released; nothing about it can be changed`, { status: 'released' });
  }
  const ip = DedicatedIp.parse({ ...decision.ip, rev: (before?.rev ?? 0) + 1, updatedAtMs: nowMs });
  const run: Item['run'] = [['SET', keys.ip(ip.id), recordOf(ip.rev, ip)]];
  const dueMs = nextDueAt(ip, nowMs);
  run.push(dueMs === null ? ['ZREM', keys.due, ip.id] : ['ZADD', keys.due, dueMs, ip.id]);

  run.push(...indexChanges(tenant, before, ip));
  if (!before) {
    run.push(['HSET', keys.addresses, ip.address, ip.id], ['ZADD', keys.ips, ip.createdAtMs, ip.id]);
  }
  const oldPools = before?.pools ?? [];
  for (const pool of oldPools) if (!ip.pools.includes(pool)) run.push(['ZREM', keys.poolIps(pool), ip.id]);
  for (const pool of ip.pools) {
    if (!oldPools.includes(pool)) run.push(['ZADD', keys.poolIps(pool), joinedPlace, ip.id]);
  }
  for (const change of decision.changes) {
    const entry = JSON.stringify({
      at: new Date(nowMs).toISOString(),
      ipId: ip.id,
      address: ip.address,
      ...change,
    });
    run.push(
      inStream(tenant, entry),
      ['LPUSH', keys.history(ip.id), entry],
      ['LTRIM', keys.history(ip.id), 0, HISTORY_LENGTH - 1],
    );
  }

  const check: Item['check'] = [[keys.ip(ip.id), before?.rev ?? 0]];
  if (ip.status === 'released') {
    run.push(
      ['HDEL', keys.addresses, ip.address],
      ['ZREM', keys.ips, ip.id],
      ['DEL', keys.hot(ip.address), keys.quota(ip.address), keys.refunded(ip.id)],
      ['HSET', keys.returns, ip.id, ip.address],
    );
    return { check, run, publish: [] };
  }
  const quota = sendQuotaFor(ip, plan, nowMs);
  run.push(
    ['DEL', keys.quota(ip.address)],
    ['HSET', keys.quota(ip.address), ...publishedFields(ip, quota, nowMs)],
  );
  const { id, address, hostname, bind, pools } = ip;
  const texts = { id, address, hostname, bind, pools };
  return {
    check,
    run,
    publish: [
      {
        texts,
        quota,
        known: before !== null,
        was: before ? scopesOf(before) : [],
        scopes: scopesOf(ip),
      },
    ],
  };
}

/** In which lists by address an IP stands. One that was released is on its way out, and no longer on the account. */
function listsOf({ keys }: Tenant, ip: DedicatedIp): string[] {
  if (ip.status === 'cooldown' || ip.status === 'released') return [];
  const warming = ip.status === 'warming' ? [keys.warming] : [];
  return [keys.byAddress, ...warming, ...ip.subusers.map((id) => keys.subuserIps(id))];
}

function indexChanges(tenant: Tenant, before: DedicatedIp | null, ip: DedicatedIp): Item['run'] {
  const member = `${sortableAddress(ip.address)}:${ip.id}`;
  const was = before ? listsOf(tenant, before) : [];
  const is = listsOf(tenant, ip);
  return [
    ...was.filter((list) => !is.includes(list)).map((list) => ['ZREM', list, member]),
    ...is.filter((list) => !was.includes(list)).map((list) => ['ZADD', list, 0, member]),
  ];
}

/** The published quota as a hash that anybody can read. `-1` is unlimited; instants are ISO 8601 in UTC. */
function publishedFields(ip: DedicatedIp, quota: SendQuota, nowMs: number): (string | number)[] {
  const iso = (ms: number) => new Date(ms).toISOString();
  const fields: Record<string, string | number> = { ipId: ip.id, status: ip.status };
  if (quota.gate === 'closed') return Object.entries(fields).flat();
  if (ip.warmup) {
    fields.plan = ip.warmup.plan;
    if (ip.status === 'warming') fields.warmupDay = warmupDayAt({ ...ip, warmup: ip.warmup }, nowMs);
  }
  if (quota.heldUntilMs > 0)
    fields.heldUntil = Number.isFinite(quota.heldUntilMs) ? iso(quota.heldUntilMs) : 'resumed';
  Object.assign(fields, {
    from: iso(quota.fromMs),
    to: iso(quota.toMs),
    dailyLimit: quota.current.dailyLimit ?? -1,
    hourlyCap: quota.current.hourlyCap ?? -1,
    burst: quota.current.burst ?? -1,
    nextTo: iso(quota.edgesMs[0]!),
    nextDailyLimit: quota.next.dailyLimit ?? -1,
    nextHourlyCap: quota.next.hourlyCap ?? -1,
    nextBurst: quota.next.burst ?? -1,
    edges: quota.edgesMs.slice(1).map(iso).join(' '),
  });
  return Object.entries(fields).flat();
}
