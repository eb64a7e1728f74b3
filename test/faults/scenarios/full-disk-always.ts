import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../support/processes.ts';
import type { Scenario } from '../scenario.ts';
import { FILES_MAY_BE_FULL, fillDisk, needsPrlimit } from './full-disk.ts';
import { ALWAYS } from './kill-redis-always.ts';

/** With `always` Redis must not answer what it could not write, so it ends; whoever supervises it starts it again. */
export default {
  name: 'full-disk-always',
  title: 'the same with `always`: Redis ends, and is started again when there is room',
  stage: { config: ALWAYS, through: FILES_MAY_BE_FULL, senders: 2 },
  times: 10,
  mayLose: 'nothing',
  unavailable: needsPrlimit,
  arm:
    ({ redis }) =>
    async ({ isSample }) => {
      fillDisk(redis);
      await eventually('Redis ends, as its disk is full', () => redis.hasEnded());
      const begunMs = Date.now();
      await sleep(isSample ? 100 : 3_000);
      await redis.restart();
      return { begunMs, goneMs: Date.now() };
    },
} satisfies Scenario;
