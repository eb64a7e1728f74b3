/** The pools of a backup. Their IPs are there already, and say themselves whether they are still in them. */
import { type Item, transact } from '../../redis/transact.ts';
import { conflict } from '../../warmup/errors.ts';
import { DAY_MS, HOUR_MS } from '../../warmup/units.ts';
import { loadIps, retryWhenContended } from '../change.ts';
import { nowIn, type Tenant } from '../engine.ts';
import { packGate, revOf } from '../pools.ts';
import { recordOf } from '../save.ts';
import type { Attempt } from './attempt.ts';
import { AGAIN, type LineOf } from './format.ts';

export async function restorePools(
  tenant: Tenant,
  attempt: Attempt,
  pools: readonly LineOf<'pool'>[],
): Promise<void> {
  for (const pool of pools) await retryWhenContended(() => restorePool(tenant, attempt, pool));
}

/** @returns `null` when somebody has changed the account meanwhile */
async function restorePool(
  tenant: Tenant,
  attempt: Attempt,
  { pool, ips, isDefault }: LineOf<'pool'>,
): Promise<true | null> {
  await attempt.check();
  const { engine, account, keys } = tenant;
  const { redis } = engine.scripts;
  const [nowMs, counter, there, holder] = await Promise.all([
    nowIn(tenant),
    redis.get(keys.account),
    redis.exists(keys.pool(pool.id)),
    redis.hget(keys.poolNames, pool.name),
  ]);
  // Since an attempt before, and perhaps it was changed.
  if (there === 1) return true;
  if (holder !== null) {
    throw conflict(`a pool "${pool.name}" was made here meanwhile; rename or delete it, and ${AGAIN}`);
  }
  // One that was released or taken out since an attempt before is in it no more.
  const placeOf = new Map(ips);
  const members = (await loadIps(tenant, [...placeOf.keys()])).filter((ip) => ip.pools.includes(pool.id));
  const gate = usedUpGate(pool, nowMs);
  if (gate) await redis.set(keys.gate(pool.id), gate);
  const item: Item = {
    check: [
      attempt.stillOurs(),
      [keys.account, revOf(counter)],
      [keys.pool(pool.id), 0],
      ...members.map(({ id, rev }): [string, number] => [keys.ip(id), rev]),
    ],
    run: [
      // So that whoever makes a pool of that name, or the last that there may be, meets this.
      ['SET', keys.account, JSON.stringify({ rev: revOf(counter) + 1 })],
      ['SET', keys.pool(pool.id), recordOf(pool.rev, pool)],
      ['HSET', keys.poolNames, pool.name, pool.id],
      ...(pool.number > 0 ? [['HSET', keys.poolNumbers, pool.number, pool.id]] : []),
      ['ZADD', keys.pools, pool.createdAtMs, pool.id],
      ...(members.length > 0
        ? [['ZADD', keys.poolIps(pool.id), ...members.flatMap(({ id }) => [placeOf.get(id)!, id])]]
        : []),
      // Another that was made the default here meanwhile stays it.
      ...(isDefault ? [['SETNX', keys.defaultPool, pool.id]] : []),
    ],
    publish: [],
  };
  const [applied] = await transact(engine.scripts, account, [item], { whole: true });
  return applied ? true : null;
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
