/**
 * Rounds of work. To find what the machine can do: one after the other in so many loops, as fast as they go. Afterwards: at a
 * fixed rate, whatever is still on its way, since growth of latency means something only where the load does not yield to it.
 */
import { setTimeout as sleep } from 'node:timers/promises';

export type Pace = { loops: number } | { perSecond: number };

export type Pacer = {
  /** Takes up another pace; the rounds on their way go on. */
  set(pace: Pace): void;
  readonly rounds: number;
  /** How late the round that was due first is, in ms: it stays near 0 as long as the machine holds the rate. */
  lateMs(): number;
  /** No more rounds; settles when those on their way are done. */
  stop(): Promise<void>;
};

/** More at once and it is no longer a load but a heap of promises: then rounds fall behind, and `lateMs` says so. */
const MOST_AT_ONCE = 64;
const TURN_MS = 2;

export function startPacer(round: () => Promise<void>, pace: Pace): Pacer {
  let current = pace;
  let [rounds, atWork, stopped] = [0, 0, false];
  let since = performance.now();
  let due = 0;

  const work = async () => {
    atWork += 1;
    try {
      await round();
    } finally {
      atWork -= 1;
      rounds += 1;
    }
    if ('loops' in current && atWork < current.loops && !stopped) void work();
  };
  /** How many should have begun by now. */
  const dueBy = (nowMs: number) =>
    'perSecond' in current ? ((nowMs - since) / 1000) * current.perSecond : 0;

  const running = (async () => {
    while (!stopped) {
      if ('loops' in current) while (atWork < current.loops) void work();
      else {
        const until = dueBy(performance.now());
        for (; due < until && atWork < MOST_AT_ONCE; due += 1) void work();
      }
      await sleep(TURN_MS);
    }
    while (atWork > 0) await sleep(TURN_MS);
  })();

  return {
    set(next) {
      current = next;
      since = performance.now();
      due = 0;
    },
    get rounds() {
      return rounds;
    },
    lateMs() {
      if (!('perSecond' in current)) return 0;
      const behind = dueBy(performance.now()) - due;
      return behind <= 1 ? 0 : (behind / current.perSecond) * 1000;
    },
    stop() {
      stopped = true;
      return running;
    },
  };
}
