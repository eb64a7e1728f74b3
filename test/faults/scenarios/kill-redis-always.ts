import type { Scenario, Strike } from '../scenario.ts';
import type { Stage } from '../stage.ts';

/** As the embedded Redis and the compose file set it: Redis answers when the disk has it. */
export const ALWAYS = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'];

export const killRedis =
  ({ redis }: Stage): Strike =>
  async () => {
    const begunMs = Date.now();
    await redis.kill9();
    await redis.restart();
    return { begunMs, goneMs: Date.now() };
  };

export default {
  name: 'kill-redis-always',
  title: '`kill -9` of Redis with `appendfsync always`, started again from its file',
  stage: { config: ALWAYS, senders: 2 },
  times: 50,
  mayLose: 'nothing',
  arm: killRedis,
} satisfies Scenario;
