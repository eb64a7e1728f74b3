import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../scenario.ts';
import { ALWAYS } from './kill-redis-always.ts';

/** Twice the time after which a sender gives up on an answer. What it had asked is done all the same once Redis goes on. */
const FROZEN_MS = 10_000;

export default {
  name: 'frozen-redis',
  title: `Redis is frozen for ${FROZEN_MS / 1_000} s (SIGSTOP) and then does what it had been asked`,
  stage: { config: ALWAYS, senders: 2 },
  times: 5,
  mayLose: 'nothing',
  arm:
    ({ redis }) =>
    async ({ isSample }) => {
      const begunMs = Date.now();
      process.kill(redis.pid, 'SIGSTOP');
      try {
        await sleep(isSample ? 500 : FROZEN_MS);
      } finally {
        process.kill(redis.pid, 'SIGCONT');
      }
      return { begunMs, goneMs: Date.now() };
    },
} satisfies Scenario;
