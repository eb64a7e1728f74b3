import type { Scenario } from '../scenario.ts';
import cutConnection from './cut-connection.ts';
import frozenRedis from './frozen-redis.ts';
import fullDisk from './full-disk.ts';
import fullDiskAlways from './full-disk-always.ts';
import fullMemory from './full-memory.ts';
import killProcesses from './kill-processes.ts';
import killRedisAlways from './kill-redis-always.ts';
import killRedisEverysec from './kill-redis-everysec.ts';
import machineFailsEverysec from './machine-fails-everysec.ts';
import promoteLagging from './promote-lagging.ts';
import promoteReplica from './promote-replica.ts';
import slowConnection from './slow-connection.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...[killRedisAlways, killRedisEverysec, machineFailsEverysec, killProcesses],
  ...[promoteReplica, promoteLagging, fullDisk, fullDiskAlways, fullMemory],
  ...[frozenRedis, slowConnection, cutConnection],
];
