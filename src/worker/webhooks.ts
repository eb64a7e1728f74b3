/**
 * Sends to webhooks what `fleet/webhook-events.ts` finds. It shares nothing with the sweep but the process: queue,
 * connection and patience are its own, so that no receiver can hold up the engine.
 */
import type { lookup } from 'node:dns';
import { setTimeout as sleep } from 'node:timers/promises';
import { DelayedError, type Job, UnrecoverableError, Worker } from 'bullmq';
import type { Logger } from 'pino';
import { type Engine, type Tenant, tenantOf } from '../fleet/engine.ts';
import { accountsWithWebhooks, relayChanges, relayQuotas, takeTurn } from '../fleet/webhook-events.ts';
import {
  disableWebhook,
  FAILS_FOR_MS,
  findWebhook,
  forgetIfGone,
  headersFor,
  logDelivery,
  noteFailure,
  noteSuccess,
  type Webhook,
} from '../fleet/webhooks.ts';
import {
  DeliveryJob,
  MOST_ATTEMPTS,
  openWebhookQueue,
  backoffMs as ordinaryBackoffMs,
  WEBHOOK_QUEUE,
} from '../queue/webhooks.ts';
import { connectForQueue } from '../redis/connect.ts';
import { type AccountRef, WEBHOOK_QUEUE_PREFIX } from '../redis/keys.ts';
import { Registry } from '../runtime/metrics.ts';
import { type PostResult, post } from '../runtime/post.ts';
import { createWebhookMetrics, watchQueue } from './metrics.ts';

/** A change is told within this, about, if the receiver answers at once. */
const CHANGES_EVERY_MS = 2_000;
/** All warming IPs of the accounts that want to know are looked at so often. */
const QUOTAS_EVERY_MS = 5_000;
const ANSWERS_WITHIN_MS = 10_000;
/** So many are under way in a process, and so many of them to one webhook: a slow one leaves room for the others. */
const CONCURRENCY = 32;
const MOST_AT_ONCE = 4;
/** Whoever finds no room comes back after this, and one after the other, not all together and again and again. */
const ROOM_AGAIN_MS = 500;
const LONGEST_QUEUE_MS = 60_000;
/** So fast a receiver is taken to be that has not answered yet. */
const ANSWERS_AT_FIRST_MS = 40;
/** A worker that was killed keeps what it was sending for so long; then another one sends it again. */
const LOCK_MS = 30_000;
const STALLED_INTERVAL_MS = 10_000;
/** Whoever answers so wants no more. */
const GONE = 410;

export type WebhooksOptions = {
  engine: Engine;
  redisUrl: string;
  log: Logger;
  /** Private addresses and http are allowed. */
  allowPrivate: boolean;
  registry?: Registry;
  changesEveryMs?: number;
  quotasEveryMs?: number;
  timeoutMs?: number;
  lockMs?: number;
  stalledIntervalMs?: number;
  backoffMs?: (attempt: number) => number;
  failsForMs?: number;
  resolve?: typeof lookup;
};

/** Failed, and to be tried again after this. */
class TryAgain extends Error {
  readonly afterMs: number;

  constructor(message: string, afterMs: number) {
    super(message);
    this.afterMs = afterMs;
  }
}

/** What one webhook is being sent by this process. */
type Receiving = {
  count: number;
  /** How long the last answer took. */
  answersInMs: number;
  /** Until when the turns are given to those who found no room. */
  turnMs: number;
};

/** When to come back: as fast as the receiver makes room, but nobody waits for more than a minute to see whether it got faster. */
function turnOf(receiving: Receiving): number {
  const nowMs = performance.now();
  const inTurnMs = receiving.turnMs + Math.max(1, receiving.answersInMs / MOST_AT_ONCE);
  receiving.turnMs = Math.min(Math.max(nowMs + ROOM_AGAIN_MS, inTurnMs), nowMs + LONGEST_QUEUE_MS);
  // Where the queue is longer than that, its end does not come all at once.
  const isCut = inTurnMs > receiving.turnMs;
  return receiving.turnMs - nowMs - (isCut ? Math.random() * (LONGEST_QUEUE_MS / 2) : 0);
}

export async function startWebhooks({
  engine,
  redisUrl,
  log,
  allowPrivate,
  registry = new Registry(),
  changesEveryMs = CHANGES_EVERY_MS,
  quotasEveryMs = QUOTAS_EVERY_MS,
  timeoutMs = ANSWERS_WITHIN_MS,
  lockMs = LOCK_MS,
  stalledIntervalMs = STALLED_INTERVAL_MS,
  backoffMs = ordinaryBackoffMs,
  failsForMs = FAILS_FOR_MS,
  resolve,
}: WebhooksOptions): Promise<{ stop(): Promise<void> }> {
  const quiet = new AbortController();
  const { redis } = engine.scripts;
  const queue = openWebhookQueue(redisUrl, redis);
  const connection = connectForQueue(redisUrl, redis);
  const metrics = createWebhookMetrics(registry);
  watchQueue(registry, WEBHOOK_QUEUE, () => queue.counts());
  const underWay = new Map<string, Receiving>();

  const worker = new Worker(
    WEBHOOK_QUEUE,
    async (job, token) => {
      const { account, webhookId, event } = DeliveryJob.parse(job.data);
      const tenant = tenantOf(engine, account, 'engine');
      const webhook = await findWebhook(tenant, webhookId);
      if (!webhook?.enabled) return 'dropped';
      const receiving = underWay.get(webhookId) ?? { count: 0, answersInMs: ANSWERS_AT_FIRST_MS, turnMs: 0 };
      if (receiving.count >= MOST_AT_ONCE) return later(job, token, turnOf(receiving));
      receiving.count += 1;
      underWay.set(webhookId, receiving);
      try {
        const result = await send(webhook, event, job.attemptsMade + 1);
        receiving.answersInMs = result.ms;
        // A worker that is told to end does not wait for a receiver; the event is sent again by another one.
        if (quiet.signal.aborted && result.status === null) return await later(job, token, 0);
        return await conclude(tenant, webhook, event, job.attemptsMade + 1, result);
      } finally {
        receiving.count -= 1;
        if (receiving.count === 0) underWay.delete(webhookId);
      }
    },
    {
      connection,
      prefix: WEBHOOK_QUEUE_PREFIX,
      concurrency: CONCURRENCY,
      lockDuration: lockMs,
      stalledInterval: stalledIntervalMs,
      maxStalledCount: 100,
      settings: {
        backoffStrategy: (attempt, _type, error) =>
          error instanceof TryAgain ? error.afterMs : backoffMs(attempt),
      },
    },
  );

  /** Not tried, so not counted as an attempt. */
  async function later(job: Job, token: string | undefined, ms: number): Promise<never> {
    await job.moveToDelayed(Date.now() + ms, token);
    throw new DelayedError();
  }

  function send(webhook: Webhook, event: DeliveryJob['event'], attempt: number): Promise<PostResult> {
    const body = JSON.stringify(event);
    return post(webhook.url, body, {
      headers: { ...headersFor(webhook, event, body, Date.now()), 'warmline-attempt': String(attempt) },
      timeoutMs,
      allowPrivate,
      signal: quiet.signal,
      ...(resolve && { resolve }),
    });
  }

  async function conclude(
    tenant: Tenant,
    webhook: Webhook,
    event: DeliveryJob['event'],
    attempt: number,
    { status, ms, error }: PostResult,
  ): Promise<string> {
    const isLast = attempt >= MOST_ATTEMPTS || status === GONE;
    const outcome = error === null ? 'delivered' : isLast ? 'given_up' : 'failed';
    const afterMs = outcome === 'failed' ? backoffMs(attempt) : 0;
    const nowMs = Date.now();
    metrics.tried(outcome, ms);
    // It has arrived, or not; that this cannot be written down must not send it again.
    const noted = (writing: Promise<unknown>) =>
      writing.catch((problem) => log.warn({ err: problem }, 'a delivery could not be logged'));
    await noted(
      logDelivery(tenant, webhook.id, {
        eventId: event.id,
        type: event.type,
        at: new Date(nowMs).toISOString(),
        ...{ attempt, outcome, status, ms, error },
        nextAttemptAt: outcome === 'failed' ? new Date(nowMs + afterMs).toISOString() : null,
      }),
    );
    if (error === null) {
      await noted(noteSuccess(tenant, webhook.id));
      await noted(forgetIfGone(tenant, webhook.id));
      return outcome;
    }
    const facts = { webhook: webhook.id, account: tenant.account.id, event: event.id, attempt, status };
    log.info({ ...facts, because: error }, outcome === 'failed' ? 'webhook failed' : 'webhook given up');
    const sinceMs = await noteFailure(tenant, webhook.id, nowMs).catch(() => nowMs);
    const because =
      status === GONE
        ? 'it answered 410: it wants no more'
        : nowMs - sinceMs >= failsForMs
          ? `nothing got through since ${new Date(sinceMs).toISOString()}; the last time ${error}`
          : null;
    if (because !== null) {
      await noted(disableWebhook(tenant, webhook.id, because));
      log.warn({ webhook: webhook.id, account: tenant.account.id, because }, 'webhook switched off');
    }
    await noted(forgetIfGone(tenant, webhook.id));
    if (isLast) throw new UnrecoverableError(error);
    throw new TryAgain(error, afterMs);
  }

  worker.on('error', (error) =>
    log.warn({ err: error }, 'the queue of webhooks is out of reach; trying again'),
  );

  /** One round over the accounts that have webhooks. What fails for one is tried again in the next round. */
  const known = new Map<string, AccountRef>();
  async function relay(what: 'changes' | 'quotas'): Promise<void> {
    const sending = async (outgoing: readonly DeliveryJob[]) => {
      await queue.add(outgoing);
      for (const { event } of outgoing) metrics.queued(event.type);
    };
    for await (const tenant of accountsWithWebhooks(engine, known)) {
      if (quiet.signal.aborted) return;
      const { account } = tenant;
      try {
        if (what === 'quotas') await relayQuotas(tenant, sending);
        else {
          await relayChanges(tenant, sending, () =>
            log.warn(
              { account: account.id },
              'changes were dropped from the stream before webhooks were told',
            ),
          );
        }
      } catch (error) {
        log.warn({ err: error, account: account.id }, 'webhooks could not be told; trying again');
      }
    }
  }

  async function goRound(what: 'changes' | 'quotas', everyMs: number): Promise<void> {
    while (!quiet.signal.aborted) {
      try {
        if (await takeTurn(engine, what, everyMs)) await relay(what);
      } catch (error) {
        log.debug({ err: error }, 'Redis is out of reach; webhooks are told later');
      }
      await sleep(everyMs, undefined, { signal: quiet.signal }).catch(() => {});
    }
  }
  const rounds = [goRound('changes', changesEveryMs), goRound('quotas', quotasEveryMs)];

  return {
    async stop() {
      quiet.abort();
      await Promise.all(rounds);
      // Without Redis there is nothing to end in order: closing would wait for an answer that cannot come.
      await worker.close(connection.status !== 'ready');
      await queue.close();
      connection.disconnect();
    },
  };
}
