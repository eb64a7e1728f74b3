/** What every benchmark here needs: a Redis of its own, pinned to a core where that is possible, and a fleet on it. */
import { execFileSync } from 'node:child_process';
import { DEFAULT_ACCOUNT, ensureDefaultAccount } from '../src/fleet/accounts.ts';
import { openDatabase } from '../src/fleet/database.ts';
import { type Engine, randomId, tenantOf } from '../src/fleet/engine.ts';
import { connect } from '../src/redis/connect.ts';
import { createScripts } from '../src/redis/scripts.ts';
import { loadSchedules } from '../src/runtime/schedules.ts';
import { DAY_MS } from '../src/warmup/units.ts';
import { startRedisServer } from '../test/support/redis-server.ts';

/** @param testClockMs `null` runs on the clock of Redis, as in production */
export async function openStage(testClockMs: number | null) {
  const server = await startRedisServer();
  pin(server.pid, '0');
  pin(process.pid, '1');
  const redis = await connect(server.url);
  const { testClock } = await openDatabase(redis, testClockMs);
  const scripts = createScripts(redis, { testClock });
  const engine: Engine = { scripts, book: await loadSchedules(), cooldownMs: 30 * DAY_MS, newId: randomId };
  await ensureDefaultAccount(engine);
  return {
    redis,
    scripts,
    engine,
    tenant: tenantOf(engine, DEFAULT_ACCOUNT, 'bench'),
    async close() {
      redis.disconnect();
      await server.stop();
    },
  };
}

/** Redis on one core and this process on the other: otherwise they take turns, and the figures jump. */
function pin(pid: number, core: string): void {
  try {
    execFileSync('taskset', ['-a', '-c', '-p', core, String(pid)], { stdio: 'ignore' });
  } catch {
    // No taskset, or one core only: the figures are noisier, their ratios still hold.
  }
}

/** Of per-round figures: the one in the middle, which a single slow round does not move. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Calls a second that `inFlight` callers reach together, each awaiting one call after another. */
export async function rate(
  call: (caller: number) => Promise<unknown>,
  inFlight: number,
  forMs: number,
): Promise<number> {
  const beganAt = performance.now();
  let calls = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async (_, caller) => {
      while (performance.now() - beganAt < forMs) {
        await call(caller);
        calls += 1;
      }
    }),
  );
  return (calls * 1000) / (performance.now() - beganAt);
}
