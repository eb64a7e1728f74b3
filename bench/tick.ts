/**
 * How long does a tick over a whole fleet take? Against the plainest loop that writes as much: the same records, hashes and
 * sorted sets in pipelines, without a decision, a check or a script.
 */

import { itemFor } from '../src/fleet/save.ts';
import { advanceTo } from '../src/fleet/test-clock.ts';
import { tickUntilDone } from '../src/fleet/tick.ts';
import { transact } from '../src/redis/transact.ts';
import { create, startWarmup } from '../src/warmup/decide.ts';
import { buildPlan, DEFAULT_PLAN, planDigest } from '../src/warmup/plan.ts';
import { DAY_MS } from '../src/warmup/units.ts';
import { openStage } from './stage.ts';

const START_MS = Date.parse('2026-01-10T10:00:00Z');

export async function benchTick(sizes: readonly number[], step: (done: number, total: number) => void) {
  const results = [];
  const work = sizes.reduce((sum, size) => sum + 2 * size, 0);
  let done = 0;
  for (const size of sizes) {
    const stage = await openStage(START_MS);
    const { tenant, redis } = stage;
    const plan = buildPlan(DEFAULT_PLAN, stage.engine.book);
    await redis.set(tenant.keys.plan(planDigest(plan)), JSON.stringify(plan));
    const options = { zone: 'UTC', burst: null, dayStartsAt: 'start', startDay: 1 };
    for (let at = 0; at < size; at += 500) {
      const items = Array.from({ length: Math.min(500, size - at) }, (_, index) => {
        const number = at + index;
        const address = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
        const given = {
          id: `ip_bench${number}`,
          address,
          region: null,
          hostname: null,
          bind: null,
          leased: true,
        };
        const made = create({ ...given, status: 'provisioning' }, START_MS, 'bench');
        return itemFor(tenant, null, startWarmup(made.ip, plan, options, START_MS, 'bench'), plan, START_MS);
      });
      await transact(stage.scripts, tenant.account, items, { whole: false });
      done += items.length;
      step(done, work);
    }
    const usedBytes = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1]);
    await advanceTo(stage.engine, START_MS + DAY_MS, { work: false });

    const beganAt = performance.now();
    const { published } = await tickUntilDone(stage.engine, { onBatch: () => {} });
    const tickSeconds = (performance.now() - beganAt) / 1000;
    if (published !== size) throw new Error(`the tick published ${published} of ${size} IPs`);
    done += size;
    step(done, work);

    const plainSeconds = await plainLoop(stage, size);
    results.push({
      ips: size,
      tickSeconds,
      ipsPerSecond: Math.round(size / tickSeconds),
      plainSeconds,
      ratioToPlain: plainSeconds / tickSeconds,
      bytesPerIp: Math.round(usedBytes / size),
    });
    await stage.close();
  }
  return results;
}

/** Reads each record and writes record, hot record, quota hash, due work and its four index entries, 500 IPs a pipeline. */
async function plainLoop(
  { redis, tenant: { keys } }: Awaited<ReturnType<typeof openStage>>,
  size: number,
): Promise<number> {
  const ids = await redis.zrange(keys.due, '0', String(size - 1));
  const beganAt = performance.now();
  for (let at = 0; at < ids.length; at += 500) {
    const some = ids.slice(at, at + 500);
    const records = await redis.mget(some.map(keys.ip));
    const pipeline = redis.pipeline();
    records.forEach((record, index) => {
      const id = some[index]!;
      const { address } = JSON.parse(record!) as { address: string };
      pipeline.set(keys.ip(id), record!);
      pipeline.setrange(keys.hot(address), 64, Buffer.alloc(250));
      pipeline.del(keys.quota(address));
      pipeline.hset(
        keys.quota(address),
        Object.fromEntries(Array.from({ length: 14 }, (_, n) => [`field${n}`, '2026-01-10T10:00:00Z'])),
      );
      pipeline.zadd(keys.due, START_MS, id);
      pipeline.zadd(`${keys.prefix}ready:all:4`, index, address);
      pipeline.zadd(`${keys.prefix}turn:all:4`, index, address);
    });
    await pipeline.exec();
  }
  return (performance.now() - beganAt) / 1000;
}
