/**
 * The run itself: a Redis with its append-only file, `warmline serve`, senders and HTTP clients, each a process of its own. As
 * fast as they go until it is known what this machine can do, then at a fixed share of that, watched; and the books at the end.
 */
import { Redis } from 'ioredis';
import { type Closing, withClosing } from '../../bench/part.ts';
import { type Child, startChild } from '../../bench/processes.ts';
import { startRedisServer } from '../support/redis-server.ts';
import {
  addBooks,
  type BookCheck,
  type Books,
  checkBooks,
  type Entry,
  type Ledger,
  openBooks,
} from './books.ts';
import { ADMIN_KEY, startEngine } from './engine.ts';
import { type Fleet, layOutFleet } from './fleet.ts';
import { lookAtKeys } from './keyspace.ts';
import type { Pace } from './pace.ts';
import { type Sample, takeSample, type Watched } from './sample.ts';
import type { Seen } from './watch.ts';

export type LoadOptions = {
  forMs: number;
  /** And until each process has done so many rounds: a busy machine gets the time it needs. */
  leastRounds?: number;
  sampleEveryMs: number;
  ipCount: number;
  accountCount: number;
  senderCount: number;
  /** Find the pace first, or rounds a second of each sender and of the client. */
  pace: 'find' | { sender: number; client: number };
  /** IPs that are created, warmed, held, resumed and released each second. */
  livesPerSecond: number;
};

export type LoadRun = {
  accountCount: number;
  ipCount: number;
  /** Rounds a second of each sender and of the client: at full speed (`null` when not looked for), and as they ran. */
  fullSpeed: { sender: number; client: number } | null;
  pace: { sender: number; client: number };
  samples: Sample[];
  books: BookCheck;
  /** IPs that came and went in all, and the keys when all had ended. */
  created: number;
  released: number;
  keys: Record<string, number>;
  /** What it left on stderr, and how it ended. */
  engine: { stderr: string; exit: number | string };
};

export type Told = (what: { stage: string; done: number; total: number; sample?: Sample }) => void;

/** So much of full speed: busy, with room for what a machine does besides. */
export const SHARE = 0.6;
const LOOPS = 4;
const [WARM_MS, MEASURE_MS] = [20_000, 30_000];
/** Memory of each key is asked for in every so many samples. */
const WEIGH_EVERY = 6;

export function runLoad(options: LoadOptions, tell: Told = () => {}): Promise<LoadRun> {
  return withClosing(async (closing) => {
    const server = await startRedisServer({ config: ['--appendonly', 'yes', '--appendfsync', 'everysec'] });
    closing(() => server.stop());
    const { ipCount } = options;
    const fleet = await layOutFleet(server.url, options, (done) =>
      tell({ stage: 'fleet', done, total: ipCount }),
    );
    const engine = await startEngine(server.url);
    closing(() => engine.kill());
    const redis = new Redis(server.url);
    closing(() => redis.disconnect());

    const found: Pace = { loops: options.pace === 'find' ? LOOPS : 1 };
    const watched = {
      ...(await openCrew(server.url, engine.url, fleet, options, found, closing)),
      engine,
      redis,
    };
    const fullSpeed = options.pace === 'find' ? await findFullSpeed(watched, tell) : null;
    const pace = fullSpeed
      ? { sender: fullSpeed.sender * SHARE, client: fullSpeed.client * SHARE }
      : (options.pace as LoadRun['pace']);
    await setPace(watched, pace);
    const samples = await watch(watched, options, tell);

    tell({ stage: 'books', done: 0, total: 1 });
    const end = await closeBooks(watched, fleet);
    const { keys } = await lookAtKeys(redis, false);
    const exit = await engine.stop();
    const ended = { stderr: engine.stderr(), exit };
    const { accountCount } = options;
    return { accountCount, ipCount: fleet.ips.length, fullSpeed, pace, samples, ...end, keys, engine: ended };
  });
}

async function openCrew(
  redisUrl: string,
  url: string,
  { targets }: Fleet,
  { senderCount, livesPerSecond }: LoadOptions,
  pace: Pace,
  closing: Closing,
): Promise<Pick<Watched, 'senders' | 'client'>> {
  const start = (name: string): Child => {
    const child = startChild(new URL(`./children/${name}.ts`, import.meta.url), 'any');
    closing(child.stop);
    return child;
  };
  const senders = Array.from({ length: senderCount }, () => start('sender'));
  const client = start('client');
  await Promise.all([
    ...senders.map((sender, index) =>
      sender.ask({ todo: 'open', redisUrl, targets: targets[index % targets.length], pace }),
    ),
    client.ask({ todo: 'open', url, adminKey: ADMIN_KEY, targets, pace, livesPerSecond }),
  ]);
  return { senders, client };
}

/** Everybody at full speed at once, since that is how they share the machine. */
async function findFullSpeed({ senders, client }: Watched, tell: Told): Promise<LoadRun['pace']> {
  const roundsOf = (child: Child) => child.ask<Seen>({ todo: 'look' }).then(({ rounds }) => rounds);
  const all = [...senders, client];
  await wait(WARM_MS, (done) => tell({ stage: 'full speed', done, total: WARM_MS + MEASURE_MS }));
  const [before, from] = [await Promise.all(all.map(roundsOf)), performance.now()];
  await wait(MEASURE_MS, (done) =>
    tell({ stage: 'full speed', done: WARM_MS + done, total: WARM_MS + MEASURE_MS }),
  );
  const [after, to] = [await Promise.all(all.map(roundsOf)), performance.now()];
  const perSecond = all.map((_, index) => ((after[index]! - before[index]!) * 1000) / (to - from));
  return { sender: Math.min(...perSecond.slice(0, senders.length)), client: perSecond.at(-1)! };
}

async function setPace({ senders, client }: Watched, pace: LoadRun['pace']): Promise<void> {
  await Promise.all([
    ...senders.map((sender) => sender.ask({ todo: 'pace', pace: { perSecond: pace.sender } })),
    client.ask({ todo: 'pace', pace: { perSecond: pace.client } }),
  ]);
  // What the search has seen is of another load.
  await Promise.all([...senders, client].map((child) => child.ask({ todo: 'look' })));
}

async function watch(watched: Watched, options: LoadOptions, tell: Told): Promise<Sample[]> {
  const { forMs, leastRounds = 0, sampleEveryMs } = options;
  const samples: Sample[] = [];
  const began = performance.now();
  let last = began;
  const goesOn = () =>
    performance.now() - began < forMs - sampleEveryMs / 2 || (samples.at(-1)?.leastRounds ?? 0) < leastRounds;
  while (goesOn()) {
    const due = began + (samples.length + 1) * sampleEveryMs;
    await wait(Math.max(0, due - performance.now()), () => {
      tell({ stage: 'load', done: performance.now() - began, total: forMs, ...lastOf(samples) });
    });
    const now = performance.now();
    const weigh = samples.length % WEIGH_EVERY === 0;
    samples.push(await takeSample(watched, { atMs: now - began, lengthMs: now - last, weigh }));
    last = now;
  }
  return samples;
}

const lastOf = (samples: readonly Sample[]) => {
  const sample = samples.at(-1);
  return sample ? { sample } : {};
};

const STEP_MS = 500;

async function wait(ms: number, step: (doneMs: number) => void): Promise<void> {
  const from = performance.now();
  for (;;) {
    const done = performance.now() - from;
    if (done >= ms) return;
    step(done);
    await new Promise((resolve) => setTimeout(resolve, Math.min(STEP_MS, ms - done)));
  }
}

type End = { books: [string, Entry][]; created?: number; released?: number };

async function closeBooks({ senders, client, engine }: Watched, { ips, targets }: Fleet) {
  const books: Books = openBooks();
  let [created, released] = [0, 0];
  for (const child of [...senders, client]) {
    const end = await child.ask<End>({ todo: 'close' });
    addBooks(books, end.books);
    created += end.created ?? 0;
    released += end.released ?? 0;
  }
  const keyOf = new Map(targets.map(({ account, apiKey }) => [account, apiKey]));
  const ledgers: Ledger[] = [];
  const left = ips.values();
  const read = async () => {
    for (const { ipId, account } of left) {
      const headers = { authorization: `Bearer ${keyOf.get(account)}` };
      const answer = await fetch(`${engine.url}/v1/dedicated-ips/${ipId}/ledger`, { headers });
      const { hours } = (await answer.json()) as { hours: { from: string; sends: number }[] };
      ledgers.push({ ipId, hours: new Map(hours.map(({ from, sends }) => [Date.parse(from), sends])) });
    }
  };
  await Promise.all(Array.from({ length: LOOPS }, read));
  return { books: checkBooks(books, ledgers, ips), created, released };
}
