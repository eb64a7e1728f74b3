import { Worker } from 'bullmq';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { getIp } from '../../src/fleet/ips.ts';
import { openQueue, QUEUE_NAME } from '../../src/queue/queue.ts';
import { connectForQueue } from '../../src/redis/connect.ts';
import { QUEUE_PREFIX } from '../../src/redis/keys.ts';
import { createLog } from '../../src/runtime/log.ts';
import { Registry } from '../../src/runtime/metrics.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/warmup/units.ts';
import { type RunningWorker, startWorker } from '../../src/worker/worker.ts';
import { bookOf, table } from '../support/fleet.ts';
import { eventually } from '../support/processes.ts';
import { type FakedClock, LIBFAKETIME, startFakedFleet } from './faked-clock.ts';
import { startSenders } from './senders.ts';

/** The clock of Redis is set while four senders and a worker on BullMQ are at work: nothing is refilled twice, and it all goes on. */
describe.skipIf(LIBFAKETIME.because !== undefined)('when the clock of Redis steps', () => {
  const START = Date.parse('2026-03-10T09:00:00Z');
  const CAP = 120;
  /** A tick that lost its job as the clock stepped is done anew after its lock (10 s) and a look for such jobs (each 5 s). */
  const soon = (what: string, isSo: () => boolean | Promise<boolean>) => eventually(what, isSo, 25_000);
  const DAILY = [300, 400, 500, 600];
  const BOOK = bookOf(
    table('days', 'daily', DAILY),
    table('hours', 'hourly', Array(10).fill(CAP)),
    // A send a second, of which fifty may come at once.
    table('drip', 'hourly', Array(10).fill(3600)),
  );
  let faked: Awaited<ReturnType<typeof startFakedFleet>>;
  let clock: FakedClock;
  let running: { worker: RunningWorker; said: string[]; ticks(): Promise<number> }[];
  beforeEach(async () => {
    faked = await startFakedFleet(START, BOOK);
    clock = faked.clock;
    running = [];
  });
  afterEach(async () => {
    for (const { worker } of running) await worker.stop();
    await faked.stop();
  });

  /** A worker as it is deployed, with what it says and how often it has ticked. */
  async function work() {
    const said: string[] = [];
    const silent = createLog({ level: 'silent' });
    const log: typeof silent = Object.assign(Object.create(silent), {
      error: (_: unknown, message?: string) => void said.push(message ?? ''),
      child: () => log,
    });
    const registry = new Registry();
    const { fleet } = faked;
    const worker = await startWorker({
      engine: await fleet.anotherEngine(),
      redisUrl: fleet.server.url,
      log,
      tickEveryMs: 100,
      registry,
    });
    const ticks = async () => {
      const { values } = await registry.getSingleMetric('warmline_ticks_total')!.get();
      return values.reduce((sum, { value }) => sum + value, 0);
    };
    const one = { worker, said, ticks };
    running.push(one);
    await soon('it ticks', async () => (await ticks()) > 0);
    return one;
  }

  test('by seconds, back and forth: a bucket never has more than flowed in until the latest instant ever shown', async () => {
    const ip = await faked.fleet.warming({ plan: 'drip', burst: 50 });
    const from = ip.warmup!.startedAtMs;
    const senders = await startSenders(faked.fleet, clock, ip.address);
    const flowedSince = (since: number) => 50 + Math.floor((clock.highest - since) / 1000);
    await senders.drain();
    // Until now it was full, and what would have flowed in is nobody's.
    const dry = clock.now();
    for (const seconds of [-3, 3, -30, 20, 10, -5, 25, -40, 30, -2]) {
      clock.step(seconds * 1000);
      await senders.run(60);
      expect(senders.book.total).toBeLessThanOrEqual(flowedSince(from));
    }
    // Once it has caught up there is all of it.
    clock.set(clock.highest + 5_000);
    const flowed = flowedSince(dry);
    await senders.drain();
    expect(senders.book.total).toBeGreaterThanOrEqual(flowed - 1);
    expect(senders.book.total).toBeLessThanOrEqual(flowedSince(from));
  });

  test('by 50 minutes forward and back again: two hours have their two caps, and the worker says what happened', async () => {
    const worker = await work();
    const ip = await faked.fleet.warming({ plan: 'hours' });
    const hour = ip.warmup!.startedAtMs;
    const senders = await startSenders(faked.fleet, clock, ip.address);
    clock.set(hour + 20 * MINUTE_MS);
    await senders.drain();
    expect(senders.book.total).toBe(CAP);
    clock.step(50 * MINUTE_MS);
    await senders.drain(); // what has flowed in since, counted in the second hour
    const early = senders.book.total - CAP;
    expect(early).toBeGreaterThanOrEqual(CAP * (50 / 60) - 2);
    // A tick that began after a step has seen it; only then the next one is another step, and not the two of them together none.
    const seen = async () => {
      const before = await worker.ticks();
      await soon('a tick has seen it', async () => (await worker.ticks()) > before + 1);
    };
    await seen();
    clock.step(-50 * MINUTE_MS);
    await seen();
    expect(worker.said.some((line) => line.includes('stepped forward'))).toBe(true);
    expect(worker.said.some((line) => line.includes('stepped back'))).toBe(true);
    await senders.run(300);
    expect(senders.book.total).toBe(CAP + early);

    // The second hour comes for the second time: the rest of its cap, and then the third with its own.
    clock.set(hour + HOUR_MS + 55 * MINUTE_MS);
    await senders.drain();
    expect(senders.book.total).toBe(2 * CAP);
    clock.set(hour + 2 * HOUR_MS + 50 * MINUTE_MS);
    await senders.drain();
    expect(senders.book.total).toBe(3 * CAP);
  });

  test('by 3 hours forward and back again: the rest of the day is used up, and the next one is whole', async () => {
    const worker = await work();
    const ip = await faked.fleet.warming({ plan: 'days+hours' });
    const day = ip.warmup!.startedAtMs;
    const senders = await startSenders(faked.fleet, clock, ip.address);
    clock.set(day + 20 * MINUTE_MS);
    await senders.drain();
    clock.step(3 * HOUR_MS);
    await senders.drain();
    expect(senders.book.total).toBe(2 * CAP);
    await soon('it rests', () => worker.said.some((line) => line.includes('no IP is advanced')));
    clock.step(-3 * HOUR_MS);
    await soon('the way back is noticed', () => worker.said.some((line) => line.includes('stepped back')));
    const before = await worker.ticks();
    await soon('it goes on', async () => (await worker.ticks()) > before + 3);

    for (const hours of [1, 2, 3, 4, 12]) {
      clock.set(day + hours * HOUR_MS + 30 * MINUTE_MS);
      await senders.run(40);
      expect(senders.book.total).toBeLessThanOrEqual(DAILY[0]!);
    }
    const first = senders.book.total;
    for (const hours of [24, 25, 26, 27, 28]) {
      clock.set(day + hours * HOUR_MS + 30 * MINUTE_MS);
      await senders.drain();
    }
    expect(senders.book.total - first).toBe(DAILY[1]);
  });

  test('in either direction the worker ticks on', async () => {
    const worker = await work();
    // Redis ends a blocking call by this clock, so after a step back BullMQ has to give it up by itself: a second later.
    for (const ms of [-3_000, 3_000, -50 * MINUTE_MS, 50 * MINUTE_MS, -3 * HOUR_MS, 3 * HOUR_MS]) {
      clock.step(ms);
      const before = await worker.ticks();
      await soon(`it ticks after ${ms} ms`, async () => (await worker.ticks()) > before + 2);
    }
    const steps = worker.said.filter((line) => line.includes('clock of Redis stepped'));
    expect(steps).toHaveLength(4); // those of three seconds are none
  });

  test('back by 3 hours: what a killed worker had in hand is not locked for 3 hours', async () => {
    const { redis, server } = faked.fleet;
    const queue = openQueue(server.url, redis);
    await queue.addShares(1);
    // It takes the share and is gone before it has ended it.
    const connection = connectForQueue(server.url, redis);
    const victim = new Worker(QUEUE_NAME, () => new Promise(() => {}), { connection, prefix: QUEUE_PREFIX });
    victim.on('error', () => {});
    const lock = `${QUEUE_PREFIX}:${QUEUE_NAME}:share-0-of-1:lock`;
    await soon('it has the share', async () => (await redis.exists(lock)) === 1);
    await victim.close(true);
    connection.disconnect();
    await queue.close();

    await work();
    clock.step(-3 * HOUR_MS);
    expect(await redis.pttl(lock)).toBeGreaterThan(2 * HOUR_MS);
    await soon('its lock ends soon', async () => (await redis.pttl(lock)) <= 10_000);
    expect(await redis.pttl(`${QUEUE_PREFIX}:${QUEUE_NAME}:stalled-check`)).toBeLessThanOrEqual(10_000);
  });

  test('36 hours without a worker: days begin on time with the last limits published, and who comes back raises them', async () => {
    const { fleet } = faked;
    const ip = await fleet.warming({ plan: 'days' });
    const day = ip.warmup!.startedAtMs;
    const worker = await work();
    const senders = await startSenders(fleet, clock, ip.address);
    clock.set(day + 13 * HOUR_MS);
    await senders.drain();
    expect(senders.book.total).toBe(DAILY[0]);
    await worker.worker.stop();
    running = [];

    clock.set(day + DAY_MS - 100);
    await senders.run(300);
    await senders.drain();
    expect(senders.book.total).toBe(DAILY[0]! + DAILY[1]!);
    clock.set(day + 2 * DAY_MS - 100);
    await senders.run(300);
    await senders.drain();
    expect(senders.book.total).toBe(DAILY[0]! + 2 * DAILY[1]!);
    clock.set(day + 49 * HOUR_MS);
    await work();
    await soon('the third day has its own limit', async () => {
      await senders.drain();
      return senders.book.total === DAILY[0]! + DAILY[1]! + DAILY[2]!;
    });
    expect((await getIp(fleet.tenant, ip.id)).status).toBe('warming');
  });
});
