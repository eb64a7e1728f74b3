/** How long Redis takes to answer, seen from here: measured on real script calls, of which one in many is timed. */
import type { Scripts } from './scripts.ts';

/**
 * Of so many calls one is timed: a process that makes 10 000 calls a second times 150 of them, which is plenty for a
 * histogram, and the others pay for one addition.
 */
const ONE_IN = 64;
/** Where hardly anything is asked, a PING now and then stands for the calls. Real time. */
const PROBE_EVERY_MS = 5_000;

export type RoundTrips = {
  /** The same scripts; every use of them is seen from then on. */
  readonly scripts: Scripts;
  stop(): void;
};

/** @param observe is told milliseconds, also of a call that failed: it was waited for all the same */
export function timeRoundTrips(scripts: Scripts, observe: (ms: number) => void): RoundTrips {
  let calls = 0;

  async function timed<Reply>(call: Promise<Reply>): Promise<Reply> {
    const begunMs = performance.now();
    try {
      return await call;
    } finally {
      observe(performance.now() - begunMs);
    }
  }
  const isTimed = () => {
    calls += 1;
    return calls % ONE_IN === 0;
  };

  const probe = setInterval(() => {
    // What is not connected answers nothing, and says so elsewhere.
    if (scripts.redis.status === 'ready') timed(scripts.redis.ping()).catch(() => {});
  }, PROBE_EVERY_MS);
  probe.unref();

  return {
    scripts: {
      ...scripts,
      run: (...call) => (isTimed() ? timed(scripts.run(...call)) : scripts.run(...call)),
      runBuffer: (...call) => (isTimed() ? timed(scripts.runBuffer(...call)) : scripts.runBuffer(...call)),
      runPacked: (...call) => (isTimed() ? timed(scripts.runPacked(...call)) : scripts.runPacked(...call)),
    },
    stop: () => clearInterval(probe),
  };
}
