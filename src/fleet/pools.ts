/**
 * Pools: names for groups of IPs. A change of a pool and of its IPs is one script. A pool's hold is kept on each of its
 * IPs, so that everything about an IP can be told from its own record.
 */
import { packNew, packPublished, unpackFence } from '../redis/hot-record.ts';
import { type Item, transact } from '../redis/transact.ts';
import type { Fence } from '../warmup/counter.ts';
import * as decide from '../warmup/decide.ts';
import { type Ceiling, type DedicatedIp, type Hold, NO_CEILING } from '../warmup/dedicated-ip.ts';
import { conflict, invalid, notFound, WarmlineError } from '../warmup/errors.ts';
import type { WindowLimits } from '../warmup/quota.ts';
import { DAY_MS } from '../warmup/units.ts';
import { addMark, loadIp, loadIps, planOf, retryWhenContended } from './change.ts';
import { nextNumber, nowIn, type Tenant } from './engine.ts';
import { checkCeiling, type HoldRequest } from './ips.ts';
import { MOST_IPS_PER_POOL, Pool } from './pool.ts';
import { itemFor, recordChange, recordOf } from './save.ts';

const MOST_POOLS = 100;

/** 1 to 64 code points, no leading space or period. @throws WarmlineError `invalid` (param `name`) */
export function checkPoolName(name: string): string {
  const length = [...name].length;
  if (length < 1 || length > 64) {
    throw invalid('name', `the name has ${length} characters; a pool's name has 1 to 64`);
  }
  if (/\p{Cs}/u.test(name)) throw invalid('name', 'the name has half a character in it; write it anew');
  if (/^[ .]/.test(name))
    throw invalid('name', `"${name}" begins with a space or a period; begin with another character`);
  return name;
}

export type NewPool = {
  name: string;
  isDefault?: boolean | undefined;
  warmingShare?: number | undefined;
  ceiling?: Ceiling | undefined;
  /** Ids of the IPs that join it, in this order. All of them, or there is no pool. */
  ips?: readonly string[] | undefined;
};

export async function createPool(
  tenant: Tenant,
  { name, isDefault = false, warmingShare = 1, ceiling = NO_CEILING, ips: named = [] }: NewPool,
): Promise<Pool> {
  checkPoolName(name);
  if (!(warmingShare >= 0 && warmingShare <= 1)) {
    throw invalid('warmingShare', `warmingShare is ${warmingShare}; it must be from 0 to 1`);
  }
  checkCeiling(ceiling);
  const ipIds = [...new Set(named)];
  if (ipIds.length > MOST_IPS_PER_POOL) throw tooManyIps(name, 0);
  const { engine, keys, account } = tenant;
  const { redis } = engine.scripts;
  const id = engine.newId('pool');
  let number = 0;
  return retryWhenContended(async () => {
    const [nowMs, taken, count, counter, ips] = await Promise.all([
      nowIn(tenant),
      redis.hget(keys.poolNames, name),
      redis.zcard(keys.pools),
      redis.get(keys.account),
      Promise.all(ipIds.map((ipId) => loadIp(tenant, ipId))),
    ]);
    // An earlier attempt of the same request made it.
    if (taken === id) return getPool(tenant, id);
    if (taken) throw nameTaken(name);
    if (count >= MOST_POOLS) {
      throw conflict(`an account has at most ${MOST_POOLS} pools; delete one first`, {
        reason: 'too_many_pools',
      });
    }
    number ||= await nextNumber(engine);
    const pool: Pool = {
      rev: 1,
      id,
      number,
      name,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      warmingShare,
      ceiling,
      hold: null,
      lastPlace: nowMs + ips.length,
    };
    const joining = await Promise.all(
      ips.map(async (ip, index) => {
        const decision = decide.joinPool(ip, pool, 'the pool was created with it', nowMs, tenant.by);
        return itemFor(tenant, ip, decision, await planOf(tenant, ip), nowMs, nowMs + 1 + index);
      }),
    );
    const before = isDefault ? await redis.get(keys.defaultPool) : null;
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
        ['HSET', keys.poolNumbers, number, id],
        ['ZADD', keys.pools, nowMs, id],
        ...(isDefault ? [['SET', keys.defaultPool, id]] : []),
        recordChange(tenant, nowMs, {
          what: 'pool',
          from: null,
          to: name,
          because: 'the pool was created',
          by: tenant.by,
        }),
        ...(isDefault ? [recordChange(tenant, nowMs, defaultChange(before, id, tenant.by))] : []),
      ],
      publish: [],
    };
    // Before the pool, so that there is no moment in which it is not limited; nobody reads it until the pool exists.
    await writeGate(tenant, pool, nowMs);
    const applied = await transact(engine.scripts, account, [item, ...joining], { whole: true });
    if (applied.every(Boolean)) return pool;
    if ((await redis.exists(keys.pool(id))) === 0) await redis.del(keys.gate(id));
    return null;
  });
}

const nameTaken = (name: string) =>
  new WarmlineError('conflict', `there is a pool "${name}" already; choose another name`, {
    param: 'name',
    details: { reason: 'name_taken' },
  });

const tooManyIps = (name: string, count: number) =>
  conflict(`pool "${name}" has ${count} IPs; ${MOST_IPS_PER_POOL} is the most a pool can have`, {
    reason: 'pool_full',
    pool: name,
    ipCount: count,
  });

const defaultChange = (from: string | null, to: string | null, by: string): decide.Change => ({
  what: 'defaultPool',
  from,
  to,
  because: 'set by the operator',
  by,
});

/** The revision of a record that may not be there: 0. */
export const revOf = (raw: string | null) => (raw ? (JSON.parse(raw) as { rev: number }).rev : 0);

/** Finds a pool by id or by its exact name; by number, when it is given as one. @throws WarmlineError `not_found` */
export async function getPool(tenant: Tenant, pool: string | number): Promise<Pool> {
  const { keys } = tenant;
  const { redis } = tenant.engine.scripts;
  const raw =
    typeof pool === 'number'
      ? await redis.get(keys.pool((await redis.hget(keys.poolNumbers, String(pool))) ?? '-'))
      : ((await redis.get(keys.pool(pool))) ??
        (await redis.get(keys.pool((await redis.hget(keys.poolNames, pool)) ?? '-'))));
  if (!raw) throw notFound(`there is no pool "${pool}" in this account`, 'pool');
  return Pool.parse(JSON.parse(raw));
}

/** The pool of an exact name, whatever ids there are; `null` if there is none. */
export async function findPoolByName({ engine, keys }: Tenant, name: string): Promise<Pool | null> {
  const { redis } = engine.scripts;
  const id = await redis.hget(keys.poolNames, name);
  const raw = id ? await redis.get(keys.pool(id)) : null;
  return raw ? Pool.parse(JSON.parse(raw)) : null;
}

export type PoolDescription = Pool & { ipCount: number; isDefault: boolean };

export async function listPools(tenant: Tenant): Promise<PoolDescription[]> {
  const pools = await allPools(tenant);
  return Promise.all(pools.map((pool) => describePool(tenant, pool)));
}

/** The records of all pools, in the order of their creation. */
export async function allPools({ engine, keys }: Tenant): Promise<Pool[]> {
  const { redis } = engine.scripts;
  const ids = await redis.zrange(keys.pools, '0', String(MOST_POOLS - 1));
  const records = ids.length === 0 ? [] : await redis.mget(ids.map(keys.pool));
  return records
    .flatMap((raw) => (raw ? [Pool.parse(JSON.parse(raw))] : []))
    .sort((a, b) => a.createdAtMs - b.createdAtMs || a.number - b.number);
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
    members: readonly string[];
    decideIp: (ip: DedicatedIp) => decide.Decision;
    changes: decide.Change[];
    /** Whether something of all pools changes too (names, the default): then the account's own record is written. */
    ofAccount?: { run: Item['run'] };
    isDeleted?: boolean;
  } | null>,
): Promise<{ pool: Pool; ips: DedicatedIp[] }> {
  const { engine, keys, account } = tenant;
  const step = tenant.once?.step(`pool:${poolName}`);
  return retryWhenContended(async () => {
    const done = await step?.done();
    if (done) return { pool: await getPool(tenant, poolName), ips: await loadIps(tenant, done) };
    // The account's record first: what is read after it and checked with it has not changed in between.
    const counter = revOf(await engine.scripts.redis.get(keys.account));
    const [before, nowMs] = await Promise.all([getPool(tenant, poolName), nowIn(tenant)]);
    const wanted = await plan(before, nowMs);
    if (!wanted) return { pool: before, ips: [] };
    const ips = await Promise.all(wanted.members.map((id) => loadIp(tenant, id)));
    const decisions = ips.map((ip) => ({ before: ip, decision: wanted.decideIp(ip) }));
    const changed = decisions.filter((one) => one.decision.ip !== one.before);
    const firstPlace = Math.max(nowMs, before.lastPlace + 1);
    const items = await Promise.all(
      changed.map(async ({ before: ip, decision }, index) =>
        itemFor(tenant, ip, decision, await planOf(tenant, decision.ip), nowMs, firstPlace + index),
      ),
    );
    const after = {
      ...wanted.pool,
      rev: before.rev + 1,
      updatedAtMs: nowMs,
      lastPlace: firstPlace + changed.length,
    };
    const { ofAccount } = wanted;
    const own: Item = {
      check: [
        [keys.pool(before.id), before.rev],
        ...(ofAccount ? [[keys.account, counter] as [string, number]] : []),
      ],
      run: [
        ...(wanted.isDeleted ? [] : [['SET', keys.pool(before.id), recordOf(after.rev, after)]]),
        ...(ofAccount ? [['SET', keys.account, JSON.stringify({ rev: counter + 1 })], ...ofAccount.run] : []),
        ...wanted.changes.map((change) => recordChange(tenant, nowMs, change)),
      ],
      publish: [],
    };
    if (step) addMark(own, step.mark(wanted.members));
    const results = await transact(engine.scripts, account, [own, ...items], { whole: true });
    return results.every(Boolean) ? { pool: after, ips: decisions.map(({ decision }) => decision.ip) } : null;
  });
}

/** Changes the name of a pool, or whether it is the default, or both in one step. At most one pool is the default. */
export async function updatePool(
  tenant: Tenant,
  poolName: string,
  { name, isDefault }: { name?: string | undefined; isDefault?: boolean | undefined },
  named?: string,
): Promise<Pool> {
  if (name !== undefined) checkPoolName(name);
  const { keys, by } = tenant;
  const { redis } = tenant.engine.scripts;
  const { pool } = await changePool(tenant, poolName, async (before) => {
    checkStillNamed(before, named);
    const [holder, defaultPool] = await Promise.all([
      name === undefined ? null : redis.hget(keys.poolNames, name),
      redis.get(keys.defaultPool),
    ]);
    if (name !== undefined && holder && holder !== before.id) throw nameTaken(name);
    const run: Item['run'] = [];
    const changes: decide.Change[] = [];
    if (name !== undefined && name !== before.name) {
      run.push(['HDEL', keys.poolNames, before.name], ['HSET', keys.poolNames, name, before.id]);
      changes.push({ what: 'pool', from: before.name, to: name, because: 'the pool was renamed', by });
    }
    if (isDefault !== undefined && isDefault !== (defaultPool === before.id)) {
      run.push(isDefault ? ['SET', keys.defaultPool, before.id] : ['DEL', keys.defaultPool]);
      changes.push(defaultChange(defaultPool, isDefault ? before.id : null, by));
    }
    if (run.length === 0) return null;
    return {
      pool: { ...before, name: name ?? before.name },
      members: [],
      decideIp: (ip) => ({ ip, changes: [] }),
      changes,
      ofAccount: { run },
    };
  });
  return pool;
}

/** Who names a pool does not mean the one that somebody else has renamed in the meantime. */
function checkStillNamed(pool: Pool, named: string | undefined): void {
  if (named !== undefined && pool.name !== named) {
    throw notFound(`there is no pool "${named}" in this account`, 'pool');
  }
}

/**
 * Its number, its IPs and their order stay. Its own name again changes nothing.
 * @param named what it must still be called
 */
export const renamePool = (tenant: Tenant, poolName: string, name: string, named?: string): Promise<Pool> =>
  updatePool(tenant, poolName, { name }, named);

/** Makes a pool the default in the place of the one that was, or leaves the account without one. */
export const setDefaultPool = (tenant: Tenant, poolName: string, isDefault: boolean): Promise<Pool> =>
  updatePool(tenant, poolName, { isDefault });

/**
 * Its IPs leave it, and from under its hold; they stay on the account.
 * @param named what it must still be called
 */
export async function deletePool(tenant: Tenant, poolName: string, named?: string): Promise<void> {
  const { keys, by } = tenant;
  const { redis } = tenant.engine.scripts;
  await changePool(tenant, poolName, async (pool, nowMs) => {
    checkStillNamed(pool, named);
    const because = 'the pool was deleted';
    const wasDefault = (await redis.get(keys.defaultPool)) === pool.id;
    return {
      pool,
      members: await membersOf(tenant, pool.id),
      decideIp: (ip) =>
        ip.pools.includes(pool.id) ? decide.leavePool(ip, pool.id, nowMs, by, because) : { ip, changes: [] },
      changes: [
        { what: 'pool', from: pool.name, to: null, because, by },
        ...(wasDefault ? [{ ...defaultChange(pool.id, null, by), because }] : []),
      ],
      isDeleted: true,
      ofAccount: {
        run: [
          ['DEL', keys.pool(pool.id), keys.gate(pool.id), keys.leases(pool.id)],
          ['HDEL', keys.poolNames, pool.name],
          ['HDEL', keys.poolNumbers, pool.number],
          ['ZREM', keys.pools, pool.id],
          ...(wasDefault ? [['DEL', keys.defaultPool]] : []),
        ],
      },
    };
  });
}

/** Puts an IP into a pool; if it is there already nothing changes. */
export async function addIpToPool(tenant: Tenant, poolName: string, ipId: string): Promise<DedicatedIp> {
  const { ips } = await addIpsToPool(tenant, poolName, [ipId]);
  return ips[0]!;
}

/** Puts IPs into a pool, all of them or none; those that are in it already are no error and count once. */
export const addIpsToPool = (tenant: Tenant, poolName: string, ipIds: readonly string[]) =>
  joinPool(tenant, poolName, ipIds, (ip) => ({ ip, changes: [] }));

/** Puts an IP into a pool and out of all others, in one step: at no moment is it in none of them or in two. */
export async function moveIpToPool(tenant: Tenant, poolName: string, ipId: string): Promise<DedicatedIp> {
  const { ips } = await joinPool(tenant, poolName, [ipId], (ip, pool, nowMs) =>
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
  return ips[0]!;
}

/** @param before what happens to an IP before it joins */
async function joinPool(
  tenant: Tenant,
  poolName: string,
  ipIds: readonly string[],
  before: (ip: DedicatedIp, pool: Pool, nowMs: number) => decide.Decision,
): Promise<{ pool: Pool; ips: DedicatedIp[] }> {
  return changePool(tenant, poolName, async (pool, nowMs) => {
    const present = new Set(await membersOf(tenant, pool.id));
    const members = [...new Set(ipIds)];
    const newcomers = members.filter((id) => !present.has(id)).length;
    if (newcomers > 0 && present.size + newcomers > MOST_IPS_PER_POOL) {
      throw tooManyIps(pool.name, present.size);
    }
    return {
      pool,
      members,
      changes: [],
      decideIp: (ip) => {
        const left = before(ip, pool, nowMs);
        const joined = decide.joinPool(left.ip, pool, 'the IP joined the pool', nowMs, tenant.by);
        return { ip: joined.ip, changes: [...left.changes, ...joined.changes] };
      },
    };
  });
}

/** Takes an IP out of a pool. @throws WarmlineError `not_found` when it is not in it. */
export async function removeIpFromPool(tenant: Tenant, poolName: string, ipId: string): Promise<DedicatedIp> {
  const { ips } = await removeIpsFromPool(tenant, poolName, [ipId]);
  return ips[0]!;
}

/** Takes IPs out of a pool, all of them or none. @throws WarmlineError `not_found` when one is not in it. */
export const removeIpsFromPool = (tenant: Tenant, poolName: string, ipIds: readonly string[]) =>
  changePool(tenant, poolName, async (pool, nowMs) => ({
    pool,
    members: [...new Set(ipIds)],
    changes: [],
    decideIp: (ip) => {
      if (!ip.pools.includes(pool.id)) throw notFound(`${ip.address} is not in pool "${pool.name}"`, 'ip');
      return decide.leavePool(ip, pool.id, nowMs, tenant.by);
    },
  }));

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

/**
 * What the pool itself limits, as takes read it (layout in `lua/pool.lua`); `null` when that is nothing. Its limits count in days
 * from midnight UTC and their hours.
 */
export function packGate(
  { id, warmingShare, ceiling: { perDay, perHour } }: Pick<Pool, 'id' | 'warmingShare' | 'ceiling'>,
  nowMs: number,
  fence: Fence | null,
): Buffer | null {
  const isCeiling = perDay !== null || perHour !== null;
  if (warmingShare === 1 && !isCeiling) return null;
  const head = Buffer.alloc(32);
  head.writeDoubleLE(warmingShare, 0);
  if (!isCeiling) return head;
  const limits: WindowLimits = {
    dailyLimit: perDay,
    hourlyCap: perHour,
    burst: null,
    dailyByCeiling: true,
    hourlyByCeiling: true,
  };
  const fromMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
  const toMs = fromMs + DAY_MS;
  const published = packPublished(
    { gate: 'active', heldUntilMs: 0, fromMs, toMs, current: limits, next: limits, edgesMs: [] },
    { id, address: '', hostname: null, bind: null, pools: [] },
  );
  return Buffer.concat([head, packNew(published, fence)]);
}

async function writeGate({ engine, keys }: Tenant, pool: Pool, nowMs: number): Promise<void> {
  const { perDay, perHour } = pool.ceiling;
  const counts = perDay !== null || perHour !== null;
  const fence = counts ? unpackFence(await engine.scripts.redis.getBuffer(keys.fence)) : null;
  const gate = packGate(pool, nowMs, fence);
  if (gate) await engine.scripts.redis.set(keys.gate(pool.id), gate);
}
