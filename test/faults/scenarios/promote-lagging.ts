import type { Scenario } from '../scenario.ts';
import { ALWAYS } from './kill-redis-always.ts';
import { promote } from './promote-replica.ts';

export default {
  name: 'promote-lagging',
  title: 'the same, and the replica was 0.1 to 1 s behind',
  stage: { config: ALWAYS, relayed: true, senders: 2 },
  times: 10,
  mayLose: 'measured',
  arm: promote((random) => 100 + 900 * random),
} satisfies Scenario;
