/**
 * Quotas go by the clock of Redis. Stepping back refills nothing twice; stepping forward opens windows early, which no
 * record can see. So it is compared with a clock that never steps, and a step is reported.
 */
import type { Logger } from 'pino';
import type { Engine } from '../fleet/engine.ts';

/** Far more than a slow answer, and far less than anybody's hour. */
const STEP_MS = 5_000;

/** @returns a check to be called now and then; it logs a step once. */
export function watchClock(engine: Engine, log: Logger): () => Promise<void> {
  let last: { redisMs: number; steadyMs: number } | null = null;
  return async () => {
    const before = performance.now();
    const [seconds, micros] = await engine.scripts.redis.time();
    const steadyMs = (before + performance.now()) / 2;
    const redisMs = Number(seconds) * 1000 + Number(micros) / 1000;
    const steppedMs = last ? redisMs - last.redisMs - (steadyMs - last.steadyMs) : 0;
    last = { redisMs, steadyMs };
    if (Math.abs(steppedMs) < STEP_MS) return;
    const [way, effect] =
      steppedMs > 0
        ? ['forward', 'windows opened early; check the clock of the Redis machine and what was sent since']
        : ['back', 'nothing is refilled until the clock has caught up; check the clock of the Redis machine'];
    log.error({ steppedMs: Math.round(steppedMs) }, `the clock of Redis stepped ${way}: ${effect}`);
  };
}
