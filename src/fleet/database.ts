/**
 * What a database is: with the clock of Redis or with a test clock, decided by the first start and never changed. The two
 * do not mix, because a quota that was spent on a test clock says nothing about real mail.
 */
import { Cluster } from 'ioredis';
import type { RedisConnection } from '../redis/connect.ts';
import { clockKeys } from '../redis/keys.ts';

/** @throws one sentence that says which of the two it is and what to do. */
export async function openDatabase(
  redis: RedisConnection,
  testClockMs: number | null,
): Promise<{ testClock: boolean }> {
  if (testClockMs !== null && redis instanceof Cluster) {
    throw new Error(
      'WARMLINE_TEST_CLOCK is set, but this is a Redis Cluster, and a test clock needs a single Redis; unset it, or name a single Redis',
    );
  }
  const wanted = testClockMs === null ? 'real' : 'test';
  // The time first: a test clock without a time would stop every script.
  if (wanted === 'test' && (await redis.get(clockKeys.mode)) === null)
    await redis.setnx(clockKeys.now, String(testClockMs));
  await redis.setnx(clockKeys.mode, wanted);
  const mode = await redis.get(clockKeys.mode);
  if (mode === 'test' && wanted === 'real') {
    throw new Error(
      'this database was made with a test clock and must not decide about real mail; set WARMLINE_TEST_CLOCK to go on with it, or use another database',
    );
  }
  if (mode === 'real' && wanted === 'test') {
    throw new Error(
      'WARMLINE_TEST_CLOCK is set, but this database runs on the real clock; unset it, or use an empty database',
    );
  }
  return { testClock: mode === 'test' };
}
