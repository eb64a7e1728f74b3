import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../scenario.ts';
import { EVERYSEC } from './kill-redis-everysec.ts';

/** As long as Redis may be behind with its disk before it makes everybody wait. */
const MOST_BEHIND_MS = 2_000;

/**
 * A machine that fails loses what its disk did not have yet. No test can cut the power, so Redis starts again from a copy of
 * its append-only folder that is up to two seconds older than the kill.
 */
export default {
  name: 'machine-fails-everysec',
  title: 'the machine fails with `appendfsync everysec`: the last 0.1 to 2 s of the file are gone',
  stage: { config: EVERYSEC, senders: 2 },
  times: 10,
  mayLose: 'measured',
  arm: ({ redis }) => {
    const folder = join(redis.dir, 'appendonlydir');
    return async ({ isSample, random }) => {
      const behindMs = isSample ? 200 : 100 + random() * (MOST_BEHIND_MS - 100);
      const forgetsFromMs = Date.now();
      cpSync(folder, `${folder}.then`, { recursive: true });
      await sleep(behindMs);
      const begunMs = Date.now();
      await redis.kill9();
      rmSync(folder, { recursive: true });
      cpSync(`${folder}.then`, folder, { recursive: true });
      rmSync(`${folder}.then`, { recursive: true });
      await redis.restart();
      return { begunMs, goneMs: Date.now(), forgetsFromMs };
    };
  },
} satisfies Scenario;
