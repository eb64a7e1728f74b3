import type { Scenario } from '../scenario.ts';
import { killRedis } from './kill-redis-always.ts';

/** Redis answers first; the disk has it within a second, or two when it is slow. */
export const EVERYSEC = [
  '--appendonly',
  'yes',
  '--appendfsync',
  'everysec',
  '--maxmemory-policy',
  'noeviction',
];

/** What `write` took is in the memory of the kernel, which outlives the process: only the machine itself can lose it. */
export default {
  name: 'kill-redis-everysec',
  title: '`kill -9` of Redis with `appendfsync everysec`, the machine goes on',
  stage: { config: EVERYSEC, senders: 2 },
  times: 10,
  mayLose: 'nothing',
  arm: killRedis,
} satisfies Scenario;
