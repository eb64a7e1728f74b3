/**
 * How often a key may ask: so many requests in a minute, counted in Redis for all API processes together, on real time. The
 * counting is a library's (rate-limiter-flexible: one small script, no dependency, and a limiter in memory for when Redis
 * is out); @fastify/rate-limit would write `X-RateLimit-Reset` as seconds to wait, where clients read an instant.
 *
 * Senders ask for quota before every send, so those routes are not counted.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Engine } from '../fleet/engine.ts';
import { connectionLike } from '../redis/connect.ts';
import { RATE_LIMIT_PREFIX } from '../redis/keys.ts';
import { speaksV3 } from './dialect.ts';
import { HttpProblem } from './errors.ts';

const WINDOW_SECONDS = 60;
/** A Redis that hangs holds up no request for longer: this process then counts by itself. */
const ANSWERS_WITHIN_MS = 200;

const EXEMPT = /^\/v1\/(quota|test-clock)(\/|$)/;

/** @param perMinute 0: no limit. To be called after the door, which says whose key it is. */
export async function limitRequests(app: FastifyInstance, engine: Engine, perMinute: number): Promise<void> {
  if (perMinute === 0) return;
  // A connection of its own, which gives up early; no quota is ever debited on it.
  const redis = connectionLike(engine.scripts.redis, {
    commandTimeout: ANSWERS_WITHIN_MS,
    connectTimeout: 1_000,
    enableOfflineQueue: false,
  });
  redis.on('error', () => {});
  // Where it cannot connect, now or later, this process counts by itself until it can.
  await redis.connect().catch(() => {});
  app.addHook('onClose', async () => redis.disconnect());

  const limits = { points: perMinute, duration: WINDOW_SECONDS };
  const limiter = new RateLimiterRedis({
    ...limits,
    storeClient: redis,
    keyPrefix: RATE_LIMIT_PREFIX,
    rejectIfRedisNotReady: true,
    insuranceLimiter: new RateLimiterMemory({ ...limits, keyPrefix: RATE_LIMIT_PREFIX }),
  });

  app.addHook('onRequest', async (request, reply) => {
    if (!request.caller || isExempt(request)) return;
    const { isOver, left, resetMs } = await ask(limiter, request.caller.keyId);
    showLimit(reply, perMinute, left, resetMs);
    if (isOver) throw tooMany(request, perMinute, resetMs);
  });
}

const isExempt = ({ routeOptions }: FastifyRequest) =>
  routeOptions.config.scope === 'nobody' || EXEMPT.test(routeOptions.url ?? '');

async function ask(limiter: RateLimiterRedis, keyId: string) {
  const answer = await limiter.consume(keyId).then(
    (granted) => ({ isOver: false, ...pick(granted) }),
    (refused: unknown) => {
      if (refused instanceof RateLimiterRes) return { isOver: true, ...pick(refused) };
      throw refused;
    },
  );
  return answer;
}

const pick = ({ remainingPoints, msBeforeNext }: RateLimiterRes) => ({
  left: remainingPoints,
  resetMs: Math.max(0, msBeforeNext),
});

/** The headers that clients of both dialects read, and those of the IETF's draft. */
function showLimit(reply: FastifyReply, perMinute: number, left: number, resetMs: number): void {
  const seconds = Math.ceil(resetMs / 1000);
  reply.headers({
    'x-ratelimit-limit': perMinute,
    'x-ratelimit-remaining': left,
    'x-ratelimit-reset': Math.ceil((Date.now() + resetMs) / 1000),
    'ratelimit-policy': `"key";q=${perMinute};w=${WINDOW_SECONDS}`,
    ratelimit: `"key";r=${left};t=${seconds}`,
  });
}

function tooMany(request: FastifyRequest, perMinute: number, resetMs: number): HttpProblem {
  const seconds = Math.max(1, Math.ceil(resetMs / 1000));
  const message = speaksV3(request)
    ? 'too many requests'
    : `this key may ask ${perMinute} times a minute; try again in ${seconds} s`;
  return new HttpProblem(429, 'rate_limit', message, { 'retry-after': String(seconds) });
}
