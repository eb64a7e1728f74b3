/** How the queues stand, for whoever only looks: nothing is written, not even that somebody was here. */
import { Queue } from 'bullmq';
import { connectForQueue, type RedisConnection } from '../redis/connect.ts';
import { QUEUE_PREFIX, WEBHOOK_QUEUE_PREFIX } from '../redis/keys.ts';
import { QUEUE_NAME } from './queue.ts';
import { WEBHOOK_QUEUE } from './webhooks.ts';

export type QueueState = {
  name: string;
  counts: Record<string, number>;
  /** When the last job was done, on the clocks of the workers; `null`: none is remembered. */
  lastDoneMs: number | null;
};

/** @param beside the connection of the same process, on which everything but the queue is done */
export async function readQueues(redisUrl: string, beside: RedisConnection): Promise<QueueState[]> {
  const connection = connectForQueue(redisUrl, beside);
  try {
    return await Promise.all(
      [
        { name: QUEUE_NAME, prefix: QUEUE_PREFIX },
        { name: WEBHOOK_QUEUE, prefix: WEBHOOK_QUEUE_PREFIX },
      ].map(async ({ name, prefix }) => {
        const queue = new Queue(name, { connection, prefix, skipMetasUpdate: true });
        queue.on('error', () => {});
        const [counts, [last]] = await Promise.all([
          queue.getJobCounts(),
          queue.getJobs(['completed'], 0, 0, false),
        ]);
        await queue.close();
        return { name, counts, lastDoneMs: last?.finishedOn ?? null };
      }),
    );
  } finally {
    connection.disconnect();
  }
}
