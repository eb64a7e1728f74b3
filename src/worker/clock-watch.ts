/**
 * Quotas go by the clock of Redis. Stepping back refills nothing twice; stepping forward opens windows early, which no
 * record can see. So it is compared with a clock that never steps, and a step is reported.
 *
 * What cannot be taken back is not done on a clock that has just jumped ahead: a warm-up that ends lifts all limits. The
 * worker then rests for a while, in which a mistaken clock is usually set right; senders do not notice, since the next
 * days are published.
 */
import type { Logger } from 'pino';
import type { Engine } from '../fleet/engine.ts';

/** Far more than a slow answer, and far less than anybody's hour. */
const STEP_MS = 5_000;
/** A jump of this size or more may end warm-ups and cooldowns that are not over. */
const JUMP_MS = 3_600_000;
/** NTP daemons set a wrong clock right within minutes of finding it wrong. */
const REST_MS = 600_000;

export type ClockCheck = {
  /** How far the clock of Redis moved on its own since the last look, in ms; 0 for less than five seconds. */
  steppedMs: number;
  /** False while the worker should rest, after a jump ahead. */
  trusted: boolean;
};

/**
 * @param time engine-independent: the clock of Redis in ms
 * @param steady a clock that never steps, in ms
 * @returns a check to be called before each tick; it logs a step once
 */
export function watchClock(
  log: Pick<Logger, 'error' | 'info'>,
  time: () => Promise<number>,
  steady: () => number = () => performance.now(),
): () => Promise<ClockCheck> {
  let last: { redisMs: number; steadyMs: number } | null = null;
  let restsUntilMs: number | null = null;
  return async () => {
    const before = steady();
    const redisMs = await time();
    const steadyMs = (before + steady()) / 2;
    const moved = last ? redisMs - last.redisMs - (steadyMs - last.steadyMs) : 0;
    const steppedMs = Math.abs(moved) < STEP_MS ? 0 : Math.round(moved);
    last = { redisMs, steadyMs };

    if (steppedMs >= JUMP_MS) restsUntilMs = steadyMs + REST_MS;
    else if (steppedMs < 0) restsUntilMs = null; // set right again
    if (steppedMs > 0) {
      const rest = restsUntilMs === null ? '' : `; no IP is advanced for ${REST_MS / 60_000} minutes`;
      log.error(
        { steppedMs },
        `the clock of Redis stepped forward: windows opened early${rest}; check the clock of its machine and what was sent since`,
      );
    } else if (steppedMs < 0) {
      log.error(
        { steppedMs },
        'the clock of Redis stepped back: nothing is refilled until it has caught up; check the clock of its machine',
      );
    }
    const trusted = restsUntilMs === null || steadyMs >= restsUntilMs;
    if (trusted && restsUntilMs !== null) {
      restsUntilMs = null;
      log.info('the clock of Redis kept its new time; IPs are advanced again');
    }
    return { steppedMs, trusted };
  };
}

/** The clock of Redis in ms, also where a test clock rules the engine. */
export const redisTime =
  ({ scripts }: Engine) =>
  async (): Promise<number> => {
    const [seconds, micros] = await scripts.redis.time();
    return Number(seconds) * 1000 + Number(micros) / 1000;
  };
