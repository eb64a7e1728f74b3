/** For the operator's commands that ask Redis itself and no API: which Redis, and with which clock. Nothing is written. */
import { type Engine, randomId } from '../fleet/engine.ts';
import { connect, type RedisConnection } from '../redis/connect.ts';
import { clockKeys } from '../redis/keys.ts';
import { createScripts } from '../redis/scripts.ts';
import { type Config, ConfigError, readConfig } from '../runtime/config.ts';
import { readRedisJson } from '../runtime/embedded-redis.ts';
import { loadSchedules } from '../runtime/schedules.ts';
import { invalid, WarmlineError } from '../warmup/errors.ts';

export type Installation = {
  readonly redisUrl: string;
  readonly redis: RedisConnection;
  readonly engine: Engine;
  /** `null`: nothing was ever started on this Redis. */
  readonly clock: 'real' | 'test' | null;
  close(): void;
};

/** @throws WarmlineError: `invalid` for settings that make no sense, else in a sentence why there is none */
export async function openInstallation(): Promise<Installation> {
  const config = settings();
  const redisUrl =
    config.redisUrls.length > 0 ? config.redisUrls.join(',') : readRedisJson(config.dataDir)?.url;
  if (!redisUrl) {
    throw new WarmlineError(
      'conflict',
      `no Redis is named and none runs in ${config.dataDir}; set REDIS_URL, or start it with npm start`,
    );
  }
  const redis = await connect(redisUrl, { tls: config.redisTls ?? undefined }).catch((error: Error) => {
    throw new WarmlineError('conflict', error.message);
  });
  try {
    const clock = (await redis.get(clockKeys.mode)) as Installation['clock'];
    const engine: Engine = {
      scripts: createScripts(redis, { testClock: clock === 'test' }),
      book: await loadSchedules({ folder: config.schedulesDir }),
      cooldownMs: config.cooldownMs,
      newId: randomId,
    };
    return { redisUrl, redis, engine, clock, close: () => redis.disconnect() };
  } catch (error) {
    redis.disconnect();
    throw error;
  }
}

function settings(): Config {
  try {
    return readConfig();
  } catch (error) {
    if (error instanceof ConfigError) throw invalid('environment', error.problems.join(' '));
    throw error;
  }
}
