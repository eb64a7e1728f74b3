import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { eventually } from '../../support/processes.ts';
import { startRedisServer } from '../../support/redis-server.ts';
import { startRelay } from '../relay.ts';
import type { Scenario, Strike } from '../scenario.ts';
import type { Stage } from '../stage.ts';
import { ALWAYS } from './kill-redis-always.ts';

/** A replica that is well hears of a write within this time, on a machine that is busy. */
const REPLICATES_WITHIN_MS = 250;

/**
 * The master dies, its replica becomes one, and the relay, which stands for an address that moves, leads there. What had not
 * reached the replica is gone. `lagMs`: for so long before the end the replica hears nothing.
 */
export const promote =
  (lagMs: (random: number) => number) =>
  async (stage: Stage): Promise<Strike> => {
    const link = await startRelay(stage.redis.port);
    const heir = await startRedisServer({
      config: [...ALWAYS, '--replicaof', '127.0.0.1', String(link.port), '--repl-diskless-sync-delay', '0'],
    });
    const redis = new Redis(heir.url);
    redis.on('error', () => {});
    await eventually('the replica has everything', async () =>
      /master_link_status:up/.test(await redis.info('replication')),
    );
    return async ({ random }) => {
      const behindMs = lagMs(random());
      const forgetsFromMs = Date.now() - REPLICATES_WITHIN_MS;
      if (behindMs > 0) {
        link.stall();
        await sleep(behindMs);
      }
      const begunMs = Date.now();
      await stage.redis.kill9();
      await redis.replicaof('NO', 'ONE');
      stage.relay!.moveTo(heir.port);
      const goneMs = Date.now();
      redis.disconnect();
      link.stop();
      await stage.replaceRedis(heir);
      return { begunMs, goneMs, forgetsFromMs };
    };
  };

export default {
  name: 'promote-replica',
  title: 'the master dies, its replica takes over',
  stage: { config: ALWAYS, relayed: true, senders: 2 },
  times: 10,
  mayLose: 'measured',
  arm: promote(() => 0),
} satisfies Scenario;
