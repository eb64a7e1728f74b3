/**
 * Quotas go by the clock of Redis. Stepping back refills nothing twice; stepping forward opens windows early, which no
 * record can see. So it is compared with a clock that never steps, and a step is reported.
 *
 * What cannot be taken back is not done on a clock that has just jumped ahead: a warm-up that ends lifts all limits. The
 * worker then rests for a while, in which a mistaken clock is usually set right; senders do not notice, since the next
 * days are published.
 */
import { Cluster, type Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Engine } from '../fleet/engine.ts';
import type { RedisConnection } from '../redis/connect.ts';

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

/**
 * The same for the clocks that rule an engine: of its one Redis, or of every master of its cluster. A clock is known by the
 * first slot that it rules, so a replica that takes over with another time is seen as the step that it is for its accounts.
 */
export function watchClocks(
  log: Pick<Logger, 'error' | 'info' | 'child'>,
  engine: Engine,
): () => Promise<ClockCheck> {
  const { redis } = engine.scripts;
  const watched = new Map<string, Watch>();
  return async () => {
    const checks: Promise<ClockCheck>[] = [];
    for (const [name, clock] of clocksOf(redis)) {
      const known = watched.get(name);
      if (known) known.clock = clock;
      const watch: Watch = known ?? {
        clock,
        check: watchClock(log.child({ redis: name }), () => timeOf(watch.clock)),
      };
      watched.set(name, watch);
      // A master that is away rules nothing; the others must not wait for it.
      checks.push(redis instanceof Cluster ? watch.check().catch(() => ALL_WELL) : watch.check());
    }
    const all = await Promise.all(checks);
    return {
      // A step back is what has to be acted on.
      steppedMs: Math.min(...all.map(({ steppedMs }) => steppedMs)),
      trusted: all.every(({ trusted }) => trusted),
    };
  };
}

type Watch = { clock: Redis; check: () => Promise<ClockCheck> };

const ALL_WELL: ClockCheck = { steppedMs: 0, trusted: true };

function clocksOf(redis: RedisConnection): Map<string, Redis> {
  if (!(redis instanceof Cluster)) return new Map([['redis', redis]]);
  const masters = new Map(
    redis.nodes('master').map((node) => [`${node.options.host}:${node.options.port}`, node]),
  );
  const clocks = new Map<string, Redis>();
  for (const [slot, [nodeKey]] of redis.slots.entries()) {
    const master = masters.get(nodeKey ?? '');
    if (!master) continue;
    clocks.set(`the slots from ${slot}`, master);
    masters.delete(nodeKey!);
    if (masters.size === 0) break;
  }
  return clocks;
}

/** The clock of Redis in ms, also where a test clock rules the engine. */
async function timeOf(redis: Redis): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Number(micros) / 1000;
}
