/**
 * A tick over a whole fleet, beside the plainest loop that writes as much: the same records, hashes and sorted sets in
 * pipelines, without a decision, a check or a script. Both go through the fleet in as many pieces as there are rounds.
 */
import { advanceTo } from '../src/fleet/test-clock.ts';
import { tick as sweep, tickUntilDone } from '../src/fleet/tick.ts';
import { DAY_MS } from '../src/warmup/units.ts';
import { runRounds } from './measure.ts';
import { type Part, withClosing } from './part.ts';
import { ratesOf, short } from './report.ts';
import { addWarmingIps, openStage, type Stage } from './stage.ts';

const START_MS = Date.parse('2026-01-10T10:00:00Z');
/** 42 days, so that a small fleet has a new day in every round. */
const PLAN = 'sendgrid-hourly+fourteen-day';
const MOST_ROUNDS = 40;
const LARGE = 100_000;
const SMALL = 1_000;
const PIPELINE = 500;

export const tick: Part = {
  title: 'a tick over a fleet beside a plain loop of the same writes',
  inAll: true,
  run: (options) =>
    withClosing(async (closing) => {
      const rounds = Math.min(MOST_ROUNDS, options.rounds);
      const size = options.quick ? LARGE / 10 : LARGE;
      const [small, large] = [
        await openStage({ testClockMs: START_MS }),
        await openStage({ testClockMs: START_MS }),
      ];
      closing(small.close);
      closing(large.close);
      let prepared = 0;
      const prepare = (count: number) => {
        prepared += count;
        // Half of the time is preparation.
        options.step(prepared, 3 * (size + SMALL));
      };
      await addWarmingIps(small.tenant, SMALL, { plan: PLAN, onBatch: prepare });
      const ips = await addWarmingIps(large.tenant, size, { plan: PLAN, onBatch: prepare });
      const published = await publishedOf(large, ips[0]!.address);
      // Both write over what is there.
      for (let at = 0; at < size; at += 10_000) {
        await plainLoop(large, ips.slice(at, at + 10_000), published);
        prepare(10_000);
      }
      await advanceTo(large.engine, START_MS + DAY_MS, { work: false });

      // One for the round that is thrown away, and one because a tick stops at the end of a batch and not at once.
      const piece = Math.floor(size / (rounds + 2));
      let [day, done] = [0, 0];
      const writes = { tick: Number.NaN, loop: Number.NaN };
      const counted = async (who: keyof typeof writes, work: () => Promise<number>) => {
        const before = await writesSoFar(large);
        const ticked = await work();
        writes[who] = ((await writesSoFar(large)) - before) / ticked;
        return ticked;
      };
      const found = await runRounds(
        [
          [
            {
              name: `tick, ${size} IPs`,
              run: () => timed(() => counted('tick', () => tickSome(large, piece))),
            },
            {
              name: 'plain loop',
              async run() {
                const some = ips.slice(done, done + piece);
                done += piece;
                return timed(() => counted('loop', () => plainLoop(large, some, published)));
              },
            },
            {
              name: `tick, ${SMALL} IPs`,
              async run() {
                day += 1;
                await advanceTo(small.engine, START_MS + day * DAY_MS, { work: false });
                return timed(async () => (await tickUntilDone(small.engine)).published);
              },
            },
          ],
        ],
        { ...options, rounds, step: (part, of) => options.step(2 * of + part, 3 * of) },
      );
      return {
        rows: [
          {
            figure: `tick over ${size} due IPs`,
            measured: found.ratio(`tick, ${size} IPs`, 'plain loop'),
            unit: 'of a plain loop',
            mark: { wanted: 0.5, stretch: 0.8 },
          },
          {
            // What is linear goes as fast for each IP of many as of few; a fifth is left to caches and sorted sets.
            figure: `tick over ${size} due IPs, for each IP`,
            measured: found.ratio(`tick, ${size} IPs`, `tick, ${SMALL} IPs`),
            unit: `of the speed at ${SMALL}`,
            mark: { wanted: 0.8, stretch: 0.95 },
          },
        ],
        rates: ratesOf(found),
        notes: [
          `commands that write, for each IP: ${short(writes.tick)} by the tick, ${short(writes.loop)} by the plain loop`,
        ],
      };
    }),
};

async function timed(work: () => Promise<number>) {
  const beganAt = performance.now();
  const done = await work();
  return { perSecond: (done * 1000) / (performance.now() - beganAt) };
}

/** Ticks until so many IPs are done, as a worker does that is told to stop. */
async function tickSome({ engine }: Stage, wanted: number): Promise<number> {
  let published = 0;
  while (published < wanted) {
    const stop = new AbortController();
    const before = published;
    const result = await sweep(engine, {
      signal: stop.signal,
      onBatch(done) {
        if (before + done >= wanted) stop.abort();
      },
    });
    published += result.published;
    if (result.published === 0) throw new Error(`the tick published ${published} of ${wanted} IPs`);
  }
  return published;
}

type PublishedIp = { hot: Buffer; quota: Record<string, string> };

/** What a tick leaves of an IP, for the loop to write as much. */
async function publishedOf({ redis, tenant: { keys } }: Stage, address: string): Promise<PublishedIp> {
  const [hot, quota] = await Promise.all([
    redis.getBuffer(keys.hot(address)),
    redis.hgetall(keys.quota(address)),
  ]);
  if (!hot) throw new Error(`${address} has no hot record`);
  return { hot, quota };
}

/** Reads each record and writes hot record, quota hash, due work and the two entries of its index. */
async function plainLoop(
  { redis, tenant: { keys } }: Stage,
  ips: readonly { id: string; address: string }[],
  { hot, quota }: PublishedIp,
): Promise<number> {
  for (let at = 0; at < ips.length; at += PIPELINE) {
    const some = ips.slice(at, at + PIPELINE);
    const records = await redis.mget(some.map(({ id }) => keys.ip(id)));
    const pipeline = redis.pipeline();
    for (const [index, { id, address }] of some.entries()) {
      JSON.parse(records[index]!);
      pipeline.set(`plain:${keys.hot(address)}`, hot);
      pipeline.del(`plain:${keys.quota(address)}`);
      pipeline.hset(`plain:${keys.quota(address)}`, quota);
      pipeline.zadd(`plain:${keys.due}`, START_MS + at, id);
      pipeline.zadd(`plain:${keys.prefix}ready`, at, address);
      pipeline.zadd(`plain:${keys.prefix}turn`, at, address);
    }
    await pipeline.exec();
  }
  return ips.length;
}

/** As Redis counts them, also those that a script calls. */
async function writesSoFar({ redis }: Stage): Promise<number> {
  const stats = await redis.info('commandstats');
  const writes = /^cmdstat_(?:set|setrange|del|hset|hdel|zadd|zrem|xadd|lpush|ltrim):calls=(\d+)/gm;
  return [...stats.matchAll(writes)].reduce((sum, [, calls]) => sum + Number(calls), 0);
}
