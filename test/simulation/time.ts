/**
 * The time of the simulated processes: timers, `performance.now` and `Date` stand still until the simulation moves them. The time of
 * the engine is a key in Redis that moves along, and may step on its own.
 */
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import timersPromises from 'node:timers/promises';
import { type Clock, install } from '@sinonjs/fake-timers';
import { randomOf } from './random.ts';

/** Ids and jitter come from the seed, too: a run can be had again to the last byte. */
export function takeOverChance(seed: number): { stop(): void } {
  const random = randomOf(seed);
  const { random: realRandom } = Math;
  const { randomBytes: realBytes } = crypto;
  Math.random = () => random.int(0, 999_999) / 1_000_000;
  crypto.randomBytes = ((size: number) =>
    Buffer.from(Array.from({ length: size }, () => random.int(0, 255)))) as typeof realBytes;
  syncBuiltinESMExports();
  return {
    stop() {
      Math.random = realRandom;
      crypto.randomBytes = realBytes;
      syncBuiltinESMExports();
    },
  };
}

/** As it is before anything is put in its place. */
const nextTurn = setImmediate;

export type ProcessTime = {
  nowMs(): number;
  /** Timers that fall due on the way run in their order. */
  move(ms: number): Promise<void>;
  /** Settles when no code runs any more that needs neither a command nor a timer to go on. */
  settled(): Promise<void>;
  stop(): void;
};

export function takeOverTime(startMs: number): ProcessTime {
  const clock: Clock = install({
    now: startMs,
    toFake: [
      'setTimeout',
      'clearTimeout',
      'setInterval',
      'clearInterval',
      'setImmediate',
      'clearImmediate',
      'Date',
      'performance',
    ],
  });
  // Who imported it from there has the real one in hand, unless it is told.
  const { setTimeout: realSleep } = timersPromises;
  timersPromises.setTimeout = ((ms: number) =>
    new Promise<void>((resolve) => setTimeout(() => resolve(), ms))) as typeof timersPromises.setTimeout;
  syncBuiltinESMExports();
  const settled = () => new Promise<void>((resolve) => nextTurn(() => resolve()));
  return {
    nowMs: () => clock.now,
    async move(ms) {
      const endMs = clock.now + ms;
      // One timer after the other, each with all that it sets going.
      for (;;) {
        const beforeMs = clock.now;
        const due = nextTimerMs(clock);
        if (due === null || due > endMs) break;
        clock.tick(Math.max(0, due - beforeMs));
        await settled();
      }
      clock.tick(endMs - clock.now);
      await settled();
    },
    settled,
    stop() {
      clock.uninstall();
      timersPromises.setTimeout = realSleep;
      syncBuiltinESMExports();
    },
  };
}

/** When the next timer falls due, `null` when there is none. */
function nextTimerMs(clock: Clock): number | null {
  const timers = Object.values(
    (clock as unknown as { timers?: Record<string, { callAt: number }> }).timers ?? {},
  );
  return timers.length === 0 ? null : Math.min(...timers.map(({ callAt }) => callAt));
}
