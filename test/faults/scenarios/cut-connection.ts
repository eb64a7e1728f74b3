import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../../support/processes.ts';
import type { Scenario } from '../scenario.ts';
import { ALWAYS } from './kill-redis-always.ts';

const CUTS = 10;

export default {
  name: 'cut-connection',
  title: `all connections break in the middle of an answer, ${CUTS} times in a row`,
  stage: { config: ALWAYS, relayed: true, senders: 2 },
  times: 5,
  mayLose: 'nothing',
  arm:
    ({ relay }) =>
    async ({ isSample, random }) => {
      const begunMs = Date.now();
      for (let cut = 0; cut < (isSample ? 2 : CUTS); cut += 1) {
        const before = relay!.cuts;
        relay!.cutNextAnswers();
        await eventually('a connection was cut', () => relay!.cuts > before);
        await sleep(50 + 100 * random());
      }
      return { begunMs, goneMs: Date.now() };
    },
} satisfies Scenario;
