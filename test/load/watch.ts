/** What a process notices about itself between two looks: latencies, what went wrong, memory, and how late its turns are. */
import { createHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { heapAfterCollection } from '../support/heap.ts';

export type Latency = { count: number; p50Ms: number; p99Ms: number; maxMs: number };

export type Seen = {
  /** By what was done: `takes`, `requests`. */
  latency: Record<string, Latency>;
  counts: Record<string, number>;
  errors: number;
  /** The first one since the last look, in words. */
  error: string | null;
  rssBytes: number;
  /** After a collection, where one was asked for. */
  heapBytes: number | null;
  loopP99Ms: number;
  rounds: number;
  lateMs: number;
};

export type Watch = ReturnType<typeof startWatch>;

const LOOP_RESOLUTION_MS = 10;
const US_PER_MS = 1_000;

export function startWatch(kinds: readonly string[]) {
  const histograms = new Map(kinds.map((kind) => [kind, createHistogram()]));
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  loop.enable();
  let counts: Record<string, number> = {};
  let errors = 0;
  let error: string | null = null;
  return {
    count(what: string, by = 1): void {
      counts[what] = (counts[what] ?? 0) + by;
    },
    failed(what: string, cause: unknown): void {
      errors += 1;
      error ??= `${what}: ${cause instanceof Error ? cause.message : String(cause)}`;
    },
    /** Times what is awaited; what it throws is counted and told, and answered with `null`. */
    async timed<T>(kind: string, what: string, call: () => Promise<T>): Promise<T | null> {
      const from = performance.now();
      try {
        const answer = await call();
        histograms.get(kind)!.record(Math.max(1, Math.round((performance.now() - from) * US_PER_MS)));
        return answer;
      } catch (cause) {
        this.failed(what, cause);
        return null;
      }
    },
    /** Since the last look. */
    look(collect: boolean): Omit<Seen, 'rounds' | 'lateMs'> {
      const rssBytes = process.memoryUsage.rss();
      const heapBytes = collect ? heapAfterCollection() : null;
      const latency: Record<string, Latency> = {};
      for (const [kind, histogram] of histograms) {
        const at = (percent: number) => (histogram.count > 0 ? histogram.percentile(percent) / US_PER_MS : 0);
        const maxMs = histogram.count > 0 ? histogram.max / US_PER_MS : 0;
        latency[kind] = { count: histogram.count, p50Ms: at(50), p99Ms: at(99), maxMs };
        histogram.reset();
      }
      // The resolution is part of what it reads.
      const loopP99Ms = Math.max(0, loop.percentile(99) / 1e6 - LOOP_RESOLUTION_MS);
      loop.reset();
      const seen = { latency, counts, errors, error, rssBytes, heapBytes, loopP99Ms };
      [counts, errors, error] = [{}, 0, null];
      return seen;
    },
  };
}
