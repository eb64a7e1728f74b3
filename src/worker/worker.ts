/**
 * The worker: BullMQ gives schedule, sharing, retries and a view of what runs; what is done stands in `fleet/tick.ts`.
 * Any number of processes may run it.
 */
import { Worker } from 'bullmq';
import type { Logger } from 'pino';
import type { Engine } from '../fleet/engine.ts';
import { countDue, lookAtAllAgain, type TickResult, tickUntilDone } from '../fleet/tick.ts';
import { SHARE, Share } from '../queue/jobs.ts';
import { openQueue, QUEUE_NAME } from '../queue/queue.ts';
import { connectForQueue } from '../redis/connect.ts';
import { QUEUE_PREFIX } from '../redis/keys.ts';
import { Registry } from '../runtime/metrics.ts';
import { watchClocks } from './clock-watch.ts';
import { createWorkerMetrics, watchQueue } from './metrics.ts';

export type RunningWorker = {
  /** Takes no more work, ends what runs between two batches, and lets go of its connections. */
  stop(): Promise<void>;
};

/** More due IPs than this are divided among the workers; below it one is done sooner than the others have heard of it. */
const DIVIDE_FROM = 2_000;
const SHARES = 8;
/** The queue may lose its schedule with its Redis; so often each worker makes sure of it. */
const RESCHEDULE_MS = 30_000;
/**
 * A job whose worker was killed, or whose end was lost with a connection, keeps the next tick away for so long and until
 * somebody looks. BullMQ renews the lock of a job that goes on; one that loses it all the same is done twice, to no effect.
 */
const LOCK_MS = 5_000;
const STALLED_INTERVAL_MS = 2_000;
/** After an error of Redis it asks again; BullMQ would wait for 15 s, and no tick would come from this worker. */
const ASK_AGAIN_MS = 2_000;

export async function startWorker({
  engine,
  redisUrl,
  log,
  tickEveryMs,
  rescheduleMs = RESCHEDULE_MS,
  registry = new Registry(),
}: {
  engine: Engine;
  redisUrl: string;
  log: Logger;
  tickEveryMs?: number;
  rescheduleMs?: number;
  /** To which the worker adds what it has to tell. */
  registry?: Registry;
}): Promise<RunningWorker> {
  const quiet = new AbortController();
  const queue = openQueue(redisUrl, engine.scripts.redis);
  const connection = connectForQueue(redisUrl, engine.scripts.redis);
  const checkClock = watchClocks(log, engine);
  const metrics = createWorkerMetrics(registry);
  watchQueue(registry, QUEUE_NAME, () => queue.counts());

  const worker = new Worker(
    QUEUE_NAME,
    async (job) => {
      const kind = job.name === SHARE ? 'share' : 'tick';
      const begunMs = performance.now();
      const ended = (outcome: 'done' | 'divided' | 'resting' | 'failed') =>
        metrics.ticked(kind, performance.now() - begunMs, outcome);
      try {
        const done = kind === 'share' ? await sweepShare(Share.parse(job.data)) : await sweep();
        ended('divided' in done ? 'divided' : 'resting' in done ? 'resting' : 'done');
        return done;
      } catch (error) {
        ended('failed');
        throw error;
      }
    },
    {
      connection,
      prefix: QUEUE_PREFIX,
      concurrency: 2, // a share and the next tick: neither waits for the other
      lockDuration: LOCK_MS,
      stalledInterval: STALLED_INTERVAL_MS,
      runRetryDelay: ASK_AGAIN_MS,
      maxStalledCount: 10,
    },
  );

  const sweepShare = async (shard: Share) =>
    report(await tickUntilDone(engine, { shard, signal: quiet.signal }));

  async function sweep() {
    const { steppedMs, trusted } = await checkClock();
    if (steppedMs !== 0) metrics.clockStepped(steppedMs);
    if (!trusted) return { resting: true };
    if (steppedMs < 0) {
      // What was put off to an instant that the wrong clock made up is looked at anew.
      await lookAtAllAgain(engine);
      await queue.shortenLocks(LOCK_MS);
    }
    if ((await countDue(engine)) > DIVIDE_FROM) {
      await queue.addShares(SHARES);
      return { divided: SHARES };
    }
    return report(await tickUntilDone(engine, { signal: quiet.signal }));
  }

  function report(result: TickResult) {
    metrics.advanced(result);
    for (const { ip, address, what, from, to, because } of result.changes) {
      log.info({ ip, address, what, from, to, because }, 'ip advanced');
    }
    for (const { ip, error } of result.failed) log.error({ ip, err: error }, 'ip could not be advanced');
    if (result.published > 0)
      log.debug({ published: result.published, contended: result.contended }, 'ticked');
    return { published: result.published, changes: result.changes.length, failed: result.failed.length };
  }

  worker.on('error', (error) => log.warn({ err: error }, 'the queue is out of reach; trying again'));
  worker.on('failed', (job, error) =>
    log.error({ job: job?.name, attempt: job?.attemptsMade, err: error }, 'tick failed'),
  );
  await queue.schedule(tickEveryMs);
  const rescheduling = setInterval(() => {
    queue.schedule(tickEveryMs).catch((error) => log.warn({ err: error }, 'ticks could not be scheduled'));
  }, rescheduleMs);
  log.info({ every: tickEveryMs ?? 2_000 }, 'worker started');

  return {
    async stop() {
      quiet.abort();
      clearInterval(rescheduling);
      // Without Redis there is nothing to end in order: closing would wait for an answer that cannot come.
      await worker.close(connection.status !== 'ready');
      await queue.close();
      connection.disconnect();
      log.info('worker stopped');
    },
  };
}
