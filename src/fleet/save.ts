/**
 * From a decision to what is written: the record with its next revision, the published quota, the due work, the stream of
 * changes and the indexes, as one item of one atomic script.
 */
import { tellingEdges } from '../redis/hot-record.ts';
import type { Item } from '../redis/transact.ts';
import { sortableAddress } from '../warmup/address.ts';
import { type Change, type Decision, nextDueAt } from '../warmup/decide.ts';
import { DedicatedIp, RECORD_VERSION } from '../warmup/dedicated-ip.ts';
import { conflict } from '../warmup/errors.ts';
import { withChanges } from '../warmup/history.ts';
import type { Plan } from '../warmup/plan.ts';
import { warmupDayAt } from '../warmup/progress.ts';
import { type SendQuota, sendQuotaFor } from '../warmup/quota.ts';
import { storedIp } from '../warmup/stored-ip.ts';
import { HOUR_MS } from '../warmup/units.ts';
import type { Tenant } from './engine.ts';

/** The account's stream keeps about this many changes: years for most, and a bound for all. */
const STREAM_LENGTH = 100_000;

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

/** The record of a pool or of the account: `rev` first, so that the script can read it without parsing the rest. */
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
  const ip = DedicatedIp.parse({
    ...decision.ip,
    version: RECORD_VERSION,
    rev: (before?.rev ?? 0) + 1,
    updatedAtMs: nowMs,
    history: withChanges(decision.ip, nowMs, decision.changes),
  });
  const run: Item['run'] = [['SET', keys.ip(ip.id), storedIp(ip)], dueCommand(tenant, ip, nowMs)];
  if (before?.version === 1) run.push(['DEL', keys.history(ip.id)]);
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
    run.push(inStream(tenant, entry));
  }

  const check: Item['check'] = [[keys.ip(ip.id), before?.rev ?? 0]];
  if (ip.status === 'released') {
    run.push(
      ['HDEL', keys.addresses, ip.address],
      ['ZREM', keys.ips, ip.id],
      ['DEL', keys.hot(ip.address), keys.quota(ip.address), keys.refunded(ip.id)],
      ['DEL', keys.returned(ip.id), keys.leases(ip.address)],
      ['HSET', keys.returns, ip.id, ip.address],
    );
    return { check, run, publish: [] };
  }
  return { check, run, publish: [publication(tenant, before, ip, plan, nowMs, run)] };
}

/** Publishes the quota of an IP whose record stays as it is, unless somebody else has changed it meanwhile. */
export function republish(tenant: Tenant, ip: DedicatedIp, plan: Plan | null, nowMs: number): Item {
  const run = [dueCommand(tenant, ip, nowMs)];
  return {
    check: [[tenant.keys.ip(ip.id), ip.rev]],
    run,
    publish: [publication(tenant, ip, ip, plan, nowMs, run)],
  };
}

function dueCommand({ keys }: Tenant, ip: DedicatedIp, nowMs: number): (string | number)[] {
  const dueMs = nextDueAt(ip, nowMs);
  return dueMs === null ? ['ZREM', keys.due, ip.id] : ['ZADD', keys.due, dueMs, ip.id];
}

/** The quota for the script to publish. The hash that anybody can read is written by a command of `run`. */
function publication(
  { keys }: Tenant,
  before: DedicatedIp | null,
  ip: DedicatedIp,
  plan: Plan | null,
  nowMs: number,
  run: Item['run'],
): Item['publish'][number] {
  const quota = sendQuotaFor(ip, plan, nowMs);
  const { id, address, hostname, bind, pools } = ip;
  run.push(['DEL', keys.quota(address)], ['HSET', keys.quota(address), ...publishedFields(ip, quota, nowMs)]);
  return {
    texts: { id, address, hostname, bind, pools },
    quota,
    known: before !== null,
    was: before ? scopesOf(before) : [],
    scopes: scopesOf(ip),
  };
}

/** In which lists by address an IP stands. One that was released is on its way out, and no longer on the account. */
function listsOf({ keys }: Tenant, ip: DedicatedIp): string[] {
  if (ip.status === 'cooldown' || ip.status === 'released') return [];
  const ofStatus = ip.status === 'active' ? [] : [keys[ip.status]];
  return [keys.byAddress, ...ofStatus, ...ip.subusers.map((id) => keys.subuserIps(id))];
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

/**
 * The published quota as a hash that anybody can read. `-1` is unlimited; instants are ISO 8601 in UTC. Redis keeps a hash
 * packed while no value is longer than 64 bytes: so it takes 250 bytes and not 1 000. What follows from the rest is left out.
 */
function publishedFields(ip: DedicatedIp, quota: SendQuota, nowMs: number): (string | number)[] {
  const fields: (string | number)[] = ['ipId', ip.id, 'status', ip.status];
  if (quota.gate === 'closed') return fields;
  if (ip.status === 'warming' && ip.warmup) {
    fields.push('warmupDay', warmupDayAt({ ...ip, warmup: ip.warmup }, nowMs));
  }
  if (quota.heldUntilMs > 0) {
    fields.push('heldUntil', Number.isFinite(quota.heldUntilMs) ? iso(quota.heldUntilMs) : 'resumed');
  }
  const { current, next } = quota;
  fields.push('from', iso(quota.fromMs), 'to', iso(quota.toMs));
  fields.push('dailyLimit', current.dailyLimit ?? -1, 'hourlyCap', current.hourlyCap ?? -1);
  // Rarely another one than the whole hourly cap.
  if (current.burst !== current.hourlyCap) fields.push('burst', current.burst ?? -1);
  fields.push('nextDailyLimit', next.dailyLimit ?? -1, 'nextHourlyCap', next.hourlyCap ?? -1);
  if (next.burst !== next.hourlyCap) fields.push('nextBurst', next.burst ?? -1);
  const edgesMs = tellingEdges(quota);
  if (edgesMs.length > 0) {
    const hours = edgesMs.map((toMs, index) => (toMs - (edgesMs[index - 1] ?? quota.toMs)) / HOUR_MS);
    fields.push('nextHours', hours.join(' '));
  }
  return fields;
}

/** Without milliseconds when there are none. */
const iso = (ms: number) => new Date(ms).toISOString().replace('.000Z', 'Z');
