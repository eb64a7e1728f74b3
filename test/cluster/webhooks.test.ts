import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { takeCensus } from '../../src/fleet/census.ts';
import type { Engine, Tenant } from '../../src/fleet/engine.ts';
import { bringIps } from '../../src/fleet/inventory.ts';
import { startWarmup } from '../../src/fleet/ips.ts';
import { createWebhook, deliveriesOf, listWebhooks } from '../../src/fleet/webhooks.ts';
import { createLimiter } from '../../src/redis/limiter.ts';
import { startWebhooks } from '../../src/worker/webhooks.ts';
import { eventually } from '../support/processes.ts';
import { type RedisCluster, startRedisCluster } from '../support/redis-cluster.ts';
import { isSigned, type Receiver, startReceiver } from '../support/webhook-receiver.ts';
import { accountOn, openEngine } from './support.ts';

// Webhooks and metrics of accounts that live on different masters of a real cluster.

let cluster: RedisCluster;
let engine: Engine;
let tenants: Tenant[];
let receiver: Receiver;
beforeAll(async () => {
  [cluster, receiver] = await Promise.all([startRedisCluster(), startReceiver()]);
  engine = await openEngine(cluster.url);
  tenants = [];
  for (const node of cluster.nodes.slice(0, 3)) tenants.push(await accountOn(cluster, engine, node));
});
afterAll(async () => {
  engine?.scripts.redis.disconnect();
  await receiver?.close();
  await cluster?.stop();
});

test('each account is told of its own changes and quotas, wherever it lives', async () => {
  const worker = await startWebhooks({
    engine,
    redisUrl: cluster.url,
    log: pino({ level: 'silent' }),
    allowPrivate: true,
    changesEveryMs: 50,
    quotasEveryMs: 50,
  });
  try {
    const secrets: string[] = [];
    for (const [index, tenant] of tenants.entries()) {
      const { secret } = await createWebhook(
        tenant,
        { url: `${receiver.url}/${index}`, events: ['ip.status_changed', 'ip.quota_used'] },
        { allowPrivate: true },
      );
      secrets.push(secret);
      const [ip] = await bringIps(tenant, { addresses: [`192.0.2.${index}`], status: 'provisioning' });
      await startWarmup(tenant, ip!.id, { plan: 'fourteen-day' });
      await createLimiter(engine.scripts, tenant.account).take({ ip: ip!.address, count: 40 });
    }
    await eventually('nine events came', () => receiver.received.length >= 9);
    for (const [index, tenant] of tenants.entries()) {
      const theirs = receiver.received.filter(({ path }) => path === `/hooks/${index}`);
      expect(theirs.map(({ event }) => event.data.to ?? event.data.percent).sort()).toEqual([
        80,
        'provisioning',
        'warming',
      ]);
      expect(theirs.every(({ event }) => event.accountId === tenant.account.id)).toBe(true);
      expect(theirs.every((one) => isSigned(one, secrets[index]!))).toBe(true);
      const [webhook] = await listWebhooks(tenant);
      expect(await deliveriesOf(tenant, webhook!.id, 100)).toHaveLength(3);
    }
    const { byAccount } = await takeCensus(engine);
    const warm = byAccount.filter(({ ips }) => ips.warming > 0);
    expect(warm).toHaveLength(tenants.length);
    for (const { ips, quota } of warm) {
      expect([ips.warming, quota.warming.day.used, quota.warming.day.left]).toEqual([1, 40, 10]);
    }
  } finally {
    await worker.stop();
  }
});
