/**
 * Connections, each with the settings that its use needs. One that debits quota never sends a command again whose outcome
 * is unknown: ioredis does so by default after a reconnect, and one call would then cost two debits.
 */
import { Redis, type RedisOptions } from 'ioredis';

/** Reconnects quickly and for ever: 50 ms, doubling to 1 s. (ioredis 6 would wait up to 5 s.) */
const retryStrategy = (times: number) => Math.min(50 * 2 ** Math.min(times, 10), 1000);

const COMMON = { retryStrategy, connectTimeout: 5_000 } satisfies RedisOptions;

/**
 * For everything but the queue. An unanswered command fails at once when the connection breaks, and after 5 s when it
 * hangs; whoever took counts it as spent, and whoever changed something looks whether it was done.
 */
export async function connect(url: string): Promise<Redis> {
  if (!/^rediss?:\/\//.test(url ?? '')) {
    throw new Error('no Redis is named; give its URL (example: redis://127.0.0.1:6379)');
  }
  const redis = new Redis(url, {
    ...COMMON,
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    commandTimeout: 5_000,
  });
  // A broken connection shows in the command that it fails; without a listener ioredis would print each attempt.
  let cause: Error | undefined;
  redis.on('error', (error: Error) => {
    cause = error;
  });
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    // ioredis rejects with "Connection is closed"; why it was closed comes by the event.
    const { message } = cause ?? (error as Error);
    throw new Error(`cannot reach Redis at ${hideSecrets(url)} (${message}); is it running?`);
  }
  return redis;
}

/** For BullMQ, which retries for ever by itself and must never share a connection that debits. */
export function connectForQueue(url: string): Redis {
  const redis = new Redis(url, { ...COMMON, maxRetriesPerRequest: null });
  redis.on('error', () => {});
  return redis;
}

/** A URL that may be shown: without its password. */
export const hideSecrets = (url: string) => url.replace(/\/\/[^@/]*@/, '//…@');
