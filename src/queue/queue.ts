/** The one queue of the worker, in BullMQ: its schedule, and the shares of a large sweep. */
import { Queue } from 'bullmq';
import { connectForQueue, type RedisConnection } from '../redis/connect.ts';
import { QUEUE_PREFIX } from '../redis/keys.ts';
import { SHARE, type Share, shareJobId, TICK } from './jobs.ts';

export const QUEUE_NAME = 'sweep';

/**
 * Windows are published ahead, so a tick decides only when a warm-up, a cooldown or a hold on progress ends: two seconds
 * are soon enough, and cost a few commands.
 */
export const TICK_EVERY_MS = 2_000;

/** Jobs tell nothing that the stream of changes does not tell better; the last few are kept for whoever looks. */
const KEEP = { removeOnComplete: { count: 100 }, removeOnFail: { count: 1000 } };
/** A failed job is tried again after 1, 2, 4 s; then the next tick finds the same work. */
const RETRY = { attempts: 4, backoff: { type: 'exponential', delay: 1_000 } };

export type SweepQueue = {
  /** Makes sure that ticks are scheduled; the same for any number of workers. */
  schedule(everyMs?: number): Promise<void>;
  addShares(of: number): Promise<void>;
  /**
   * After Redis's clock was set back: BullMQ's locks end by that clock, so those of a worker that was killed before would
   * keep its jobs for as long as the step was. None lasts longer than `lockMs` from now, and whoever lives renews its own.
   */
  shortenLocks(lockMs: number): Promise<void>;
  counts(): Promise<Record<string, number>>;
  close(): Promise<void>;
};

/** @param beside the connection of the same process, on which everything but the queue is done */
export function openQueue(redisUrl: string, beside: RedisConnection): SweepQueue {
  const connection = connectForQueue(redisUrl, beside);
  const queue = new Queue(QUEUE_NAME, { connection, prefix: QUEUE_PREFIX });
  queue.on('error', () => {}); // a lost connection heals by itself and shows in the call that it fails
  return {
    async schedule(everyMs = TICK_EVERY_MS) {
      await queue.upsertJobScheduler(
        TICK,
        { every: everyMs },
        { name: TICK, data: {}, opts: { ...KEEP, ...RETRY } },
      );
    },
    async addShares(of) {
      const shares: Share[] = Array.from({ length: of }, (_, index) => ({ index, of }));
      await queue.addBulk(
        shares.map((share) => ({
          name: SHARE,
          data: share,
          opts: { ...RETRY, jobId: shareJobId(share), removeOnComplete: true, removeOnFail: true },
        })),
      );
    },
    async shortenLocks(lockMs) {
      const active = await queue.getActive();
      const locks = active.map(({ id }) => `${queue.toKey(id!)}:lock`);
      // Never lengthened, and what is gone stays gone.
      for (const key of [queue.toKey('stalled-check'), ...locks]) await beside.pexpire(key, lockMs, 'LT');
    },
    counts: () => queue.getJobCounts(),
    async close() {
      await queue.close();
      connection.disconnect();
    },
  };
}
