import { expect, test } from 'vitest';
import { judge } from './judge.ts';
import type { LoadRun } from './run.ts';
import type { Sample } from './sample.ts';

// A run in which nothing grows is good; let one figure grow, or one thing be wrong, and it must be named.

const MB = 1024 * 1024;
const EVERY_MS = 10_000;
const PROCESSES = ['engine', 'sender 1', 'client'];
const each = (value: number) => Object.fromEntries(PROCESSES.map((name) => [name, value]));
const latency = () => ({ count: 1_000, p50Ms: 1, p99Ms: 20, maxMs: 90 });
const HOT = 'warmline:{acct_*}:hot:*';
const RECORDS = 'warmline:{acct_*}:ip:*';

/** One look each ten seconds for half an hour, and each minute at what everything weighs. */
const look = (index: number): Sample => ({
  ...{ atMs: (index + 1) * EVERY_MS, lengthMs: EVERY_MS, counts: {}, errors: 0, error: null },
  ...{ leastRounds: 1_000, lateMs: 0, takes: latency(), httpTakes: latency(), requests: latency() },
  rssBytes: each(150 * MB),
  heapBytes: index % 6 === 0 ? each(40 * MB) : null,
  loopP99Ms: each(10),
  redis: { rssBytes: 70 * MB, usedBytes: 60 * MB, fileBytes: 100 * MB },
  keys: { [HOT]: 4_000, [RECORDS]: 4_000 + index },
  bytes: index % 6 === 0 ? { [HOT]: 2 * MB, [RECORDS]: 5 * MB } : null,
  unexpected: [],
});
const run = (change: (sample: Sample, index: number) => void = () => {}): LoadRun => ({
  ...{ accountCount: 4, ipCount: 4_000, created: 1_800, released: 1_800 },
  ...{ fullSpeed: null, pace: { sender: 1, client: 1 } },
  samples: Array.from({ length: 180 }, (_, index) => {
    const sample = look(index);
    change(sample, index);
    return sample;
  }),
  books: { hours: 1, granted: 1, over: 0, unbalanced: 0, unspent: 0, wrong: [] },
  keys: { [HOT]: 4_000, [RECORDS]: 5_800 },
  engine: { stderr: '', exit: 0 },
});

test('what stands still is good, and what is kept on purpose may grow', () => {
  const { judged, wrong, trends } = judge(run());
  expect({ judged, wrong }).toEqual({ judged: true, wrong: [] });
  expect(trends.every(({ flat }) => flat)).toBe(true);
  const keeping = run((sample, index) => {
    sample.redis.usedBytes += index * MB;
    sample.redis.rssBytes += index * MB;
    if (sample.bytes) sample.bytes[RECORDS]! += index * MB;
  });
  expect(judge(keeping).wrong).toEqual([]);
});

test.each<[figure: string, grow: (sample: Sample, index: number) => void]>([
  ['memory of sender 1 (RSS)', (sample, index) => (sample.rssBytes['sender 1']! += (index / 6) * MB)],
  [
    'heap of engine after a collection',
    (sample, index) => {
      if (sample.heapBytes) sample.heapBytes.engine! += (index / 6) * MB;
    },
  ],
  ['memory of Redis beyond what it holds', ({ redis }, index) => (redis.rssBytes += (index / 6) * MB)],
  [
    'what Redis holds besides its keys',
    ({ redis }, index) => {
      redis.usedBytes += (index / 6) * MB;
      redis.rssBytes += (index / 6) * MB;
    },
  ],
  [
    'data in Redis, without what is kept',
    ({ redis, bytes }, index) => {
      redis.usedBytes += (index / 60) * MB;
      redis.rssBytes += (index / 60) * MB;
      if (bytes) bytes[HOT]! += (index / 60) * MB;
    },
  ],
  ['keys in Redis, without what is kept', ({ keys }, index) => (keys[HOT]! += index * 3)],
  ['takes of senders, p50', ({ takes }, index) => (takes.p50Ms += index / 100)],
  ['takes over HTTP, p99', ({ httpTakes }, index) => (httpTakes.p99Ms += index / 4)],
  ['event loop of the engine, p99', ({ loopP99Ms }, index) => (loopP99Ms.engine! += index / 10)],
])('%s that grows is named, and nothing else', (figure, grow) => {
  const { wrong } = judge(run(grow));
  expect(wrong).toHaveLength(1);
  expect(wrong[0]).toMatch(/ grew by [\d.]+ (MB|ms|keys) in the second half$/);
  expect(wrong[0]!.startsWith(`${figure} grew`)).toBe(true);
});

test.each<[what: string, change: (run: LoadRun) => void, says: RegExp]>([
  ['a send over a limit', ({ books }) => (books.over = 1), /^1 sends over a limit/],
  ['books that differ', ({ books }) => (books.unbalanced = 1), /^the books differ by 1/],
  ['no grant at all', ({ books }) => (books.granted = 0), /^nothing was granted/],
  ['an error', ({ samples }) => (samples[7]!.errors = 1), /^1 errors/],
  ['a key that nobody makes', ({ samples }) => samples[7]!.unexpected.push('x'), /makes: x$/],
  ['more records than IPs', ({ keys }) => (keys[RECORDS] = 5_801), /^there are 5801 keys .* 5800 would/],
  ['an engine that ended badly', ({ engine }) => (engine.exit = 'SIGKILL'), /^the engine ended with SIGKILL/],
  ['a pace that was not held', ({ samples }) => (samples.at(-1)!.lateMs = 6_000), /^the pace was not held/],
])('%s is named', (_, change, says) => {
  const one = run();
  change(one);
  expect(judge(one).wrong).toEqual([expect.stringMatching(says)]);
});

test('a run of less than ten minutes is told, and not judged for growth', () => {
  const grown = run((sample, index) => (sample.rssBytes.engine! += index * MB));
  const short = { ...grown, samples: grown.samples.slice(0, 59) };
  expect(judge(short)).toMatchObject({ judged: false, wrong: [] });
  expect(judge(grown).wrong).toHaveLength(1);
});
