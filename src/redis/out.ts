/** Is Redis out? What a command fails with when nobody answers it, or a Redis that is there but cannot serve. */
import type { RedisConnection } from './connect.ts';

/**
 * Errors of the connection, and of a Redis that is loading, a replica, full, or out of disk.
 * @param redis none where it failed before there was one to go on with
 */
export function redisIsOut(error: unknown, redis?: RedisConnection): boolean {
  if (!(error instanceof Error)) return false;
  const { name, message } = error;
  const { code } = error as NodeJS.ErrnoException;
  return (
    name === 'MaxRetriesPerRequestError' ||
    /^(Connection is closed|Stream isn't writeable|Command timed out|Socket closed|Too many Cluster redirections)/.test(
      message,
    ) ||
    /^(LOADING|READONLY|MASTERDOWN|BUSY|TRYAGAIN|CLUSTERDOWN|NOREPLICAS|OOM|MISCONF|NOAUTH)\b/.test(
      message,
    ) ||
    ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(code ?? '') ||
    (redis !== undefined && redis.status !== 'ready')
  );
}
