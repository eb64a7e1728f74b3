import { setTimeout as sleep } from 'node:timers/promises';
import type { Scenario } from '../scenario.ts';
import { ALWAYS } from './kill-redis-always.ts';

const LATER_MS = 150;

export default {
  name: 'slow-connection',
  title: `the network is slow for 5 s: ${2 * LATER_MS} ms for each round trip`,
  stage: { config: ALWAYS, relayed: true, senders: 2 },
  times: 5,
  mayLose: 'nothing',
  arm:
    ({ relay }) =>
    async ({ isSample }) => {
      const begunMs = Date.now();
      relay!.delay(LATER_MS);
      await sleep(isSample ? 700 : 5_000);
      relay!.delay(0);
      return { begunMs, goneMs: Date.now() };
    },
} satisfies Scenario;
