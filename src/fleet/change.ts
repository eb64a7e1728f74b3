/**
 * Load, decide, save: how every change of IPs is made. The decision is pure; the save names the revisions it was made
 * on, and when somebody else was faster everything is loaded and decided again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Item, transact } from '../redis/transact.ts';
import type { Decision } from '../warmup/decide.ts';
import { DedicatedIp, RECORD_VERSION } from '../warmup/dedicated-ip.ts';
import { notFound, WarmlineError } from '../warmup/errors.ts';
import { buildPlan, Plan, planDigest } from '../warmup/plan.ts';
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

/** @throws when the record was written by a later version: writing it back would drop what this one cannot read. */
export function parseIp(raw: string): DedicatedIp {
  const data = JSON.parse(raw) as { version?: number; id?: string };
  if ((data.version ?? 0) > RECORD_VERSION) {
    throw new Error(
      `the record of ${data.id} has version ${data.version}, this process writes ${RECORD_VERSION}; upgrade it to the version that runs elsewhere`,
    );
  }
  // The script that saves reads the revision from the front; of a record written by hand it would find none, for ever.
  const ip = DedicatedIp.parse(data);
  if (!raw.startsWith(`{"rev":${ip.rev},`)) {
    throw new Error(
      `the record of ${ip.id} does not begin with {"rev":${ip.rev}; write it back as it was, with rev first`,
    );
  }
  return ip;
}

/** @throws WarmlineError `not_found` */
export async function loadIp(tenant: Tenant, ipId: string): Promise<DedicatedIp> {
  const raw = await tenant.engine.scripts.redis.get(tenant.keys.ip(ipId));
  if (!raw) throw notFound(`there is no IP ${ipId} in this account`, 'ip');
  return parseIp(raw);
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
export async function loadIps({ engine, keys }: Tenant, ipIds: readonly string[]): Promise<DedicatedIp[]> {
  const ips: DedicatedIp[] = [];
  for (let at = 0; at < ipIds.length; at += LOADED_AT_ONCE) {
    const records = await engine.scripts.redis.mget(ipIds.slice(at, at + LOADED_AT_ONCE).map(keys.ip));
    for (const raw of records) if (raw) ips.push(parseIp(raw));
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

/**
 * Changes one IP. A decision without an effect writes nothing.
 * @param decide pure; sees the record and engine time
 */
export async function changeIp(
  tenant: Tenant,
  ipId: string,
  decide: (ip: DedicatedIp, nowMs: number) => Decision & { plan?: Plan; run?: (string | number)[][] },
): Promise<DedicatedIp> {
  const step = tenant.once?.step(`ip:${ipId}`);
  return retryWhenContended(async () => {
    if (await step?.done()) return loadIp(tenant, ipId);
    const [before, nowMs] = await Promise.all([loadIp(tenant, ipId), nowIn(tenant)]);
    const decision = decide(before, nowMs);
    if (decision.ip === before) return before;
    const plan = decision.plan ?? (await planOf(tenant, decision.ip));
    const item = itemFor(tenant, before, decision, plan, nowMs);
    item.run.push(...(decision.run ?? []));
    if (step) addMark(item, step.mark());
    const [applied] = await transact(tenant.engine.scripts, tenant.account, [item], { whole: true });
    return applied ? { ...decision.ip, rev: before.rev + 1, updatedAtMs: nowMs } : null;
  });
}
