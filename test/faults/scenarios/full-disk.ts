import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { eventually } from '../../support/processes.ts';
import type { RedisServer } from '../../support/redis-server.ts';
import type { Scenario, Strike } from '../scenario.ts';
import type { Stage } from '../stage.ts';
import { EVERYSEC } from './kill-redis-everysec.ts';

/**
 * A small file system takes root; the largest size of a file is up to any user, and Redis sees the same, a `write` that fails.
 * The kernel would end the process first, so it is told to ignore that signal.
 */
export const FILES_MAY_BE_FULL = ['sh', '-c', 'trap "" XFSZ; exec "$@"', 'sh'];

/** Room for a few more takes, so that the disk is full in the middle of the load. */
const ROOM_BYTES = 20_000;

export function fillDisk({ dir, pid }: RedisServer): void {
  const folder = join(dir, 'appendonlydir');
  const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
  limitFiles(pid, String(Math.max(...sizes) + ROOM_BYTES));
}

export const makeRoom = ({ pid }: RedisServer) => limitFiles(pid, 'unlimited');

function limitFiles(pid: number, soft: string): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(pid), `--fsize=${soft}:`]);
  if (status !== 0) throw new Error(`prlimit could not set the largest size of a file: ${stderr}`);
}

export const needsPrlimit = () =>
  spawnSync('prlimit', ['--version']).status === 0
    ? null
    : 'A full disk is played with prlimit (util-linux), which this machine does not have.';

const fullDisk =
  ({ redis }: Stage): Strike =>
  async ({ isSample }) => {
    const watch = new Redis(redis.url);
    watch.on('error', () => {});
    try {
      fillDisk(redis);
      await eventually('Redis finds its disk full', async () =>
        /aof_last_write_status:err/.test(await watch.info('persistence')),
      );
      const begunMs = Date.now();
      await sleep(isSample ? 300 : 3_000);
      makeRoom(redis);
      return { begunMs, goneMs: Date.now() };
    } finally {
      watch.disconnect();
    }
  };

export default {
  name: 'full-disk',
  title: 'the disk of the append-only file is full for 3 s (`everysec`: Redis answers MISCONF)',
  stage: { config: EVERYSEC, through: FILES_MAY_BE_FULL, senders: 2 },
  times: 10,
  mayLose: 'nothing',
  unavailable: needsPrlimit,
  arm: fullDisk,
} satisfies Scenario;
