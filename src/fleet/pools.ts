/**
 * Pools: names for groups of IPs. A change of a pool and of its IPs is one script. A pool's hold is kept on each of its
 * IPs, so that everything about an IP can be told from its own record.
 */
import { packNew, packPublished } from '../redis/hot-record.ts';
import { type Item, transact } from '../redis/transact.ts';
import * as decide from '../warmup/decide.ts';
import { type Ceiling, type DedicatedIp, type Hold, NO_CEILING } from '../warmup/dedicated-ip.ts';
import { conflict, invalid, notFound } from '../warmup/errors.ts';
import type { WindowLimits } from '../warmup/quota.ts';
import { DAY_MS } from '../warmup/units.ts';
import { loadIp, planOf, retryWhenContended } from './change.ts';
import { nowOf, type Tenant } from './engine.ts';
import { checkCeiling, type HoldRequest } from './ips.ts';
import { MOST_IPS_PER_POOL, Pool } from './pool.ts';
import { itemFor, recordOf } from './save.ts';

const MOST_POOLS = 100;

/** 1 to 64 code points, no leading space or period. @throws WarmlineError `invalid` (param `name`) */
export function checkPoolName(name: string): string {
  const length = [...name].length;
  if (length < 1 || length > 64) {
    throw invalid('name', `the name has ${length} characters; a pool's name has 1 to 64`);
  }
  if (/^[ .]/.test(name))
    throw invalid('name', `"${name}" begins with a space or a period; begin with another character`);
  return name;
}

export async function createPool(
  tenant: Tenant,
  {
    name,
    isDefault = false,
    warmingShare = 1,
    ceiling = NO_CEILING,
  }: {
    name: string;
    isDefault?: boolean | undefined;
    warmingShare?: number | undefined;
    ceiling?: Ceiling | undefined;
  },
): Promise<Pool> {
  checkPoolName(name);
  if (!(warmingShare >= 0 && warmingShare <= 1)) {
    throw invalid('warmingShare', `warmingShare is ${warmingShare}; it must be from 0 to 1`);
  }
  checkCeiling(ceiling);
  const { engine, keys, account } = tenant;
  const { redis } = engine.scripts;
  const id = engine.newId('pool');
  return retryWhenContended(async () => {
    const [nowMs, taken, count, counter] = await Promise.all([
      nowOf(engine),
      redis.hget(keys.poolNames, name),
      redis.zcard(keys.pools),
      redis.get(keys.account),
    ]);
    if (taken) throw conflict(`there is a pool "${name}" already; choose another name`);
    if (count >= MOST_POOLS) throw conflict(`an account has at most ${MOST_POOLS} pools; delete one first`);
    const pool: Pool = {
      rev: 1,
      id,
      name,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      warmingShare,
      ceiling,
      hold: null,
    };
    const item: Item = {
      // The account's own record is written with each new pool, so that two of one name, or the 101st, meet.
      check: [
        [keys.pool(id), 0],
        [keys.account, revOf(counter)],
      ],
      run: [
        ['SET', keys.account, JSON.stringify({ rev: revOf(counter) + 1 })],
        ['SET', keys.pool(id), recordOf(1, pool)],
        ['HSET', keys.poolNames, name, id],
        ['ZADD', keys.pools, nowMs, id],
        ...(isDefault ? [['SET', keys.defaultPool, id]] : []),
        changeEntry(tenant, nowMs, {
          what: 'pool',
          from: null,
          to: name,
          because: 'the pool was created',
          by: tenant.by,
        }),
      ],
      publish: [],
    };
    // Before the pool, so that there is no moment in which it is not limited; nobody reads it until the pool exists.
    await writeGate(tenant, pool, nowMs);
    const [applied] = await transact(engine.scripts, account, [item], { whole: true });
    if (applied) return pool;
    await redis.del(keys.gate(id));
    return null;
  });
}

const revOf = (raw: string | null) => (raw ? (JSON.parse(raw) as { rev: number }).rev : 0);

function changeEntry({ keys }: Tenant, nowMs: number, change: decide.Change): string[] {
  const entry = JSON.stringify({ at: new Date(nowMs).toISOString(), ...change });
  return ['XADD', keys.changes, 'MAXLEN', '~', '100000', '*', 'change', entry];
}

/** Finds a pool by id or by its exact name. @throws WarmlineError `not_found` */
export async function getPool(tenant: Tenant, pool: string): Promise<Pool> {
  const { redis } = tenant.engine.scripts;
  const raw =
    (await redis.get(tenant.keys.pool(pool))) ??
    (await redis.get(tenant.keys.pool((await redis.hget(tenant.keys.poolNames, pool)) ?? '-')));
  if (!raw) throw notFound(`there is no pool "${pool}" in this account`, 'pool');
  return Pool.parse(JSON.parse(raw));
}

export type PoolDescription = Pool & { ipCount: number; isDefault: boolean };

export async function listPools(tenant: Tenant): Promise<PoolDescription[]> {
  const ids = await tenant.engine.scripts.redis.zrange(tenant.keys.pools, '0', String(MOST_POOLS - 1));
  return Promise.all(ids.map(async (id) => describePool(tenant, await getPool(tenant, id))));
}

/** A pool with what its record does not say: how many IPs it has, and whether it is the default. */
export async function describePool({ engine, keys }: Tenant, pool: Pool): Promise<PoolDescription> {
  const { redis } = engine.scripts;
  const [ipCount, defaultPool] = await Promise.all([
    redis.zcard(keys.poolIps(pool.id)),
    redis.get(keys.defaultPool),
  ]);
  return { ...pool, ipCount, isDefault: pool.id === defaultPool };
}

/**
 * Changes a pool together with some of its IPs: one script, whole or not at all.
 * @param members ids of the IPs that change with it
 */
async function changePool(
  tenant: Tenant,
  poolName: string,
  plan: (
    pool: Pool,
    nowMs: number,
  ) => Promise<{
    pool: Pool;
    members: string[];
    decideIp: (ip: DedicatedIp) => decide.Decision;
    changes: decide.Change[];
  } | null>,
): Promise<{ pool: Pool; ips: DedicatedIp[] }> {
  const { engine, keys, account } = tenant;
  return retryWhenContended(async () => {
    const [before, nowMs] = await Promise.all([getPool(tenant, poolName), nowOf(engine)]);
    const wanted = await plan(before, nowMs);
    if (!wanted) return { pool: before, ips: [] };
    const after = { ...wanted.pool, rev: before.rev + 1, updatedAtMs: nowMs };
    const ips = await Promise.all(wanted.members.map((id) => loadIp(tenant, id)));
    const decisions = ips.map((ip) => ({ before: ip, decision: wanted.decideIp(ip) }));
    const changed = decisions.filter((one) => one.decision.ip !== one.before);
    const items = await Promise.all(
      changed.map(async ({ before: ip, decision }) =>
        itemFor(tenant, ip, decision, await planOf(tenant, decision.ip), nowMs),
      ),
    );
    const own: Item = {
      check: [[keys.pool(before.id), before.rev]],
      run: [
        ['SET', keys.pool(before.id), recordOf(after.rev, after)],
        ...wanted.changes.map((change) => changeEntry(tenant, nowMs, change)),
      ],
      publish: [],
    };
    const results = await transact(engine.scripts, account, [own, ...items], { whole: true });
    return results.every(Boolean) ? { pool: after, ips: decisions.map(({ decision }) => decision.ip) } : null;
  });
}

/** Puts an IP into a pool; if it is there already nothing changes. */
export const addIpToPool = (tenant: Tenant, poolName: string, ipId: string): Promise<DedicatedIp> =>
  joinPool(tenant, poolName, ipId, (ip) => ({ ip, changes: [] }));

/** Puts an IP into a pool and out of all others, in one step: at no moment is it in none of them or in two. */
export const moveIpToPool = (tenant: Tenant, poolName: string, ipId: string): Promise<DedicatedIp> =>
  joinPool(tenant, poolName, ipId, (ip, pool, nowMs) =>
    ip.pools
      .filter((id) => id !== pool.id)
      .reduce<decide.Decision>(
        (left, id) => {
          const { ip: out, changes } = decide.leavePool(left.ip, id, nowMs, tenant.by);
          return { ip: out, changes: [...left.changes, ...changes] };
        },
        { ip, changes: [] },
      ),
  );

/** @param before what happens to the IP before it joins */
async function joinPool(
  tenant: Tenant,
  poolName: string,
  ipId: string,
  before: (ip: DedicatedIp, pool: Pool, nowMs: number) => decide.Decision,
): Promise<DedicatedIp> {
  const { redis } = tenant.engine.scripts;
  const { ips } = await changePool(tenant, poolName, async (pool, nowMs) => {
    const count = await redis.zcard(tenant.keys.poolIps(pool.id));
    return {
      pool,
      members: [ipId],
      changes: [],
      decideIp: (ip) => {
        if (!ip.pools.includes(pool.id) && count >= MOST_IPS_PER_POOL) {
          throw conflict(
            `pool "${pool.name}" has ${count} IPs; ${MOST_IPS_PER_POOL} is the most a pool can have`,
          );
        }
        const left = before(ip, pool, nowMs);
        const joined = decide.joinPool(left.ip, pool, 'the IP joined the pool', nowMs, tenant.by);
        return { ip: joined.ip, changes: [...left.changes, ...joined.changes] };
      },
    };
  });
  return ips[0]!;
}

/** Takes an IP out of a pool. @throws WarmlineError `not_found` when it is not in it. */
export async function removeIpFromPool(tenant: Tenant, poolName: string, ipId: string): Promise<DedicatedIp> {
  const { ips } = await changePool(tenant, poolName, async (pool, nowMs) => ({
    pool,
    members: [ipId],
    changes: [],
    decideIp: (ip) => {
      if (!ip.pools.includes(pool.id)) throw notFound(`${ip.address} is not in pool "${pool.name}"`, 'ip');
      return decide.leavePool(ip, pool.id, nowMs, tenant.by);
    },
  }));
  return ips[0]!;
}

/** Stops mail or progress of every IP of a pool at once, also of those that join it later. */
export async function holdPool(tenant: Tenant, poolName: string, request: HoldRequest): Promise<Pool> {
  const { pool } = await changePool(tenant, poolName, async (pool, nowMs) => {
    // Its IPs would say the same, but a pool may have none.
    decide.checkHold(request, nowMs);
    const hold: Hold = { ...request, scope: pool.id, by: tenant.by, sinceMs: nowMs };
    return {
      pool: { ...pool, hold },
      members: await membersOf(tenant, pool.id),
      decideIp: (ip) => decide.hold(ip, hold, nowMs),
      changes: [{ what: 'hold', from: pool.hold, to: hold, because: hold.because, by: tenant.by }],
    };
  });
  return pool;
}

export async function resumePool(tenant: Tenant, poolName: string): Promise<Pool> {
  const { pool } = await changePool(tenant, poolName, async (pool, nowMs) =>
    pool.hold === null
      ? null
      : {
          pool: { ...pool, hold: null },
          members: await membersOf(tenant, pool.id),
          decideIp: (ip) => decide.resume(ip, pool.id, nowMs, tenant.by),
          changes: [{ what: 'hold', from: pool.hold, to: null, because: 'resumed', by: tenant.by }],
        },
  );
  return pool;
}

/** Ids of a pool's IPs in the order in which they joined. */
export const membersOf = ({ engine, keys }: Tenant, poolId: string): Promise<string[]> =>
  engine.scripts.redis.zrange(keys.poolIps(poolId), '0', String(MOST_IPS_PER_POOL - 1));

/** A pool's own limits count in days from midnight UTC and their hours. */
async function writeGate({ engine, keys }: Tenant, pool: Pool, nowMs: number): Promise<void> {
  const { perDay, perHour } = pool.ceiling;
  if (pool.warmingShare === 1 && perDay === null && perHour === null) return;
  const head = Buffer.alloc(32);
  head.writeDoubleLE(pool.warmingShare, 0);
  const limits: WindowLimits = {
    dailyLimit: perDay,
    hourlyCap: perHour,
    burst: null,
    dailyByCeiling: true,
    hourlyByCeiling: true,
  };
  const fromMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
  const toMs = fromMs + DAY_MS;
  const counter =
    perDay === null && perHour === null
      ? Buffer.alloc(0)
      : packNew(
          packPublished(
            { gate: 'active', heldUntilMs: 0, fromMs, toMs, current: limits, next: limits, edgesMs: [] },
            { id: pool.id, address: '', hostname: null, bind: null, pools: [] },
          ),
        );
  await engine.scripts.redis.set(keys.gate(pool.id), Buffer.concat([head, counter]));
}
