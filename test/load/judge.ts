/** From what was seen to what it means: the trends with their tolerances, and whether the run is good. */
import type { LoadRun } from './run.ts';
import type { Sample } from './sample.ts';
import { type Point, type Tolerance, type Trend, trendOf } from './verdict.ts';

export type Judgment = {
  /** Shorter runs are told and not judged for growth: caches still fill. */
  judged: boolean;
  trends: Trend[];
  /** Keys that are kept on purpose: how many there were at the end and what they took, how many there may be, and why. */
  kept: { pattern: string; keys: number; bytes: number; most: number; because: string }[];
  /** What makes the run a bad one, in sentences; none is good. */
  wrong: string[];
};

export const SHORTEST_JUDGED_MS = 10 * 60_000;

const MB = 1024 * 1024;
const MEMORY: Tolerance = { share: 0.05, slack: 8 };
const HEAP: Tolerance = { share: 0.05, slack: 4 };
const DATA: Tolerance = { share: 0.03, slack: 1 };
const KEYS: Tolerance = { share: 0.02, slack: 20 };
const TYPICAL: Tolerance = { share: 0.2, slack: 0.5 };
const SLOWEST: Tolerance = { share: 0.35, slack: 5 };
const LATE_MS = 5_000;

/** What stays on purpose, and how much of it a run may leave. */
const KEPT: { ends: string; most: (run: LoadRun) => number; because: string }[] = [
  {
    ends: '}:ip:*',
    most: ({ ipCount, created }) => ipCount + created,
    because: 'the record of a released IP is its history',
  },
  {
    ends: '}:sent:*',
    most: ({ ipCount, created }) => ipCount + created,
    because: 'what was sent outlives the IP',
  },
  { ends: '}:request:*', most: ({ created }) => created, because: 'an Idempotency-Key is good for 24 hours' },
  {
    ends: '}:changes',
    // The operator's own account has one, too.
    most: ({ accountCount }) => accountCount + 1,
    because: 'the last 100 000 changes of an account',
  },
  {
    ends: '}:refunded:*',
    most: ({ ipCount, created }) => ipCount + created,
    because: 'receipts credited in the running day',
  },
  { ends: '{inventory}:closed', most: () => 1, because: 'what a retry may ask for again, for 24 hours' },
];
const isKept = (pattern: string) => KEPT.some(({ ends }) => pattern.endsWith(ends));

export function judge(run: LoadRun): Judgment {
  const { samples, books, engine } = run;
  const wrong: string[] = [];
  const last = samples.at(-1)!;

  const weights = samples.findLast(({ bytes }) => bytes !== null)?.bytes ?? {};
  const kept = KEPT.map(({ ends, most, because }) => {
    const [pattern, keys] = Object.entries(run.keys).find(([name]) => name.endsWith(ends)) ?? [ends, 0];
    return { pattern, keys, bytes: weights[pattern] ?? 0, most: most(run), because };
  });
  for (const { pattern, keys, most } of kept)
    if (keys > most) wrong.push(`there are ${keys} keys ${pattern}, and ${most} would be explained`);
  const unexpected = samples.flatMap((sample) => sample.unexpected);
  if (unexpected.length > 0) wrong.push(`keys that nothing of src/redis/keys.ts makes: ${unexpected[0]}`);

  const errors = sumOf(samples.map((sample) => sample.errors));
  if (errors > 0)
    wrong.push(`${errors} errors; the first: ${samples.find(({ error }) => error !== null)?.error}`);
  if (books.over > 0) wrong.push(`${books.over} sends over a limit: ${books.wrong.join('; ')}`);
  if (books.unbalanced > 0) wrong.push(`the books differ by ${books.unbalanced}: ${books.wrong.join('; ')}`);
  if (books.granted === 0) wrong.push('nothing was granted');
  if (engine.exit !== 0) wrong.push(`the engine ended with ${engine.exit}: ${engine.stderr}`);

  const judged = last.atMs >= SHORTEST_JUDGED_MS;
  const trends = trendsOf(samples);
  if (judged) {
    for (const { figure, flat, growth, unit } of trends)
      if (!flat) wrong.push(`${figure} grew by ${Math.round(growth * 100) / 100} ${unit} in the second half`);
    if (last.lateMs > LATE_MS)
      wrong.push(`the pace was not held: ${Math.round(last.lateMs)} ms behind at the end`);
  }
  return { judged, trends, kept, wrong };
}

function trendsOf(samples: readonly Sample[]): Trend[] {
  const points = (read: (sample: Sample) => number): Point[] =>
    samples.map((sample) => ({ atMs: sample.atMs, value: read(sample) }));
  const names = Object.keys(samples[0]!.rssBytes);
  const weighed = samples.filter(({ bytes }) => bytes !== null);
  const others = (counted: Record<string, number>) =>
    sumOf(Object.entries(counted).map(([pattern, count]) => (isKept(pattern) ? 0 : count)));
  const latencies = [
    ['takes of senders', 'takes'],
    ['takes over HTTP', 'httpTakes'],
    ['other requests', 'requests'],
  ] as const;
  return [
    ...names.map((name) =>
      trendOf(
        `memory of ${name} (RSS)`,
        'MB',
        points(({ rssBytes }) => rssBytes[name]! / MB),
        MEMORY,
      ),
    ),
    ...names.map((name) =>
      trendOf(
        `heap of ${name} after a collection`,
        'MB',
        weighed.map(({ atMs, heapBytes }) => ({ atMs, value: heapBytes![name]! / MB })),
        HEAP,
      ),
    ),
    // What it holds grows by what is kept; more than that would be lost to fragments and buffers.
    trendOf(
      'memory of Redis beyond what it holds',
      'MB',
      points(({ redis }) => (redis.rssBytes - redis.usedBytes) / MB),
      MEMORY,
    ),
    // Scripts, buffers, subscriptions: what no key accounts for.
    trendOf(
      'what Redis holds besides its keys',
      'MB',
      weighed.map(({ atMs, redis, bytes }) => ({
        atMs,
        value: (redis.usedBytes - sumOf(Object.values(bytes!))) / MB,
      })),
      MEMORY,
    ),
    trendOf(
      'data in Redis, without what is kept',
      'MB',
      weighed.map(({ atMs, bytes }) => ({ atMs, value: others(bytes!) / MB })),
      DATA,
    ),
    trendOf(
      'keys in Redis, without what is kept',
      'keys',
      points(({ keys }) => others(keys)),
      KEYS,
    ),
    ...latencies.flatMap(([words, kind]) => [
      trendOf(
        `${words}, p50`,
        'ms',
        points((sample) => sample[kind].p50Ms),
        TYPICAL,
      ),
      trendOf(
        `${words}, p99`,
        'ms',
        points((sample) => sample[kind].p99Ms),
        SLOWEST,
      ),
    ]),
    trendOf(
      'event loop of the engine, p99',
      'ms',
      points(({ loopP99Ms }) => loopP99Ms.engine!),
      SLOWEST,
    ),
  ];
}

export const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
