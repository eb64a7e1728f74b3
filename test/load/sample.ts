/** One look at everything: what each process has seen since the last one, what it weighs, and what Redis holds. */
import type { Redis } from 'ioredis';
import type { Child } from '../../bench/processes.ts';
import type { RunningEngine } from './engine.ts';
import { type Keyspace, lookAtKeys } from './keyspace.ts';
import type { Latency, Seen } from './watch.ts';

export type Sample = {
  /** Since the load began. */
  atMs: number;
  lengthMs: number;
  /** Of the slowest process: takes of senders, takes over HTTP (in batches, most of them), other requests. */
  takes: Latency;
  httpTakes: Latency;
  requests: Latency;
  counts: Record<string, number>;
  errors: number;
  error: string | null;
  /** Of the process that has done the fewest, since it began. */
  leastRounds: number;
  /** How far the senders and the client are behind their pace. */
  lateMs: number;
  rssBytes: Record<string, number>;
  /** After a collection, in those samples that weigh everything. */
  heapBytes: Record<string, number> | null;
  loopP99Ms: Record<string, number>;
  redis: { rssBytes: number; usedBytes: number; fileBytes: number };
} & Keyspace;

export type Watched = {
  senders: readonly Child[];
  client: Child;
  engine: RunningEngine;
  redis: Redis;
};

export async function takeSample(
  { senders, client, engine, redis }: Watched,
  { atMs, lengthMs, weigh }: { atMs: number; lengthMs: number; weigh: boolean },
): Promise<Sample> {
  const look = (child: Child) => child.ask<Seen>({ todo: 'look', collect: weigh });
  const [ofSenders, ofClient, ofEngine, info] = await Promise.all([
    Promise.all(senders.map(look)),
    look(client),
    engine.figures(weigh),
    redis.info('everything'),
  ]);
  const keyspace = await lookAtKeys(redis, weigh);
  const read = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  const each = (what: 'rssBytes' | 'heapBytes' | 'loopP99Ms'): Record<string, number> => ({
    engine: ofEngine[what] ?? Number.NaN,
    ...Object.fromEntries(ofSenders.map((seen, index) => [`sender ${index + 1}`, seen[what] ?? Number.NaN])),
    client: ofClient[what] ?? Number.NaN,
  });
  const all = [...ofSenders, ofClient];
  const counts: Record<string, number> = {};
  for (const seen of all)
    for (const [what, count] of Object.entries(seen.counts)) counts[what] = (counts[what] ?? 0) + count;
  return {
    atMs,
    lengthMs,
    takes: slowest(ofSenders.map(({ latency }) => latency.takes!)),
    httpTakes: ofClient.latency.takes!,
    requests: ofClient.latency.requests!,
    counts,
    errors: all.reduce((sum, { errors }) => sum + errors, 0),
    error: all.find(({ error }) => error !== null)?.error ?? null,
    leastRounds: Math.min(...all.map(({ rounds }) => rounds)),
    lateMs: Math.max(...all.map(({ lateMs }) => lateMs)),
    rssBytes: each('rssBytes'),
    heapBytes: weigh ? each('heapBytes') : null,
    loopP99Ms: each('loopP99Ms'),
    redis: {
      rssBytes: read('used_memory_rss'),
      usedBytes: read('used_memory'),
      fileBytes: read('aof_current_size'),
    },
    ...keyspace,
  };
}

const slowest = (all: readonly Latency[]): Latency => ({
  count: all.reduce((sum, { count }) => sum + count, 0),
  p50Ms: Math.max(...all.map(({ p50Ms }) => p50Ms)),
  p99Ms: Math.max(...all.map(({ p99Ms }) => p99Ms)),
  maxMs: Math.max(...all.map(({ maxMs }) => maxMs)),
});
