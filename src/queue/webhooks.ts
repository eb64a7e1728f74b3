/** The queue of what is sent to webhooks: a place of its own, so that a receiver that is slow keeps no tick waiting. */
import { Queue } from 'bullmq';
import { z } from 'zod';
import { connectForQueue, type RedisConnection } from '../redis/connect.ts';
import { WEBHOOK_QUEUE_PREFIX } from '../redis/keys.ts';

export const WEBHOOK_QUEUE = 'deliveries';

export const DeliveryJob = z.object({
  account: z.object({ id: z.string(), parentId: z.string().nullable() }),
  webhookId: z.string(),
  event: z.object({
    id: z.string(),
    type: z.enum([
      'ip.status_changed',
      'ip.quota_used',
      'ip.hold_changed',
      'pool.hold_changed',
      'webhook.test',
    ]),
    at: z.string(),
    accountId: z.string(),
    data: z.record(z.string(), z.unknown()),
  }),
});
export type DeliveryJob = z.infer<typeof DeliveryJob>;

/** 5 s, doubled each time up to an hour: 15 attempts take five and a half hours. */
export const MOST_ATTEMPTS = 15;
const FIRST_BACKOFF_MS = 5_000;
const LONGEST_BACKOFF_MS = 3_600_000;

/** A quarter more or less, so that what failed together does not come back together. */
export const backoffMs = (attempt: number, random: number = Math.random()) =>
  Math.round(Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (attempt - 1)) * (0.75 + random / 2));

/** What was delivered is kept for a while, since by its id the queue knows what comes twice. */
const KEEP = {
  removeOnComplete: { age: 3_600, count: 10_000 },
  removeOnFail: { age: 24 * 3_600, count: 1_000 },
};

export type WebhookQueue = {
  add(deliveries: readonly DeliveryJob[]): Promise<void>;
  counts(): Promise<Record<string, number>>;
  close(): Promise<void>;
};

/** @param beside the connection of the same process, on which everything but the queue is done */
export function openWebhookQueue(redisUrl: string, beside: RedisConnection): WebhookQueue {
  const connection = connectForQueue(redisUrl, beside);
  const queue = new Queue(WEBHOOK_QUEUE, { connection, prefix: WEBHOOK_QUEUE_PREFIX });
  queue.on('error', () => {}); // a lost connection heals by itself and shows in the call that it fails
  return {
    async add(deliveries) {
      await queue.addBulk(
        deliveries.map((data) => ({
          name: data.event.type,
          data,
          opts: {
            ...KEEP,
            attempts: MOST_ATTEMPTS,
            backoff: { type: 'custom' },
            jobId: `${data.event.id}-${data.webhookId}`,
          },
        })),
      );
    },
    counts: () => queue.getJobCounts(),
    async close() {
      await queue.close();
      connection.disconnect();
    },
  };
}
