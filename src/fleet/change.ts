/**
 * Load, decide, save: how every change of IPs is made. The decision is pure; the save names the revisions it was made
 * on, and when somebody else was faster everything is loaded and decided again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Item, transact } from '../redis/transact.ts';
import type { Change, Decision } from '../warmup/decide.ts';
import type { DedicatedIp } from '../warmup/dedicated-ip.ts';
import { notFound, WarmlineError } from '../warmup/errors.ts';
import { keepChange } from '../warmup/history.ts';
import { buildPlan, Plan, planDigest } from '../warmup/plan.ts';
import { readStoredIp } from '../warmup/stored-ip.ts';
import { type Engine, nowIn, type Tenant } from './engine.ts';
import { itemFor } from './save.ts';

/** Changes of one record that meet: each round one of them gets through, so this many may meet at once. */
const MOST_TRIES = 64;

/** @throws WarmlineError `contended` when others were faster `MOST_TRIES` times. */
export async function retryWhenContended<T>(attempt: () => Promise<T | null>): Promise<T> {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const result = await attempt();
    if (result !== null) return result;
    // Real time, a little and random, so that those who met do not meet again.
    await sleep(Math.random() * Math.min(50, 2 * (tries + 1)));
  }
  throw new WarmlineError('contended', 'too many changed the same IP at once; try again in a moment');
}

/** Records in the order of their ids, which are known to be there or `null`. */
export async function parseIps(
  { engine, keys }: Tenant,
  ipIds: readonly string[],
  texts: readonly (string | null)[],
): Promise<(DedicatedIp | Error | null)[]> {
  const ips = texts.map((text, index) => {
    try {
      return text === null ? null : readStoredIp(ipIds[index]!, text);
    } catch (error) {
      return error as Error;
    }
  });
  // The history of a record of version 1 stands in a list. Whoever writes the record takes it in and deletes the list.
  const older = ips.filter((ip): ip is DedicatedIp => ip !== null && 'version' in ip && ip.version === 1);
  await Promise.all(
    older.map(async (ip) => {
      const entries = await engine.scripts.redis.lrange(keys.history(ip.id), 0, -1);
      ip.history = entries.map((entry) => {
        const change = JSON.parse(entry) as Change & { at: string };
        return keepChange(ip.createdAtMs, Date.parse(change.at), change);
      });
    }),
  );
  return ips;
}

/** @throws what `readStoredIp` throws */
export async function parseIp(tenant: Tenant, ipId: string, text: string): Promise<DedicatedIp> {
  const [ip] = await parseIps(tenant, [ipId], [text]);
  if (ip instanceof Error) throw ip;
  return ip!;
}

/** @throws WarmlineError `not_found` */
export async function loadIp(tenant: Tenant, ipId: string): Promise<DedicatedIp> {
  const raw = await tenant.engine.scripts.redis.get(tenant.keys.ip(ipId));
  if (!raw) throw notFound(`there is no IP ${ipId} in this account`, 'ip');
  return parseIp(tenant, ipId, raw);
}

/** The id of an IP that is named by id or by canonical address. @throws WarmlineError `not_found` */
export async function findIpId(tenant: Tenant, ip: string): Promise<string> {
  if (ip.startsWith('ip_')) return ip;
  const id = await tenant.engine.scripts.redis.hget(tenant.keys.addresses, ip);
  if (!id) throw notFound(`there is no IP ${ip} in this account`, 'ip');
  return id;
}

/** Rows are named by their digest and never change, so they may be remembered; a fleet uses a handful. */
const plansByDigest = new Map<string, Plan>();

/** The rows that were in force at the start of an IP's warm-up. */
export async function planOf(tenant: Tenant, ip: DedicatedIp): Promise<Plan | null> {
  if (!ip.warmup) return null;
  const remembered = plansByDigest.get(ip.warmup.digest);
  if (remembered) return remembered;
  const raw = await tenant.engine.scripts.redis.get(tenant.keys.plan(ip.warmup.digest));
  if (!raw)
    throw new Error(
      `the rows of plan ${ip.warmup.plan} (${ip.warmup.digest}) are gone from Redis; restore a backup`,
    );
  const plan = Plan.parse(JSON.parse(raw));
  if (plansByDigest.size >= 1000) plansByDigest.clear();
  plansByDigest.set(ip.warmup.digest, plan);
  return plan;
}

/** Writes the rows of a plan together with the start that they are for. */
export const keepPlan = ({ keys }: Tenant, plan: Plan) => ({
  plan,
  run: [['SET', keys.plan(planDigest(plan)), JSON.stringify(plan)]],
});

/** The plan of a warm-up that begins by itself or through the v3 dialect. */
export const v3Plan = ({ book }: Engine): Plan => buildPlan('sendgrid-hourly', book);

/** Many IPs with few commands; those that are gone by now are left out. */
export async function loadIps(tenant: Tenant, ipIds: readonly string[]): Promise<DedicatedIp[]> {
  const { engine, keys } = tenant;
  const ips: DedicatedIp[] = [];
  for (let at = 0; at < ipIds.length; at += LOADED_AT_ONCE) {
    const some = ipIds.slice(at, at + LOADED_AT_ONCE);
    const records = await engine.scripts.redis.mget(some.map(keys.ip));
    for (const ip of await parseIps(tenant, some, records)) {
      if (ip instanceof Error) throw ip;
      if (ip) ips.push(ip);
    }
  }
  return ips;
}

/** About half a megabyte, and a few milliseconds of reading it. */
const LOADED_AT_ONCE = 500;

/** Refuses an item whose step was done before, and remembers it with the item. */
export function addMark(item: Item, { check, run }: Pick<Item, 'check' | 'run'>): void {
  item.check.push(...check);
  item.run.push(...run);
}

/** A decision with what is written beside the record, and what it depends on beside it. */
type WithMore = Decision & { plan?: Plan; run?: Item['run']; check?: Item['check'] };

/**
 * Changes one IP. A decision without an effect writes nothing.
 * @param decide sees the record and engine time, and is asked anew whenever somebody else was faster
 */
export async function changeIp(
  tenant: Tenant,
  ipId: string,
  decide: (ip: DedicatedIp, nowMs: number) => WithMore | Promise<WithMore>,
): Promise<DedicatedIp> {
  const step = tenant.once?.step(`ip:${ipId}`);
  return retryWhenContended(async () => {
    if (await step?.done()) return loadIp(tenant, ipId);
    const [before, nowMs] = await Promise.all([loadIp(tenant, ipId), nowIn(tenant)]);
    const decision = await decide(before, nowMs);
    if (decision.ip === before) return before;
    const plan = decision.plan ?? (await planOf(tenant, decision.ip));
    const item = itemFor(tenant, before, decision, plan, nowMs);
    item.run.push(...(decision.run ?? []));
    item.check.push(...(decision.check ?? []));
    if (step) addMark(item, step.mark());
    const [applied] = await transact(tenant.engine.scripts, tenant.account, [item], { whole: true });
    return applied ? { ...decision.ip, rev: before.rev + 1, updatedAtMs: nowMs } : null;
  });
}
