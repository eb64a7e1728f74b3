import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Scenario } from '../scenario.ts';
import { ALWAYS } from './kill-redis-always.ts';

export default {
  name: 'full-memory',
  title: '`maxmemory` is reached for 3 s (Redis answers OOM)',
  stage: { config: ALWAYS, senders: 2 },
  times: 10,
  mayLose: 'nothing',
  arm:
    ({ redis }) =>
    async ({ isSample }) => {
      const watch = new Redis(redis.url);
      watch.on('error', () => {});
      try {
        const used = /used_memory:(\d+)/.exec(await watch.info('memory'))![1]!;
        const begunMs = Date.now();
        // The buffers of a busy Redis come and go; a little below what it holds is always too little.
        await watch.config('SET', 'maxmemory', String(Math.round(Number(used) * 0.8)));
        const refused = await watch.set('one-more', 'x').catch((error: Error) => error.message);
        if (!refused?.startsWith('OOM')) throw new Error(`Redis found room where none should be: ${refused}`);
        await sleep(isSample ? 300 : 3_000);
        await watch.config('SET', 'maxmemory', '0');
        return { begunMs, goneMs: Date.now() };
      } finally {
        watch.disconnect();
      }
    },
} satisfies Scenario;
